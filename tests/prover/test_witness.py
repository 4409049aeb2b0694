"""Private input: what is refused, with which account and row named, and what is never shown."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.witness import Records, ShardWitness, WitnessError, check_rows, unsigned_values

RELATION = Relation(
    ("usd", "btc"),
    (Auxiliary("debt", False),),
    (Row("equity", (1, 100), (0,)), Row("borrowed", (1, 0), (1,), 7)),
)


def name(number: int) -> str:
    return f"holder-{number}"


def records(rows: list[list[int]]) -> Records:
    return Records.of(csr_array(np.array(rows, dtype=np.int64)), name)


def test_records_round_trip() -> None:
    given = records([[1, 0, -3], [0, 0, 0], [0, 2**62 - 1, 1 - 2**62]])
    assert [given.row(number) for number in range(3)] == [(1, 0, -3), (0, 0, 0), (0, 2**62 - 1, 1 - 2**62)]
    assert given.slice(1, 3).row(1) == (0, 2**62 - 1, 1 - 2**62)
    assert given.take([2, -1, 0, -1]).row(1) == (0, 0, 0)
    assert given.take([2, -1, 0, -1]).row(2) == (1, 0, -3)
    assert len(given.take([])) == 0
    assert given.totals() == (1, 2**62 - 1, -(2**62) - 2)


def test_totals_do_not_wrap() -> None:
    assert records([[2**62 - 1]] * 5).totals() == (5 * (2**62 - 1),)


def test_explicit_zeros_and_unsorted_columns_are_put_in_order() -> None:
    matrix = csr_array((np.array([5, 0, 7]), np.array([2, 1, 0]), np.array([0, 3])), shape=(1, 3))
    given = Records.of(matrix, name)
    assert given.indices.tolist() == [0, 2]
    assert given.row(0) == (7, 0, 5)


@pytest.mark.parametrize("value", [2**62, -(2**62), -(2**63), 2**63 - 1])
def test_record_out_of_range(value: int) -> None:
    with pytest.raises(WitnessError, match=r"holder-1: column 0: magnitude not below 2\^62"):
        records([[1, 1], [value, 0]])


def test_record_entered_twice() -> None:
    matrix = csr_array((np.array([5, 6]), np.array([1, 1]), np.array([0, 2])), shape=(1, 3))
    with pytest.raises(WitnessError, match="holder-0: column 1: entered twice"):
        Records.of(matrix, name)


def test_records_of_other_types() -> None:
    with pytest.raises(WitnessError, match="float64"):
        Records.of(csr_array(np.array([[1.5]])), name)

    class Broken:
        shape = (2, 1)
        indptr = np.array([0, 1])
        indices = np.array([0])
        data = np.array([1])

    with pytest.raises(WitnessError, match="not a sparse matrix"):
        Records.of(Broken(), name)

    class Outside(Broken):
        indptr = np.array([0, 0, 1])
        indices = np.array([4])

    with pytest.raises(WitnessError, match="holder-1: column 4: a column that does not exist"):
        Records.of(Outside(), name)


@pytest.mark.parametrize(
    "values",
    [[[1], [-1]], np.array([[1], [2**64]], dtype=object), np.array([[1], [-5]], dtype=object)],
)
def test_values_out_of_range(values: object) -> None:
    with pytest.raises(WitnessError, match=r"holder-1: auxiliary 'debt': not in \[0, 2\^64\)"):
        unsigned_values(values, 2, ["debt"], "auxiliary", name)


def test_values_of_wrong_type_or_shape() -> None:
    with pytest.raises(WitnessError, match="float64"):
        unsigned_values([[1.0]], 1, ["debt"], "auxiliary", name)
    with pytest.raises(WitnessError, match=r"must be \(2, 1\)"):
        unsigned_values([[1, 2]], 2, ["debt"], "auxiliary", name)
    with pytest.raises(WitnessError, match="holder-0"):
        unsigned_values(np.array([["1"]], dtype=object), 1, ["debt"], "auxiliary", name)


def test_values_at_the_edges() -> None:
    largest = np.array([[2**64 - 1], [0]], dtype=object)
    assert unsigned_values(largest, 2, ["debt"], "auxiliary", name).tolist() == [[2**64 - 1], [0]]
    assert unsigned_values([], 2, [], "auxiliary", name).shape == (2, 0)


def check(rows: list[list[int]], aux: list[list[int]], slacks: list[list[int]]) -> None:
    check_rows(RELATION, records(rows), np.array(aux, np.uint64), np.array(slacks, np.uint64), name)


def test_rows_hold_exactly() -> None:
    check([[150, -1], [0, 0]], [[0], [3]], [[50, 157], [0, 10]])


def test_negative_row_names_account_and_row() -> None:
    with pytest.raises(WitnessError, match="holder-1: row 'equity': the account does not satisfy the row"):
        check([[0, 0], [99, -1]], [[0], [0]], [[0, 7], [0, 106]])


def test_row_too_large() -> None:
    with pytest.raises(WitnessError, match=r"holder-0: row 'equity': .* not below 2\^64"):
        check([[0, 2**61]], [[0]], [[0, 7]])


def test_slack_computed_wrong() -> None:
    with pytest.raises(WitnessError, match="holder-0: row 'borrowed': the slack is not"):
        check([[1, 0]], [[0]], [[1, 9]])


def test_nothing_secret_is_shown() -> None:
    given = records([[123456789, 0]])
    witness = ShardWitness(given, np.array([[987654321]], np.uint64), [1122334455], [5544332211])
    for text in (repr(given), repr(witness), str(witness), f"{given}"):
        for secret in ("123456789", "987654321", "1122334455", "5544332211"):
            assert secret not in text
    with pytest.raises(WitnessError) as refused:
        check([[123456789, -98765432]], [[0]], [[0, 0]])
    assert not any(secret in str(refused.value) for secret in ("123456789", "98765432"))


def test_encoding_binds_every_part() -> None:
    given = records([[1, 2]])
    values = np.array([[3]], np.uint64)
    base = ShardWitness(given, values, [4], [5]).encode()
    others = [
        ShardWitness(records([[1, 3]]), values, [4], [5]),
        ShardWitness(given, values + np.uint64(1), [4], [5]),
        ShardWitness(given, values, [5], [5]),
        ShardWitness(given, values, [4], [6]),
    ]
    assert len({base, *(other.encode() for other in others)}) == 5
