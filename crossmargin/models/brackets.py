"""Bracket tables: a maintenance rate that rises with the position, tier by tier (Binance, Hyperliquid and others).

A table has K tiers, each from a notional f_k on with rate r_k and amount c_k. On tier k a notional N >= 0 needs

    r_k N - c_k,     c_1 = 0,   c_k = f_k (r_k - r_{k-1}) + c_{k-1}

The amounts make the requirement continuous. With rates that do not fall it is then max_k (r_k N - c_k), a maximum of
forms, each linear in N less a fixed amount: convex and exact, without a bound in its place. A table with a falling rate
or a jump is no such maximum and is refused. Venues round amounts to a hundredth, so a stated amount may differ from the
continuous one by AMOUNT_TOLERANCE. It is then used as stated: the maximum never charges less than the venue's tier, and
at most AMOUNT_TOLERANCE more for each tier.

With n the signed notional, N = |n|, a table is written in the form that takes fewer rows and auxiliaries, where it
stands as one term of a sum:

    K <= 3    max_k max(r_k n - c_k, -r_k n - c_k)                        2K - 1 rows, one auxiliary for the term
    K >= 4    N >= |n| an auxiliary in units of g, max_k (m_k N - c_k)    K + 1 rows, two auxiliaries

g is the greatest common divisor of the rates, r_k = m_k g with integers m_k. Both round to the nearest quantum, the
second one multiplied by m_k; where that would change a charge by more than one part in FINE, the first form is used.

Sources: Binance FAQ b3c689c1f50a44cabb3a84e663b81d93 (notional, rate, amount); figures in tests/vectors/binance.json.
Convex, and linear below the first threshold; not subadditive, since two positions together reach a higher tier.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import gcd, lcm
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ConfigDict, Field

from crossmargin.engine.risk_arrays import RESOLUTION
from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Frozen, Listed, between, refuse
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin.units import format_decimal
from crossmargin_circuits.expression import Abs, Expression, Max, Scale

__all__ = ["AMOUNT_TOLERANCE", "BracketTable", "Rate", "Tier", "Tiers", "bracketed"]

Floats = NDArray[np.float64]

AMOUNT_TOLERANCE = Decimal("0.01")
"""Greatest difference of a stated amount from f_k (r_k - r_{k-1}) + c_{k-1}, c_{k-1} as stated: venues round."""

MOST_TIERS_WITHOUT_NOTIONAL = 3
"""Tiers up to which 2K - 1 rows and one auxiliary are not more than K + 1 rows and two auxiliaries."""

FINE = 10**5
"""Rounding |n| may change a charge by one part in this many."""

DIGITS = 100
"""Of exact decimal arithmetic: more than products of decimals that files may hold."""

Rate = Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]
"""A part of a notional, above zero."""


class Tier(Frozen):
    """One tier: `from` a notional on, at `rate`, less `amount`, which is computed if left out."""

    model_config = ConfigDict(serialize_by_alias=True)

    start: Annotated[ExactDecimal, AfterValidator(between("0", "1000000000000000"))] = Field(alias="from")
    rate: Rate
    amount: ExactDecimal | None = None


def _check_tiers(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """Refuse the first tier at which the requirement would jump, or its rate fall."""
    first = tiers[0]
    if first.start != 0:
        raise refuse(f"tier 1 begins at {format_decimal(first.start)}", 'write from: "0"', "[0].from")
    if first.amount:
        reason = f"tier 1 deducts {format_decimal(first.amount)} from nothing"
        raise refuse(reason, 'write amount: "0" or leave it out', "[0].amount")
    amounts = _amounts(tiers)
    for number in range(1, len(tiers)):
        before, tier, continuous = tiers[number - 1], tiers[number], amounts[number]
        name = f"tier {number + 1} (from {format_decimal(tier.start)})"
        if tier.start <= before.start:
            reason = f"{name} does not begin above tier {number}, at {format_decimal(before.start)}"
            raise refuse(reason, "list the tiers by rising notional", f"[{number}].from")
        if tier.rate < before.rate:
            low, high = format_decimal(tier.rate), format_decimal(before.rate)
            reason = (
                f"{name}: the rate falls from {high} to {low}, so that the requirement is not convex in the notional"
            )
            raise refuse(reason, f"write a rate of at least {high}", f"[{number}].rate")
        if tier.amount is not None and abs(tier.amount - continuous) > AMOUNT_TOLERANCE:
            reason = (
                f"{name} is discontinuous: with amount {format_decimal(tier.amount)} the requirement jumps by "
                f"{format_decimal(continuous - tier.amount)} at {format_decimal(tier.start)}"
            )
            hint = f'write amount: "{format_decimal(continuous)}", or correct from and the rates'
            raise refuse(reason, hint, f"[{number}].amount")
    return tiers


def _amounts(tiers: Sequence[Tier]) -> list[Decimal]:
    """Return the amount that makes each tier continuous with the one before it, the earlier amount as stated."""
    found = [Decimal(0)]
    with localcontext(prec=DIGITS):
        for before, tier in pairwise(tiers):
            stated = found[-1] if before.amount is None else before.amount
            found.append(tier.start * (tier.rate - before.rate) + stated)
    return found


Tiers = Annotated[tuple[Tier, ...], Listed, Field(min_length=1), AfterValidator(_check_tiers)]


class BracketTable(Frozen):
    """A continuous table with rates that do not fall; its notional counts USD, or units of an underlying."""

    tiers: Tiers

    @cached_property
    def pieces(self) -> tuple[tuple[Decimal, Decimal], ...]:
        """Rate and amount of each tier; a tier that repeats the one before it is left out."""
        stated = [
            (tier.rate, continuous if tier.amount is None else tier.amount)
            for tier, continuous in zip(self.tiers, _amounts(self.tiers), strict=True)
        ]
        return tuple(dict.fromkeys(stated))

    def requirement(self, notional: Decimal) -> Decimal:
        """Return max_k (r_k |notional| - c_k), exactly, in the unit of the table."""
        with localcontext(prec=DIGITS):
            return max(rate * abs(notional) - amount for rate, amount in self.pieces)

    def requirements(self, notionals: Floats) -> Floats:
        """Return `requirement` of many notionals, in floats, any shape."""
        rates, amounts = (np.array([float(each) for each in column]) for column in zip(*self.pieces, strict=True))
        found: Floats = np.max(np.abs(notionals)[..., np.newaxis] * rates - amounts, axis=-1)
        return found

    def divisor(self) -> tuple[Fraction, list[int]]:
        """Return the greatest common divisor g of the rates, and m_k with r_k = m_k g."""
        rates = [Fraction(rate) for rate, _ in self.pieces]
        common = lcm(*(rate.denominator for rate in rates))
        wholes = [int(rate * common) for rate in rates]
        divisor = gcd(*wholes)
        return Fraction(divisor, common), [whole // divisor for whole in wholes]


def bracketed(
    builder: PolicyBuilder, name: str, table: BracketTable, notionals: Floats, price: Decimal = Decimal(1)
) -> Expression:
    """Return the requirement of a table on |sum_v notionals_v x_v|, times the statement's factor.

    name: of the instrument or group. notionals: (V,), units of the table per column unit, signed. price: USD for a unit
    of the table, 1 where it counts USD.

    Raises:
        InputError: the quantum is too coarse for a rate, or too fine for an amount.
    """
    values = notionals * float(price)
    pieces = table.pieces
    _check_fineness(builder, name, values * float(pieces[0][0]))
    if len(pieces) == 1:
        return Abs(
            builder.charge(f"tier 1 {name}", f"{_percent(pieces[0][0])} of {name}", values * float(pieces[0][0]))
        )
    divisor, multiples = table.divisor()
    if len(pieces) > MOST_TIERS_WITHOUT_NOTIONAL and _least(builder, values * float(divisor)) * 2 >= FINE:
        return _with_notional(builder, name, table, values * float(divisor), multiples, price)
    found: list[Expression] = []
    for number, (rate, amount) in enumerate(pieces, start=1):
        for side, sign in (("long", 1), ("short", -1)):
            meaning = f"{side} {name}, tier {number}: {_percent(rate)} less {format_decimal(amount)}"
            charge = builder.charge(f"tier {number} {side} {name}", meaning, sign * float(rate) * values)
            found.append(builder.plus(charge, -Fraction(amount) * Fraction(price)))
    return Max(tuple(found))


def _with_notional(
    builder: PolicyBuilder, name: str, table: BracketTable, values: Floats, multiples: Sequence[int], price: Decimal
) -> Expression:
    """Return max_k (m_k N - c_k) over an auxiliary N >= |values x|."""
    signed = builder.charge(f"notional {name}", f"notional of {name}", values)
    size = builder.auxiliary(f"size {name}", f"size of {name} covers its notional", Abs(signed))
    found = [
        builder.plus(Scale(multiple, size), -Fraction(amount) * Fraction(price))
        for (_, amount), multiple in zip(table.pieces, multiples, strict=True)
    ]
    return Max(tuple(found))


def _least(builder: PolicyBuilder, values: Floats) -> float:
    """Return the least magnitude of a coefficient, in quanta; without the factor, which must not change the form."""
    charged = np.abs(values[values != 0]) / float(builder.quantum)
    return float(charged.min()) if len(charged) else float("inf")


def _check_fineness(builder: PolicyBuilder, name: str, values: Floats) -> None:
    if _least(builder, values) * 2 < RESOLUTION:
        raise InputError(
            f"rounding to the quantum changes the margin of one lot of {name} by more than one part in {RESOLUTION}",
            field="value_unit.quantum",
            hint="choose a finer quantum, or a coarser lot in instruments.yaml",
        )


def _percent(rate: Decimal) -> str:
    return f"{format_decimal((rate * 100).normalize())} %"
