"""Pending deposits, in blocks that are not final yet: not collateral, but not lost either.

A deposit counts once its block is at or below the chain's finalized one. Later deposits stand here and in no record:
their number and sum, by account and asset, to show to the venue and the holder.
"""

from dataclasses import dataclass

from scipy.sparse import csr_array

from crossmargin.book.exact_sum import total_of
from crossmargin_circuits.layout import ColumnKind, RecordLayout

__all__ = ["Pending", "PendingAmount"]


@dataclass(frozen=True)
class PendingAmount:
    """Pending deposits in one asset: their number, and their sum in units of the asset."""

    asset: str
    count: int
    units: int


@dataclass(frozen=True, repr=False)
class Pending:
    """Pending deposits of a book; amounts, counts: accounts x V, int64 in the columns of balances. Secret."""

    layout: RecordLayout
    amounts: csr_array | None = None
    counts: csr_array | None = None

    def __repr__(self) -> str:
        """Return the number of deposits alone."""
        return f"<Pending: {sum(each.count for each in self.assets())} deposits>"

    def assets(self) -> tuple[PendingAmount, ...]:
        """Return the pending deposits of all accounts, by asset in the order of the columns."""
        return _amounts(self.layout, self.amounts, self.counts)

    def of(self, account: int) -> tuple[PendingAmount, ...]:
        """Return the pending deposits of one account, by its number in the book."""
        if self.amounts is None or self.counts is None:
            return ()
        return _amounts(self.layout, self.amounts[[account], :], self.counts[[account], :])


def _amounts(layout: RecordLayout, amounts: csr_array | None, counts: csr_array | None) -> tuple[PendingAmount, ...]:
    if amounts is None or counts is None:
        return ()
    found = []
    for number, column in enumerate(layout.columns):
        if column.kind is ColumnKind.BALANCE:
            count = total_of(counts.data[counts.indices == number])
            if count:
                found.append(PendingAmount(column.name, count, total_of(amounts.data[amounts.indices == number])))
    return tuple(found)
