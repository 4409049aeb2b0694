"""The opening against a prover that folds points one by one, written from the specification (P7, P8)."""

import random

import pytest

from crossmargin_circuits.encoding import Reader
from crossmargin_verifier.protocol.field import ORDER, dot, encode_scalar, encode_scalars
from crossmargin_verifier.protocol.generators import position_generators, value_generator
from crossmargin_verifier.protocol.group import Point, add, encode_point, msm
from crossmargin_verifier.protocol.opening import OpeningEquation, verify_opening
from crossmargin_verifier.protocol.proof_stream import ProofStream
from crossmargin_verifier.protocol.transcript import Transcript


def multiply(point: Point, scalar: int) -> Point:
    return msm([scalar], [point])


def prove(bases: list[Point], opened: list[int], weights: list[int], generator: random.Random) -> bytes:
    transcript = Transcript("shard")
    nonces = [generator.randrange(ORDER) for _ in opened]
    nonce, value = msm(nonces, bases), dot(nonces, weights)
    written = [encode_point(nonce) + encode_scalar(value)]
    transcript.absorb("open", written[0])
    eta, xi = transcript.challenge("c"), transcript.challenge("xi")
    length = 4
    while length < len(bases):
        length *= 2
    padding = length - len(bases)
    s = [(q + eta * o) % ORDER for q, o in zip(nonces, opened, strict=True)] + [0] * padding
    w = [*weights, *[0] * padding]
    points = [*bases, *[None] * padding]
    while len(s) > 4:
        half = len(s) // 2
        lo, hi = slice(half), slice(half, None)
        low = add(msm(s[lo], points[hi]), multiply(value_generator(), xi * dot(s[lo], w[hi])))
        high = add(msm(s[hi], points[lo]), multiply(value_generator(), xi * dot(s[hi], w[lo])))
        written.append(encode_point(low) + encode_point(high))
        transcript.absorb("fold", written[-1])
        x = transcript.challenge("x")
        s = [(a + x * b) % ORDER for a, b in zip(s[lo], s[hi], strict=True)]
        w = [(x * a + b) % ORDER for a, b in zip(w[lo], w[hi], strict=True)]
        points = [add(multiply(a, x), b) for a, b in zip(points[lo], points[hi], strict=True)]
    return b"".join(written) + encode_scalars(s)


def residue(equation: OpeningEquation, bases: list[Point], committed: Point) -> Point:
    scalars = [*equation.base_weights, equation.value, equation.committed, *(k for k, _ in equation.points)]
    points = [*bases, value_generator(), committed, *(point for _, point in equation.points)]
    return msm(scalars, points)


def read(opening: bytes, weights: list[int], claim: int) -> OpeningEquation:
    return verify_opening(ProofStream("shard", Reader(opening, "opening")), weights, claim)


@pytest.fixture(scope="module", params=[5, 8, 11, 16, 20])
def case(request: pytest.FixtureRequest) -> tuple[list[Point], list[int], list[int], bytes]:
    generator = random.Random(request.param)
    bases: list[Point] = list(position_generators(request.param))
    opened, weights = [[generator.randrange(ORDER) for _ in bases] for _ in range(2)]
    return bases, opened, weights, prove(bases, opened, weights, generator)


Case = tuple[list[Point], list[int], list[int], bytes]


def test_true_openings_hold(case: Case) -> None:
    bases, opened, weights, opening = case
    equation = read(opening, weights, dot(opened, weights))
    assert len(equation.base_weights) == len(bases)
    assert residue(equation, bases, msm(opened, bases)) is None


def exchanged(data: bytes, start: int, size: int) -> bytes:
    """Exchange two neighbouring fields of one size."""
    middle, end = start + size, start + 2 * size
    return data[:start] + data[middle:end] + data[start:middle] + data[end:]


def moved(data: bytes, start: int) -> bytes:
    """Add one to a scalar."""
    value = int.from_bytes(data[start : start + 32], "big") + 1
    return data[:start] + encode_scalar(value) + data[start + 32 :]


def test_false_openings_do_not(case: Case) -> None:
    bases, opened, weights, opening = case
    claim, committed = dot(opened, weights), msm(opened, bases)
    generator = position_generators(1)[0]
    last, first_fold = len(opening) - 4 * 32, 33 + 32
    other_nonce = bytes([opening[0] ^ 1]) + opening[1:]
    wrong = [
        (opening, weights, claim + 1, committed),
        (opening, [weights[0] + 1, *weights[1:]], claim, committed),
        (opening, [*weights[:-1], weights[-1] + 1], claim, committed),
        (opening, weights, claim, add(committed, generator)),
        (moved(opening, 33), weights, claim, committed),
        (other_nonce, weights, claim, committed),
        (moved(opening, len(opening) - 32), weights, claim, committed),
        (exchanged(opening, last, 2 * 32), weights, claim, committed),
        (exchanged(opening, first_fold, 33), weights, claim, committed),
        (exchanged(opening, last - 66, 33), weights, claim, committed),
    ]
    for other, other_weights, other_claim, other_committed in wrong:
        equation = read(other, other_weights, other_claim)
        assert residue(equation, bases, other_committed) is not None
