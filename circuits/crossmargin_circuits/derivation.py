"""The derivation of an auxiliary's tight value from a record and the auxiliaries before it (SPEC A.6).

    least       u = max(0, max over its rows of minus the rest of the row)
    threshold   t+ = max(0, t), t- = max(0, -t), t the k-th largest of S operands, each the max of its rows' pieces

A value that the rows bound from below takes the least; the threshold of a sum of the k largest (Rockafellar, Uryasev
2000) is free, and any value of it leaves the rows true bounds: the k-th largest is one that makes them tight.
"""

from dataclasses import dataclass

__all__ = ["Derivation", "Least", "Selection", "Threshold"]


@dataclass(frozen=True)
class Least:
    """The least value that `rows` allow: max(0, max over them of minus the rest of the row).

    The auxiliary has coefficient 1 in each row, and every other auxiliary of the row comes earlier.
    """

    rows: tuple[int, ...]


@dataclass(frozen=True)
class Threshold:
    """The part above zero (sign 1) or below zero (sign -1) of the `rank`-th largest value of `groups` of rows.

    The value of a group is the max over its rows of minus the row, with this auxiliary and all later ones zero. The
    part above zero comes directly before the part below, whose rows hold it already: f - t+ has the rank-th largest
    value t - t+ = -t-.
    """

    groups: tuple[tuple[int, ...], ...]
    rank: int
    sign: int


Derivation = Least | Threshold


@dataclass(frozen=True)
class Selection:
    """The auxiliaries of one sum of the `count` largest: thresholds `above` and above + 1, excesses up to `last`.

    If all are tight, at most one threshold and at most count - 1 excesses, those above the threshold, are nonzero.
    """

    above: int
    last: int
    count: int
