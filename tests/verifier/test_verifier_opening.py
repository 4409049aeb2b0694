"""The opening against a prover that folds points one by one, written from the specification (P7, P8)."""

import random
from dataclasses import replace

import pytest

from crossmargin_verifier.protocol.field import ORDER, dot, encode_scalar
from crossmargin_verifier.protocol.generators import position_generators, value_generator
from crossmargin_verifier.protocol.group import Affine, Point, add, encode_point, msm, multiply
from crossmargin_verifier.protocol.messages import Opening
from crossmargin_verifier.protocol.opening import OpeningEquation, verify_opening
from crossmargin_verifier.protocol.transcript import Transcript


def affine(point: Point) -> Affine:
    assert point is not None
    return point


def prove(bases: list[Point], opened: list[int], weights: list[int], generator: random.Random) -> Opening:
    transcript = Transcript("shard")
    nonces = [generator.randrange(ORDER) for _ in opened]
    nonce, value = affine(msm(nonces, bases)), dot(nonces, weights)
    transcript.absorb("open", encode_point(nonce) + encode_scalar(value))
    eta, xi = transcript.challenge("c"), transcript.challenge("xi")
    length = 4
    while length < len(bases):
        length *= 2
    padding = length - len(bases)
    s = [(q + eta * o) % ORDER for q, o in zip(nonces, opened, strict=True)] + [0] * padding
    w = [*weights, *[0] * padding]
    points = [*bases, *[None] * padding]
    pairs = []
    while len(s) > 4:
        half = len(s) // 2
        lo, hi = slice(half), slice(half, None)
        low = add(msm(s[lo], points[hi]), multiply(value_generator(), xi * dot(s[lo], w[hi])))
        high = add(msm(s[hi], points[lo]), multiply(value_generator(), xi * dot(s[hi], w[lo])))
        pairs.append((affine(low), affine(high)))
        transcript.absorb("fold", encode_point(low) + encode_point(high))
        x = transcript.challenge("x")
        s = [(a + x * b) % ORDER for a, b in zip(s[lo], s[hi], strict=True)]
        w = [(x * a + b) % ORDER for a, b in zip(w[lo], w[hi], strict=True)]
        points = [add(multiply(a, x), b) for a, b in zip(points[lo], points[hi], strict=True)]
    return Opening(nonce, value, tuple(pairs), tuple(s))


def residue(equation: OpeningEquation, bases: list[Point], committed: Point) -> Point:
    scalars = [*equation.base_weights, equation.value, equation.committed, *(k for k, _ in equation.points)]
    points = [*bases, value_generator(), committed, *(point for _, point in equation.points)]
    return msm(scalars, points)


@pytest.fixture(scope="module", params=[5, 8, 11, 16, 20])
def case(request: pytest.FixtureRequest) -> tuple[list[Point], list[int], list[int], Opening]:
    generator = random.Random(request.param)
    bases: list[Point] = list(position_generators(request.param))
    opened, weights = [[generator.randrange(ORDER) for _ in bases] for _ in range(2)]
    return bases, opened, weights, prove(bases, opened, weights, generator)


Case = tuple[list[Point], list[int], list[int], Opening]


def test_true_openings_hold(case: Case) -> None:
    bases, opened, weights, opening = case
    equation = verify_opening(Transcript("shard"), opening, weights, dot(opened, weights))
    assert len(equation.base_weights) == len(bases)
    assert residue(equation, bases, msm(opened, bases)) is None


def test_false_openings_do_not(case: Case) -> None:
    bases, opened, weights, opening = case
    claim, committed = dot(opened, weights), msm(opened, bases)
    generator = position_generators(1)[0]
    last = len(opening.folds) - 1
    wrong = [
        (opening, weights, claim + 1, committed),
        (opening, [weights[0] + 1, *weights[1:]], claim, committed),
        (opening, [*weights[:-1], weights[-1] + 1], claim, committed),
        (opening, weights, claim, add(committed, generator)),
        (replace(opening, value=(opening.value + 1) % ORDER), weights, claim, committed),
        (replace(opening, nonce=affine(add(opening.nonce, generator))), weights, claim, committed),
        (replace(opening, scalars=(*opening.scalars[:3], opening.scalars[3] + 1)), weights, claim, committed),
        (replace(opening, scalars=opening.scalars[::-1]), weights, claim, committed),
        (replace(opening, folds=(opening.folds[0][::-1], *opening.folds[1:])), weights, claim, committed),
        (replace(opening, folds=(*opening.folds[:last], opening.folds[last][::-1])), weights, claim, committed),
    ]
    for other, other_weights, other_claim, other_committed in wrong:
        equation = verify_opening(Transcript("shard"), other, other_weights, other_claim)
        assert residue(equation, bases, other_committed) is not None
