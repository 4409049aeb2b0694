"""Every value of the protocol's test vectors that does not need a prover; all complete books verify."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from protocol_vectors import FOLDER, load, parts, relations_of, shards_vector, verify
from protocol_vectors import vectors as loaded_vectors

from crossmargin_circuits.digest import PROTOCOL
from crossmargin_circuits.layout import columns_digest
from crossmargin_prover.backend import select_backend
from crossmargin_verifier.protocol.errors import RejectedError
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
from crossmargin_verifier.protocol.records import RecordShape, record_bits
from crossmargin_verifier.protocol.transcript import RECORDS, Transcript
from crossmargin_verifier.protocol.verify import verify_snapshot

BOOKS = ["tiny", "tiny_one", "shards"]

ARITHMETIC = select_backend().arithmetic
"""The fastest that is installed."""


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    return loaded_vectors()


def u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def test_suite(vectors: dict[str, Any]) -> None:
    assert vectors["suite"] == shards_vector()["suite"] == PROTOCOL


def test_generators(vectors: dict[str, Any]) -> None:
    """L and W belong to hidden arrays, which this verifier does not read; they are fixed all the same."""
    derived = {
        "A0": position_generators(1)[0],
        "B(3,15,63)": slack_generators(16, 2)[(3 * 16 + 15) * 64 + 63],
        "M0": mask_generators(1)[0],
        "M335": mask_generators(336)[335],
        "H": blinding_generator(),
        "U": value_generator(),
        "L0": generator(b"L" + u32(0)),
        "W": generator(b"W"),
    }
    assert {name: encode_point(point).hex() for name, point in derived.items()} == vectors["generators"]


def test_transcript(vectors: dict[str, Any]) -> None:
    vector = vectors["transcript"]
    assert vector["init"] == f"Transcript('{RECORDS}')"
    transcript = Transcript(RECORDS)
    label, data = vector["absorb"]
    transcript.absorb(label, data.encode())
    assert transcript.seed("proj").hex() == vector["seed_proj"]
    assert f"{transcript.challenge('lambda'):064x}" == vector["challenge_lambda"]


def test_record_parameters(vectors: dict[str, Any]) -> None:
    assert len(vectors["record_parameters"]) == 5
    for vector in vectors["record_parameters"]:
        shape = RecordShape(vector["N"], vector["V"])
        found = {
            "N": shape.accounts_per_shard,
            "V": shape.columns,
            "P": shape.projections,
            "Bb": shape.magnitude_bits,
            "zb": shape.projection_bytes,
            "Y": shape.mask_bits,
            "m": shape.masks,
            "size": shape.size,
        }
        assert found == vector


def blocks(data: bytes, size: int) -> list[str]:
    return [data[at : at + size].hex() for at in range(0, len(data), size)]


def test_projections_of_seed_zero(vectors: dict[str, Any]) -> None:
    vector = vectors["projections_of_seed_zero"]
    alpha, beta = record_bits(bytes(32), RecordShape(vector["N"], vector["V"]))
    assert blocks(alpha, 39) == vector["alpha"]
    assert blocks(beta, 39) == vector["beta"]
    alpha, beta = record_bits(bytes(32), RecordShape(1, vector["V"]))
    assert alpha == b"\xff" * 16
    assert blocks(beta, 16) == vector["N1_beta"]


def test_blinding(vectors: dict[str, Any]) -> None:
    vector = vectors["blinding"]
    blinding = blinding_scalar(vector["snapshot_id"], vector["id"], bytes.fromhex(vector["nonce"]))
    assert f"{blinding:064x}" == vector["r"]


def test_position(vectors: dict[str, Any]) -> None:
    vector = vectors["position"]
    point = encode_point(msm([*vector["x"], int(vector["r"])], [*position_generators(3), blinding_generator()]))
    assert point.hex() == vector["X"]
    assert leaf_hash(point).hex() == vector["leaf"]


@pytest.mark.parametrize("name", BOOKS)
def test_relations(name: str) -> None:
    files = load(name)
    for statement, relation in relations_of(files).items():
        assert relation.encoded == files[f"statements/{statement}/relation.cm2"]
        assert columns_digest(relation.columns) == columns_digest(("usd", "btc", "perp"))
        assert any(row.offset for row in relation.rows) == (statement == "maintenance")


@pytest.mark.parametrize("name", BOOKS)
def test_values_satisfy_the_relations(name: str) -> None:
    """Each account's slacks and auxiliaries as the relation computes them; empty leaves have zeros."""
    vector = shards_vector() if name == "shards" else loaded_vectors()[name]
    for statement, relation in relations_of(load(name)).items():
        for number, values in enumerate(vector["values"][statement]):
            slacks, auxiliaries = values[: len(relation.rows)], values[len(relation.rows) :]
            if number < vector["n"]:
                assert relation.slacks(vector["accounts"][number]["x"], auxiliaries) == slacks
            else:
                assert not any(values)


