"""The totals that the statement `crowding` discloses over a book, exactly, as `crowding.yaml` holds them."""

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
from scipy.sparse import csr_array

from crossmargin.book.exact_sum import total_of
from crossmargin.engine.evaluate import Forms, Vectors, check_limits
from crossmargin.market.crowding import BOOK_VALUE, GROSS, LARGE_LONGS, LARGE_SHORTS, Crowding, ExposureTotals
from crossmargin.units import format_units
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.policy import Role
from crossmargin_circuits.reading import Reading

__all__ = ["crowding_of"]

CHUNK = 1 << 16
"""Accounts at a time."""


def crowding_of(compiled: CompiledPolicy, records: csr_array, source: str) -> Crowding:
    """Return the totals that a crowding statement discloses over a book of records (n, V).

    A book whose value is negative has an equity of zero.

    Raises:
        LimitError: a record is beyond a column's limit.
    """
    policy = compiled.policy
    check_limits(policy, records)
    names = [BOOK_VALUE, *(each.name for each in policy.with_role(Role.EXPOSURE))]
    totals = dict.fromkeys(names, 0)
    arrays = Forms(policy)
    for start in range(0, int(records.shape[0]), CHUNK):
        chunk = records[start : start + CHUNK]
        reading = Reading(policy, Vectors(arrays.over(chunk)))
        for name in names:
            values = np.broadcast_to(reading.of(Reference(name)), int(chunk.shape[0]))
            totals[name] += total_of(values)
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
