"""The batch of V9: weights, cancellation, and finding the equation that does not hold."""

from collections.abc import Iterator
from itertools import count

import pytest

from crossmargin_verifier import equation
from crossmargin_verifier.equation import Block, PointEquation, check_equations, draw_weight
from crossmargin_verifier.errors import RejectedError
from crossmargin_verifier.generators import blinding_generator, position_generators
from crossmargin_verifier.group import Affine, msm

POINTS = position_generators(8)
BASES = {Block.A: POINTS, Block.H: [blinding_generator()]}


def sum_of(scalars: list[int]) -> Affine:
    point = msm([*scalars, 1], [*POINTS[: len(scalars)], blinding_generator()])
    assert point is not None
    return point


def stated(scalars: list[int], shard: int, error: int = 0) -> PointEquation:
    """scalars on A, 1 on H, less their sum; with an error on A_0."""
    blocks = {Block.A: (0, [scalars[0] + error, *scalars[1:]]), Block.H: (0, [1])}
    return PointEquation("V6", "does not hold", shard, blocks, [(-1, sum_of(scalars))])


def check(equations: list[PointEquation], draw: Iterator[int] | None = None) -> None:
    source = draw_weight if draw is None else draw.__next__
    check_equations([lambda each=each: each for each in equations], BASES, source)  # type: ignore[misc]


def test_true_equations() -> None:
    check([stated([1, 2, 3], 0), stated([5, 2**255], 1), stated([-7], 2)])


def test_blocks_start_anywhere() -> None:
    shifted = PointEquation("V6", "", 0, {Block.A: (3, [4, 5])}, [(-4, POINTS[3]), (-5, POINTS[4])])
    check([shifted])
    with pytest.raises(RejectedError):
        check([PointEquation("V6", "", 0, {Block.A: (2, [4, 5])}, [(-4, POINTS[3]), (-5, POINTS[4])])])


@pytest.mark.parametrize(("size", "place"), [(1, 0), (2, 0), (2, 1), (5, 2), (5, 4), (8, 0), (8, 7)])
def test_the_wrong_one_is_found(size: int, place: int) -> None:
    equations = [stated([shard + 1, 3], shard, error=shard == place) for shard in range(size)]
    with pytest.raises(RejectedError, match="V6") as caught:
        check(equations)
    assert caught.value.shard == place


def test_errors_do_not_cancel() -> None:
    """With weights known beforehand two shards share an error that nobody sees."""
    cancelling = [stated([1, 2], 0, error=10**15), stated([3, 4], 1, error=-(10**15))]
    check(cancelling, iter([1, 1]))
    with pytest.raises(RejectedError):
        check(cancelling)


def test_weights_are_drawn_one_for_each_equation_and_128_bits_long() -> None:
    drawn = count(2**127)
    check([stated([1], 0), stated([2], 1)], drawn)
    assert next(drawn) == 2**127 + 2
    weights = {draw_weight() for _ in range(50)}
    assert len(weights) == 50
    assert max(weights).bit_length() <= 128 < max(weights).bit_length() + 16


def test_large_batches_are_multiplied_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equation, "MSM_POINTS", 3)
    check([stated([1, 2, 3], 0), stated([4, 5], 1)])
    with pytest.raises(RejectedError):
        check([stated([1, 2, 3], 0), stated([4, 5], 1, error=1)])
