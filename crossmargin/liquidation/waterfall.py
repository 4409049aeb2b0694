"""Allocate the deficits of bankrupt accounts: to the insurance fund, then to the other accounts.

    deficit of an account   max(0, -equity) once its positions are closed, in units of one currency (such as quanta)
    fund pays               min(fund, sum of deficits)
    B                       what is left: the venue's bankruptcy
    socialised              each claim c_i (positive equity) pays  B c_i / sum of c,  at most c_i

Allocation is exact: every share is rounded down, and the units that are left go one each to the largest remainders, of
equal ones to the lower row, so that shares add up to what is allocated and each lies within one unit of its exact
value. What exceeds all claims is reported as uncovered, never dropped.

As a haircut on withdrawals the same loss is the factor B / (T + B), T being what the venue holds: T + B are the claims
(Paradex documentation, "Socialized losses": the formula; its worked example divides by T alone). Amounts paid out are
rounded down.

Deleveraging closes positions instead: accounts on the other side assume bankrupt positions at the bankruptcy price, in
the order of a published queue or pro rata over their positions; lots are conserved.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from crossmargin.book.exact_sum import total_of

__all__ = ["Waterfall", "allocate", "deleverage", "haircut_factor", "paid_out", "run_waterfall"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Waterfall:
    """The share of each source, in the unit of the equities: fund_pays + sum of socialised + uncovered = deficits.

    socialised: (n,) payment of each account; equity: (n,) of the accounts afterwards; fund: its remainder.
    """

    deficits: int
    fund_pays: int
    fund: int
    socialised: Integers
    uncovered: int
    equity: Integers

    @property
    def bankruptcy(self) -> int:
        """B, the deficits beyond the fund."""
        return self.deficits - self.fund_pays


def run_waterfall(equity: Integers, fund: int) -> Waterfall:
    """Allocate the deficits of accounts with the given equities (n,) to an insurance fund and the other accounts.

    Raises:
        ValueError: a negative fund.
    """
    if fund < 0:
        raise ValueError("an insurance fund below zero")
    owed = np.where(equity < 0, -equity, 0)
    claims = np.where(equity > 0, equity, 0)
    deficits = total_of(owed)
    pays = min(fund, deficits)
    left = deficits - pays
    borne = min(left, total_of(claims))
    socialised = allocate(borne, claims)
    return Waterfall(deficits, pays, fund - pays, socialised, left - borne, claims - socialised)


def allocate(total: int, weights: Integers) -> Integers:
    """Return non-negative integers in proportion to weights (n,) that add up to `total`, largest remainder first.

    None exceeds its weight where `total` is at most their sum.

    Raises:
        ValueError: a negative total or weight, or a total with no weight to bear it.
    """
    if total < 0 or np.any(weights < 0):
        raise ValueError("a negative total or weight")
    whole = total_of(weights)
    if not whole:
        if total:
            raise ValueError("nobody to bear the total")
        return np.zeros(len(weights), dtype=np.int64)
    # Python integers: the products pass 64 bits.
    products = weights.astype(object) * total
    shares = (products // whole).astype(np.int64)
    missing = total - total_of(shares)
    if missing:
        remainders = products % whole
        order = np.argsort(-remainders, kind="stable")
        shares[order[:missing]] += 1
    return shares


def haircut_factor(bankruptcy: int, held: int) -> Fraction:
    """Return B / (T + B), the part that withdrawals lose; 0 where nothing is missing.

    Raises:
        ValueError: a negative amount.
    """
    if bankruptcy < 0 or held < 0:
        raise ValueError("a negative amount")
    return Fraction(bankruptcy, held + bankruptcy) if bankruptcy else Fraction(0)


def paid_out(amount: int, factor: Fraction) -> int:
    """Return the payout of a withdrawal of `amount` under a haircut factor, rounded down."""
    return (amount * (1 - factor)).__floor__()


def deleverage(lots: int, positions: Integers, score: NDArray[np.float64] | None = None) -> Integers:
    """Return the change of each position (n,) that assumes `lots` (signed) of a bankrupt account.

    A bankrupt long position (lots > 0) reduces short ones, and the other way round. score: highest first, of
    equal ones the lower row (a venue's queue, usually profit times leverage); without it pro rata, by `allocate`.
    The changes add up to `lots`, or to as many of them as the other side has.

    Raises:
        ValueError: another number of scores than positions.
    """
    sign = 1 if lots > 0 else -1
    room = np.where(positions * sign < 0, np.abs(positions), 0)
    taken = min(abs(lots), total_of(room))
    if score is None:
        return sign * allocate(taken, room)
    if len(score) != len(positions):
        raise ValueError(f"{len(score)} scores for {len(positions)} positions")
    order = np.argsort(-score, kind="stable")
    before = np.concatenate(([0], np.cumsum(room[order])[:-1]))
    changes = np.zeros(len(positions), dtype=np.int64)
    changes[order] = np.clip(taken - before, 0, room[order])
    return sign * changes
