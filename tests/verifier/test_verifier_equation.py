"""The batch of V9: weights, cancellation, pieces, bases that occur once, and finding the equation that fails."""

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
    EquationSource,
    PointEquation,
    Workplace,
    check_encodings,
    check_equations,
    slack_blocks,
)
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.generators import blinding_generator, mask_generators, position_generators
from crossmargin_verifier.protocol.group import Affine, encode_point, msm
from crossmargin_verifier.protocol.weights import batch_weights

ROWS, ACCOUNTS = 2, 4
"""Slack rows and leaves of a shard."""

A, H, X, R = Block("A"), Block("H"), Block("X"), Block("R", b"statement")
POINTS = position_generators(3)
POSITIONS = mask_generators(9 * ACCOUNTS)
SLACK = mask_generators(9 * (ACCOUNTS + ROWS))[9 * ACCOUNTS :]
HERE = Workplace()


def encoded(points: list[Affine]) -> bytes:
    return b"".join(map(encode_point, points))


def bases(shards: int, empty: int = 0) -> Bases:
    """Of some shards, the last of which has empty leaves."""
    return Bases(
        generators={A: POINTS, H: [blinding_generator()]},
        committed={
            X: (encoded(POSITIONS[: shards * ACCOUNTS - empty]), ACCOUNTS),
            R: (encoded(SLACK[: shards * ROWS]), ROWS),
        },
        shards=shards,
    )


def stated(shard: int, scalars: list[int], error: int = 0, accounts: int = ACCOUNTS) -> PointEquation:
    """scalars on A, 1 on H, some on the points of the shard, less their sum; with an error on A_0."""
    on_positions = [shard + 1, 2, 0, 2**255][:accounts]
    on_rows = [7, -shard]
    point = msm(
        [*scalars, 1, *on_positions, *on_rows],
        [
            *POINTS[: len(scalars)],
            blinding_generator(),
            *POSITIONS[shard * ACCOUNTS :][:accounts],
            *SLACK[shard * ROWS : (shard + 1) * ROWS],
        ],
    )
    assert point is not None
    generators = {A: [scalars[0] + error, *scalars[1:]], H: [1]}
    return PointEquation("V6", "does not hold", generators, [(-1, point)], {X: on_positions, R: on_rows})


def recorded(shard: int, error: int = 0, accounts: int = ACCOUNTS) -> PointEquation:
    """Another equation about the positions of a shard, alone."""
    on_positions = [3, shard, 5, 7][:accounts]
    point = msm([*on_positions, 2], [*POSITIONS[shard * ACCOUNTS :][:accounts], blinding_generator()])
    assert point is not None
    return PointEquation("V4", "no records", {H: [2 + error]}, [(-1, point)], {X: on_positions})


def totalled(shards: int, error: int = 0, empty: int = 0) -> PointEquation:
    """5 on every position and on H, less their sum."""
    accounts = shards * ACCOUNTS - empty
    point = msm([5] * (accounts + 1), [*POSITIONS[:accounts], blinding_generator()])
    assert point is not None
    return PointEquation("V7", "not those", {H: [5 + error]}, [(-1, point)], uniform={X: 5})


def check(
    equations: list[PointEquation],
    totals: list[PointEquation] | None = None,
    draw: Iterator[int] | None = None,
    workplace: Workplace = HERE,
    **options: Any,
) -> None:
    """Check an equation for every shard in order, then those about all committed points."""
    source = batch_weights(b"") if draw is None else draw.__next__
    sources = [EquationSource(shard, lambda each=each: each) for shard, each in enumerate(equations)]  # type: ignore[misc]
    sources += [EquationSource(None, lambda each=each: each) for each in totals or []]  # type: ignore[misc]
    check_equations(sources, bases(len(equations)), source, workplace, **options)


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
        check(shards, [totalled(3), replace(totalled(3), uniform={X: 6})])


@pytest.mark.parametrize("block", [X, R], ids=["X", "R"])
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
        check([replace(right, committed={**right.committed, R: [1]})])


def test_errors_do_not_cancel() -> None:
    """With weights known beforehand two shards share an error that nobody sees."""
    cancelling = [stated(0, [1, 2], error=10**15), stated(1, [3, 4], error=-(10**15))]
    check(cancelling, draw=iter([1, 1]))
    with pytest.raises(RejectedError):
        check(cancelling)
    with ThreadPoolExecutor(2) as pool, pytest.raises(RejectedError):
        check(cancelling, workplace=Workplace(PLAIN, pool))


def test_errors_of_two_equations_of_one_shard_do_not_cancel() -> None:
    """One weight for two equations of one file, or for two files about one shard, would hide them."""
    sources = [
        EquationSource(0, lambda: recorded(0, error=1)),
        EquationSource(0, lambda: stated(0, [1])),
        EquationSource(0, lambda: replace(stated(0, [1]), generators={A: [1], H: [0]}), "coverage"),
    ]
    check_equations(sources, bases(1), iter([1, 9, 1]).__next__, HERE)
    check_equations(sources, bases(1), lambda: 1, HERE)
    with pytest.raises(RejectedError, match="V4, shard 0"):
        check_equations(sources, bases(1), batch_weights(b""), HERE)


