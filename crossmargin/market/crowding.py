"""Crowding: totals over a book that a statement has opened, from which the contagion buffer is computed.

All amounts are USD. Of one underlying: gross is the sum over accounts of |net exposure|; large_longs and large_shorts
are the sums of what single accounts hold beyond a published threshold on either side. equity is what the book holds at
mark before haircuts, from the opened net totals of its columns. Nothing here is about a single account.

`crowding_of` computes the file from a book: the totals that the statement `crowding` opens, exactly.
"""

from datetime import UTC, datetime
from decimal import Decimal

from pydantic import model_validator
from scipy.sparse import csr_array

from crossmargin.book.exact_sum import total_of
from crossmargin.engine.evaluate import check_limits, forms, value_of
from crossmargin.fields import Frozen, Instant, Name, NotNegative, Text, refuse
from crossmargin.units import format_units
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.policy import Role

__all__ = ["BOOK_VALUE", "GROSS", "LARGE_LONGS", "LARGE_SHORTS", "Crowding", "ExposureTotals", "crowding_of"]

BOOK_VALUE = "book value"
GROSS = "gross"
LARGE_LONGS = "large longs"
LARGE_SHORTS = "large shorts"
"""Names of the definitions of the statement; all but the first are followed by the underlying."""

CHUNK = 1 << 16
"""Accounts at a time."""


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
    """The whole of `crowding.yaml`: totals by underlying, with the statement that opened them as source."""

    as_of: Instant
    source: Text
    equity: NotNegative
    exposures: dict[Name, ExposureTotals]


def crowding_of(compiled: CompiledPolicy, records: csr_array, source: str) -> Crowding:
    """Return the totals that a crowding statement opens over a book of records (n, V).

    A book whose value is negative has an equity of zero.

    Raises:
        LimitError: a record is beyond a column's limit.
    """
    policy = compiled.policy
    check_limits(policy, records)
    names = [BOOK_VALUE, *(each.name for each in policy.with_role(Role.EXPOSURE))]
    totals = dict.fromkeys(names, 0)
    for start in range(0, int(records.shape[0]), CHUNK):
        values = forms(policy, records[start : start + CHUNK])
        for name in names:
            totals[name] += total_of(value_of(policy, Reference(name), values))
    quantum = Decimal(policy.value_unit.quantum)

    def money(name: str) -> Decimal:
        return Decimal(format_units(max(0, totals[name]), quantum))

    underlyings = [name[len(GROSS) + 1 :] for name in names if name.startswith(f"{GROSS} ")]
    return Crowding(
        as_of=datetime.fromtimestamp(policy.as_of, UTC),
        source=source,
        equity=money(BOOK_VALUE),
        exposures={
            name: ExposureTotals(
                gross=money(f"{GROSS} {name}"),
                large_longs=money(f"{LARGE_LONGS} {name}"),
                large_shorts=money(f"{LARGE_SHORTS} {name}"),
            )
            for name in underlyings
        },
    )