@pytest.mark.parametrize("name", ["tiny", "tiny_one"])
def test_books(vectors: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests, totals and every challenge, in order for each transcript."""
    kinds: dict[int, tuple[str, list[list[str]]]] = {}
    init, challenge = Transcript.__init__, Transcript.challenge

    def recorded_init(transcript: Transcript, kind: str) -> None:
        kinds[id(transcript)] = (kind, [])
        started.append((transcript, kinds[id(transcript)]))
        init(transcript, kind)

    def recorded_challenge(transcript: Transcript, label: str) -> int:
        value = challenge(transcript, label)
        kinds[id(transcript)][1].append([label, f"{value:064x}"])
        return value

    started: list[tuple[Transcript, tuple[str, list[list[str]]]]] = []
    monkeypatch.setattr(Transcript, "__init__", recorded_init)
    monkeypatch.setattr(Transcript, "challenge", recorded_challenge)
    vector = vectors[name]
    book = verify(load(name))
    assert book.snapshot.digest.hex() == vector["snapshot_digest"]
    assert (book.snapshot.sid, book.snapshot.as_of) == (vector["sid"], vector["as_of"])
    assert (book.snapshot.accounts_per_shard, book.snapshot.accounts) == (vector["N"], vector["n"])
    assert book.snapshot.shards == vector["S"]
    digests = {statement: found.statement.digest.hex() for statement, found in book.statements.items()}
    assert digests == vector["statement_digests"]

    drawn: dict[str, list[list[list[str]]]] = {}
    for _, (kind, challenges) in started:
        drawn.setdefault(kind, []).append(challenges)
    in_order = vector["challenges_in_order"]
    assert list(chain(*drawn.get("totals", []), *drawn["records"])) == in_order["snapshot"]
    auxiliary = drawn.get("auxtotals", [[]] * len(book.statements))
    for statement, of_shard, of_totals in zip(book.statements, drawn["shard"], auxiliary, strict=True):
        assert [*of_shard, *of_totals] == in_order[statement]


@pytest.mark.parametrize("name", BOOKS)
def test_totals(name: str) -> None:
    """The opened totals are sums over the accounts of the vector, or none is opened."""
    vector = shards_vector() if name == "shards" else loaded_vectors()[name]
    book = verify(load(name), arithmetic=ARITHMETIC)
    if name == "tiny_one":
        assert book.totals is None
        assert [found.auxiliary_totals for found in book.statements.values()] == [None]
        return
    assert book.totals == tuple(map(sum, zip(*(account["x"] for account in vector["accounts"]), strict=True)))
    for statement, found in book.statements.items():
        rows = len(found.relation.rows)
        columns = list(zip(*vector["values"][statement], strict=True))[rows:]
        assert found.auxiliary_totals == tuple(sum(columns[number]) for number in found.relation.disclosed)


def test_receipts(vectors: dict[str, Any]) -> None:
    """The receipt of the book leads to the same 33 bytes that the stand-alone proof is about (H5)."""
    checked = []
    for name in ("tiny", "tiny_one"):
        files, vector = load(name), vectors[name]
        verified = verify_receipt(
            bytes.fromhex(vector["receipt0"]),
            files["snapshot/snapshot.cm2"],
            files["snapshot/columns.cm2"],
            holder="user0@example.org",
            snapshot_digest=bytes.fromhex(vector["snapshot_digest"]),
            record=vector["accounts"][0]["x"],
        )
        checked.append(verified)
    alone = load("tiny_one")
    snapshot = verify_snapshot(parts(alone, {})[0])
    verify_same_position(checked[0], snapshot.manifest, snapshot.positions, 0)
    assert checked[0].position == checked[1].position
    relabelled = replace(snapshot.manifest, columns_digest=columns_digest(("btc", "usd", "perp")))
    with pytest.raises(RejectedError, match="H5: the stand-alone proof is about other columns"):
        verify_same_position(checked[0], relabelled, snapshot.positions, 0)


def test_receipt_of_the_last_shard() -> None:
    files, vector = load("shards"), shards_vector()
    verified = verify_receipt(
        bytes.fromhex(vector["receipt4"]),
        files["snapshot/snapshot.cm2"],
        files["snapshot/columns.cm2"],
        holder=vector["accounts"][4]["id"],
        snapshot_digest=bytes.fromhex(vector["snapshot_digest"]),
        record=vector["accounts"][4]["x"],
    )
    assert verified.receipt.index == 4


def test_digests_of_the_files(vectors: dict[str, Any]) -> None:
    for name in ("tiny", "tiny_one"):
        digests = {path: hashlib.sha256(data).hexdigest() for path, data in load(name).items()}
        assert digests == vectors[name]["sha256"]


def test_a_statement_may_be_checked_alone() -> None:
    files = load("shards")
    for statement, relation in relations_of(files).items():
        book = verify(files, {statement: relation}, arithmetic=ARITHMETIC)
        assert list(book.statements) == [statement]
    assert verify(files, {}, arithmetic=ARITHMETIC).statements == {}


def run_script(*arguments: str, optimised: bool = False) -> str:
    options = ["-O"] if optimised else []
    command = [sys.executable, *options, *arguments]
    finished = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["inventory.py"], "transcript.txt"),
        (["negative.py", "write"], "negative.json"),
        (["shards.py"], "shards.json"),
    ],
)
def test_what_the_scripts_write_is_up_to_date(arguments: list[str], file: str) -> None:
    """Run in the folder of the vectors, for instance `python inventory.py > transcript.txt`."""
    assert run_script(*arguments) == (Path(FOLDER) / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "plain", [pytest.param(False, id="fastest"), pytest.param(True, id="plain", marks=pytest.mark.slow)]
)
def test_negative_vectors(plain: bool) -> None:
    """Under `python -O`, which deletes assert statements; with the compiled kernel, if any, or in plain Python."""
    arithmetic = ["kernel"] if not plain and find_spec("crossmargin_kernel") else []
    lines = run_script("negative.py", "run", *arithmetic, optimised=True).splitlines()
    assert lines[0] == "asserts: off"
    assert len(lines) > 100
