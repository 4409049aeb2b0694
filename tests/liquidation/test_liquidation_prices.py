"""Liquidation prices: published ones, and full repricing of the whole account at every price that is reported."""

import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from crossmargin.engine.evaluate import evaluate
from crossmargin.errors import InputError
from crossmargin.liquidation.moves import liquidation_moves
from crossmargin.liquidation.price import PositionPrices, bankruptcy_prices, liquidation_prices
from crossmargin.liquidation.ray import Rays
from crossmargin.liquidation.rule import Rule, equity_of, excess_of
from crossmargin.liquidation.sets import below
from crossmargin.loading import Inputs, load_folder, load_margin_model
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Contract
from crossmargin.market.scenarios import Scenario
from crossmargin.models import parse_model
from crossmargin.models.oracle import resolved
from crossmargin.models.policy_builder import PolicyBuilder, worst_loss
from crossmargin.models.scenario import ScenarioModel
from crossmargin_circuits.errors import BudgetError
from crossmargin_circuits.evaluate import evaluate_expression
from crossmargin_circuits.expression import Expression, Reference
from crossmargin_circuits.layout import ColumnKind

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "binance_liquidation.json").read_text(encoding="utf-8"))
CROSS = VECTORS["cross_cases"]
ISOLATED = VECTORS["isolated_cases"]
MODELS = sorted(path.stem for path in (ROOT / "examples" / "models").glob("*.yaml"))


@pytest.mark.parametrize("case", CROSS, ids=[case["name"] for case in CROSS])
def test_published_cross_liquidation_price(case: dict[str, Any], desk: SimpleNamespace) -> None:
    held = [case["contract"], *case["others"]]
    names = [f"C{number}" for number in range(len(held))]
    environment = desk.perpetuals(
        {name: str(each["mark"]) for name, each in zip(names, held, strict=True)}, dict.fromkeys(names, "0.001")
    )
    rule = desk.tiered(
        {f"{name}USDT": [(str(each["mmr"]), str(each["cum"]))] for name, each in zip(names, held, strict=True)}
    )
    entry = -sum(Decimal(str(each["q"])) * Decimal(str(each["ep"])) for each in held)
    lots = {f"{name}USDT": round(each["q"] * 1000) for name, each in zip(names, held, strict=True)}
    record = desk.record(environment, balance_USDT=case["wallet_balance"], entry_USDT=entry, **lots)
    prices = liquidation_prices(rule, environment, desk.matrix([record]))
    column = environment.catalogue.layout().index(ColumnKind.POSITION, "C0USDT")
    assert prices.of(0, column) == pytest.approx(case["expected"], abs=0.005)


CROSS_MODEL = {
    "model": "cross_margin",
    "version": 1,
    "value_unit": {"currency": "USD", "quantum": "0.00000001"},
    "staleness_limit_seconds": 600,
    "by": "instrument",
    "futures": {
        # Tiers that meet the published rate and amount of each contract, continuously.
        "ETHUSDT": {"tiers": [{"from": "0", "rate": "0.05"}, {"from": "2707300", "rate": "0.1", "amount": "135365"}]},
        "BTCUSDT": {
            "tiers": [
                {"from": "0", "rate": "0.004"},
                {"from": "50000", "rate": "0.005", "amount": "50"},
                {"from": "250000", "rate": "0.01", "amount": "1300"},
                {"from": "1000000", "rate": "0.025", "amount": "16300"},
                {"from": "7500000", "rate": "0.05", "amount": "203800"},
            ]
        },
    },
    "statements": [{"name": "maintenance", "factor": "1"}],
}


@pytest.mark.parametrize("case", CROSS, ids=[case["name"] for case in CROSS])
def test_published_cross_liquidation_price_from_bracket_tables(case: dict[str, Any], desk: SimpleNamespace) -> None:
    """The model of the venue with whole tables of tiers: the tier in force at the liquidation price decides."""
    held = {("ETH" if each["mmr"] == 0.1 else "BTC"): each for each in [case["contract"], *case["others"]]}
    marks = {name: str(held[name]["mark"]) if name in held else "1000" for name in ("BTC", "ETH")}
    environment = desk.perpetuals(marks, dict.fromkeys(marks, "0.001"))
    entry = -sum(Decimal(str(each["q"])) * Decimal(str(each["ep"])) for each in held.values())
    lots = {f"{name}USDT": round(each["q"] * 1000) for name, each in held.items()}
    record = desk.record(environment, balance_USDT=case["wallet_balance"], entry_USDT=entry, **lots)
    rule = Rule("test-venue", parse_model(CROSS_MODEL), "maintenance")
    prices = liquidation_prices(rule, environment, desk.matrix([record]))
    column = environment.catalogue.layout().index(ColumnKind.POSITION, f"{next(iter(held))}USDT")
    assert prices.of(0, column) == pytest.approx(case["expected"], abs=0.005)


