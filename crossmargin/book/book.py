"""The book: exact integer records of all accounts, pooled over their sub-accounts, as a sparse matrix.

`records` is accounts x columns, int64 CSR, the sum of each account's sub-account records.
Bounds: every entry of a sub-account record and of a pooled record is at most its column's limit, below 2^62, so that
no int64 in the book has wrapped. Positions are secret: nothing here shows them in a repr.

A proof commits each record under the id that its holder checks, `holder_ids`: the account's name, or NAME#PART where
the holder chose a part. A part makes the id one that no other holder can have been given.
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

__all__ = ["PART_MARK", "Book", "Entries", "Rejected", "column_limits"]

PART_MARK = "#"
"""Between an account's name and the part of its id that the holder chose."""

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
    accounts left out; pending: deposits that are in no record yet; holder_parts: the part of each account's id that its
    holder chose, "" for none (no parts at all: an empty tuple).
    """

    layout: RecordLayout
    accounts: tuple[str, ...]
    records: csr_array
    sub_accounts: tuple[str, ...]
    owners: Integers
    sub_records: csr_array
    rejected: tuple[Rejected, ...] = ()
    pending: Pending | None = None
    holder_parts: tuple[str, ...] = ()

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
        """Pool sub-account entries into a book; `owners` has one account number per sub-account.

        Raises:
            InputError: no account, an account without a sub-account row, or an entry beyond its column's limit.
        """
        builder = RecordBuilder(len(layout), np.ones(len(layout), dtype=np.bool_))
        builder.add(entries.rows, entries.columns, entries.values)
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
        holder_parts: Sequence[str] = (),
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
        parts = tuple(holder_parts) if any(holder_parts) else ()
        return cls(layout, tuple(accounts), records, subs, owners, sub_records, tuple(rejected), pending, parts)

    @cached_property
    def holder_ids(self) -> tuple[str, ...]:
        """The id of every account that is committed and that its holder checks: NAME, or NAME#PART."""
        if not self.holder_parts:
            return self.accounts
        return tuple(
            f"{name}{PART_MARK}{part}" if part else name
            for name, part in zip(self.accounts, self.holder_parts, strict=True)
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
