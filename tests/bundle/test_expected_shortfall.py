"""A margin by expected shortfall, proven and verified; no change of its model or its totals passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.expression import Abs, Linear, PositivePart, Reference, Scale, Sum, SumLargest
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import POLICY_FILE, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit
from crossmargin_prover.backend import select_backend
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.manifests import AUXILIARY_TOTALS_FILE

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.POSITION, "A", "1 contract", 10**6, "USD"),
        Column(ColumnKind.POSITION, "B", "1 contract", 10**6, "USD"),
    )
)
# Gains a contract in five scenarios, in cents. The two worst losses of (1, 0): 900, 500; of (-1, 3): 1,000, 950; of
# (0, -2): 200, 0.
GAINS = ((-500, 100), (-900, -300), (200, -250), (700, 0), (100, -300))
RECORDS = [(200_000, 1, 0), (3_000, -1, 3), (0, 0, -2)]


def expected_shortfall(count: int = 2) -> Policy:
    """Return a policy: the requirement is the sum of the `count` largest of five losses."""
    arrays = [RiskArray("cash", "cash", (1, 0, 0))]
    arrays += [RiskArray(f"gain {n}", f"scenario {n}", (0, *gain)) for n, gain in enumerate(GAINS)]
    losses = tuple(Scale(-1, Linear(f"gain {number}")) for number in range(5))
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    definitions = (
        Definition("equity", "cash", Role.EQUITY, Linear("cash")),
        Definition(
            "requirement", "requirement covers the tail", Role.REQUIREMENT, PositivePart(SumLargest(count, losses))
        ),
        Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap),
    )
    unit = ValueUnit("USD", "0.01")
    return Policy(
        PolicyKind.SOLVENCY, "test-exchange", "expected shortfall", 0, unit, LAYOUT, tuple(arrays), definitions, ()
    )


def gross_exposure() -> Policy:
    """Return a policy that discloses the gross exposure in A."""
    arrays = (RiskArray("A", "A at 100 USD", (0, 10_000, 0)),)
    gross = Definition("gross A", "gross exposure in A", Role.EXPOSURE, Abs(Linear("A")))
    unit = ValueUnit("USD", "0.01")
    return Policy(PolicyKind.CROWDING, "test-exchange", "crowding", 0, unit, LAYOUT, arrays, (gross,), ())


def losses_of(record: tuple[int, ...]) -> list[int]:
    return sorted((-(record[1] * a + record[2] * b) for a, b in GAINS), reverse=True)


REQUIREMENTS = [max(0, sum(losses_of(record)[:2])) for record in RECORDS]


@pytest.fixture(scope="module")
def snapshot(workshop: Any) -> Any:
    return workshop.commit(expected_shortfall(), RECORDS)


@pytest.fixture
def bundle(workshop: Any, snapshot: Any, proven: dict[str, dict[str, bytes]], tmp_path: Path) -> Path:
    folder: Path = workshop.write(tmp_path / "made", snapshot, proven, {"USD": "2030"}, "100", "test-exchange")
    return folder


@pytest.fixture(scope="module")
def proven(workshop: Any, snapshot: Any) -> dict[str, dict[str, bytes]]:
    policies = {"tail": expected_shortfall(), "gross": gross_exposure()}
    return {name: workshop.prove(snapshot, policy) for name, policy in policies.items()}


def test_totals_are_those_of_the_tails(bundle: Path) -> None:
    assert REQUIREMENTS == [1_400, 1_950, 200]
    tail, gross = check_bundle(bundle).statements
    assert (str(tail.requirement), str(tail.shortfall)) == ("35.5 USD", "2 USD")
    assert [(each.name, str(each.total)) for each in gross.exposures] == [("gross A", "200 USD")]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_other_count_in_the_policy_is_rejected(bundle: Path, count: int, anchor: Callable[[Path], None]) -> None:
    """By its relation digest, or because the relation or the proof has not the size that the other one needs."""
    (bundle / "statements" / "tail" / POLICY_FILE).write_bytes(expected_shortfall(count).encoded)
    anchor(bundle)
    with pytest.raises(CrossmarginError, match=r"V2|bytes|more than [0-9]+ coefficients|needs more"):
        check_bundle(bundle)


def test_policy_under_an_earlier_format_is_refused(bundle: Path, rewrite: Callable[..., None]) -> None:
    rewrite(bundle / "statements" / "tail" / POLICY_FILE, lambda root: root.update(format="crossmargin-policy/2"))
    with pytest.raises(CrossmarginError, match=r"crossmargin/1, which release 0\.1\.0 reads"):
        check_bundle(bundle)


def test_changed_totals_are_rejected(bundle: Path, anchor: Callable[[Path], None]) -> None:
    path = bundle / "statements" / "tail" / AUXILIARY_TOTALS_FILE
    data = bytearray(path.read_bytes())
    # Magic, version, digest and count are 42 bytes; then 16 bytes for each total: the last one of the requirement.
    data[42 + 15] -= 1
    path.write_bytes(bytes(data))
    anchor(bundle)
    with pytest.raises(RejectedError):
        check_bundle(bundle)


@pytest.mark.parametrize("auxiliary", [0, 2, 3, 6, 7, 8], ids=lambda number: f"auxiliary {number}")
def test_cheaper_auxiliary_of_one_account_proves_nothing(workshop: Any, snapshot: Any, auxiliary: int) -> None:
    """Less in a threshold, an excess or the requirement leaves a slack below zero, which has no bits."""
    policy = expected_shortfall()
    compiled = compile_policy(policy)
    accounts = snapshot.manifest.accounts
    records = [snapshot.whole().records.row(account) for account in range(accounts)]
    auxiliaries = [compiled.witness(record)[0] for record in records]
    next(values for values in auxiliaries if values[auxiliary])[auxiliary] -= 1
    slacks = [compiled.relation.slacks(*pair) for pair in zip(records, auxiliaries, strict=True)]
    assert min(map(min, slacks)) < 0
    wrapped = [[value % 2**64 for value in row] for row in slacks]
    with pytest.raises(CrossmarginError):
        prove_statement(
            snapshot,
            compiled.relation,
            policy.digest,
            GivenWitness(np.array(auxiliaries, dtype=object), np.array(wrapped, dtype=object), snapshot.manifest),
            workshop.randomness,
            select_backend(),
            packing=0,
        )