@pytest.mark.parametrize("case", ISOLATED)
def test_published_isolated_liquidation_price(case: dict[str, Any], desk: SimpleNamespace) -> None:
    """Every formula is a maintenance rule: Binance rate and amount, OKX rate plus fee, Bybit a rate of the entry."""
    environment = desk.perpetuals({"X": str(case["open_rate"])}, {"X": "0.1"}, "0.0000000001", "100000", "100")
    rate, amount, flat = Decimal(str(case["mmr"])), Decimal(str(case.get("cum", 0))), Decimal(0)
    if "taker" in case:
        rate += Decimal(str(case["taker"]))
    size, opened = Decimal(str(case["amount"])), Decimal(str(case["open_rate"]))
    if "bybit" in case["exchange_formula"]:
        rate, flat = Decimal(0), rate * size * opened
    rule = desk.tiered({"XUSDT": [(str(rate), str(amount))]}, quantum="0.0000000001", flat=str(flat))
    wallet = Decimal(repr(case["wallet_balance"])) if "wallet_balance" in case else size * opened / case["leverage"]
    side = case["side"]
    lots = side * round(case["amount"] * 10)
    record = desk.record(environment, balance_USDT=wallet, entry_USDT=-side * size * opened, XUSDT=lots)
    prices = liquidation_prices(rule, environment, desk.matrix([record]))
    # Published with seven digits at least; the record is rounded to ten places.
    assert prices.prices.tolist() == pytest.approx([case["expected"]], rel=1e-7)


@pytest.fixture(scope="module")
def book() -> Inputs:
    return load_folder(ROOT / "examples" / "book")


@cache
def rule_of(name: str) -> Rule:
    return Rule("test-venue", load_margin_model(ROOT / "examples" / "models" / f"{name}.yaml"), "maintenance")


@pytest.fixture(scope="module", params=["scenario_portfolio_margin", "sum_of_underlyings"])
def rule(request: pytest.FixtureRequest) -> Rule:
    return rule_of(request.param)


def at_mark(environment: MarketEnvironment, name: str, price: float) -> MarketEnvironment:
    marks = dict(environment.market.marks)
    marks[name] = marks[name].model_copy(update={"price": Decimal(price), "bid": None, "ask": None})
    market = environment.market.model_copy(update={"marks": marks})
    return environment.at(market)


def margin_at(
    rule: Rule, environment: MarketEnvironment, name: str, price: float, record: list[int]
) -> tuple[int, int]:
    """Return equity and requirement, read from the policy at another mark by the reader for holders."""
    policy = rule.policy(at_mark(environment, name, price))
    equity, needed = (evaluate_expression(policy, Reference(each), record) for each in ("equity", "requirement"))
    return equity, needed


def sample(
    environment: MarketEnvironment, accounts: Any, columns: Any, per_column: int
) -> Iterator[tuple[int, int, str]]:
    """Yield numbers of entries, a few for every instrument, with row and instrument."""
    for column in np.unique(columns).tolist():
        name = environment.catalogue.layout().columns[column].name
        for entry in np.flatnonzero(columns == column)[:per_column].tolist():
            yield entry, int(accounts[entry]), name


@pytest.mark.parametrize("name", MODELS)
def test_full_repricing_agrees(book: Inputs, name: str) -> None:
    """At its liquidation price an account has no excess, before it some, beyond it too little; else it never lacks."""
    environment, records, rule = book.environment, book.book.records, rule_of(name)
    if name == "oracle":
        # A what-if is no dislocation: the ranges that hold now stand still.
        environment = resolved(environment, rule.model.oracle)
    found = liquidation_prices(rule, environment, records)
    assert np.array_equal(np.unique(found.accounts[found.below]), held(found, below(rule, environment, records)[0]))
    priced = unpriced = 0
    for entry, account, instrument in sample(environment, found.accounts, found.columns, 1):
        record, price = [int(each) for each in records[[account], :].toarray()[0]], float(found.prices[entry])
        if priced + unpriced == 7:
            break
        lots = record[int(found.columns[entry])]
        losing = -1 if lots > 0 else 1
        now = float(environment.market.marks[instrument].price)
        if np.isnan(price):
            if found.below[entry]:
                continue
            unpriced += 1
            for factor in (1e-3, 0.5) if losing < 0 else (2.0, 50.0):
                equity, needed = margin_at(rule, environment, instrument, now * factor, record)
                assert equity >= needed
            continue
        if not 0.02 < price / now < 50:
            continue  # a price quantum is coarse there
        priced += 1
        before, at, beyond = (
            margin_at(rule, environment, instrument, price * (1 + losing * d), record) for d in (-1e-6, 0, 1e-6)
        )
        rounding = 8 * abs(lots) + int((abs(at[0]) + at[1]) * 1e-9) + 8
        assert abs(at[0] - at[1]) <= rounding, (instrument, price)
        assert before[0] - before[1] > at[0] - at[1] > beyond[0] - beyond[1]
    assert priced > 2


