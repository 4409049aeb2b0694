"""A book folder: parameters (venue, instruments, market, model, reserves) and the book (accounts, balances, positions).

`load_parameters` reads what a statement publishes; `load_folder` reads everything. All problems of a stage are
collected before anything is refused: first the parameters, then, since they give tables their meaning, the tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel

from crossmargin.book.book import Book
from crossmargin.book.records import Repeated
from crossmargin.errors import InputError, InputErrors
from crossmargin.fields import Frozen, Name, refuse
from crossmargin.loading.accounts import Accounts, index_accounts
from crossmargin.loading.assemble import assemble
from crossmargin.loading.binance import BINANCE_FOLDER, binance_files, load_binance
from crossmargin.loading.cells import BALANCE_COLUMNS, POSITION_COLUMNS, Cells, add_balances, add_positions
from crossmargin.loading.deposits import DEPOSIT_COLUMNS, Deposits, add_deposits, with_deposits
from crossmargin.loading.history import load_history
from crossmargin.loading.keys import KEY_COLUMNS
from crossmargin.loading.problems import LineProblems, OnBad
from crossmargin.loading.table import find_optional, find_table
from crossmargin.loading.yaml import Document, fit, load_model, read_yaml
from crossmargin.market.crowding import Crowding
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import PriceHistory
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.reserves import Reserves
from crossmargin.market.valuation import check_option_marks
from crossmargin.models import ARCHITECTURES, ModelConfig
from crossmargin.models.oracle import resolve

__all__ = ["Inputs", "Parameters", "Venue", "load_folder", "load_margin_model", "load_parameters"]

TABLES = (("accounts", KEY_COLUMNS), ("balances", BALANCE_COLUMNS), ("positions", POSITION_COLUMNS))
DEPOSITS = ("deposits", DEPOSIT_COLUMNS)
"""A fourth table, which a folder may have."""

HISTORY_FILE = "history.csv"
"""Closing prices, for models that ask for them."""

CROWDING_FILE = "crowding.yaml"
"""Opened totals of an earlier statement, for models that ask for them."""

Model = TypeVar("Model", bound=BaseModel)


def _part(value: str) -> str:
    if "/" in value:
        raise refuse("not a name: it has a slash", "leave it out; slashes separate the parts of the snapshot id")
    return value


class Venue(Frozen):
    """The whole of `venue.yaml`: who keeps the book, and its name."""

    venue: Annotated[Name, AfterValidator(_part)]
    book: Annotated[Name, AfterValidator(_part)]


@dataclass(frozen=True)
class Parameters:
    """What is public about a book folder."""

    venue: Venue
    catalogue: Catalogue
    market: Market
    model: ModelConfig
    reserves: Reserves
    history: PriceHistory | None
    crowding: Crowding | None
    widening: Mapping[str, Decimal] | None = None

    @property
    def environment(self) -> MarketEnvironment:
        """What the model reads."""
        return MarketEnvironment(self.catalogue, self.market, self.history, self.crowding, self.widening)

    @property
    def snapshot_id(self) -> str:
        """ "venue/book/as_of", as_of in UTC."""
        as_of = self.market.as_of.isoformat().replace("+00:00", "Z")
        return f"{self.venue.venue}/{self.venue.book}/{as_of}"


@dataclass(frozen=True, repr=False)
class Inputs(Parameters):
    """A whole book folder."""

    book: Book = field(kw_only=True)


def load_parameters(path: Path) -> Parameters:
    """Return the parameters of a book folder, every file checked, alone and against the others.

    Raises:
        InputErrors: all problems found.
    """
    problems: list[InputError] = []
    venue = _read(path / "venue.yaml", Venue, problems)
    catalogue = _read(path / "instruments.yaml", Catalogue, problems)
    market = _read(path / "market.yaml", Market, problems)
    model = _read_model(path / "model.yaml", problems)
    reserves = _read(path / "reserves.yaml", Reserves, problems)
    history = load_history(path / HISTORY_FILE, problems)
    crowding = _read(path / CROWDING_FILE, Crowding, problems) if (path / CROWDING_FILE).exists() else None
    if problems or venue is None or catalogue is None or market is None or model is None or reserves is None:
        raise InputErrors(problems)
    known = catalogue[0]
    resolution = resolve(MarketEnvironment(known, market[0], history, crowding and crowding[0]), model[0].oracle)
    environment = resolution.environment
    problems += _located(resolution.problems or _check_market(environment, model[0]), market[1])
    problems += _located(model[0].check(environment), model[1])
    problems += _located(reserves[0].check(known, model[0].value_unit.quantum), reserves[1])
    if problems:
        raise InputErrors(problems)
    return Parameters(
        venue[0],
        known,
        environment.market,
        model[0],
        reserves[0],
        environment.history,
        environment.crowding,
        environment.widening,
    )


def load_margin_model(path: Path) -> ModelConfig:
    """Return the margin model of one file, in the format of `model.yaml`.

    Raises:
        InputErrors: every field that does not fit.
    """
    problems: list[InputError] = []
    model = _read_model(path, problems)
    if model is None:
        raise InputErrors(problems)
    return model[0]


def load_folder(path: Path, on_bad: OnBad = "refuse") -> Inputs:
    """Return everything in a book folder.

    on_bad: "refuse" lets any bad line of a table refuse the load; "reject" leaves the accounts of bad lines out and
    lists them in `Book.rejected`. Files that cannot be read as tables are refused either way.

    Raises:
        InputErrors: all problems found.
    """
    parameters = load_parameters(path)
    book = load_book(path, parameters.catalogue, on_bad)
    return Inputs(**vars(parameters), book=book)


def load_book(path: Path, catalogue: Catalogue, on_bad: OnBad = "refuse") -> Book:
    """Return the book of a folder: its tables, or the files in its folder `binance`.

    Raises:
        InputErrors: all problems found.
    """
    tables = sorted(file.name for name, _ in (*TABLES, DEPOSITS) for file in path.glob(f"{name}.*"))
    if (path / BINANCE_FOLDER).is_dir():
        if tables:
            reason = f"a folder {BINANCE_FOLDER} beside {', '.join(tables)}"
            raise InputErrors([InputError(reason, hint="keep one or the other", file=BINANCE_FOLDER)])
        return load_binance(binance_files(path / BINANCE_FOLDER), catalogue, on_bad)
    repeated = Repeated(np.zeros(0, dtype=np.int64))
    for _ in range(2):
        problems = LineProblems(on_bad)
        accounts, cells, deposits = _gather(path, catalogue, repeated, problems)
        height = len(accounts.sub_names)
        sub_records, repeated = cells.builder.build(height)
        if not len(repeated) and deposits is None:
            return assemble(accounts, sub_records, cells.layout, problems, on_bad)
        if not len(repeated) and deposits is not None:
            sub_records = with_deposits(sub_records, deposits.arrived.build(height)[0])
            pending = deposits.pending.build(height)[0], deposits.counts.build(height)[0]
            return assemble(accounts, sub_records, cells.layout, problems, on_bad, pending)
        # Cells are compared when all are there; which lines filled them again is found by reading once more.
        del accounts, cells, deposits, sub_records
    raise InputErrors([InputError("the tables changed while they were read", hint="load them again", file=path.name)])


def _gather(
    path: Path, catalogue: Catalogue, repeated: Repeated, problems: LineProblems
) -> tuple[Accounts, Cells, Deposits | None]:
    """Read the tables; report what is wrong with any of them together."""
    deposits = None
    try:
        accounts_file, balances, positions = (find_table(path, name, columns) for name, columns in TABLES)
        arrivals = find_optional(path, *DEPOSITS)
        problems.begin("accounts")
        accounts, locator = index_accounts(accounts_file.whole(), problems)
        cells = Cells.empty(catalogue, repeated)
        for batch in balances.batches():
            problems.begin("balances")
            add_balances(batch, locator, cells, problems)
        for batch in positions.batches():
            problems.begin("positions")
            add_positions(batch, locator, cells, problems)
        if arrivals is not None:
            deposits = Deposits.empty(catalogue)
            for batch in arrivals.batches():
                problems.begin("deposits")
                add_deposits(batch, locator, deposits, problems)
    except InputErrors as errors:
        raise _unreadable(path) or errors from None
    return accounts, cells, deposits


def _unreadable(path: Path) -> InputErrors | None:
    """Return everything that any of the tables is refused for as a file."""
    problems: list[InputError] = []
    count = 0
    for name, columns in (*TABLES, DEPOSITS):
        try:
            optional = (name, columns) == DEPOSITS
            found = find_optional(path, name, columns) if optional else find_table(path, name, columns)
            for _ in () if found is None else found.batches():
                pass
        except InputErrors as errors:
            problems += errors.problems
            count += errors.count
    return InputErrors(problems, count) if problems else None


def _check_market(environment: MarketEnvironment, model: ModelConfig) -> list[InputError]:
    """Return what is wrong with the market; if its prices are all there, also with its option prices."""
    found = environment.market.check(environment.catalogue, model.staleness_limit_seconds)
    return found or check_option_marks(environment.catalogue, environment.market)


def _read(path: Path, model: type[Model], problems: list[InputError]) -> tuple[Model, Document] | None:
    try:
        return load_model(path, model)
    except InputErrors as errors:
        problems += errors.problems
        return None


def _read_model(path: Path, problems: list[InputError]) -> tuple[ModelConfig, Document] | None:
    """Read a margin model into the class of its architecture."""
    try:
        document = read_yaml(path)
        word = document.value.get("model")
        if not isinstance(word, str) or word not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise InputError(
                "no model" if word is None else f"not one of {known}",
                hint=f"write one of these words: {known}",
                file=document.file,
                line=document.line("model"),
                field="model",
            )
        return fit(document, ARCHITECTURES[word]), document
    except InputErrors as errors:
        problems += errors.problems
    except InputError as error:
        problems.append(error)
    return None


def _located(problems: Sequence[InputError], document: Document) -> list[InputError]:
    """Return problems that state a field with the file and the line of that field."""
    return [problem.at(file=document.file, line=document.line(problem.field)) for problem in problems]
