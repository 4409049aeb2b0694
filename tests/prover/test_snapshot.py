"""Committed snapshots: input that is refused, the private file, and receipts."""

import io
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.errors import MalformedError
from crossmargin_circuits.layout import encode_columns
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot, stand_alone_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.snapshot import CommittedSnapshot, encode_receipt, receipt_for
from crossmargin_prover.vault.arrays import decode_shard, load_snapshot, shard_name
from crossmargin_prover.vault.store import FolderStore
from crossmargin_prover.witness import WitnessError
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.inclusion import Receipt, verify_receipt
from crossmargin_verifier.protocol.manifests import COLUMNS_FILE, POSITIONS_FILE, SNAPSHOT_FILE, records_file

BACKEND = select_backend()
RANDOMNESS = SystemRandomness()
COLUMNS = ("usd", "btc")


def commit(records: list[list[int]], ids: list[str], per_shard: int = 2, **options: Any) -> CommittedSnapshot:
    matrix = csr_array(np.array(records, dtype=np.int64).reshape(len(records), 2))
    return commit_snapshot("venue/book", 7, COLUMNS, matrix, ids, per_shard, RANDOMNESS, BACKEND, **options)


@pytest.fixture(scope="module")
def snapshot() -> CommittedSnapshot:
    return commit([[5, -1], [0, 2], [9, 9]], ["ann", "ben/margin", "césar"])


def leaf_of(snapshot: CommittedSnapshot, number: int) -> int:
    return snapshot.whole().order.tolist().index(number)


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (["ann"], "1 ids for 2 accounts"),
        (["ann", ""], "account 1: empty id"),
        (["ann", "ann"], "account 1: id used by an earlier account"),
        (["ann", "é" * 40000], "account 1: id longer than 65535 bytes"),
    ],
)
def test_ids_that_are_refused(ids: list[str], reason: str) -> None:
    with pytest.raises(WitnessError, match=reason):
        commit([[1, 1], [2, 2]], ids)


def test_records_that_are_refused() -> None:
    with pytest.raises(WitnessError, match="holder 1: column 1: magnitude"):
        commit([[1, 1], [2, 2**62]], ["ann", "ben"], name_account=lambda number: f"holder {number}")
    with pytest.raises(WitnessError, match="2 columns, 1 labels"):
        matrix = csr_array(np.array([[1, 1]]))
        commit_snapshot("book", 7, ("usd",), matrix, ["ann"], 1, RANDOMNESS, BACKEND)
    for size in (0, 3):
        with pytest.raises(MalformedError, match="power of two"):
            commit([[1, 1]], ["ann"], per_shard=size)
    with pytest.raises(MalformedError, match="shards of 8 accounts: too many for 4 accounts"):
        commit([[1, 1]] * 4, ["ann", "ben", "carl", "dora"], per_shard=8)
    with pytest.raises(WitnessError, match="no account"):
        commit([], [])
    with pytest.raises(MalformedError, match="label 'usd' twice"):
        matrix = csr_array(np.array([[1, 1]]))
        commit_snapshot("book", 7, ("usd", "usd"), matrix, ["ann"], 1, RANDOMNESS, BACKEND)


def test_store_round_trip(snapshot: CommittedSnapshot, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "snapshot")
    committed = commit([[5, -1], [0, 2], [9, 9]], ["ann", "ben/margin", "césar"], store=store)
    again = load_snapshot(FolderStore(store.path))
    assert (again.manifest, again.columns, again.files) == (committed.manifest, committed.columns, committed.files)
    for shard, other in zip(again.shards, committed.shards, strict=True):
        assert shard.records == other.records
        assert (shard.ids, shard.nonces, shard.points) == (other.ids, other.nonces, other.points)
        assert (shard.order.tolist(), shard.blinding) == (other.order.tolist(), other.blinding)
        assert shard.blinding == sum(shard.blindings("venue/book")) % ORDER
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.path.iterdir()} == {0o600}
    assert list(store) == sorted(path.name for path in store.path.iterdir())


def test_snapshot_without_totals() -> None:
    assert not commit([[5, -1]], ["ann"], 1, open_totals=False).opens_totals


def test_last_shard_holds_accounts_alone(snapshot: CommittedSnapshot) -> None:
    """Three accounts in shards of two: an empty leaf has no point, no nonce and no place in the order."""
    assert [len(shard) for shard in snapshot.shards] == [2, 1]
    assert sorted(snapshot.whole().order.tolist()) == [0, 1, 2]
    assert len(snapshot.whole().encodings) == 3 * 33 == len(snapshot.files[POSITIONS_FILE]) - 14
    assert {records_file(0), records_file(1)} < set(snapshot.files)


