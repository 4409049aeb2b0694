"""Every operation of every backend against a naive computation with py_ecc or plain integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.secp256k1 import secp256k1 as curve

from crossmargin_prover.backend import Backend, BackendError, available, select_backend
from crossmargin_prover.backend.bits import byte_columns
from crossmargin_prover.backend.tables import best_window, signed_digits, subset_tables, window_tables
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators, slack_generators
from crossmargin_verifier.protocol.group import Point
from crossmargin_verifier.protocol.polynomial import eq_table

scalars = st.integers(0, ORDER - 1) | st.sampled_from([0, 1, ORDER - 1])
records = st.integers(-(2**62) + 1, 2**62 - 1) | st.sampled_from([1, -1, 2**62 - 1, 1 - 2**62])
words = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**64 - 1, 2**63])


@pytest.fixture(scope="module", params=available())
def backend(request: pytest.FixtureRequest) -> Backend:
    return select_backend(request.param)


def naive(scalars: list[int], points: list[Point]) -> Point:
    total = (0, 0)
    for scalar, point in zip(scalars, points, strict=True):
        if point is not None and scalar % ORDER:
            total = curve.add(total, curve.multiply(point, scalar % ORDER))
    return None if total == (0, 0) else (int(total[0]), int(total[1]))


@st.composite
def sparse_rows(draw: st.DrawFn) -> tuple[list[dict[int, int]], list[int]]:
    rows = draw(st.lists(st.dictionaries(st.integers(0, 6), records, max_size=4), min_size=1, max_size=5))
    return rows, [draw(scalars) for _ in rows]


def csr(rows: list[dict[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.cumsum([0] + [len(row) for row in rows])
    entries = [(column, row[column]) for row in rows for column in sorted(row)]
    indices = np.array([column for column, _ in entries], dtype=np.int64)
    return starts, indices, np.array([value for _, value in entries], dtype=np.int64)


def value_arrays(rows: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    return st.tuples(rows, st.integers(1, 5)).flatmap(
        lambda shape: st.lists(words, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
            lambda entries: np.array(entries, dtype=np.uint64).reshape(shape)
        )
    )


def bit(value: int, position: int) -> int:
    return value >> position & 1


@settings(max_examples=15)
@given(sparse_rows())
def test_commit_sparse(backend: Backend, case: tuple[list[dict[int, int]], list[int]]) -> None:
    rows, blindings = case
    bases = [*position_generators(7), blinding_generator()]
    expected = [
        naive([*(row.get(v, 0) for v in range(7)), blinding], bases)
        for row, blinding in zip(rows, blindings, strict=True)
    ]
    assert backend.commit_sparse(*csr(rows), blindings) == expected


def test_commit_sparse_of_many_equal_rows_shares_tables(backend: Backend) -> None:
    rows = [{0: 5, 3: -(2**61) - 12345}] * 300
    points = backend.commit_sparse(*csr(rows), list(range(300)))
    bases = [*position_generators(4), blinding_generator()]
    assert points[299] == naive([5, 0, 0, rows[0][3], 299], bases)
    assert len(set(points)) == 300


@settings(max_examples=10)
@given(value_arrays(st.sampled_from([2, 4])), st.sampled_from([0, 1]), st.data())
def test_commit_bits(backend: Backend, values: np.ndarray, packing: int, data: st.DataObject) -> None:
    accounts, per_account = values.shape
    rows = accounts >> packing
    blindings = [data.draw(scalars) for _ in range(rows)]
    bases = slack_generators(per_account, packing)
    expected = []
    for row, blinding in zip(values.reshape(rows, -1).tolist(), blindings, strict=True):
        used = [base for place, base in enumerate(bases) if bit(row[place // 64], place % 64)]
        expected.append(naive([*[1] * len(used), blinding], [*used, blinding_generator()]))
    assert backend.commit_bits(values, packing, blindings) == expected


@pytest.mark.parametrize("rows", [1, 3, 40, 300])
def test_commit_bits_with_every_table_width(backend: Backend, rows: int) -> None:
    """The cheapest width of the tables grows with the number of rows."""
    values = np.arange(rows, dtype=np.uint64).reshape(rows, 1) * np.uint64(0x0103_0507_090B_0D0F)
    blindings = list(range(rows))
    bases = slack_generators(1, 0)
    last = int(values[-1, 0])
    expected = naive([*(bit(last, place) for place in range(64)), rows - 1], [*bases, blinding_generator()])
    assert backend.commit_bits(values, 0, blindings)[-1] == expected


def naive_rounds(values: np.ndarray, tau: list[int], mask: int, rho: list[int]) -> tuple[list[list[int]], int]:
    """Sum over the whole cube in every round, with the polynomials interpolated from their values at 0 .. degree."""
    accounts, per_account = values.shape
    kappa = (per_account - 1).bit_length()
    table = [0] * (64 << kappa) * accounts
    for account, row in enumerate(values.tolist()):
        for number, value in enumerate(row):
            for position in range(64):
                table[position + 64 * (number + (account << kappa))] = bit(value, position)

    def b_hat(point_low: int, first: int) -> int:
        return table[point_low] + mask * first * (1 - first)

    rounds = []
    for number, challenge in enumerate(rho):
        weights = eq_table(tau[number + 1 :])
        degree = 4 if number == 0 else 2
        sums = [0] * (degree + 1)
        for at in range(degree + 1):
            for position, weight in enumerate(weights):
                low, high = table[2 * position], table[2 * position + 1]
                value = low + at * (high - low)
                if number == 0:
                    value += mask * at * (1 - at)
                sums[at] += weight * (value * value - value)
        rounds.append([entry % ORDER for entry in interpolate(sums)][1:])
        shift = mask * challenge * (1 - challenge) if number == 0 else 0
        table = [
            (low + challenge * (high - low) + shift) % ORDER for low, high in zip(table[0::2], table[1::2], strict=True)
        ]
    return rounds, table[0]


def interpolate(values: list[int]) -> list[int]:
    """Return the coefficients of the polynomial with these values at 0, 1, .."""
    count = len(values)
    coefficients = [0] * count
    for at, value in enumerate(values):
        basis, denominator = [1], 1
        for other in range(count):
            if other != at:
                basis = [a - other * b for a, b in zip([0, *basis], [*basis, 0], strict=True)]
                denominator *= at - other
        for power, entry in enumerate(basis):
            coefficients[power] += value * entry * pow(denominator, -1, ORDER)
    return coefficients


@settings(max_examples=15)
@given(value_arrays(st.sampled_from([1, 2, 4])), scalars, st.data())
def test_sumcheck_rounds(backend: Backend, values: np.ndarray, mask: int, data: st.DataObject) -> None:
    accounts, per_account = values.shape
    variables = 6 + (per_account - 1).bit_length() + (accounts - 1).bit_length()
    tau = [data.draw(scalars) for _ in range(variables)]
    rho = [data.draw(scalars) for _ in range(variables)]
    expected, value = naive_rounds(values, tau, mask, rho)
    state = backend.bit_sumcheck(values, tau, mask)
    for challenge, coefficients in zip(rho, expected, strict=True):
        assert state.round() == coefficients
        state.bind(challenge)
    assert state.value == value


def test_sumcheck_wants_a_point_of_the_right_length(backend: Backend) -> None:
    with pytest.raises(ValueError, match="tau"):
        backend.bit_sumcheck(np.zeros((2, 1), dtype=np.uint64), [1] * 6, 0)
    with pytest.raises(ValueError, match="bound"):
        _ = backend.bit_sumcheck(np.zeros((2, 1), dtype=np.uint64), [1] * 7, 0).value


@st.composite
def projected_rows(draw: st.DrawFn) -> tuple[list[dict[int, int]], int, bytes, bytes]:
    """Return rows, the number of columns, and the bits of alpha and beta; the last accounts may have no row."""
    places, columns, accounts = draw(st.integers(1, 3)), draw(st.integers(1, 4)), 1 << draw(st.integers(0, 5))
    row = st.dictionaries(st.integers(0, columns - 1), records, max_size=3)
    rows = draw(st.lists(row, max_size=accounts))
    alpha, beta = (draw(st.binary(min_size=places * count, max_size=places * count)) for count in (accounts, columns))
    return rows, columns, alpha, beta


def naive_projections(
    rows: list[dict[int, int]], columns: int, alpha: bytes, beta: bytes, challenge: int, rho: list[int]
) -> tuple[list[int], list[tuple[int, int]], list[int], list[int]]:
    """Return projections, rounds, weights and the record at rho from the whole matrices R_l, entry by entry."""
    places = len(beta) // columns
    accounts = len(alpha) // places

    def block(bits: bytes, number: int) -> int:
        return int.from_bytes(bits[number * places : (number + 1) * places], "little")

    def chosen(account: int, column: int) -> list[int]:
        both = block(alpha, account) & block(beta, column)
        return [bit(both, number) for number in range(8 * places)]

    full = [[row.get(column, 0) for column in range(columns)] for row in rows]
    full += [[0] * columns] * (accounts - len(rows))
    projections = [0] * (8 * places)
    for account, row in enumerate(full):
        for column, entry in enumerate(row):
            for number, one in enumerate(chosen(account, column)):
                projections[number] += one * entry
    powers = [pow(challenge, number, ORDER) for number in range(8 * places)]
    matrix = [
        [
            sum(power for power, one in zip(powers, chosen(account, column), strict=True) if one)
            for column in range(columns)
        ]
        for account in range(accounts)
    ]
    rounds = []
    for at in rho:
        # p(Z) by its values at 0, 1 and 2.
        values = [
            sum(
                (a + z * (b - a)) * (c + z * (d - c))
                for low, high, row, other in zip(matrix[0::2], matrix[1::2], full[0::2], full[1::2], strict=True)
                for a, b, c, d in zip(low, high, row, other, strict=True)
            )
            for z in range(3)
        ]
        _, linear, square = interpolate(values)
        rounds.append((linear % ORDER, square % ORDER))
        matrix, full = (
            [
                [(a + at * (b - a)) % ORDER for a, b in zip(low, high, strict=True)]
                for low, high in zip(table[0::2], table[1::2], strict=True)
            ]
            for table in (matrix, full)
        )
    return projections, rounds, [weight % ORDER for weight in matrix[0]], [entry % ORDER for entry in full[0]]


@settings(max_examples=40)
@given(projected_rows(), scalars, st.data())
def test_record_sumcheck_rounds(
    backend: Backend, case: tuple[list[dict[int, int]], int, bytes, bytes], challenge: int, data: st.DataObject
) -> None:
    rows, columns, alpha, beta = case
    variables = (len(alpha) * columns // len(beta)).bit_length() - 1
    rho = [data.draw(scalars) for _ in range(variables)]
    projections, rounds, weights, record = naive_projections(rows, columns, alpha, beta, challenge, rho)
    state = backend.record_sumcheck(*csr(rows), columns, alpha, beta)
    assert list(state.projections) == projections
    state.combine(challenge)
    for at, coefficients in zip(rho, rounds, strict=True):
        assert state.round() == coefficients
        state.bind(at)
    assert list(state.weights) == weights
    assert list(state.record) == record


@pytest.mark.parametrize("entry", [2**62 - 1, 1 - 2**62])
def test_projections_of_the_greatest_records(backend: Backend, entry: int) -> None:
    """Sums of many great records leave 64 bits."""
    rows = [dict.fromkeys(range(4), entry)] * 64
    state = backend.record_sumcheck(*csr(rows), 4, b"\xff" * 64, b"\xff" * 4)
    assert list(state.projections) == [256 * entry] * 8


def test_record_sumcheck_wants_fitting_bits_and_calls_in_order(backend: Backend) -> None:
    rows = [{0: 5}, {1: -6}, {}]
    for alpha, beta in [(b"", b"12"), (b"123", b"12"), (b"12", b"12"), (b"1234", b"1"), (b"12345", b"1212")]:
        with pytest.raises(ValueError, match=r"must be|records"):
            backend.record_sumcheck(*csr(rows), 2, alpha, beta)
    state = backend.record_sumcheck(*csr(rows), 2, b"1234", b"12")
    for call in (state.round, lambda: state.bind(1), lambda: state.weights, lambda: state.record):
        with pytest.raises(ValueError, match=r"not combined|not every variable"):
            call()
    state.combine(3)
    with pytest.raises(ValueError, match="combined already"):
        state.combine(3)
    for _ in range(2):
        with pytest.raises(ValueError, match="not every variable"):
            _ = state.weights
        state.bind(7)
    for call in (state.round, lambda: state.bind(1)):
        with pytest.raises(ValueError, match="every variable is bound"):
            call()


@given(sparse_rows(), st.data())
def test_fold_sparse(backend: Backend, case: tuple[list[dict[int, int]], list[int]], data: st.DataObject) -> None:
    rows, weights = case
    expected = [sum(w * row.get(v, 0) for w, row in zip(weights, rows, strict=True)) % ORDER for v in range(9)]
    assert backend.fold_sparse(*csr(rows), 9, weights) == expected


@given(value_arrays(st.sampled_from([2, 4])), st.sampled_from([0, 1]), st.data())
def test_fold_bits(backend: Backend, values: np.ndarray, packing: int, data: st.DataObject) -> None:
    rows = values.reshape(len(values) >> packing, -1).tolist()
    weights = [data.draw(scalars) for _ in rows]
    expected = [
        sum(weight * bit(row[place // 64], place % 64) for weight, row in zip(weights, rows, strict=True)) % ORDER
        for place in range(64 * len(rows[0]))
    ]
    assert backend.fold_bits(values, packing, weights) == expected


@settings(max_examples=5)
@given(st.lists(scalars, min_size=1, max_size=4), st.integers(1, 3))
def test_fold_points(backend: Backend, weights: list[int], length: int) -> None:
    generators = position_generators(len(weights) * length)
    rows: list[list[Point]] = [list(generators[k * length : (k + 1) * length]) for k in range(len(weights))]
    rows[-1][0] = None
    expected = [naive(weights, [row[i] for row in rows]) for i in range(length)]
    assert backend.fold_points(rows, weights) == expected


@settings(max_examples=5)
@given(st.lists(scalars, min_size=0, max_size=5))
def test_msm(backend: Backend, weights: list[int]) -> None:
    points = position_generators(len(weights))
    assert backend.msm(weights, points) == naive(weights, list(points))


@given(st.integers(0, ORDER), st.integers(1, 12))
def test_signed_digits(value: int, width: int) -> None:
    digits = signed_digits(value, width)
    assert sum(digit << width * place for place, digit in enumerate(digits)) == value
    assert all(-(1 << width - 1) < digit <= 1 << width - 1 for digit in digits)
    assert len(digits) <= -(-(value.bit_length() + 1) // width)


@given(st.integers(1, 10**6), st.integers(1, 256))
def test_best_window_is_in_range(count: int, bits: int) -> None:
    assert 1 <= best_window(count, bits) <= 14


def test_window_tables_hold_multiples() -> None:
    bases = position_generators(2)
    tables = window_tables(bases, [(9, 3), (2, 4)])
    assert [len(table) for table in tables] == [4, 1]
    assert tables[0][2][3] == naive([3 << 6], [bases[0]])
    assert tables[1][0] == [naive([k], [bases[1]]) for k in range(9)]


def test_subset_tables_hold_subset_sums() -> None:
    bases = position_generators(4)
    tables = subset_tables([bases[:2], bases[2:]])
    assert tables[1] == [None, bases[2], bases[3], naive([1, 1], bases[2:])]
    assert subset_tables([]) == []


def test_byte_columns_put_the_low_byte_first() -> None:
    assert byte_columns(np.array([[0x0102, 3]], dtype=np.uint64)).tolist() == [[2, 1, 0, 0, 0, 0, 0, 0, 3, *[0] * 7]]


def test_backends_are_selected_by_name() -> None:
    assert select_backend("reference").name == "reference"
    assert available()[-1] == "reference"
    with pytest.raises(BackendError, match="'abacus' is not installed"):
        select_backend("abacus")
