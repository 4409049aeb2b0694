"""Every value of the protocol's test vectors that does not need a prover; both complete proofs verify."""

import hashlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.layout import columns_digest, decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.generators import (
    blinding_generator,
    generator,
    mask_generators,
    position_generators,
    slack_generators,
    value_generator,
)
from crossmargin_verifier.protocol.group import encode_point, msm
from crossmargin_verifier.protocol.inclusion import blinding_scalar, verify_receipt, verify_same_position
from crossmargin_verifier.protocol.merkle import leaf_hash
from crossmargin_verifier.protocol.projection import projection_stream
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.transcript import Transcript
from crossmargin_verifier.protocol.verify import verify_snapshot, verify_statement

FOLDER = Path(__file__).parent.parent / "vectors"
Files = dict[str, bytes]


def u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def test_generators(vectors: dict[str, Any]) -> None:
    derived = {
        "A0": position_generators(1)[0],
        "A499": generator(b"A" + u32(499)),
        "B(0,0,0)": slack_generators(1, 0)[0],
        "B(3,15,63)": generator(b"B" + u32(3, 15, 63)),
        "M0": mask_generators(1)[0],
        "H": blinding_generator(),
        "U": value_generator(),
    }
    assert {name: encode_point(point).hex() for name, point in derived.items()} == vectors["generators"]


def test_transcript(vectors: dict[str, Any]) -> None:
    vector = vectors["transcript"]
    transcript = Transcript("shard")
    label, data = vector["absorb"]
    transcript.absorb(label, data.encode())
    assert transcript.state.hex() == vector["state_after_absorb"]
    assert [f"{transcript.challenge('tau'):064x}" for _ in range(2)] == vector["challenges_tau"]
    # The vector draws the seed after the two challenges.
    assert transcript.seed("proj").hex() == vector["seed_proj"]


def test_blinding(vectors: dict[str, Any]) -> None:
    vector = vectors["blinding"]
    blinding = blinding_scalar(vector["snapshot_id"], vector["id"], bytes.fromhex(vector["nonce"]))
    assert f"{blinding:064x}" == vector["r"]


def test_position(vectors: dict[str, Any]) -> None:
    vector = vectors["position"]
    point = encode_point(msm([*vector["x"], int(vector["r"])], [*position_generators(3), blinding_generator()]))
    assert point.hex() == vector["X"]
    assert leaf_hash(point).hex() == vector["leaf"]


def test_slack_row(vectors: dict[str, Any]) -> None:
    vector = vectors["slack_row"]
    values = vector["values"]
    bits = [value >> bit & 1 for account in values for value in account for bit in range(64)]
    bases = [*slack_generators(len(values[0]), vector["gamma"]), blinding_generator()]
    assert encode_point(msm([*bits, int(vector["s"])], bases)).hex() == vector["R"]


def test_projection_stream(vectors: dict[str, Any]) -> None:
    shape = Shape(1, 1, 3, 0, 0, 1, 0, 1)
    assert projection_stream(bytes(32), shape)[:16].hex() == vectors["projection_seed_zero_i0_v0"]


def test_relation(vectors: dict[str, Any]) -> None:
    vector = vectors["relation"]
    columns = ("usd", "btc", "perp")
    relation = Relation.decode(bytes.fromhex(vector["file"]), columns)
    assert relation.encoded.hex() == vector["file"]
    assert relation.digest.hex() == vector["digest"]
    assert columns_digest(columns).hex() == vector["columns_digest"]


def relation_of(files: Files) -> Relation:
    return Relation.decode(files["relation.cm1"], decode_columns(files["columns.cm1"]))


def test_book_proof(vectors: dict[str, Any], tiny: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[str]] = []
    challenge = Transcript.challenge

    def record(transcript: Transcript, label: str) -> int:
        value = challenge(transcript, label)
        drawn.append([label, f"{value:064x}"])
        return value

    monkeypatch.setattr(Transcript, "challenge", record)
    vector = vectors["tiny"]
    verified = verify_statement(
        StatementFiles(tiny),
        relation_of(tiny),
        bytes(32),
    )
    assert verified.snapshot.digest.hex() == vector["snapshot_digest"]
    assert verified.statement.digest.hex() == vector["statement_digest"]
    assert verified.totals == (1025, 75, 9)
    assert verified.auxiliary_totals == (12,)
    assert (verified.snapshot.sid, verified.snapshot.as_of) == ("2025-01-01", vector["as_of"])
    assert verified.totals is not None
    # The verifier takes the totals before the shard; the vector leaves out the base totals, which have one challenge.
    expected = vector["challenges_in_order"]
    shard = next(index for index, (label, _) in enumerate(expected) if label == "zeta")
    assert drawn[0][0] == "c"
    assert drawn[1:] == [*expected[shard:], *expected[:shard]]


def test_bounded_proof(bounded: Files) -> None:
    verified = verify_statement(StatementFiles(bounded), relation_of(bounded), bytes(32))
    assert verified.totals is None
    assert verified.totals is None


def test_receipt(vectors: dict[str, Any], tiny: Files, bounded: Files) -> None:
    """The receipt of the book leads to the same 33 bytes that the bounded proof is about (H5)."""
    vector = vectors["tiny"]
    verified = verify_receipt(
        bytes.fromhex(vector["receipt0"]),
        tiny["snapshot.cm1"],
        tiny["columns.cm1"],
        holder="user0@example.org",
        snapshot_digest=bytes.fromhex(vector["snapshot_digest"]),
        record=vector["accounts"][0]["x"],
    )
    verify_same_position(verified, verify_snapshot(StatementFiles(bounded)).positions, 0)


def test_digests_of_the_files(tiny: Files, bounded: Files) -> None:
    """The first bytes of the table in SPEC section 12, so that the vectors cannot be exchanged with the text."""
    digests = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in tiny.items()}
    assert digests["positions.cm1"] == "7567b19fe56f5b96"
    assert digests["slack.cm1"] == "5d980eaaab736614"
    assert digests["totals.cm1"] == "aa006778e55845e2"
    assert digests["auxtotals.cm1"] == "9bb6e7ecfd25bbd5"
    assert digests["shard-000000.cm1"] == "af1c14a8c8346382"
    assert hashlib.sha256(bounded["shard-000000.cm1"]).hexdigest()[:16] == "cd9fb2a8ad7c230b"


def run_script(*arguments: str, optimised: bool = False) -> str:
    options = ["-O"] if optimised else []
    command = [sys.executable, *options, *arguments]
    finished = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_transcript_inventory() -> None:
    """Every absorb and every challenge, in order; `python inventory.py > transcript.txt` writes the file."""
    assert run_script("inventory.py") == (FOLDER / "transcript.txt").read_text(encoding="utf-8")


def test_negative_vectors_are_up_to_date() -> None:
    """`python negative.py write > negative.json` writes the file."""
    assert run_script("negative.py", "write") == (FOLDER / "negative.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("optimised", [False, True], ids=["with the kernel", "without asserts"])
def test_negative_vectors(optimised: bool) -> None:
    """In plain Python under `python -O`, which deletes assert statements, and with the compiled kernel, if any."""
    arithmetic = ["kernel"] if not optimised and find_spec("crossmargin_kernel") else []
    lines = run_script("negative.py", "run", *arithmetic, optimised=optimised).splitlines()
    assert lines[0] == f"asserts: {'off' if optimised else 'on'}"
    assert len(lines) > 60
