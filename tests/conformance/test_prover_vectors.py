"""The prover makes every file of the protocol's test vectors byte for byte, and draws every challenge in order."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SeededRandomness
from crossmargin_prover.snapshot import CommittedSnapshot, receipt_for
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_verifier.protocol.transcript import AUXILIARY_TOTALS, SHARD, Transcript

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "protocol.json").read_text(encoding="utf-8"))
TINY = VECTORS["tiny"]
BOUNDED = VECTORS["tiny_bounded"]
RANDOMNESS = SeededRandomness(bytes.fromhex(TINY["seed"]))
BACKEND = select_backend("reference")
COLUMNS = ("usd", "btc", "perp")
RELATION = Relation.decode(bytes.fromhex(TINY["files"]["relation.cm1"]), COLUMNS)


def commit(case: dict[str, Any], columns: tuple[str, ...], *, open_totals: bool = True) -> CommittedSnapshot:
    accounts = [account for account in case["accounts"] if account["id"]]
    return commit_snapshot(
        "2025-01-01",
        1735689600,
        columns,
        csr_array(np.array([account["x"] for account in accounts], dtype=np.int64)),
        [account["id"] for account in accounts],
        case["N"],
        RANDOMNESS,
        BACKEND,
        open_totals=open_totals,
    )


def prove(
    snapshot: CommittedSnapshot, relation: Relation, auxiliaries: list[list[int]], packing: int, mode: int
) -> dict[str, bytes]:
    records, leaves = snapshot.whole().records, snapshot.manifest.leaves
    slacks = [relation.slacks(records.row(leaf), auxiliaries[leaf]) for leaf in range(leaves)]
    witness = GivenWitness(auxiliaries, slacks, leaves)
    return prove_statement(snapshot, relation, bytes(32), witness, RANDOMNESS, BACKEND, packing=packing, mode=mode)


def tiny_auxiliaries(case: dict[str, Any]) -> list[list[int]]:
    return [[max(account["x"][2], 0)] for account in case["accounts"]]


def test_book_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    challenges = record_challenges(monkeypatch)
    snapshot = commit(TINY, COLUMNS)
    files = prove(snapshot, RELATION, tiny_auxiliaries(TINY), TINY["gamma"], 0)
    assert {name: data.hex() for name, data in files.items()} == TINY["files"]
    assert snapshot.manifest.digest.hex() == TINY["snapshot_digest"]
    expected = [(label, int(value, 16)) for label, value in TINY["challenges_in_order"]]
    assert challenges == expected
    assert receipt_for(snapshot, 0).hex() == TINY["receipt0"]


def test_bounded_statement() -> None:
    snapshot = commit(BOUNDED, COLUMNS, open_totals=False)
    files = prove(snapshot, RELATION, tiny_auxiliaries(BOUNDED), BOUNDED["gamma"], BOUNDED["mode"])
    assert {name: data.hex() for name, data in files.items()} == BOUNDED["files"]


@pytest.mark.parametrize("case", VECTORS["compact"], ids=lambda case: case["name"])
def test_compact_cases(case: dict[str, Any]) -> None:
    relation = Relation(
        tuple(case["columns"]),
        tuple(Auxiliary(entry["label"], bool(entry["disclosed"])) for entry in case["auxiliaries"]),
        tuple(Row(row["label"], tuple(row["L"]), tuple(row["Laux"]), row["c"]) for row in case["rows"]),
    )
    snapshot = commit(case, relation.columns)
    files = prove(snapshot, relation, case["aux"], case["gamma"], 0)
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == case["sha256"]
    assert snapshot.manifest.digest.hex() == case["snapshot_digest"]
    assert relation.digest.hex() == case["relation_digest"]


def record_challenges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return a list that grows by every challenge of shard and auxiliary-totals transcripts."""
    drawn: list[tuple[str, int]] = []
    init, challenge = Transcript.__init__, Transcript.challenge
    kinds: dict[int, str] = {}

    def recording_init(self: Transcript, kind: str) -> None:
        kinds[id(self)] = kind
        init(self, kind)

    def recording_challenge(self: Transcript, label: str) -> int:
        value = challenge(self, label)
        if kinds[id(self)] in (SHARD, AUXILIARY_TOTALS):
            drawn.append((label, value))
        return value

    monkeypatch.setattr(Transcript, "__init__", recording_init)
    monkeypatch.setattr(Transcript, "challenge", recording_challenge)
    return drawn
