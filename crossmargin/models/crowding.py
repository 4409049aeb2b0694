"""Crowding: a book's exposure to each underlying, and the part of it that large accounts hold.

With a published threshold T_u, and Delta_u(x) the change in value of the account for a relative move of underlying u
(USD for a move of 1: the account's delta in u over all columns, balances and entry values included):

    gross u         >= |Delta_u|
    large longs u   >= max(0, Delta_u - T_u)
    large shorts u  >= max(0, -Delta_u - T_u)

Each is one auxiliary with a disclosed total over the book. All are convex: maxima of affine forms of the record, with
T_u a fixed amount of each account. `book value` is the linear form of values at mark, before haircuts; with the
disclosed net totals of the columns it gives anybody the equity of the book.

Each total is at least the sum over all committed accounts one by one: nothing nets between accounts. A book may
disclose more than it holds, never less. What the large parts leave open is the splitting of one holder's position over
several accounts, each of which has a threshold of its own.

The sum of large longs and large shorts stays within gross, as max(0, |d| - T) <= |d| for every account.
"""

from collections.abc import Mapping
from decimal import Decimal

from crossmargin.errors import InputError
from crossmargin.market.crowding import BOOK_VALUE, GROSS, LARGE_LONGS, LARGE_SHORTS
from crossmargin.market.exposures import exposures
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.expression import Abs, Scale
from crossmargin_circuits.policy import Role

__all__ = ["open_exposures"]


def open_exposures(builder: PolicyBuilder, thresholds: Mapping[str, Decimal]) -> None:
    """Add the exposures of every underlying of the catalogue, and the value of the book, to the builder.

    Raises:
        InputError: an underlying without a threshold.
    """
    for name in builder.catalogue.underlyings:
        if name not in thresholds:
            raise InputError(
                f"the crowding statement needs a threshold for {name}",
                field="contagion.thresholds",
                hint=f"add contagion.thresholds.{name}, the USD of net exposure beyond which an account is large",
            )
    value = builder.value("value", "value at mark", builder.valuation.unit_values())
    builder.abbreviate(BOOK_VALUE, "value at mark, before haircuts", value)
    for name in builder.catalogue.underlyings:
        per_unit = exposures(builder.valuation, name).delta
        delta = builder.value(f"exposure {name}", f"net exposure to {name}", per_unit)
        limit = thresholds[name]
        beyond = f"exposure to {name} of single accounts beyond {limit:f} USD"
        for word, meaning, of in (
            (GROSS, f"gross exposure to {name}", Abs(delta)),
            (LARGE_LONGS, f"long {beyond}", builder.plus(delta, -limit)),
            (LARGE_SHORTS, f"short {beyond}", builder.plus(Scale(-1, delta), -limit)),
        ):
            builder.define(f"{word} {name}", meaning, Role.EXPOSURE, of)
