"""Every operation of the compiled kernel against the reference backend, on random input and at the edges."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.generators import position_generators
from crossmargin_verifier.protocol.group import Point, negate

pytest.importorskip("crossmargin_kernel", reason="the compiled kernel is not installed (make kernel)")
from crossmargin_prover.backend.kernel import KernelBackend

REFERENCE = ReferenceBackend()
GENERATORS: list[Point] = list(position_generators(12))

scalars = st.integers(0, ORDER - 1) | st.sampled_from([0, 1, 2, ORDER - 1, ORDER // 2, 1 << 128])
records = st.integers(-(2**62) + 1, 2**62 - 1) | st.sampled_from([0, 1, -1, 2**62 - 1, 1 - 2**62])
words = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 255, 2**64 - 1, 2**63])
points = st.sampled_from([None, *GENERATORS, *(negate(point) for point in GENERATORS)])
backends = st.sampled_from([KernelBackend(1), KernelBackend(2), KernelBackend(5)])


@st.composite
def sparse_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    rows = draw(st.lists(st.dictionaries(st.integers(0, 9), records, max_size=5), max_size=7))
    entries = [(column, row[column]) for row in rows for column in row]
    starts = np.cumsum([0] + [len(row) for row in rows], dtype=np.int64)
    indices = np.array([column for column, _ in entries], dtype=np.int64)
    data = np.array([value for _, value in entries], dtype=np.int64)
    return starts, indices, data, [draw(scalars) for _ in rows]


@st.composite
def values_of_accounts(draw: st.DrawFn, most: int = 3) -> tuple[np.ndarray, int]:
    """Return values (2^nu, J) and nu."""
    nu = draw(st.integers(0, most))
    width = draw(st.integers(1, 5))
    entries = draw(st.lists(words, min_size=width << nu, max_size=width << nu))
    return np.array(entries, dtype=np.uint64).reshape(1 << nu, width), nu


def many(strategy: st.SearchStrategy[int], count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(strategy, min_size=count, max_size=count)


@given(backends, sparse_rows())
def test_commit_sparse(backend: KernelBackend, case: tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]) -> None:
    assert backend.commit_sparse(*case) == REFERENCE.commit_sparse(*case)


@given(backends, values_of_accounts(), st.data())
def test_commit_bits(backend: KernelBackend, case: tuple[np.ndarray, int], data: st.DataObject) -> None:
    values, nu = case
    packing = data.draw(st.integers(0, nu))
    blindings = data.draw(many(scalars, len(values) >> packing))
    assert backend.commit_bits(values, packing, blindings) == REFERENCE.commit_bits(values, packing, blindings)


@pytest.mark.parametrize("rows", [1, 40, 600])
def test_commitments_with_wide_tables(rows: int) -> None:
    """Tables grow wider with the number of rows, and a key keeps them for calls with few rows."""
    generator = np.random.default_rng(rows)
    values = generator.integers(0, 2**64, (rows, 2), dtype=np.uint64)
    blindings = [int(value) ** 4 % ORDER for value in values[:, 0]]
    assert KernelBackend(2).commit_bits(values, 0, blindings) == REFERENCE.commit_bits(values, 0, blindings)
    starts = np.arange(rows + 1, dtype=np.int64) * 2
    indices = generator.integers(0, 5, 2 * rows)
    data = generator.integers(-(2**62) + 1, 2**62, 2 * rows)
    sparse = (starts, indices, data, blindings)
    assert KernelBackend(2).commit_sparse(*sparse) == REFERENCE.commit_sparse(*sparse)


@settings(max_examples=60)
@given(backends, values_of_accounts(), scalars, st.data())
def test_bit_sumcheck(backend: KernelBackend, case: tuple[np.ndarray, int], mask: int, data: st.DataObject) -> None:
    values, nu = case
    variables = 6 + (values.shape[1] - 1).bit_length() + nu
    tau, rho = data.draw(many(scalars, variables)), data.draw(many(scalars, variables))
    state, expected = backend.bit_sumcheck(values, tau, mask), REFERENCE.bit_sumcheck(values, tau, mask)
    for challenge in rho:
        assert state.round() == expected.round()
        state.bind(challenge)
        expected.bind(challenge)
    assert state.value == expected.value


def test_bit_sumcheck_of_a_larger_shard() -> None:
    values = np.random.default_rng(5).integers(0, 2**64, (64, 7), dtype=np.uint64)
    values[3:40, 2:] &= np.uint64(0xFF00FF)
    tau = [pow(3, exponent, ORDER) for exponent in range(15)]
    state, expected = KernelBackend(3).bit_sumcheck(values, tau, 5), REFERENCE.bit_sumcheck(values, tau, 5)
    for exponent in range(15):
        assert state.round() == expected.round()
        state.bind(pow(7, exponent, ORDER))
        expected.bind(pow(7, exponent, ORDER))
    assert state.value == expected.value


@st.composite
def projected_rows(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, int, bytes, bytes]:
    """Return nu, at most 2^nu sparse rows, their columns, and the bits of alpha and beta."""
    nu, columns, places = draw(st.integers(0, 7)), draw(st.integers(1, 40)), draw(st.sampled_from([1, 16, 39]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = draw(st.integers(0, 1 << nu))
    lengths = generator.integers(0, min(columns, draw(st.sampled_from([0, 3, 40]))) + 1, rows)
    indices = [np.sort(generator.choice(columns, length, replace=False)) for length in lengths.tolist()]
    largest = draw(st.sampled_from([1, 2**40, 2**62 - 1]))
    data = generator.choice([-largest, largest, 1, 0], lengths.sum())
    if draw(st.booleans()):
        data = generator.integers(-largest, largest + 1, lengths.sum())
    starts = np.concatenate(([0], np.cumsum(lengths)))
    columns_of = np.concatenate([np.zeros(0, np.int64), *indices]).astype(np.int64)
    return nu, starts, columns_of, data, columns, generator.bytes(places << nu), generator.bytes(places * columns)


@settings(max_examples=60)
@given(backends, projected_rows(), scalars, st.data())
def test_record_sumcheck(
    backend: KernelBackend,
    case: tuple[int, np.ndarray, np.ndarray, np.ndarray, int, bytes, bytes],
    challenge: int,
    data: st.DataObject,
) -> None:
    variables, *arguments = case
    state, expected = backend.record_sumcheck(*arguments), REFERENCE.record_sumcheck(*arguments)
    assert state.projections == expected.projections
    state.combine(challenge)
    expected.combine(challenge)
    for at in data.draw(many(scalars, variables)):
        assert state.round() == expected.round()
        state.bind(at)
        expected.bind(at)
    assert state.weights == expected.weights
    assert state.record == expected.record


@given(backends, sparse_rows())
def test_fold_sparse(backend: KernelBackend, case: tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]) -> None:
    starts, indices, data, weights = case
    expected = REFERENCE.fold_sparse(starts, indices, data, 11, weights)
    assert backend.fold_sparse(starts, indices, data, 11, weights) == expected


@given(backends, values_of_accounts(), st.data())
def test_fold_bits(backend: KernelBackend, case: tuple[np.ndarray, int], data: st.DataObject) -> None:
    values, nu = case
    packing = data.draw(st.integers(0, nu))
    weights = data.draw(many(scalars, len(values) >> packing))
    assert backend.fold_bits(values, packing, weights) == REFERENCE.fold_bits(values, packing, weights)


@given(backends, st.integers(1, 4), st.integers(1, 6), st.data())
def test_fold_points(backend: KernelBackend, rows: int, columns: int, data: st.DataObject) -> None:
    matrix = [data.draw(st.lists(points, min_size=columns, max_size=columns)) for _ in range(rows)]
    weights = data.draw(many(scalars, rows))
    assert backend.fold_points(matrix, weights) == REFERENCE.fold_points(matrix, weights)


@given(backends, st.lists(st.tuples(scalars | st.integers(0, 2**20), points), max_size=12))
def test_msm(backend: KernelBackend, terms: list[tuple[int, Point]]) -> None:
    factors, bases = [factor for factor, _ in terms], [base for _, base in terms]
    assert backend.msm(factors, bases) == REFERENCE.msm(factors, bases)


def test_msm_of_many_points() -> None:
    bases = GENERATORS * 60
    factors = [pow(5, exponent, ORDER) for exponent in range(len(bases))]
    assert KernelBackend(2).msm(factors, bases) == REFERENCE.msm(factors, bases)


@given(st.lists(st.integers(-(2**300), 2**300), min_size=1, max_size=3))
def test_integers_are_taken_modulo_the_order(integers: list[int]) -> None:
    bases = GENERATORS[: len(integers)]
    assert KernelBackend(1).msm(integers, bases) == REFERENCE.msm(integers, bases)


def test_arrays_in_any_layout_of_memory() -> None:
    values = np.arange(24, dtype=np.uint64).reshape(4, 6) << np.uint64(30)
    for view in (values[:, ::2], np.asfortranarray(values), values.astype(">u8"), values[::-1]):
        assert KernelBackend(1).fold_bits(view, 1, [3, 4]) == REFERENCE.fold_bits(view, 1, [3, 4])
    frozen = values.copy()
    frozen.setflags(write=False)
    assert KernelBackend(1).commit_bits(frozen, 2, [9]) == REFERENCE.commit_bits(values, 2, [9])
    wide = np.arange(10, dtype=np.int64)
    rows = (wide[0:6:2], wide[:8:2], wide[2::2], [5, 6])
    assert KernelBackend(1).commit_sparse(*rows) == REFERENCE.commit_sparse(*rows)


def threads_in_here(backend: KernelBackend) -> int:
    return backend.threads


def test_threads() -> None:
    chosen: KernelBackend = pickle.loads(pickle.dumps(KernelBackend(3)))  # noqa: S301 - made here
    assert chosen.threads == 3
    assert KernelBackend().threads >= 1
    with pytest.raises(ValueError, match="thread"):
        KernelBackend(0)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(threads_in_here, [KernelBackend(), KernelBackend(2)])) == [1, 2]
