"""Equations between points, checked together in one multi-scalar multiplication (SPEC V9).

Every step that compares points ends in an equation sum = identity over generators, committed points (positions, slack
rows) and further points. sum_e delta_e (equation e) = identity is checked with 128-bit delta_e that the prover
cannot know: without them the errors of two equations could cancel.

The sum is split into pieces of consecutive committed points, each a separate multi-scalar multiplication, in this
process or through an executor. The scalars of a piece are made just before it starts, so their memory does not grow
with the book.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum, auto

from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic, MalformedPointError
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER, SCALAR_BYTES, encode_scalars
from crossmargin_verifier.protocol.group import POINT_BYTES, Affine, Point, add, encode_point
from crossmargin_verifier.protocol.weights import WeightSource
from crossmargin_verifier.workers import Progress, no_progress, run_jobs

__all__ = ["Bases", "Block", "PointEquation", "Workplace", "check_encodings", "check_equations"]

MAX_PIECE = 2**16
"""Points multiplied at a time; beyond this a larger multiplication saves little and takes more memory."""

MIN_PIECE = 2**12
"""Least points of a separate multiplication; below this each point costs half as much again."""

PIECES = 16
"""Pieces of a small statement: enough for a few workers to share them evenly."""


class Block(Enum):
    """Bases that equations share."""

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


@dataclass(frozen=True)
class PointEquation:
    """A sum of points that must be the identity.

    step, shard: named in the rejection if it does not hold; generators: coefficients by block, from its first base on;
    committed: coefficients of the points of the shard, all of them, by block; uniform: one coefficient for every
    committed point of a block; points: coefficients and points that no other equation has.
    """

    step: str
    reason: str
    shard: int | None
    generators: Mapping[Block, Sequence[int]]
    points: Sequence[tuple[int, Affine]]
    committed: Mapping[Block, Sequence[int]] = field(default_factory=dict)
    uniform: Mapping[Block, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bases:
    """The bases of the equations; committed: encodings of the points of a block in global order, shard by shard."""

    generators: Mapping[Block, Sequence[Affine]]
    committed: Mapping[Block, bytes] = field(repr=False)
    shards: int

    def of_shard(self, block: Block, shard: int) -> bytes:
        """Return the encodings of a block that belong to a shard."""
        size = len(self.committed[block]) // self.shards
        return self.committed[block][shard * size : (shard + 1) * size]


@dataclass(frozen=True)
class Workplace:
    """The arithmetic that multiplies, and the executor for its pieces, or None for this process."""

    arithmetic: Arithmetic = PLAIN
    executor: Executor | None = None

    def piece_size(self, points: int) -> int:
        """Return the number of points in a piece, from the number of all points."""
        pieces = 1 if self.executor is None else max(1, min(PIECES, points // MIN_PIECE))
        return min(MAX_PIECE, -(-points // pieces))


def check_encodings(encodings: bytes, name: str, workplace: Workplace) -> None:
    """Decode every point of a file called `name`; errors number them from 0 (V1).

    Raises:
        MalformedError: an encoding is not a point; names the first.
    """
    size = workplace.piece_size(len(encodings) // POINT_BYTES)
    pieces = (encodings[start : start + size * POINT_BYTES] for start in range(0, len(encodings), size * POINT_BYTES))
    jobs = ((bytes(len(piece) // POINT_BYTES * SCALAR_BYTES), piece) for piece in pieces)
    decoded = 0
    try:
        for _ in run_jobs(workplace.arithmetic.msm_encoded, jobs, workplace.executor):
            decoded += size
    except MalformedPointError as error:
        raise MalformedError(f"{name}: point {decoded + error.index}: {error.reason}") from None


def check_equations(
    shards: Sequence[Callable[[], PointEquation]],
    totals: Sequence[PointEquation],
    bases: Bases,
    draw: WeightSource,
    workplace: Workplace,
    progress: Progress = no_progress,
) -> None:
    """Check all equations in one multi-scalar multiplication; if it fails, find the first equation that does not hold.

    shards: a function for the equation of every shard, since the coefficients of many shards take more memory than
    computing them again takes time; totals: the equations about all committed points.

    Soundness: the caller must have received every byte of every file before this call, which draws delta_e.

    Raises:
        RejectedError: with the step and the shard of an equation that does not hold.
        MalformedPointError: a committed point cannot be decoded; its number is one among those of a piece.
    """
    batch = _Batch(shards, totals, bases, [draw() for _ in (*shards, *totals)], workplace, progress)
    first, end = 0, len(batch.weights)
    if batch.holds(range(end), "proof"):
        return
    while end - first > 1:
        middle = (first + end) // 2
        holds = batch.holds(range(first, middle), "find what does not hold")
        first, end = (middle, end) if holds else (first, middle)
    equation = shards[first]() if first < len(shards) else totals[first - len(shards)]
    raise RejectedError(equation.step, equation.reason, equation.shard)


@dataclass(frozen=True)
class _Batch:
    """Weighted sums of some of the equations; those of the shards come first, then those of the totals."""

    shards: Sequence[Callable[[], PointEquation]]
    totals: Sequence[PointEquation]
    bases: Bases
    weights: Sequence[int]
    workplace: Workplace
    progress: Progress

    def holds(self, selected: range, stage: str) -> bool:
        """Tell whether the weighted sum of the selected equations is the identity."""
        sums = {block: [0] * len(points) for block, points in self.bases.generators.items()}
        uniform = dict.fromkeys(self.bases.committed, 0)
        scalars: list[int] = []
        bases: list[Affine] = []
        for number, equation in enumerate(self.totals, start=len(self.shards)):
            if number in selected:
                weight = self.weights[number]
                _accumulate(sums, equation, weight)
                for block, coefficient in equation.uniform.items():
                    uniform[block] = (uniform[block] + weight * coefficient) % ORDER
                scalars += [weight * coefficient for coefficient, _ in equation.points]
                bases += [point for _, point in equation.points]

        points = sum(map(len, self.bases.committed.values())) // POINT_BYTES
        accounts = len(self.bases.committed[Block.X]) // POINT_BYTES
        size = self.workplace.piece_size(points)
        total: Point = None
        done = 0
        self.progress(stage, 0, accounts)
        jobs = self._pieces(selected, sums, uniform, size)
        for part in run_jobs(self.workplace.arithmetic.msm_encoded, jobs, self.workplace.executor):
            total = add(total, part)
            done += size
            if done < points:
                self.progress(stage, accounts * done // points, accounts)
        # Every piece was made, and with the last one the sums over the generators are complete.
        for block, generators in self.bases.generators.items():
            scalars += sums[block]
            bases += generators
        total = add(total, self.workplace.arithmetic.msm(scalars, bases))
        self.progress(stage, accounts, accounts)
        return total is None

    def _pieces(
        self, selected: range, sums: Mapping[Block, list[int]], uniform: Mapping[Block, int], size: int
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (scalars, encodings) of `size` points at a time, and add to the sums over the generators meanwhile."""
        scalars, encodings = bytearray(), bytearray()
        for shard, make in enumerate(self.shards):
            equation = make() if shard in selected else None
            weight = self.weights[shard]
            for block, shift in uniform.items():
                points = self.bases.of_shard(block, shard)
                # Nothing but the uniform part belongs to the points of a shard that is not selected.
                coefficients = [0] * (len(points) // POINT_BYTES) if equation is None else equation.committed[block]
                if equation is not None or shift:
                    scalars += encode_scalars(weight * coefficient + shift for coefficient in coefficients)
                    encodings += points
            if equation is not None:
                _accumulate(sums, equation, weight)
                scalars += encode_scalars(weight * coefficient for coefficient, _ in equation.points)
                encodings += b"".join([encode_point(point) for _, point in equation.points])
            if len(scalars) // SCALAR_BYTES * POINT_BYTES != len(encodings):
                raise ValueError("an equation needs a coefficient for every committed point of its shard")
            while len(scalars) >= size * SCALAR_BYTES:
                yield bytes(scalars[: size * SCALAR_BYTES]), bytes(encodings[: size * POINT_BYTES])
                del scalars[: size * SCALAR_BYTES], encodings[: size * POINT_BYTES]
        if scalars:
            yield bytes(scalars), bytes(encodings)


def _accumulate(sums: Mapping[Block, list[int]], equation: PointEquation, weight: int) -> None:
    """Add weight times the coefficients of generators, not reduced: a sum of many stays short."""
    for block, coefficients in equation.generators.items():
        entries = sums[block]
        for index, coefficient in enumerate(coefficients):
            entries[index] += weight * coefficient
