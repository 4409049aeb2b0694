"""Crowding: totals over a book that a statement has disclosed; the contagion buffer follows from them.

All amounts are USD. For one underlying, gross is the sum over accounts of |net exposure|; large_longs and large_shorts
are the sums of single accounts' exposures beyond a published threshold on either side. equity is the value of the book
at mark before haircuts, from the disclosed net totals of its columns. Nothing here concerns a single account.
"""

from pydantic import model_validator

from crossmargin.fields import Frozen, Instant, Name, NotNegative, Text, refuse

__all__ = ["BOOK_VALUE", "GROSS", "LARGE_LONGS", "LARGE_SHORTS", "Crowding", "ExposureTotals"]

BOOK_VALUE = "book value"
GROSS = "gross"
LARGE_LONGS = "large longs"
LARGE_SHORTS = "large shorts"
"""Names of the definitions of the statement; all but the first are followed by the underlying."""


class ExposureTotals(Frozen):
    """Totals of one underlying over all accounts, USD."""

    gross: NotNegative
    large_longs: NotNegative
    large_shorts: NotNegative

    @model_validator(mode="after")
    def _check(self) -> "ExposureTotals":
        if self.large_longs + self.large_shorts > self.gross:
            raise refuse("the large parts exceed the gross exposure", "take all totals from one statement", "gross")
        return self


class Crowding(Frozen):
    """The contents of `crowding.yaml`: totals by underlying, with the statement that disclosed them as source."""

    as_of: Instant
    source: Text
    equity: NotNegative
    exposures: dict[Name, ExposureTotals]