def test_damaged_stores(tmp_path: Path) -> None:
    kept: dict[str, bytes] = {}
    commit([[5, -1], [0, 2], [9, 9]], ["ann", "ben/margin", "césar"], store=kept)
    other: dict[str, bytes] = {}
    commit([[5, -1], [0, 2], [9, 9]], ["ann", "ben/margin", "césar"], store=other)
    name = shard_name(1)

    def load(changes: dict[str, bytes]) -> None:
        snapshot = load_snapshot({**kept, **changes})
        for _ in snapshot.shards:
            pass

    load({})
    data = kept[name]
    for damaged in (b"", b"PK\x03\x04", data[: len(data) // 2], b"not an archive"):
        with pytest.raises(MalformedError, match=r"shard-000001\.npz: not a private file"):
            load({name: damaged})
    for changed in (other[name], kept[shard_name(0)]):
        with pytest.raises(MalformedError, match=r"shard-000001\.npz: of another snapshot than positions\.cm2"):
            load({name: changed})
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {each: archive[each] for each in archive.files}
    for change in (
        {"format": np.array(2)},
        {"nonces": arrays["nonces"][:-1]},
        {"order": arrays["order"][:-1]},
        {"points": arrays["points"][:-64]},
        {"indices": arrays["indices"] + 7},
        {"indptr": arrays["indptr"][::-1]},
        {"id_lengths": arrays["id_lengths"] + 1},
        {"data": np.full_like(arrays["data"], -(2**63))},
        {"data": arrays["data"].astype(np.float64)},
        {"order": np.array(0)},
        {"indptr": arrays["indptr"].reshape(1, -1)},
        {"ids": np.array(["ann", "ben"])},
    ):
        stream = io.BytesIO()
        np.savez(stream, **{**arrays, **change})
        with pytest.raises(MalformedError, match=r"shard-000001\.npz: "):
            load({name: stream.getvalue()})
    del arrays["ids"]
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    with pytest.raises(MalformedError, match="no array 'ids'"):
        load({name: stream.getvalue()})
    for missing in ("columns.cm2", "positions.cm2", "snapshot.cm2"):
        with pytest.raises(MalformedError, match=f"{missing} is missing"):
            load_snapshot({each: data for each, data in kept.items() if each != missing})
    with pytest.raises(MalformedError, match="of another snapshot"):
        load({"positions.cm2": other["positions.cm2"]})
    with pytest.raises(MalformedError, match=r"columns\.cm2 is not that of snapshot\.cm2"):
        load({"columns.cm2": encode_columns(("usd", "eth"))})
    with pytest.raises(MalformedError, match="does not lead to the root"):
        _ = load_snapshot({**kept, "positions.cm2": other["positions.cm2"]}).shard_roots


def test_private_files_hold_no_pickle() -> None:
    kept: dict[str, bytes] = {}
    commit([[5, -1]], ["ann"], 1, store=kept)
    stream = io.BytesIO()
    np.savez(stream, format=np.array([{}], dtype=object))
    with pytest.raises(MalformedError):
        decode_shard({shard_name(0): stream.getvalue()}, 0, 2)


def test_receipt_of_another_holder(snapshot: CommittedSnapshot) -> None:
    """One leaf cannot be shown to two holders: the id is in the blinding."""
    leaf = leaf_of(snapshot, 0)
    public = snapshot.files[SNAPSHOT_FILE], snapshot.files[COLUMNS_FILE]
    assert verify_receipt(receipt_for(snapshot, leaf), *public, holder="ann").receipt.record == (5, -1)
    with pytest.raises(RejectedError, match="H2"):
        verify_receipt(receipt_for(snapshot, leaf), *public, holder="eve")
    forged = replace(Receipt.decode(receipt_for(snapshot, leaf)), holder="eve")
    with pytest.raises(RejectedError, match="H4"):
        verify_receipt(encode_receipt(forged), *public, holder="eve")


def test_empty_leaf_has_no_receipt(snapshot: CommittedSnapshot) -> None:
    for leaf in (3, -1, 4):
        with pytest.raises(ValueError, match="holds no account"):
            receipt_for(snapshot, leaf)
        with pytest.raises(ValueError, match="holds no account"):
            stand_alone_snapshot(snapshot, leaf, RANDOMNESS, BACKEND)


def test_snapshot_of_one_account_repeats_its_position(snapshot: CommittedSnapshot) -> None:
    leaf = leaf_of(snapshot, 1)
    alone = stand_alone_snapshot(snapshot, leaf, RANDOMNESS, BACKEND)
    whole, committed = alone.whole(), snapshot.whole()
    assert whole.encodings == committed.encoding(leaf)
    assert whole.blindings("venue/book") == [committed.blindings("venue/book")[leaf]]
    assert (alone.manifest.accounts, alone.manifest.leaves, alone.opens_totals) == (1, 1, False)
    assert alone.manifest.digest != snapshot.manifest.digest
    assert alone.files[records_file(0)] not in snapshot.files.values()
