"""The record proof: sizes, bits and weights against readings of the definition one by one (SPEC B1 - B5, V4)."""

import hashlib
import random
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_verifier.protocol.errors import LimitError
from crossmargin_verifier.protocol.field import ORDER, dot
from crossmargin_verifier.protocol.limits import MAX_ACCOUNTS_PER_SHARD, MAX_COLUMNS, MAX_LEAVES
from crossmargin_verifier.protocol.polynomial import powers
from crossmargin_verifier.protocol.records import RecordShape, record_bits, record_weights

shapes = st.builds(RecordShape, st.integers(0, 20).map(lambda exponent: 1 << exponent), st.integers(1, MAX_COLUMNS))
small = st.builds(RecordShape, st.sampled_from([1, 2, 4, 8]), st.integers(1, 5))
scalars = st.integers(0, ORDER - 1)


@given(shapes)
def test_every_honest_projection_has_an_encoding(shape: RecordShape) -> None:
    """B bounds a sum of N V entries below 2^62, and 0 < z < W after the shift by a mask of 90 bits more."""
    greatest = shape.accounts_per_shard * shape.columns * (2**62 - 1)
    assert greatest < 2**shape.magnitude_bits
    assert shape.mask_bits >= shape.magnitude_bits + 90
    least = -greatest + 2**shape.magnitude_bits
    most = greatest + 2**shape.magnitude_bits + 2**shape.mask_bits - 1
    assert least > 0
    assert most < 2 ** (8 * shape.projection_bytes)


@given(shapes)
def test_the_bound_is_what_the_tensor_lemma_gives(shape: RecordShape) -> None:
    """W = 2^(8 b); one account is bounded by W, several by 2 W; the lemma needs 4 W <= r."""
    width = 2 ** (8 * shape.projection_bytes)
    assert shape.bound == (width if shape.accounts_per_shard == 1 else 2 * width)
    assert 4 * width <= ORDER
    missed = Fraction(1, 2) if shape.accounts_per_shard == 1 else Fraction(3, 4)
    assert missed**shape.projections <= Fraction(1, 2**128)


def test_no_sum_over_a_book_can_wrap() -> None:
    """S N X < r / 4 for every shape within the limits, so nothing checks it when it runs."""
    assert 4 * MAX_LEAVES * RecordShape(MAX_ACCOUNTS_PER_SHARD, MAX_COLUMNS).bound < ORDER


@pytest.mark.parametrize(
    ("accounts", "columns", "size"), [(4096, 500, 8432), (32768, 512, 8936), (1, 3, 3228), (1, 127, 3228)]
)
def test_sizes(accounts: int, columns: int, size: int) -> None:
    assert RecordShape(accounts, columns).size == size


def test_limit_of_this_verifier() -> None:
    with pytest.raises(LimitError, match="columns"):
        RecordShape(1, MAX_COLUMNS + 1)


def bit(data: bytes, block: int, number: int, projection: int) -> int:
    """Bit l of a block, read as a little-endian integer."""
    return int.from_bytes(data[number * block : (number + 1) * block], "little") >> projection & 1


@given(small, st.binary(min_size=32, max_size=32))
def test_bits_are_those_of_the_stream(shape: RecordShape, sigma: bytes) -> None:
    """First a block for each account, unless there is one alone, then a block for each column."""
    block = shape.projections // 8
    rows = shape.accounts_per_shard if shape.accounts_per_shard > 1 else 0
    stream = hashlib.shake_256(b"\x12crossmargin/2/proj" + sigma).digest(block * (rows + shape.columns))
    alpha, beta = record_bits(sigma, shape)
    assert beta == stream[block * rows :]
    for projection in (0, 1, 7, 8, shape.projections - 1):
        for account in range(shape.accounts_per_shard):
            expected = bit(stream, block, account, projection) if rows else 1
            assert bit(alpha, block, account, projection) == expected
        for column in range(shape.columns):
            assert bit(beta, block, column, projection) == bit(stream, block, rows + column, projection)


def naive_eq(rho: list[int], account: int) -> int:
    value = 1
    for variable, at in enumerate(rho):
        value = value * (at if account >> variable & 1 else 1 - at) % ORDER
    return value


