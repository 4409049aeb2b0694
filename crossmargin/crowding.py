"""Crowding: totals over a book that a statement has opened, from which the contagion buffer is computed.

All amounts are USD. Of one underlying: gross is the sum over accounts of |net exposure|; large_longs and large_shorts
are the sums of what single accounts hold beyond a published threshold on either side; equity is that of the book.
Nothing here is about a single account.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, model_validator

from crossmargin.fields import ExactDecimal, Frozen, Instant, Name, Text, refuse

__all__ = ["Crowding", "ExposureTotals"]


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise refuse("negative", "write a decimal of zero or more")
    return value


_Total = Annotated[ExactDecimal, AfterValidator(_not_negative)]


class ExposureTotals(Frozen):
    """Totals of one underlying over all accounts, USD."""

    gross: _Total
    large_longs: _Total
    large_shorts: _Total

    @model_validator(mode="after")
    def _check(self) -> "ExposureTotals":
        if self.large_longs + self.large_shorts > self.gross:
            raise refuse("the large parts exceed the gross exposure", "take all totals from one statement", "gross")
        return self


class Crowding(Frozen):
    """The whole of `crowding.yaml`: totals by underlying, with the statement that opened them as source."""

    as_of: Instant
    source: Text
    equity: _Total
    exposures: dict[Name, ExposureTotals]