@pytest.mark.parametrize("name", MODELS)
def test_margin_now_is_the_engine_s(book: Inputs, name: str) -> None:
    """Terms taken apart and read where accounts hold something add up to what the engine reads, if empty too."""
    records, rule = book.book.records[:300], rule_of(name)
    nothing = csr_array(np.zeros((2, records.shape[1]), dtype=np.int64))
    rows = csr_array(vstack([records, nothing, records * 7]))
    compiled = rule.compiled(book.environment)
    margin = evaluate(compiled, rows)
    assert np.array_equal(Rays(compiled.policy, excess_of(compiled.policy)).now(rows), margin.excess)
    assert np.array_equal(Rays(compiled.policy, equity_of(compiled.policy)).now(rows), margin.equity)


def test_values_that_may_pass_63_bits_are_refused(desk: SimpleNamespace) -> None:
    environment = desk.perpetuals({"A": "50000"}, {"A": "0.001"}, limit="9000000000", lot_limit="1000000000")
    with pytest.raises(BudgetError, match="can pass 63 bits"):
        liquidation_prices(desk.tiered({"AUSDT": [("0.1", "0")]}), environment, desk.matrix([[0, 0, 1]]))


def held(found: PositionPrices, accounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of the accounts that have a position in a perpetual or future."""
    return np.intersect1d(found.accounts, accounts)


def test_bankruptcy_price_is_where_equity_ends(book: Inputs, rule: Rule) -> None:
    environment, records = book.environment, book.book.records
    broke = bankruptcy_prices(rule, environment, records)
    called = liquidation_prices(rule, environment, records)
    both = np.isfinite(broke.prices) & np.isfinite(called.prices)
    lots = np.asarray(records[broke.accounts, broke.columns]).ravel()
    assert both.sum() > 100
    # Bankruptcy comes after liquidation, for a long position at a lower price.
    assert np.all(np.sign(lots[both]) * (called.prices[both] - broke.prices[both]) >= 0)
    for entry, account, name in sample(environment, broke.accounts, broke.columns, 1):
        price = float(broke.prices[entry])
        if np.isfinite(price) and 0.02 < price / float(environment.market.marks[name].price) < 50:
            record = [int(each) for each in records[[account], :].toarray()[0]]
            equity, needed = margin_at(rule, environment, name, price, record)
            assert abs(equity) <= 8 * abs(int(lots[entry])) + 1e-9 * needed + 8


def test_other_positions_count(desk: SimpleNamespace) -> None:
    """A second position that loses nothing itself, but needs maintenance, brings the price closer."""
    environment = desk.perpetuals({"A": "100", "B": "100"}, {"A": "1", "B": "1"})
    rule = desk.tiered({"AUSDT": [("0.01", "0")], "BUSDT": [("0.01", "0")]})
    alone = desk.record(environment, balance_USDT=200, entry_USDT=-1000, AUSDT=10)
    beside = desk.record(environment, balance_USDT=200, entry_USDT=-6000, AUSDT=10, BUSDT=50)
    prices = liquidation_prices(rule, environment, desk.matrix([alone, beside]))
    column = environment.catalogue.layout().index(ColumnKind.POSITION, "AUSDT")
    # (1000 - 200) / (10 * 0.99) and (1000 - 200 + 50) / (10 * 0.99)
    assert prices.of(0, column) == pytest.approx(800 / 9.9, rel=1e-9)
    assert prices.of(1, column) == pytest.approx(850 / 9.9, rel=1e-9)


def test_tiers_that_are_crossed_on_the_way(desk: SimpleNamespace) -> None:
    """A short position grows into a higher bracket: N = 10 P, requirement max(0.01 N, 0.1 N - 90, 0.5 N - 890)."""
    environment = desk.perpetuals({"A": "50"}, {"A": "1"})
    rule = desk.tiered({"AUSDT": [("0.01", "0"), ("0.1", "90"), ("0.5", "890")]})
    record = desk.record(environment, balance_USDT=2000, entry_USDT=500, AUSDT=-10)
    price = liquidation_prices(rule, environment, desk.matrix([record])).prices[0]
    assert price == pytest.approx((2500 + 890) / 15, rel=1e-9)
    lower = desk.record(environment, balance_USDT=700, entry_USDT=500, AUSDT=-10)
    assert liquidation_prices(rule, environment, desk.matrix([lower])).prices[0] == pytest.approx(1290 / 11, rel=1e-9)


def test_none_where_nothing_liquidates_and_where_it_has_happened(desk: SimpleNamespace) -> None:
    environment = desk.perpetuals({"A": "100"}, {"A": "1"})
    rule = desk.tiered({"AUSDT": [("0.01", "0")]})
    rich = desk.record(environment, balance_USDT=1001, entry_USDT=-1000, AUSDT=10)
    gone = desk.record(environment, balance_USDT=5, entry_USDT=-1000, AUSDT=10)
    on_the_line = desk.record(environment, balance_USDT=10, entry_USDT=-1000, AUSDT=10)
    found = liquidation_prices(rule, environment, desk.matrix([rich, gone, on_the_line]))
    assert [found.of(account, 2) for account in range(3)] == [None, None, pytest.approx(100)]
    assert found.below.tolist() == [False, True, False]
    with pytest.raises(KeyError):
        found.of(0, 1)
    assert "10" not in repr(found)


def test_inverse_contract_against_its_formula(book: Inputs) -> None:
    """x contracts of s USD, c BTC, entry value e BTC: the index cancels, and c + e = x s / P at P = x s / (c + e)."""
    environment = book.environment
    catalogue, layout = environment.catalogue, environment.catalogue.layout()
    instrument = catalogue.instrument("BTC-PERPETUAL")
    assert instrument.contract is Contract.INVERSE
    record = np.zeros(len(layout), dtype=np.int64)
    record[layout.index(ColumnKind.BALANCE, "BTC")] = 10**7
    record[layout.index(ColumnKind.ENTRY, "BTC")] = 118 * 10**6
    record[layout.index(ColumnKind.POSITION, "BTC-PERPETUAL")] = 10_000
    found = bankruptcy_prices(Rule("test-venue", book.model, "maintenance"), environment, csr_array(record[None, :]))
    assert found.prices.tolist() == pytest.approx([10_000 * 10 / 1.28], rel=1e-5)  # a satoshi is 85,000 quanta, rounded


class MarkGapModel(ScenarioModel):
    """Not separable: charges a perpetual by the product of two marks."""

    model: Literal["mark_gap_for_tests"] = "mark_gap_for_tests"  # type: ignore[assignment]

    def requirement(self, builder: PolicyBuilder) -> Expression:
        marks = [float(each.price) for each in builder.market.marks.values()]
        values = np.zeros(len(builder.layout))
        values[-1] = marks[0] * marks[1] * 1e-4
        return worst_loss([builder.charge("gap", "gap", values)])


def test_model_that_mixes_marks_is_refused(desk: SimpleNamespace) -> None:
    environment = desk.perpetuals({"A": "100", "B": "90"}, {"A": "1", "B": "1"})
    model = MarkGapModel.model_validate(
        {
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "0.00000001"},
            "staleness_limit_seconds": 600,
            "statements": [{"name": "maintenance", "factor": "1"}],
            "scan": {name: {"price_range": "0.1", "volatility_up": "0", "volatility_down": "0"} for name in ("A", "B")},
            "extreme": {"multiple": "2", "covered": "0.35"},
        }
    )
    record = desk.record(environment, balance_USDT=200, AUSDT=1)
    with pytest.raises(InputError, match="gap: the coefficient of position BUSDT is not affine"):
        liquidation_prices(Rule("test-venue", model, "maintenance"), environment, desk.matrix([record]))


def test_moves_of_an_underlying_by_full_repricing(book: Inputs, rule: Rule) -> None:
    """One step before the move an account still has its requirement, at the move it does not."""
    environment, records = book.environment, book.book.records[:80]
    step = Fraction(1, 100)
    moves = liquidation_moves(rule, environment, records, "BTC", step=step, furthest=Fraction(2, 5), rung=4)
    now = evaluate(rule.compiled(environment), records).excess
    assert np.array_equal(moves.below, now < 0)
    assert np.isfinite(moves.down).sum() > 5
    assert np.isfinite(moves.up).sum() > 0
    for account in np.flatnonzero(np.isfinite(moves.down))[:4].tolist():
        exact = round(Fraction(float(moves.down[account])) / step) * step
        for move, enough in ((exact, False), (exact + step, True)):
            market = environment.moved(Scenario(1, "move", {"BTC": move}, {}))
            assert (evaluate(rule.compiled(market), records[[account], :]).excess[0] >= 0) == enough
    untouched = np.flatnonzero(np.isnan(moves.down) & ~moves.below)
    market = environment.moved(Scenario(1, "move", {"BTC": Fraction(-2, 5)}, {}))
    assert np.all(evaluate(rule.compiled(market), records[untouched, :]).excess >= 0)
