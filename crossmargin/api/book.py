"""A loaded book and its questions: margin, explanation, what-if, scenarios, stress, liquidation prices.

Every answer comes from the engine that computes the proven statements, so it equals theirs to the last quantum.
A `Book` is immutable: `with_model` returns the same accounts under another margin model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from os import PathLike

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from crossmargin.analysis.stress import Shock, stress
from crossmargin.api.change import Change
from crossmargin.api.explanation import Explanation
from crossmargin.api.frames import money_column
from crossmargin.api.liquidation_price import LiquidationPrice
from crossmargin.api.margin import Margin
from crossmargin.api.model import fitting, load_model
from crossmargin.api.numbers import Number, exact_decimal
from crossmargin.book.book import Rejected, column_limits
from crossmargin.engine import evaluate
from crossmargin.engine.explain import explain
from crossmargin.errors import InputError
from crossmargin.liquidation.price import PositionPrices, bankruptcy_prices, liquidation_prices
from crossmargin.liquidation.rule import Rule, requirement_of
from crossmargin.liquidation.trades import Trade, after_trades, price_of
from crossmargin.loading import BookSource, Inputs, Parameters, Where
from crossmargin.loading import load as load_inputs
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.models import MarginModel
from crossmargin.models.oracle import resolved
from crossmargin.units import format_decimal, to_units
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.evaluate import Leaf, deciding_leaves, evaluate_expression
from crossmargin_circuits.expression import Linear
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy

__all__ = ["Book", "load"]


def load(
    where: Where | BookSource, *, parameters: Parameters | None = None, reject_bad_accounts: bool = False
) -> "Book":
    """Load a book from a folder of files, from an installed source (`SCHEME:REST`), or from a source object.

    parameters: the public part of the book, in place of the source's own (`crossmargin.loading.build_parameters`);
    reject_bad_accounts: leave out accounts with bad lines and list them in `Book.rejected`, instead of refusing.

    Raises:
        InputErrors: all problems of the input, each with file, line, field and a hint.

    >>> import crossmargin as cm
    >>> cm.load("examples/small")
    <Book example-exchange/small/2025-03-28T08:00:00Z: 5 accounts, 4 instruments, scenario portfolio margin>
    """
    return Book(load_inputs(where, "reject" if reject_bad_accounts else "refuse", parameters=parameters))


@dataclass(frozen=True, repr=False, eq=False)
class Book:
    """Accounts of a venue with their market and margin model, ready for questions.

    Methods take the name of a margin statement of the model, `maintenance` by default, and return amounts as exact
    decimals. `inputs` holds the loaded values, in the integers that proofs are about.

    >>> import crossmargin as cm
    >>> book = cm.load("examples/small")
    >>> book.margin("initial").under_water
    <Margin of account acct-d: initial margin, scenario portfolio margin; equity 4,577.29, requirement 8,300.15,
    excess -3,722.87 USD; under water>
    >>> book.what_if("acct-d", {"BTC-PERPETUAL": -2000})
    <Change by BTC-PERPETUAL -2000: equity 4,577.29 -> 4,577.23, requirement 6,639.83 -> 4,240.13,
    shortfall 2,062.54 -> 0.00 USD; 1 -> 0 under water>
    >>> book.stress({"BTC": -0.2}).after.bankrupt.accounts
    ('acct-d',)
    """

    inputs: Inputs
    _compiled: dict[str, CompiledPolicy] = field(default_factory=dict, init=False)

    @property
    def snapshot_id(self) -> str:
        """ "venue/book/as_of", as_of in UTC."""
        return self.inputs.snapshot_id

    @property
    def as_of(self) -> datetime:
        """The moment of the snapshot, in UTC."""
        return self.market.as_of

    @property
    def accounts(self) -> tuple[str, ...]:
        """Ids of the accounts."""
        return self.inputs.book.accounts

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The bad lines of the accounts left out."""
        return self.inputs.book.rejected

    @property
    def catalogue(self) -> Catalogue:
        """Assets and instruments."""
        return self.inputs.catalogue

    @property
    def market(self) -> Market:
        """Prices at the moment of the snapshot."""
        return self.inputs.market

    @property
    def model(self) -> MarginModel:
        """The margin model."""
        return self.inputs.model

    @property
    def statements(self) -> tuple[str, ...]:
        """Names of the model's margin statements, which are those with a requirement."""
        return self.model.margin_statements

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self.inputs.book)

    def with_model(self, model: MarginModel | str | PathLike[str] | Mapping[str, object]) -> "Book":
        """Return the same accounts under another margin model: a model, or anything that `load_model` reads.

        Raises:
            InputErrors: the model cannot be read, or does not fit the instruments and the market.

        >>> import crossmargin as cm
        >>> cm.load("examples/book").with_model("examples/models/span.yaml").margin()
        <Margin of 1,000 accounts: ...>
        """
        chosen = model if isinstance(model, MarginModel) else load_model(model)
        return Book(replace(self.inputs, model=fitting(chosen, self._environment)))

    def compiled(self, statement: str = "maintenance") -> CompiledPolicy:
        """Return the policy of a margin statement, which states the relation that a proof is about.

        Raises:
            InputError: no such statement, or one without a requirement.
            BudgetError: a row can exceed 63 bits.
        """
        if statement not in self._compiled:
            self._compiled[statement] = self._rule(statement).compiled(self._environment)
        return self._compiled[statement]

    def margin(self, statement: str = "maintenance") -> Margin:
        """Return the margin of every account.

        Raises:
            InputError: no such statement, or one without a requirement.
        """
        return self._margin(statement, self.inputs.book.records, self.accounts)

    def explain(self, account: str, statement: str = "maintenance") -> Explanation:
        """Return the margin of one account with its parts.

        Raises:
            InputError: no such account or statement.
        """
        compiled = self.compiled(statement)
        unit = compiled.policy.value_unit
        found = explain(compiled, self.inputs.book, account)
        return Explanation(compiled.policy.title, unit.currency, Decimal(unit.quantum), found)

    def scenarios(self, account: str, statement: str = "maintenance") -> pl.DataFrame:
        """Return the profit or loss of one account in every scenario of the requirement: name, scenario, pnl.

        Gains are positive. The pnl is exact, in the currency of the model, and includes the statement's factor. The
        scenarios are those whose losses enter the requirement; a model that charges positions by size has none.

        Raises:
            InputError: no such account or statement.
        """
        policy = self.compiled(statement).policy
        record = self.inputs.book.record(account)
        leaves: dict[str, list[Leaf]] = {}
        for leaf in deciding_leaves(policy, requirement_of(policy)):
            leaves.setdefault(leaf.array, []).append(leaf)
        lost = {name: each[0] for name, each in leaves.items() if max(leaf.factor for leaf in each) < 0}
        found = {
            name: evaluate_expression(policy, Linear(name), record) + leaf.amount // leaf.factor
            for name, leaf in lost.items()
        }
        return pl.DataFrame(
            [
                pl.Series("name", list(found), dtype=pl.String),
                pl.Series("scenario", [policy.array(name).meaning for name in found], dtype=pl.String),
                money_column("pnl", list(found.values()), Decimal(policy.value_unit.quantum)),
            ]
        )

    def what_if(
        self,
        account: str,
        trades: Mapping[str, Number],
        deposits: Mapping[str, Number] | None = None,
        statement: str = "maintenance",
    ) -> Change:
        """Return the margin of one account before and after trades at the mark, without fees.

        trades: contracts by instrument, positive to buy; deposits: amounts by asset, negative to withdraw. Quantities
        are whole lots, amounts whole units of the asset. A trade at the mark changes equity only by rounding: of its
        entry value, against the account, and of the model's coefficients.

        Raises:
            InputError: no such account, instrument, asset or statement; a quantity finer than a lot; a position or
            balance beyond its limit.
        """
        record = self._after(account, trades, deposits or {})
        before = self.inputs.book.records[[self.inputs.book.number(account)], :]
        after = csr_array(np.array([record], dtype=np.int64))
        words = [f"{name} {exact_decimal(each, name):+f}" for name, each in {**trades, **(deposits or {})}.items()]
        return Change(
            ", ".join(words) or "nothing",
            self._margin(statement, before, (account,)),
            self._margin(statement, after, (account,)),
        )

    def stress(
        self,
        prices: Mapping[str, Number],
        volatilities: Mapping[str, Number] | None = None,
        statement: str = "maintenance",
    ) -> Change:
        """Return the margin of every account before and after a shock to unchanged positions.

        prices: relative moves by asset or underlying, -0.2 for a fall by 20 %; volatilities: relative moves of implied
        volatilities, by underlying. A float counts as the shortest decimal that names it.

        Raises:
            InputError: nothing follows a name, or no such statement.
            InputErrors: a move out of range.
        """
        moves = [
            {name: exact_decimal(move, name) for name, move in given.items()} for given in (prices, volatilities or {})
        ]
        rule, inputs = self._rule(statement), self.inputs
        shock = Shock.of(*moves)
        found = stress(rule.venue, self._environment, rule.model, statement, inputs.book, [shock])
        policy = self.compiled(statement).policy
        before, after = (_in_money(policy, each.margin, self.accounts) for each in found)
        return Change(shock.name, before, after)

    def liquidation_price(self, account: str, instrument: str, statement: str = "maintenance") -> LiquidationPrice:
        """Return the marks of a perpetual or future at which the account is liquidated and at which it is bankrupt.

        Raises:
            InputError: no such account or statement; the account holds no such perpetual or future; the model's
            charges depend on more than one mark.
        """
        number = self.inputs.book.number(account)
        records = self.inputs.book.records[[number], :]
        column = self.catalogue.layout().find(ColumnKind.POSITION, instrument)
        rule = self._rule(statement)
        found = liquidation_prices(rule, self._environment, records)
        if column is None or column not in found.columns.tolist():
            raise InputError(f"account {account!r} holds no perpetual or future {instrument}", hint="check the name")
        ends = bankruptcy_prices(rule, self._environment, records)
        return LiquidationPrice(
            account,
            instrument,
            self.market.marks[instrument].price,
            found.of(0, column),
            ends.of(0, column),
            _is_below(found, column),
            _is_below(ends, column),
        )

    def __repr__(self) -> str:
        """Return the book's id and its sizes."""
        sizes = f"{len(self):,} accounts, {len(self.catalogue.instruments):,} instruments"
        out = f", {len(self.rejected):,} lines rejected" if self.rejected else ""
        return f"<Book {self.snapshot_id}: {sizes}, {self.model.title}{out}>"

    @cached_property
    def _environment(self) -> MarketEnvironment:
        return self.inputs.environment

    def _rule(self, statement: str) -> Rule:
        """Return the rule of a margin statement.

        Raises:
            InputError: no such statement, or one without a requirement.
        """
        self.model.statement(statement)
        if statement not in self.statements:
            hint = f"choose a margin statement: {', '.join(self.statements)}"
            raise InputError(f"{statement} has no requirement", hint=hint)
        return Rule(self.inputs.venue.venue, self.model, statement)

    def _margin(self, statement: str, records: csr_array, accounts: tuple[str, ...]) -> Margin:
        compiled = self.compiled(statement)
        return _in_money(compiled.policy, evaluate.evaluate(compiled, records), accounts)

    def _after(self, account: str, trades: Mapping[str, Number], deposits: Mapping[str, Number]) -> list[int]:
        """Return the record of an account after trades at the mark and deposits."""
        catalogue, layout = self.catalogue, self.catalogue.layout()
        environment = resolved(self._environment, self.model.oracle)
        values = environment.valuation.unit_values()
        made = []
        for name, quantity in trades.items():
            item = next((each for each in catalogue.instruments if each.name == name), None)
            if item is None:
                raise InputError(f"{name} is not an instrument", hint="use a name of the book's instruments")
            lots = to_units(exact_decimal(quantity, name), item.lot, f"the lot of {name}")
            made.append(Trade(name, lots, price_of(environment, item, values)))
        record = after_trades(environment, self.inputs.book.record(account), made)
        for name, amount in deposits.items():
            asset = next((each for each in catalogue.assets if each.name == name), None)
            if asset is None:
                raise InputError(f"{name} is not an asset", hint="use a name of the book's assets")
            units = to_units(
                exact_decimal(amount, name), asset.unit, f"the unit {format_decimal(asset.unit)} of {name}"
            )
            record[layout.index(ColumnKind.BALANCE, name)] += units
        for asset in catalogue.assets:
            if not asset.borrowable and record[layout.index(ColumnKind.BALANCE, asset.name)] < 0:
                raise InputError(f"negative balance of {asset.name}, which cannot be borrowed", hint="pay less of it")
        for column, units, limit in zip(layout.columns, record, column_limits(layout).tolist(), strict=True):
            if abs(units) > limit:
                raise InputError(f"{column.key} is beyond its limit", hint="trade or deposit less")
        return record


def _in_money(policy: Policy, found: evaluate.Margin, accounts: tuple[str, ...]) -> Margin:
    unit = policy.value_unit
    return Margin(policy.title, unit.currency, Decimal(unit.quantum), accounts, found)


def _is_below(prices: PositionPrices, column: int) -> bool:
    return bool(prices.below[prices.columns == column][0])
