"""The batch of V9: weights, cancellation, pieces, and finding the equation that does not hold."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_verifier.protocol import equation
from crossmargin_verifier.protocol.arithmetic import PLAIN, MalformedPointError
from crossmargin_verifier.protocol.equation import (
    Bases,
    Block,
    PointEquation,
    Workplace,
    check_encodings,
    check_equations,
)
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.generators import blinding_generator, mask_generators, position_generators
from crossmargin_verifier.protocol.group import Affine, encode_point, msm
from crossmargin_verifier.protocol.weights import batch_weights

ROWS, ACCOUNTS = 2, 4
"""Slack rows and accounts of a shard."""

POINTS = position_generators(3)
POSITIONS = mask_generators(9 * ACCOUNTS)
SLACK = mask_generators(9 * (ACCOUNTS + ROWS))[9 * ACCOUNTS :]
HERE = Workplace()


def encoded(points: list[Affine]) -> bytes:
    return b"".join(map(encode_point, points))


def bases(shards: int) -> Bases:
    return Bases(
        generators={Block.A: POINTS, Block.H: [blinding_generator()]},
        committed={
            Block.X: encoded(POSITIONS[: shards * ACCOUNTS]),
            Block.R: encoded(SLACK[: shards * ROWS]),
        },
        shards=shards,
    )


def stated(shard: int, scalars: list[int], error: int = 0) -> PointEquation:
    """scalars on A, 1 on H, some on the points of the shard, less their sum; with an error on A_0."""
    on_positions = [shard + 1, 2, 0, 2**255]
    on_rows = [7, -shard]
    point = msm(
        [*scalars, 1, *on_positions, *on_rows],
        [
            *POINTS[: len(scalars)],
            blinding_generator(),
            *POSITIONS[shard * ACCOUNTS : (shard + 1) * ACCOUNTS],
            *SLACK[shard * ROWS : (shard + 1) * ROWS],
        ],
    )
    assert point is not None
    generators = {Block.A: [scalars[0] + error, *scalars[1:]], Block.H: [1]}
    committed = {Block.X: on_positions, Block.R: on_rows}
    return PointEquation("V6", "does not hold", shard, generators, [(-1, point)], committed)


def totalled(shards: int, error: int = 0) -> PointEquation:
    """5 on every position and on H, less their sum."""
    point = msm([5] * (shards * ACCOUNTS + 1), [*POSITIONS[: shards * ACCOUNTS], blinding_generator()])
    assert point is not None
    return PointEquation("V7", "not those", None, {Block.H: [5 + error]}, [(-1, point)], uniform={Block.X: 5})


def check(
    equations: list[PointEquation],
    totals: list[PointEquation] | None = None,
    draw: Iterator[int] | None = None,
    workplace: Workplace = HERE,
    **options: Any,
) -> None:
    source = batch_weights(b"") if draw is None else draw.__next__
    functions = [lambda each=each: each for each in equations]
    check_equations(functions, totals or [], bases(len(equations)), source, workplace, **options)  # type: ignore[arg-type]


def test_true_equations() -> None:
    check([stated(0, [1, 2, 3]), stated(1, [5, 2**255]), stated(2, [-7])])
    check([stated(0, [1]), stated(1, [2])], [totalled(2)])


@pytest.mark.parametrize(("size", "place"), [(1, 0), (2, 0), (2, 1), (5, 2), (5, 4), (8, 0), (8, 7)])
def test_the_wrong_one_is_found(size: int, place: int) -> None:
    equations = [stated(shard, [shard + 1, 3], error=shard == place) for shard in range(size)]
    for totals in ([], [totalled(size)], [totalled(size, error=1)]):
        with pytest.raises(RejectedError, match="V6") as caught:
            check(equations, totals)
        assert caught.value.shard == place


def test_wrong_totals_are_found_after_the_shards() -> None:
    shards = [stated(shard, [1]) for shard in range(3)]
    with pytest.raises(RejectedError, match="V7") as caught:
        check(shards, [totalled(3, error=1)])
    assert caught.value.shard is None
    with pytest.raises(RejectedError, match="V7"):
        check(shards, [totalled(3), replace(totalled(3), uniform={Block.X: 6})])


@pytest.mark.parametrize("block", [Block.X, Block.R])
def test_every_committed_point_counts(block: Block) -> None:
    right = stated(1, [1])
    for place in range(len(right.committed[block])):
        wrong = list(right.committed[block])
        wrong[place] += 1
        with pytest.raises(RejectedError) as caught:
            check([stated(0, [1]), replace(right, committed={**right.committed, block: wrong})])
        assert caught.value.shard == 1


def test_coefficients_for_other_points_are_an_error() -> None:
    right = stated(0, [1])
    with pytest.raises(ValueError, match="coefficient"):
        check([replace(right, committed={**right.committed, Block.R: [1]})])


def test_errors_do_not_cancel() -> None:
    """With weights known beforehand two shards share an error that nobody sees."""
    cancelling = [stated(0, [1, 2], error=10**15), stated(1, [3, 4], error=-(10**15))]
    check(cancelling, draw=iter([1, 1]))
    with pytest.raises(RejectedError):
        check(cancelling)
    with ThreadPoolExecutor(2) as pool, pytest.raises(RejectedError):
        check(cancelling, workplace=Workplace(PLAIN, pool))


def test_weights_are_drawn_one_for_each_equation() -> None:
    drawn = count(2**127)
    check([stated(0, [1]), stated(1, [2])], [totalled(2)], drawn)
    assert next(drawn) == 2**127 + 3


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 30])
@pytest.mark.parametrize("pool", [False, True])
def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch, size: int, pool: bool) -> None:
    """Of any size, also across shards."""
    monkeypatch.setattr(equation, "MIN_PIECE", size)
    monkeypatch.setattr(equation, "MAX_PIECE", size)
    shards = [stated(shard, [shard, 2, 3]) for shard in range(4)]
    with ThreadPoolExecutor(2) as threads:
        workplace = Workplace(PLAIN, threads if pool else None)
        check(shards, [totalled(4)], workplace=workplace)
        shards[2] = stated(2, [1], error=1)
        with pytest.raises(RejectedError) as caught:
            check(shards, [totalled(4)], workplace=workplace)
    assert caught.value.shard == 2


def test_a_piece_has_no_more_points_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equation, "MIN_PIECE", 3)
    monkeypatch.setattr(equation, "MAX_PIECE", 3)
    sizes = []

    class Watched:
        def msm(self, scalars: Any, points: Any) -> Any:
            return PLAIN.msm(scalars, points)

        def msm_encoded(self, scalars: bytes, encodings: bytes) -> Any:
            sizes.append((len(scalars) // 32, len(encodings) // 33))
            return PLAIN.msm_encoded(scalars, encodings)

    check([stated(shard, [1]) for shard in range(3)], workplace=Workplace(Watched()))
    assert sizes == [(3, 3)] * 7
    assert sum(points for points, _ in sizes) == 3 * (ACCOUNTS + ROWS + 1)


class Queue(Executor):
    """Runs at once what is submitted, and counts what is not yet handed on."""

    def __init__(self) -> None:
        self.open = self.most = 0

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        queue = self
        queue.open += 1
        queue.most = max(queue.most, queue.open)

        class Result(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                queue.open -= 1
                return super().result(timeout)

        done = Result()
        done.set_result(function(*arguments, **options))
        return done


def test_few_pieces_are_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scalars of later shards are not made before earlier pieces are done."""
    monkeypatch.setattr("crossmargin_verifier.workers.cores_here", lambda: 2)
    monkeypatch.setattr(equation, "MIN_PIECE", 2)
    monkeypatch.setattr(equation, "MAX_PIECE", 2)
    queue = Queue()
    check([stated(shard, [1]) for shard in range(9)], workplace=Workplace(PLAIN, queue))
    assert queue.open == 0
    assert queue.most == 4


