"""From the tables of a source to the book: read the rows once, and a second time if several fill the same cell.

Repeated cells show only when all cells are there; the second pass finds their rows and writes an error for each. A
source must therefore give the same rows both times.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.sparse import csr_array

from crossmargin.book.book import Book
from crossmargin.book.records import Repeated
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.accounts import HOLDER_PART, Accounts, index_accounts
from crossmargin.loading.assemble import assemble
from crossmargin.loading.cells import BALANCE_COLUMNS, POSITION_COLUMNS, Cells, add_balances, add_positions
from crossmargin.loading.deposits import DEPOSIT_COLUMNS, Deposits, add_deposits, with_deposits
from crossmargin.loading.keys import KEY_COLUMNS
from crossmargin.loading.problems import LineProblems, OnBad
from crossmargin.loading.source import BookSource, TableSource
from crossmargin.loading.table import batches_of, whole_of
from crossmargin.market.instruments import Catalogue
from crossmargin_circuits.layout import RecordLayout

__all__ = ["DEPOSITS", "OPTIONAL_COLUMNS", "TABLES", "CheckRecords", "read_book"]

TABLES = {"accounts": KEY_COLUMNS, "balances": BALANCE_COLUMNS, "positions": POSITION_COLUMNS}
"""Columns of the tables that every book has."""

DEPOSITS = "deposits"
"""Columns of the optional fourth table."""

OPTIONAL_COLUMNS = {"accounts": (HOLDER_PART,)}
"""Columns that a table may have after those, in this order."""

_COLUMNS = {**TABLES, DEPOSITS: DEPOSIT_COLUMNS}

CheckRecords = Callable[[csr_array, RecordLayout], list[InputError]]
"""Return the problems of all sub-accounts' records before deposits; called only when every row is sound."""


def read_book(
    source: BookSource, catalogue: Catalogue, on_bad: OnBad = "refuse", check: CheckRecords | None = None
) -> Book:
    """Return the book of a source's tables.

    Raises:
        InputErrors: all problems found.
    """
    tables = _tables(source)
    repeated = Repeated(np.zeros(0, dtype=np.int64))
    for _ in range(2):
        problems = LineProblems(on_bad)
        accounts, cells, deposits = _gather(tables, catalogue, repeated, problems)
        height = len(accounts.sub_names)
        sub_records, repeated = cells.builder.build(height)
        if len(repeated):
            del accounts, cells, deposits, sub_records
            continue
        faults = check(sub_records, cells.layout) if check is not None and not problems.count else []
        if faults:
            raise InputErrors(faults)
        if deposits is None:
            return assemble(accounts, sub_records, cells.layout, problems, on_bad)
        sub_records = with_deposits(sub_records, deposits.arrived.build(height)[0])
        pending = deposits.pending.build(height)[0], deposits.counts.build(height)[0]
        return assemble(accounts, sub_records, cells.layout, problems, on_bad, pending)
    reason = "the tables changed while they were read"
    raise InputErrors([InputError(reason, hint="load them again", file=source.name)])


def _tables(source: BookSource) -> Mapping[str, TableSource]:
    """Return the tables of a source; a book has three or four, by these names.

    Raises:
        InputErrors: missing or unknown tables.
    """
    tables = source.tables()
    known = ", ".join(_COLUMNS)
    problems = [
        InputError(f"no table {name}", hint=f"name the tables {known}", file=source.name)
        for name in TABLES
        if name not in tables
    ]
    problems += [
        InputError(f"an unknown table {name}", hint=f"name the tables {known}", file=source.name)
        for name in tables
        if name not in _COLUMNS
    ]
    if problems:
        raise InputErrors(problems)
    return tables


def _gather(
    tables: Mapping[str, TableSource], catalogue: Catalogue, repeated: Repeated, problems: LineProblems
) -> tuple[Accounts, Cells, Deposits | None]:
    """Read the tables; report the problems of all of them together."""
    deposits = None
    try:
        problems.begin("accounts")
        accounts, locator = index_accounts(whole_of(tables["accounts"], KEY_COLUMNS, (HOLDER_PART,)), problems)
        cells = Cells.empty(catalogue, repeated)
        for batch in batches_of(tables["balances"], BALANCE_COLUMNS):
            problems.begin("balances")
            add_balances(batch, locator, cells, problems)
        for batch in batches_of(tables["positions"], POSITION_COLUMNS):
            problems.begin("positions")
            add_positions(batch, locator, cells, problems)
        if DEPOSITS in tables:
            deposits = Deposits.empty(catalogue)
            for batch in batches_of(tables[DEPOSITS], DEPOSIT_COLUMNS):
                problems.begin(DEPOSITS)
                add_deposits(batch, locator, deposits, problems)
    except InputErrors as errors:
        raise _unreadable(tables) or errors from None
    return accounts, cells, deposits


def _unreadable(tables: Mapping[str, TableSource]) -> InputErrors | None:
    """Return every reason to refuse one of the tables as a whole."""
    problems: list[InputError] = []
    count = 0
    for name, columns in _COLUMNS.items():
        try:
            optional = OPTIONAL_COLUMNS.get(name, ())
            for _ in batches_of(tables[name], columns, optional) if name in tables else ():
                pass
        except InputErrors as errors:
            problems += errors.problems
            count += errors.count
    return InputErrors(problems, count) if problems else None
