"""Equations between points, checked together in one multi-scalar multiplication (SPEC V9).

Every step that compares points ends in an equation sum = identity over shared bases (generators, positions, slack
rows) and points of its own. sum_e delta_e (equation e) = identity is checked with uniform 128-bit delta_e that the
prover cannot know: without them the errors of two equations could cancel.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from crossmargin_verifier.errors import RejectedError
from crossmargin_verifier.field import ORDER
from crossmargin_verifier.group import Affine, Point, add, msm

__all__ = ["Bases", "Block", "Draw", "PointEquation", "check_equations", "draw_weight"]

WEIGHT_BITS = 128
"""Bits of delta_e: a wrong batch is accepted with probability 2^-128."""

MSM_POINTS = 2**17
"""Points multiplied at a time; beyond this a larger multiplication saves nothing and takes more memory."""

Draw = Callable[[], int]
"""Source of delta_e: uniform in [0, 2^128), unknown to the prover until his files are fixed."""


def draw_weight() -> int:
    """Return a fresh delta_e from the operating system."""
    return secrets.randbits(WEIGHT_BITS)


class Block(Enum):
    """Shared bases of equations."""

    A = auto()
    """A_v, generators of the base columns."""
    B = auto()
    """B_{a,j,t}, generators of the bits of a slack row."""
    M = auto()
    """M_e, generators of the masks."""
    H = auto()
    """H, generator of blindings."""
    U = auto()
    """U, generator of values."""
    X = auto()
    """X_i, committed positions."""
    R = auto()
    """R_h, committed slack rows."""


Bases = Mapping[Block, Sequence[Affine]]


@dataclass(frozen=True)
class PointEquation:
    """sum over blocks of coefficients * bases[start ..] + sum of coefficient * own point = identity.

    step, shard: what is rejected when it does not hold.
    """

    step: str
    reason: str
    shard: int | None
    blocks: Mapping[Block, tuple[int, Sequence[int]]]
    points: Sequence[tuple[int, Affine]]


@dataclass
class _Batch:
    """Running sum of weighted equations."""

    bases: Bases
    scalars: dict[Block, list[int]] = field(default_factory=dict)
    own: list[tuple[int, Affine]] = field(default_factory=list)

    def add(self, equation: PointEquation, weight: int) -> None:
        """Add weight times an equation."""
        for block, (start, coefficients) in equation.blocks.items():
            sums = self.scalars.get(block)
            if sums is None:
                sums = self.scalars[block] = [0] * len(self.bases[block])
            end = start + len(coefficients)
            sums[start:end] = [
                total + weight * coefficient % ORDER
                for total, coefficient in zip(sums[start:end], coefficients, strict=True)
            ]
        self.own += [(weight * coefficient % ORDER, point) for coefficient, point in equation.points]

    def total(self) -> Point:
        """Return the sum as a point."""
        scalars = [scalar for scalar, _ in self.own]
        points = [point for _, point in self.own]
        for block, sums in self.scalars.items():
            scalars += sums
            points += self.bases[block]
        total: Point = None
        for start in range(0, len(scalars), MSM_POINTS):
            part = slice(start, start + MSM_POINTS)
            total = add(total, msm(scalars[part], points[part]))
        return total


def check_equations(equations: Sequence[Callable[[], PointEquation]], bases: Bases, draw: Draw) -> None:
    """Check all equations in one multi-scalar multiplication; when it fails, find the first that does not hold.

    equations: functions, since the coefficients of many shards take more memory than computing them again takes time.

    Soundness: every byte of every file must have been received before this is called, since it draws delta_e.

    Raises:
        RejectedError: with the step and the shard of an equation that does not hold, and whatever the functions raise.
    """
    if _hold(equations, bases, draw):
        return
    low, high = 0, len(equations)
    while high - low > 1:
        middle = (low + high) // 2
        if _hold(equations[low:middle], bases, draw):
            low = middle
        else:
            high = middle
    equation = equations[low]()
    raise RejectedError(equation.step, equation.reason, equation.shard)


def _hold(equations: Sequence[Callable[[], PointEquation]], bases: Bases, draw: Draw) -> bool:
    batch = _Batch(bases)
    for equation in equations:
        batch.add(equation(), draw())
    return batch.total() is None