def test_progress_starts_with_nothing_and_ends_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equation, "MAX_PIECE", 5)
    calls: list[tuple[str, int, int]] = []
    check([stated(shard, [1]) for shard in range(3)], progress=lambda *call: calls.append(call))
    assert calls[0] == ("proof", 0, 12)
    assert calls[-1] == ("proof", 12, 12)
    assert [done for _, done, _ in calls] == sorted({done for _, done, _ in calls})


def test_points_that_cannot_be_decoded() -> None:
    good = bases(2)
    bad = bytearray(good.committed[Block.R])
    bad[33] = 5
    wrong = replace(good, committed={**good.committed, Block.R: bytes(bad)})
    with pytest.raises(MalformedPointError, match=r"point \d+: point with prefix 5: must be 2 or 3"):
        check_equations([lambda: stated(0, [1]), lambda: stated(1, [1])], [], wrong, batch_weights(b""), HERE)


@given(st.integers(0, 8), st.sampled_from([1, 2, 3, 4, 9, 20]), st.booleans())
def test_the_first_bad_point_of_a_file_is_named(place: int, size: int, pool: bool) -> None:
    """Also under a zero scalar, and whichever piece is done first."""
    data = bytearray(encoded(POSITIONS[:9]))
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as threads:
        patch.setattr(equation, "MIN_PIECE", size)
        patch.setattr(equation, "MAX_PIECE", size)
        workplace = Workplace(PLAIN, threads if pool else None)
        check_encodings(bytes(data), "positions.cm1", workplace)
        for bad in {place, 8}:
            data[33 * bad] = 4
        with pytest.raises(MalformedError) as caught:
            check_encodings(bytes(data), "positions.cm1", workplace)
    assert str(caught.value) == f"positions.cm1: point {place}: point with prefix 4: must be 2 or 3"
