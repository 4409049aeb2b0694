"""Committed snapshots: input that is refused, the private file, and receipts."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.errors import MalformedError
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot, stand_alone_snapshot
from crossmargin_prover.private import load_private, save_private
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.snapshot import PADDING, CommittedSnapshot, receipt_for
from crossmargin_prover.witness import WitnessError
from crossmargin_verifier.errors import RejectedError
from crossmargin_verifier.inclusion import Receipt, verify_receipt
from crossmargin_verifier.statement import COLUMNS_FILE, SNAPSHOT_FILE

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
    return snapshot.order.index(number)


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
    with pytest.raises(MalformedError, match="label 'usd' twice"):
        matrix = csr_array(np.array([[1, 1]]))
        commit_snapshot("book", 7, ("usd", "usd"), matrix, ["ann"], 1, RANDOMNESS, BACKEND)


def test_private_file_round_trip(snapshot: CommittedSnapshot, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.npz"
    save_private(snapshot, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = load_private(path)
    assert (again.manifest, again.columns, again.files) == (snapshot.manifest, snapshot.columns, snapshot.files)
    assert (again.ids, again.nonces, again.order) == (snapshot.ids, snapshot.nonces, snapshot.order)
    assert [again.records.row(leaf) for leaf in range(4)] == [snapshot.records.row(leaf) for leaf in range(4)]
    assert again.blindings == snapshot.blindings
    save_private(again, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["snapshot.npz"]


def test_private_file_without_totals_or_accounts(tmp_path: Path) -> None:
    empty = commit([], [], open_totals=False)
    save_private(empty, tmp_path / "empty.npz")
    assert not load_private(tmp_path / "empty.npz").opens_totals


def test_damaged_private_files(snapshot: CommittedSnapshot, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.npz"
    save_private(snapshot, path)
    data = path.read_bytes()
    for damaged in (b"", b"PK\x03\x04", data[: len(data) // 2], b"not an archive"):
        path.write_bytes(damaged)
        with pytest.raises(MalformedError, match="not a private snapshot"):
            load_private(path)
    with np.load(_saved(snapshot, tmp_path), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for change in (
        {"format": np.array(2)},
        {"nonces": arrays["nonces"][:-1]},
        {"order": arrays["order"][:-1]},
        {"positions.cm1": arrays["positions.cm1"][::-1]},
        {"columns.cm1": arrays["columns.cm1"][:-1]},
    ):
        with path.open("wb") as stream:
            np.savez(stream, **{**arrays, **change})
        with pytest.raises(MalformedError):
            load_private(path)
    del arrays["ids"]
    with path.open("wb") as stream:
        np.savez(stream, **arrays)
    with pytest.raises(MalformedError, match="KeyError"):
        load_private(path)


def _saved(snapshot: CommittedSnapshot, folder: Path) -> Path:
    path = folder / "good.npz"
    save_private(snapshot, path)
    return path


def test_private_file_holds_no_pickle(snapshot: CommittedSnapshot, tmp_path: Path) -> None:
    path = tmp_path / "pickled.npz"
    with path.open("wb") as stream:
        np.savez(stream, format=np.array([{}], dtype=object))
    with pytest.raises(MalformedError):
        load_private(path)


def test_receipt_of_another_holder(snapshot: CommittedSnapshot) -> None:
    """One leaf cannot be shown to two holders: the id is in the blinding."""
    leaf = leaf_of(snapshot, 0)
    public = snapshot.files[SNAPSHOT_FILE], snapshot.files[COLUMNS_FILE]
    assert verify_receipt(receipt_for(snapshot, leaf), *public, holder="ann").receipt.record == (5, -1)
    with pytest.raises(RejectedError, match="H2"):
        verify_receipt(receipt_for(snapshot, leaf), *public, holder="eve")
    forged = replace(Receipt.decode(receipt_for(snapshot, leaf)), holder="eve")
    with pytest.raises(RejectedError, match="H4"):
        verify_receipt(forged.encode(), *public, holder="eve")


def test_padding_has_no_receipt(snapshot: CommittedSnapshot) -> None:
    for leaf in (leaf_of(snapshot, PADDING), -1, 4):
        with pytest.raises(ValueError, match="holds no account"):
            receipt_for(snapshot, leaf)


def test_stand_alone_snapshots_that_are_refused(snapshot: CommittedSnapshot) -> None:
    for leaves in ([], [leaf_of(snapshot, 0)] * 2, [leaf_of(snapshot, PADDING)]):
        with pytest.raises(ValueError, match="different leaves"):
            stand_alone_snapshot(snapshot, leaves, RANDOMNESS, BACKEND)


def test_stand_alone_snapshot_repeats_the_positions(snapshot: CommittedSnapshot) -> None:
    leaves = [leaf_of(snapshot, number) for number in (2, 0, 1)]
    alone = stand_alone_snapshot(snapshot, leaves, RANDOMNESS, BACKEND)
    assert alone.encodings[:3] == [snapshot.encodings[leaf] for leaf in leaves]
    assert alone.encodings[3] not in snapshot.encodings
    assert alone.order == (2, 0, 1, PADDING)
    assert alone.blindings[:3] == [snapshot.blindings[leaf] for leaf in leaves]
    assert not alone.opens_totals
