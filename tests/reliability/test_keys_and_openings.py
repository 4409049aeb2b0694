"""What a venue signs opens and verifies, and a damaged key is found before it is used (R10, R13)."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.errors import MalformedError
from crossmargin_prover import receipts
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.receipts import check_each_opening, make_receipts
from crossmargin_prover.signing import SignatureFailedError, SigningKey, check_signatures
from crossmargin_prover.snapshot import COORDINATES_BYTES, CommittedShard, CommittedSnapshot
from crossmargin_prover.vault.vault import Vault, VaultError
from crossmargin_verifier.bundle.signature import receipt_digest, verify_signature
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import PRIME, add
from tests.reliability.conftest import EXAMPLE, command


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(data)


@pytest.mark.parametrize("bit", [0, 100, 255])
@pytest.mark.parametrize("key", ["signing.key", "randomness.key"])
def test_damaged_key_signs_and_names_nothing(vault: Path, tmp_path: Path, key: str, bit: int) -> None:
    flip(vault / key, bit)
    result = command("receipts", "--vault", vault, "--out", tmp_path / "receipts")
    assert result.exit_code == 1
    assert f"{key} is not the key that keys.json names: one of the two is damaged" in result.stderr
    assert not list((tmp_path / "receipts").glob("*"))


def test_damaged_key_is_not_published_nor_passed_on(vault: Path, tmp_path: Path) -> None:
    flip(vault / "signing.key", 9)
    publish = command("publish", "--book", EXAMPLE, "--vault", vault, "--out", tmp_path / "bundle", "--processes", 1)
    assert "signing.key is not the key" in publish.stderr
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(VaultError, match=r"signing\.key is not the key"):
        Vault.create(tmp_path / "new", earlier=Vault.open(vault))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{" * 9999])
def test_damaged_list_of_keys_is_refused(vault: Path, text: str) -> None:
    (vault / "keys.json").write_text(text, encoding="utf-8")
    with pytest.raises(VaultError, match=r"keys\.json is damaged"):
        _ = Vault.open(vault).signing_key


def test_vault_from_before_opens_without_a_list_of_keys(vault: Path) -> None:
    before = Vault.open(vault)
    keys = before.signing_key.public, before.naming_key
    named = json.loads((vault / "keys.json").read_bytes())
    assert named["signing_public"] == keys[0].hex()
    (vault / "keys.json").unlink()
    assert (before.signing_key.public, before.naming_key) == keys


@pytest.mark.parametrize("kept", range(3))
def test_keys_that_were_written_in_part_are_written_again(tmp_path: Path, kept: int) -> None:
    """A kill between two of the three files leaves a vault that the same command goes on with."""
    Vault.create(tmp_path / "vault")
    for name in ("keys.json", "randomness.key", "signing.key")[kept:]:
        (tmp_path / "vault" / name).unlink()
    vault = Vault.create(tmp_path / "vault")
    assert vault.signing_key.public == Vault.create(tmp_path / "vault").signing_key.public


def test_signatures_are_checked_one_by_one_or_together() -> None:
    key, other = SigningKey.generate(), SigningKey.generate()
    files = [bytes([number]) for number in range(5)]
    digests = [receipt_digest(each) for each in files]
    for digest, signature in zip(digests, key.sign_receipts(files), strict=True):
        verify_signature(key.public, digest, signature)
    signatures = [key._sign(digest) for digest in digests]
    check_signatures(key.public, digests, signatures)
    parity, r, s = signatures[3]
    for wrong in ((1 - parity, r, s), (parity, r, ORDER - s), (parity, r ^ 1, s), (parity, r, s ^ 1)):
        with pytest.raises(SignatureFailedError):
            check_signatures(key.public, digests, [*signatures[:3], wrong, signatures[4]])
    with pytest.raises(SignatureFailedError):
        check_signatures(other.public, digests, signatures)


def test_wrong_signature_is_never_written(vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the machine while it signs."""
    sign = SigningKey._sign

    def faulty(self: SigningKey, digest: bytes) -> tuple[int, int, int]:
        parity, r, s = sign(self, digest)
        return parity, r, s ^ 4

    monkeypatch.setattr(SigningKey, "_sign", faulty)
    result = command("receipts", "--vault", vault, "--out", tmp_path / "receipts")
    assert result.exit_code == 1
    assert "a fresh signature does not verify" in result.stderr
    assert not list((tmp_path / "receipts").glob("*.cm2"))


ACCOUNTS = 4


