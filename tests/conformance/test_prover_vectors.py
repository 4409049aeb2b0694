"""The prover makes every file of the protocol's test vectors byte for byte, and draws every challenge in order."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import Backend, available, select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SeededRandomness
from crossmargin_prover.snapshot import CommittedSnapshot, receipt_for
from crossmargin_prover.statement import GivenWitness, StatementError, prove_statement
from crossmargin_verifier.protocol.manifests import RELATION_FILE
from crossmargin_verifier.protocol.transcript import TOTALS, Transcript

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "protocol2.json").read_text(encoding="utf-8"))
COLUMNS = ("usd", "btc", "perp")
BACKENDS = [select_backend(name) for name in available()]

Challenges = list[tuple[str, str]]


@pytest.fixture
def challenges(monkeypatch: pytest.MonkeyPatch) -> dict[str, Challenges]:
    """Every challenge that is drawn, in order, by the kind of its transcript."""
    drawn: dict[str, Challenges] = {}
    init, challenge = Transcript.__init__, Transcript.challenge
    kinds: dict[int, str] = {}

    def recording_init(self: Transcript, kind: str) -> None:
        kinds[id(self)] = kind
        init(self, kind)

    def recording_challenge(self: Transcript, label: str) -> int:
        value = challenge(self, label)
        drawn.setdefault(kinds[id(self)], []).append((label, f"{value:064x}"))
        return value

    monkeypatch.setattr(Transcript, "__init__", recording_init)
    monkeypatch.setattr(Transcript, "challenge", recording_challenge)
    return drawn


def commit(case: dict[str, Any], backend: Backend) -> CommittedSnapshot:
    return commit_snapshot(
        case["sid"],
        case["as_of"],
        COLUMNS,
        csr_array(np.array([account["x"] for account in case["accounts"]], dtype=np.int64)),
        [account["id"] for account in case["accounts"]],
        case["N"],
        SeededRandomness(bytes.fromhex(case["seed"])),
        backend,
        open_totals="snapshot/totals.cm2" in case["files"],
    )


def prove(
    case: dict[str, Any], snapshot: CommittedSnapshot, name: str, number: int, backend: Backend
) -> dict[str, bytes]:
    """Return the files of a statement, with the randomness of the number-th, from 1."""
    relation = Relation.decode(bytes.fromhex(case["files"][f"statements/{name}/{RELATION_FILE}"]), COLUMNS)
    values = np.array(case["values"][name][: case["n"]], dtype=np.uint64)
    count = len(relation.rows)
    return prove_statement(
        snapshot,
        relation,
        bytes.fromhex(case["policy_digest"]),
        GivenWitness(values[:, count:], values[:, :count], snapshot.manifest),
        SeededRandomness(bytes([number]) + bytes.fromhex(case["seed"])[1:]),
        backend,
        packing=case["gamma"],
    )


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("name", ["tiny", "tiny_one"])
def test_files_and_challenges(
    name: str, backend: Backend, challenges: dict[str, Challenges], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = VECTORS[name]
    # Nobody should prove the second case: it has a shortfall, and no total of it.
    monkeypatch.setattr("crossmargin_prover.statement.check_totals", lambda relation, snapshot: None)
    snapshot = commit(case, backend)
    files = {f"snapshot/{file}": data for file, data in snapshot.files.items()}
    found = {"snapshot": sorted_by_start(challenges)}
    for number, statement in enumerate(case["values"], start=1):
        made = prove(case, snapshot, statement, number, backend)
        files |= {f"statements/{statement}/{file}": data for file, data in made.items()}
        found[statement] = sorted_by_start(challenges)
    assert {path: data.hex() for path, data in files.items()} == case["files"]
    assert snapshot.manifest.digest.hex() == case["snapshot_digest"]
    assert found == {
        name: [(label, value.rjust(64, "0")) for label, value in drawn]
        for name, drawn in case["challenges_in_order"].items()
    }
    assert receipt_for(snapshot, 0).hex() == case["receipt0"]


def sorted_by_start(challenges: dict[str, Challenges]) -> Challenges:
    """Return the challenges so far and forget them: totals first, as the vectors list them, then in order."""
    drawn = challenges.pop(TOTALS, [])
    for kind in list(challenges):
        drawn += challenges.pop(kind)
    return drawn


def test_a_shortfall_without_its_total_is_refused() -> None:
    """The statement of the second case shows nothing, so the prover makes it for no venue."""
    case = VECTORS["tiny_one"]
    snapshot = commit(case, BACKENDS[0])
    with pytest.raises(StatementError, match="strict"):
        prove(case, snapshot, "maintenance", 1, BACKENDS[0])