def test_the_numbering_runs_over_all_statements() -> None:
    """Errors of two statements would cancel if each began with the same weights."""
    sources = [
        EquationSource(0, lambda: stated(0, [1], error=3), "maintenance"),
        EquationSource(0, lambda: stated(0, [1], error=-3), "coverage"),
    ]
    anew = iter([2**100, 2**100])
    check_equations(sources, bases(1), anew.__next__, HERE)
    with pytest.raises(RejectedError, match="V6, statement maintenance, shard 0: does not hold"):
        check_equations(sources, bases(1), batch_weights(b""), HERE)


@pytest.mark.parametrize("wrong", range(6))
def test_statement_and_shard_are_named(wrong: int) -> None:
    """In the order of the equations, whichever points they share."""
    last = ACCOUNTS - 3
    sources = [
        EquationSource(0, lambda: recorded(0, error=wrong == 0)),
        EquationSource(1, lambda: recorded(1, error=wrong == 1, accounts=last)),
        EquationSource(None, lambda: totalled(2, error=wrong == 2, empty=3)),
        EquationSource(0, lambda: stated(0, [1], error=wrong == 3), "maintenance"),
        EquationSource(1, lambda: stated(1, [1, 4], error=wrong == 4, accounts=last), "maintenance"),
        EquationSource(1, lambda: stated(1, [2], error=wrong == 5, accounts=last), "coverage"),
    ]
    with pytest.raises(RejectedError) as caught:
        check_equations(sources, bases(2, empty=3), batch_weights(b""), HERE)
    named = (caught.value.step, caught.value.statement, caught.value.shard)
    assert (
        named
        == [
            ("V4", None, 0),
            ("V4", None, 1),
            ("V7", None, None),
            ("V6", "maintenance", 0),
            ("V6", "maintenance", 1),
            ("V6", "coverage", 1),
        ][wrong]
    )


def test_every_base_occurs_once() -> None:
    """However many equations are about it."""
    counted = []

    class Watched:
        def msm(self, scalars: Any, points: Any) -> Any:
            counted.append(len(points))
            return PLAIN.msm(scalars, points)

        def msm_encoded(self, scalars: bytes, encodings: bytes) -> Any:
            counted.append(len(encodings) // 33)
            return PLAIN.msm_encoded(scalars, encodings)

    sources = [EquationSource(shard, lambda shard=shard: recorded(shard)) for shard in range(2)]  # type: ignore[misc]
    sources += [EquationSource(shard, lambda shard=shard: stated(shard, [1, 2])) for shard in range(2)] * 3  # type: ignore[misc]
    check_equations(sources, bases(2), batch_weights(b""), Workplace(Watched()))
    own = len(sources)
    assert sum(counted) == own + 2 * (ACCOUNTS + ROWS) + len(POINTS) + 1


def test_slack_rows_of_two_lengths_share_their_bases() -> None:
    """Coefficients of account a meet the bases of account a, also where another statement has longer rows."""
    blocks = slack_blocks(2, list(range(12)))
    assert blocks == {Block("B", account): [3 * account, 3 * account + 1, 3 * account + 2] for account in range(4)}
    assert slack_blocks(0, [1, 2]) == {Block("B", 0): [1, 2]}


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
    bad = bytearray(good.committed[R][0])
    bad[33] = 5
    wrong = replace(good, committed={**good.committed, R: (bytes(bad), ROWS)})
    sources = [EquationSource(shard, lambda shard=shard: stated(shard, [1])) for shard in range(2)]  # type: ignore[misc]
    with pytest.raises(MalformedPointError, match=r"point \d+: point with prefix 5: must be 2 or 3"):
        check_equations(sources, wrong, batch_weights(b""), HERE)


@given(st.integers(0, 8), st.sampled_from([1, 2, 3, 4, 9, 20]), st.booleans())
def test_the_first_bad_point_of_a_file_is_named(place: int, size: int, pool: bool) -> None:
    """Also under a zero scalar, and whichever piece is done first."""
    data = bytearray(encoded(POSITIONS[:9]))
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as threads:
        patch.setattr(equation, "MIN_PIECE", size)
        patch.setattr(equation, "MAX_PIECE", size)
        workplace = Workplace(PLAIN, threads if pool else None)
        check_encodings(bytes(data), "positions.cm2", workplace)
        for bad in {place, 8}:
            data[33 * bad] = 4
        with pytest.raises(MalformedError) as caught:
            check_encodings(bytes(data), "positions.cm2", workplace)
    assert str(caught.value) == f"positions.cm2: point {place}: point with prefix 4: must be 2 or 3"