@pytest.fixture(scope="module")
def snapshot() -> CommittedSnapshot:
    records = csr_array(np.arange(1, 2 * ACCOUNTS + 1, dtype=np.int64).reshape(ACCOUNTS, 2))
    ids = [f"holder-{number}" for number in range(ACCOUNTS)]
    randomness, backend = SystemRandomness(), select_backend("reference")
    return commit_snapshot("venue/book/1", 1, ("usd", "btc"), records, ids, ACCOUNTS, randomness, backend)


def with_points(shard: CommittedShard, points: Sequence[tuple[int, int]]) -> CommittedShard:
    data = b"".join(x.to_bytes(32, "big") + y.to_bytes(32, "big") for x, y in points)
    return CommittedShard(shard.records, shard.ids, shard.nonces, shard.order, data, shard.blinding)


def points_of(shard: CommittedShard) -> list[tuple[int, int]]:
    values = [int.from_bytes(shard.points[at : at + 32], "big") for at in range(0, COORDINATES_BYTES * len(shard), 32)]
    return list(zip(values[::2], values[1::2], strict=True))


def test_each_receipt_opens_though_the_sum_does(snapshot: CommittedSnapshot) -> None:
    """Two accounts whose commitments are exchanged, or moved against each other, add up as before."""
    (shard,) = snapshot.shards
    sid, points = snapshot.manifest.sid, points_of(shard)
    check_each_opening(shard, range(ACCOUNTS), sid, "shard 0")
    exchanged = with_points(shard, [points[1], points[0], *points[2:]])
    step = points[3]
    up, down = add(points[0], step), add(points[1], (step[0], PRIME - step[1]))
    assert up is not None
    assert down is not None
    moved = with_points(shard, [up, down, *points[2:]])
    for wrong in (exchanged, moved):
        wrong.check_opening(sid, "shard 0")
        for places in (range(ACCOUNTS), [0], [1]):
            with pytest.raises(MalformedError, match="a commitment does not open to the record of its account"):
                check_each_opening(wrong, places, sid, "shard 0")
        check_each_opening(wrong, [2, 3], sid, "shard 0")
        forged = CommittedSnapshot(snapshot.manifest, snapshot.columns, snapshot.files, [wrong])
        with pytest.raises(MalformedError, match="does not open"):
            next(make_receipts(forged, None, SigningKey.generate(), bytes(32)))


def test_point_off_the_curve_is_found(snapshot: CommittedSnapshot) -> None:
    (shard,) = snapshot.shards
    points = points_of(shard)
    wrong = with_points(shard, [(points[0][0], points[0][1] ^ 2), *points[1:]])
    with pytest.raises(MalformedError, match="does not open"):
        check_each_opening(wrong, [0], snapshot.manifest.sid, "shard 0")


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_batches_leave_no_receipt_out(vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(receipts, "BATCH", batch)
    opened = Vault.open(vault)
    made = list(make_receipts(opened.load(), None, opened.signing_key, opened.naming_key))
    assert {each.account for each in made} == {f"acct-{letter}" for letter in "abcde"}
    for each in made:
        assert each.content.signature is not None
        verify_signature(opened.signing_key.public, receipt_digest(each.content.receipt), each.content.signature)


def test_index_names_receipts_that_are_there(vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends in the middle leaves an index without receipts that were not written, and the next goes on."""
    out, written = tmp_path / "receipts", []

    def full(folder: Path, files: dict[str, bytes], mode: int) -> None:
        written.extend(files)
        raise OSError(28, "No space left on device", str(folder / next(iter(files))))

    with monkeypatch.context() as patch:
        patch.setattr("crossmargin_prover.workflow.deliver.write_files", full)
        assert command("receipts", "--vault", vault, "--out", out).exit_code == 1
    assert written
    assert json.loads((out / "index.json").read_bytes())["receipts"] == {}
    assert command("receipts", "--vault", vault, "--out", out).exit_code == 0
    index = json.loads((out / "index.json").read_bytes())["receipts"]
    assert sorted(path.stem for path in out.glob("*.cm2")) == sorted(index.values())
    shutil.rmtree(out)


def test_damaged_report_blames_no_statement(vault: Path, tmp_path: Path) -> None:
    """Another proof would not mend it."""
    flip(vault / "report.json", 0)
    result = command("publish", "--book", EXAMPLE, "--vault", vault, "--out", tmp_path / "bundle", "--processes", 1)
    assert result.exit_code == 1
    assert "report.json: not a report of this vault" in result.stderr
    assert "prove that statement again" not in result.stderr
