"""Equations between points, checked together in one multi-scalar multiplication (SPEC V9).

Every step that compares points ends in an equation sum = identity over generators, committed points (positions, slack
rows) and further points. sum_e delta_e (equation e) = identity is checked with 128-bit delta_e that the prover cannot
know: without them the errors of two equations could cancel. One e numbers the equations of a snapshot and of all
statements about it; every base occurs once, whatever their number.

The sum is split into pieces of consecutive committed points, each a separate multi-scalar multiplication, in this
process or through an executor. The scalars of a piece are made just before it starts, so their memory does not grow
with the book.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic, MalformedPointError
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import SCALAR_BYTES, encode_scalars
from crossmargin_verifier.protocol.group import POINT_BYTES, Affine, Point, add, encode_point
from crossmargin_verifier.protocol.weights import WeightSource
from crossmargin_verifier.workers import Progress, no_progress, run_jobs

__all__ = [
    "Bases",
    "Block",
    "EquationSource",
    "PointEquation",
    "Workplace",
    "check_encodings",
    "check_equations",
    "slack_blocks",
]

MAX_PIECE = 2**16
"""Points multiplied at a time; beyond this a larger multiplication saves little and takes more memory."""

MIN_PIECE = 2**12
"""Least points of a separate multiplication: with fewer each point costs half as much again, with few far more."""

PIECES = 16
"""Pieces of a small statement: enough for a few workers to share them evenly."""


class Block(NamedTuple):
    """Bases that equations share, by their letter in SPEC: A, B, M, H, U generators, X and R committed points.

    of: the account in a slack row for B, whose statements may have rows of different lengths, and the statement digest
    for R; else 0.
    """

    letter: Literal["A", "B", "M", "H", "U", "X", "R"]
    of: int | bytes = 0


def slack_blocks(packing: int, coefficients: Sequence[int]) -> dict[Block, Sequence[int]]:
    """Return the coefficients of the bits of a slack row by the block of each of its 2^packing accounts."""
    size = len(coefficients) >> packing
    return {Block("B", number): coefficients[number * size :][:size] for number in range(1 << packing)}


@dataclass(frozen=True)
class PointEquation:
    """A sum of points that must be the identity.

    step, reason: of the rejection if it does not hold; generators: coefficients by block, from its first base on;
    points: coefficients and points that no other equation has; committed: coefficients of the points of the shard, all
    of them, by block; uniform, for an equation about no shard: one coefficient for every committed point of a block.
    """

    step: str
    reason: str
    generators: Mapping[Block, Sequence[int]]
    points: Sequence[tuple[int, Affine]]
    committed: Mapping[Block, Sequence[int]] = field(default_factory=dict)
    uniform: Mapping[Block, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EquationSource:
    """An equation that is computed whenever its turn comes, since the coefficients of all shards take much memory.

    shard: the one whose committed points it is about, or None for all; statement: named in the rejection.
    """

    shard: int | None
    make: Callable[[], PointEquation]
    statement: str | None = None


@dataclass(frozen=True)
class Bases:
    """The bases of the equations, each of them once, and the number of shards.

    committed: encodings of the points of a block in global order, and how many a shard has; the last has what is left.
    """

    generators: Mapping[Block, Sequence[Affine]]
    committed: Mapping[Block, tuple[bytes, int]] = field(repr=False)
    shards: int

    def of_shard(self, block: Block, shard: int) -> bytes:
        """Return the encodings of a block that belong to a shard."""
        encodings, size = self.committed[block]
        return encodings[shard * size * POINT_BYTES : (shard + 1) * size * POINT_BYTES]


@dataclass(frozen=True)
class Workplace:
    """The arithmetic that multiplies, and the executor for its pieces, or None for this process."""

    arithmetic: Arithmetic = PLAIN
    executor: Executor | None = None

    def piece_size(self, points: int) -> int:
        """Return the number of points in a piece, from the number of all points."""
        pieces = 1 if self.executor is None else max(1, min(PIECES, points // MIN_PIECE))
        return min(MAX_PIECE, max(MIN_PIECE, -(-points // pieces)))


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
    sources: Sequence[EquationSource],
    bases: Bases,
    draw: WeightSource,
    workplace: Workplace,
    progress: Progress = no_progress,
) -> None:
    """Check all equations in one multi-scalar multiplication; if it fails, find the first equation that does not hold.

    sources: in the order of SPEC V9; equation e has the weight delta_e, and no two share one.

    Soundness: the caller must have received every byte of every file before this call, which draws delta_e.

    Raises:
        RejectedError: with the step, the statement and the shard of an equation that does not hold.
        MalformedPointError: a committed point cannot be decoded; its number is one among those of a piece.
    """
    batch = _Batch(sources, bases, [draw() for _ in sources], workplace, progress)
    first, end = 0, len(sources)
    if batch.holds(range(end), "proof"):
        return
    while end - first > 1:
        middle = (first + end) // 2
        holds = batch.holds(range(first, middle), "find what does not hold")
        first, end = (middle, end) if holds else (first, middle)
    source, equation = sources[first], sources[first].make()
    raise RejectedError(equation.step, equation.reason, source.shard, source.statement)


@dataclass(frozen=True)
class _Batch:
    """Weighted sums of some of the equations."""

    sources: Sequence[EquationSource]
    bases: Bases
    weights: Sequence[int]
    workplace: Workplace
    progress: Progress

    def holds(self, selected: range, stage: str) -> bool:
        """Tell whether the weighted sum of the selected equations is the identity."""
        sums = {block: [0] * len(points) for block, points in self.bases.generators.items()}
        points = sum(len(encodings) for encodings, _ in self.bases.committed.values()) // POINT_BYTES
        accounts = len(self.bases.committed[Block("X")][0]) // POINT_BYTES
        size = self.workplace.piece_size(points)
        total: Point = None
        done = 0
        self.progress(stage, 0, accounts)
        jobs = self._pieces(selected, sums, size)
        for part in run_jobs(self.workplace.arithmetic.msm_encoded, jobs, self.workplace.executor):
            total = add(total, part)
            done += size
            if done < points:
                self.progress(stage, accounts * done // points, accounts)
        # Every piece was made, and with the last one the sums over the generators are complete.
        scalars = [scalar for block in self.bases.generators for scalar in sums[block]]
        bases = [base for generators in self.bases.generators.values() for base in generators]
        total = add(total, self.workplace.arithmetic.msm(scalars, bases))
        self.progress(stage, accounts, accounts)
        return total is None

    def _pieces(self, selected: range, sums: Mapping[Block, list[int]], size: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (scalars, encodings) of `size` points at a time, and add to the sums over the generators meanwhile."""
        numbers: dict[int | None, list[int]] = {}
        for number in selected:
            numbers.setdefault(self.sources[number].shard, []).append(number)
        uniform = dict.fromkeys(self.bases.committed, 0)
        scalars, encodings = bytearray(), bytearray()
        for shard in (None, *range(self.bases.shards)):
            points = {} if shard is None else {block: self.bases.of_shard(block, shard) for block in uniform}
            # Every committed point occurs once, under the sum of what all equations give it.
            own = {block: [uniform[block]] * (len(encoded) // POINT_BYTES) for block, encoded in points.items()}
            for number in numbers.get(shard, ()):
                equation, weight = self.sources[number].make(), self.weights[number]
                _accumulate(sums, equation.generators, weight)
                if any(len(coefficients) != len(own[block]) for block, coefficients in equation.committed.items()):
                    raise ValueError("an equation needs a coefficient for every committed point of its shard")
                _accumulate(own, equation.committed, weight)
                for block, coefficient in equation.uniform.items():
                    uniform[block] += weight * coefficient
                scalars += encode_scalars(weight * coefficient for coefficient, _ in equation.points)
                encodings += b"".join([encode_point(point) for _, point in equation.points])
            for block, coefficients in own.items():
                if any(coefficients):
                    scalars += encode_scalars(coefficients)
                    encodings += points[block]
            while len(scalars) >= size * SCALAR_BYTES:
                yield bytes(scalars[: size * SCALAR_BYTES]), bytes(encodings[: size * POINT_BYTES])
                del scalars[: size * SCALAR_BYTES], encodings[: size * POINT_BYTES]
        if scalars:
            yield bytes(scalars), bytes(encodings)


def _accumulate(sums: Mapping[Block, list[int]], parts: Mapping[Block, Sequence[int]], weight: int) -> None:
    """Add weight times the coefficients of every block, not reduced: a sum of many stays short."""
    for block, coefficients in parts.items():
        entries = sums[block]
        for index, coefficient in enumerate(coefficients):
            entries[index] += weight * coefficient
