"""Statements that are refused before anything is proven, and faults that the verifier finds before publication."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover import statement
from crossmargin_prover.backend import finite, select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import GivenWitness, StatementError, check_coefficients, prove_statement
from crossmargin_prover.witness import WitnessError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.workers import run_jobs

BACKEND = select_backend()
RANDOMNESS = SystemRandomness()
RELATION = Relation(("usd",), (Auxiliary("debt", False),), (Row("covered", (1,), (1,)),))


def commit(relation: Relation = RELATION, **options: Any) -> CommittedSnapshot:
    records = csr_array(np.array([[5] + [0] * (len(relation.columns) - 1)]))
    return commit_snapshot("book", 1, relation.columns, records, ["ann"], 1, RANDOMNESS, BACKEND, **options)


def prove(snapshot: CommittedSnapshot, relation: Relation = RELATION, **options: Any) -> dict[str, bytes]:
    given = {"auxiliaries": [[0]], "slacks": [[5]], **options}
    auxiliaries, slacks = given.pop("auxiliaries"), given.pop("slacks")
    witness = GivenWitness(auxiliaries, slacks, snapshot.manifest)
    return prove_statement(snapshot, relation, bytes(32), witness, RANDOMNESS, BACKEND, **given)


@pytest.fixture
def nothing_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise AssertionError("proven")

    monkeypatch.setattr(statement, "commit_slack_rows", fail)


@pytest.mark.usefixtures("nothing_is_proven")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"slacks": [[-1]]}, r"account 0: row 'covered': not in \[0, 2\^64\)"),
        ({"slacks": np.array([[2**64]], dtype=object)}, r"account 0: row 'covered': not in \[0, 2\^64\)"),
        ({"auxiliaries": [[-1]]}, r"account 0: auxiliary 'debt': not in \[0, 2\^64\)"),
        ({"slacks": [[6]]}, "account 0: row 'covered': the slack is not"),
        ({"slacks": [[5], [5]]}, "row values of 2 accounts: must be 1"),
        ({"slacks": [[5, 5]]}, r"must be \(1, 1\)"),
        ({"auxiliaries": [[0.5]]}, "must be integers"),
    ],
)
def test_witness_is_checked_first(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(WitnessError, match=reason):
        prove(commit(), **options)


@pytest.mark.usefixtures("nothing_is_proven")
def test_statements_that_do_not_fit_the_snapshot() -> None:
    other = Relation(("btc",), RELATION.auxiliaries, RELATION.rows)
    with pytest.raises(StatementError, match="other columns"):
        prove(commit(), other)


@pytest.mark.usefixtures("nothing_is_proven")
def test_disclosed_auxiliary_needs_the_totals() -> None:
    """Whoever makes up a shortfall satisfies every row: without its total the statement would be empty."""
    disclosed = Relation(("usd",), (Auxiliary("shortfall", True),), RELATION.rows)
    with pytest.raises(StatementError, match=r"'shortfall'.*would show nothing; prove a strict statement"):
        prove(commit(open_totals=False), disclosed)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.usefixtures("nothing_is_proven")
def test_rows_that_could_wrap_around(size: int) -> None:
    """V2: the largest coefficients that pass, by the bound of the record proof, and one more."""
    bound = RecordShape(size, 1).bound
    largest = ((ORDER - 1) // 2 - 2**64) // bound
    for coefficient in (largest, -largest):
        check_coefficients(replace(RELATION, rows=(Row("covered", (coefficient,), (1,)),)), size, size)
    for row in (
        Row("covered", (largest + 1,), (1,)),
        Row("covered", (-largest - 1,), (1,)),
        Row("covered", (largest,), (1,), (ORDER - 1) // 2),
        Row("covered", (largest,), (ORDER >> 64,)),
    ):
        with pytest.raises(StatementError, match=r"V2: row 'covered'.*coarser value quantum, or smaller shards"):
            check_coefficients(replace(RELATION, rows=(row,)), size, size)
    with pytest.raises(StatementError, match="V2: row 'covered'"):
        prove(commit(), replace(RELATION, rows=(Row("covered", (2**96,), (1,)),)), slacks=[[5 * 2**58]])


def test_jobs_stop_at_the_first_error() -> None:
    done = []

    def job(number: int) -> int:
        if number == 2:
            raise ValueError("second")
        done.append(number)
        return number

    with pytest.raises(ValueError, match="second"):
        list(run_jobs(job, [(1,), (2,), (3,)], None))
    assert done == [1]


def test_identity_is_no_commitment() -> None:
    with pytest.raises(ArithmeticError, match="identity"):
        finite(None)
