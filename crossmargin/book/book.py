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

from crossmargin.book.pending import Pending
from crossmargin.book.records import Entries, RecordBuilder, beyond, pool
from crossmargin.errors import Counted, InputError, place_of
from crossmargin_circuits.layout import RecordLayout

__all__ = ["Book", "Entries", "Rejected", "column_limits"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Rejected:
    """A bad line whose account was left out of the book: account, place and reason."""

    account: str
    file: str
    line: int | None
    reason: str
    counted: Counted = "line"

    @property
    def place(self) -> str:
        """The place: "balances.csv, line 17"."""
        return place_of(self.file, self.line, counted=self.counted)


@dataclass(frozen=True, repr=False)
class Book:
    """Accounts and their records.

    accounts: ids, in the order of the accounts file; records: accounts x V; sub_accounts: names ("" for the account's
    unnamed wallet); owners: number of each sub-account's account; sub_records: sub-accounts x V; rejected: lines of the
    accounts left out; pending: deposits that are in no record yet.
    """

    layout: RecordLayout
    accounts: tuple[str, ...]
    records: csr_array
    sub_accounts: tuple[str, ...]
    owners: Integers
    sub_records: csr_array
    rejected: tuple[Rejected, ...] = ()
    pending: Pending | None = None

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
        builder = RecordBuilder(len(layout), np.ones(len(layout), dtype=np.bool_))
        own = entries.columns != 0
        builder.add(entries.rows[own], entries.columns[own], entries.values[own])
        sub_records, _ = builder.build(len(sub_accounts))
        return cls.from_records(layout, accounts, sub_accounts, owners, sub_records, rejected=rejected)

    @classmethod
    def from_records(
        cls,
        layout: RecordLayout,
        accounts: Sequence[str],
        sub_accounts: Sequence[str],
        owners: Integers,
        sub_records: csr_array,
        records: csr_array | None = None,
        rejected: Sequence[Rejected] = (),
        pending: Pending | None = None,
    ) -> "Book":
        """Return the book of the records of sub-accounts; `records`: these pooled, where that has been done.

        Raises:
            InputError: as `from_entries`.
        """
        if not accounts:
            raise InputError("no account", hint="a book has at least one account")
        held = np.bincount(owners, minlength=len(accounts))
        if len(held) != len(accounts) or len(owners) != len(sub_accounts) or not held.all():
            raise InputError("an account without a sub-account row", hint="give every account at least one")
        if records is None:
            records = pool(sub_records, owners, len(accounts))
        for part in (sub_records,) if records is sub_records else (sub_records, records):
            columns = beyond(part, column_limits(layout))[1]
            if len(columns):
                key = layout.columns[int(columns[0])].key
                raise InputError(f"{key} beyond its limit", hint="raise the limit in the instruments file")
        subs = tuple(sub_accounts)
        return cls(layout, tuple(accounts), records, subs, owners, sub_records, tuple(rejected), pending)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {account: number for number, account in enumerate(self.accounts)}

    def number(self, account: str) -> int:
        """Return the row of an account.

        Raises:
            InputError: no such account.
        """
        if account not in self._numbers:
            raise InputError(f"no account {account!r} in the book", hint="check the id; it is compared byte for byte")
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