def naive_weights(shape: RecordShape, sigma: bytes, challenge: int, rho: list[int]) -> list[int]:
    """sum_l lambda^l (sum_i eq(rho, i) alpha_l(i)) beta_l(v), entry by entry."""
    alpha, beta = record_bits(sigma, shape)
    block = shape.projections // 8
    weights = []
    for column in range(shape.columns):
        total = 0
        for projection in range(shape.projections):
            folded = sum(
                naive_eq(rho, account) * bit(alpha, block, account, projection)
                for account in range(shape.accounts_per_shard)
            )
            total += pow(challenge, projection, ORDER) * folded * bit(beta, block, column, projection)
        weights.append(total % ORDER)
    half = pow(2, -1, ORDER)
    for at in rho:
        weights += [(at - half) % ORDER, (at * at - half) % ORDER]
    share = pow(shape.accounts_per_shard, -1, ORDER)
    weights += [share * pow(challenge, projection, ORDER) % ORDER for projection in range(shape.projections)]
    return [*weights, 0]


@given(small, st.binary(min_size=32, max_size=32), scalars, st.data())
def test_weights_are_the_naive_ones(shape: RecordShape, sigma: bytes, challenge: int, data: st.DataObject) -> None:
    rho = data.draw(st.lists(scalars, min_size=shape.account_bits, max_size=shape.account_bits))
    found = record_weights(shape, *record_bits(sigma, shape), powers(challenge, shape.projections), rho)
    assert found == naive_weights(shape, sigma, challenge, rho)
    assert len(found) == shape.columns + shape.masks + 1


@pytest.mark.parametrize("accounts", [1, 2, 8])
def test_a_true_sum_check_ends_in_the_opened_form(accounts: int) -> None:
    """f_nu of honest rounds is <o, w>: a sum over the cube, rounds and all, computed from its definition."""
    generator = random.Random(accounts)
    shape = RecordShape(accounts, 3)
    sigma = generator.randbytes(32)
    alpha, beta = record_bits(sigma, shape)
    block, count = shape.projections // 8, shape.projections
    records = [[generator.randrange(-(2**62), 2**62) for _ in range(3)] for _ in range(accounts)]
    offsets = [generator.randrange(2**shape.magnitude_bits, 2**shape.mask_bits) for _ in range(count)]
    g = [[generator.randrange(ORDER) for _ in range(2)] for _ in range(shape.account_bits)]
    challenge = generator.randrange(ORDER)
    lambdas = powers(challenge, count)
    projections = [
        sum(
            bit(alpha, block, i, number) * bit(beta, block, v, number) * records[i][v]
            for i, v in product(range(accounts), range(3))
        )
        + offsets[number]
        for number in range(count)
    ]
    assert all(0 < z < 2 ** (8 * shape.projection_bytes) for z in projections)
    half, share = pow(2, -1, ORDER), pow(accounts, -1, ORDER)
    combined = [
        [
            sum(
                lambdas[number]
                for number in range(count)
                if bit(alpha, block, i, number) and bit(beta, block, v, number)
            )
            % ORDER
            for v in range(3)
        ]
        for i in range(accounts)
    ]

    def summand(point: list[int]) -> int:
        at = [naive_eq(point, i) for i in range(accounts)]
        value = share * dot(lambdas, offsets)
        for v in range(3):
            value += dot(at, [row[v] for row in combined]) * dot(at, [row[v] for row in records])
        for coordinate, pair in zip(point, g, strict=True):
            value += pair[0] * (coordinate - half) + pair[1] * (coordinate * coordinate - half)
        return value % ORDER

    claim = dot(lambdas, projections)
    rho: list[int] = []
    for variable in range(shape.account_bits):
        left = shape.account_bits - variable - 1
        values = [sum(summand([*rho, at, *rest]) for rest in product((0, 1), repeat=left)) % ORDER for at in (0, 1, 2)]
        assert (values[0] + values[1]) % ORDER == claim
        at = generator.randrange(ORDER)
        square = (values[2] - 2 * values[1] + values[0]) * half % ORDER
        linear = (values[1] - values[0] - square) % ORDER
        claim = (values[0] + linear * at + square * at * at) % ORDER
        rho.append(at)
    folded = [dot([naive_eq(rho, i) for i in range(accounts)], [row[v] for row in records]) for v in range(3)]
    opened = [*folded, *(entry for pair in g for entry in pair), *offsets, generator.randrange(ORDER)]
    weights = record_weights(shape, alpha, beta, lambdas, rho)
    assert dot(weights, opened) == claim
    for index in generator.sample(range(len(opened) - 1), 9):
        assert dot(weights, [*opened[:index], opened[index] + 1, *opened[index + 1 :]]) != claim
