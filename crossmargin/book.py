"""The book: exact integer records of all accounts, pooled over their sub-accounts, as a sparse matrix.

`records` is accounts x columns, int64 CSR, the sum of each account's sub-account records; column 0 is 1 in every row.
Bounds: every entry of a sub-account record and of a pooled record is at most its column's limit, below 2^62, so that
no int64 in the book has wrapped. Positions are secret: nothing here shows them in a repr.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmargin.errors import InputError
from crossmargin_circuits.layout import RECORD_BOUND, RecordLayout

__all__ = ["Book", "Entries", "Rejected", "column_limits", "pool", "sum_entries"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Rejected:
    """A line for which an account was left out of the book: which account, where, why."""

    account: str
    file: str
    line: int | None
    reason: str


@dataclass(frozen=True, repr=False)
class Entries:
    """Entries of a sparse matrix in row-major order, each cell once: rows, columns, values, int64."""

    rows: Integers
    columns: Integers
    values: Integers

    def over(self, limits: Integers) -> NDArray[np.bool_]:
        """Return which entries are beyond the limit of their column."""
        result: NDArray[np.bool_] = np.abs(self.values) > limits[self.columns]
        return result

    def records(self, height: int, width: int) -> csr_array:
        """Return the matrix with 1 in column 0 of every row, int64 CSR with sorted indices and no explicit zeros."""
        filled = (self.values != 0) & (self.columns != 0)
        rows, columns, values = self.rows[filled], self.columns[filled], self.values[filled]
        starts = np.zeros(height + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=height) + 1, out=starts[1:])
        data = np.ones(len(values) + height, dtype=np.int64)
        indices = np.zeros(len(values) + height, dtype=np.int32)
        places = np.arange(1, len(values) + 1) + rows
        data[places], indices[places] = values, columns
        return csr_array((data, indices, starts), shape=(height, width), dtype=np.int64)


def sum_entries(rows: Integers, columns: Integers, values: Integers, width: int) -> Entries:
    """Add up values that share a cell, exactly; |values| <= 2^62 and fewer than 2^31 of them in one cell.

    A sum of magnitude 2^62 or more is given as +-2^62, which is beyond every limit; nothing wraps.
    """
    if not len(values):
        return Entries(rows, columns, values)
    keys = rows * np.int64(width) + columns
    if np.any(keys[1:] < keys[:-1]):
        order = np.argsort(keys, kind="stable")
        keys, rows, columns, values = keys[order], rows[order], columns[order], values[order]
    new = np.concatenate(([True], keys[1:] != keys[:-1]))
    if new.all():
        return Entries(rows, columns, values)
    first = np.flatnonzero(new)
    low = np.add.reduceat(values & np.int64(2**31 - 1), first)
    high = np.add.reduceat(values >> np.int64(31), first) + (low >> np.int64(31))
    sums = (high << np.int64(31)) + (low & np.int64(2**31 - 1))
    sums = np.where(high >= 2**31, RECORD_BOUND, np.where(high < -(2**31), -RECORD_BOUND, sums))
    return Entries(rows[first], columns[first], sums)


@dataclass(frozen=True, repr=False)
class Book:
    """Accounts and their records.

    accounts: ids, in the order of the accounts file; records: accounts x V; sub_accounts: names ("" for the account's
    unnamed wallet); owners: number of the account of each sub-account; sub_records: sub-accounts x V; rejected: what
    was left out and why.
    """

    layout: RecordLayout
    accounts: tuple[str, ...]
    records: csr_array
    sub_accounts: tuple[str, ...]
    owners: Integers
    sub_records: csr_array
    rejected: tuple[Rejected, ...] = ()

    def __repr__(self) -> str:
        """Return the shape alone."""
        return f"<Book: {len(self.accounts)} accounts, {len(self.layout)} columns, {len(self.rejected)} rejected>"

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self.accounts)

    @classmethod
    def from_entries(
        cls,
        layout: RecordLayout,
        accounts: Sequence[str],
        sub_accounts: Sequence[str],
        owners: Integers,
        entries: Entries,
        rejected: Sequence[Rejected] = (),
    ) -> "Book":
        """Pool sub-account entries (without column 0) into a book; `owners` has one account number per sub-account.

        Raises:
            InputError: no account, an account without a sub-account row, or an entry beyond its column's limit.
        """
        if not accounts:
            raise InputError("no account", mend="a book has at least one account")
        held = np.bincount(owners, minlength=len(accounts))
        if len(held) != len(accounts) or len(owners) != len(sub_accounts) or not held.all():
            raise InputError("an account without a sub-account row", mend="give every account at least one")
        limits = column_limits(layout)
        pooled = pool(entries, owners, len(layout))
        parts = (entries,) if pooled is entries else (entries, pooled)
        for part in parts:
            beyond = np.flatnonzero(part.over(limits))
            if len(beyond):
                key = layout.columns[int(part.columns[beyond[0]])].key
                raise InputError(f"{key} beyond its limit", mend="raise the limit in the instruments file")
        sub_records = entries.records(len(sub_accounts), len(layout))
        return cls(
            layout=layout,
            accounts=tuple(accounts),
            records=sub_records if pooled is entries else pooled.records(len(accounts), len(layout)),
            sub_accounts=tuple(sub_accounts),
            owners=owners,
            sub_records=sub_records,
            rejected=tuple(rejected),
        )

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {account: number for number, account in enumerate(self.accounts)}

    def number(self, account: str) -> int:
        """Return the row of an account.

        Raises:
            InputError: no such account.
        """
        if account not in self._numbers:
            raise InputError(f"no account {account!r} in the book", mend="check the id; it is compared byte for byte")
        return self._numbers[account]

    def record(self, account: str) -> list[int]:
        """Return the pooled record of an account, V integers."""
        return [int(value) for value in self.records[[self.number(account)], :].toarray()[0]]

    def sub_rows(self, account: str) -> list[int]:
        """Return the rows of `sub_records` that belong to an account."""
        return [int(row) for row in np.flatnonzero(self.owners == self.number(account))]


def column_limits(layout: RecordLayout) -> Integers:
    """Return the limit of every column, int64[V]."""
    return np.array([column.limit for column in layout.columns], dtype=np.int64)


def pool(entries: Entries, owners: Integers, width: int) -> Entries:
    """Add the entries of each account's sub-accounts; the same object where every account has one, in order."""
    if np.array_equal(owners, np.arange(len(owners))):
        return entries
    return sum_entries(owners[entries.rows], entries.columns, entries.values, width)
