"""Runs that are interrupted go on from what is finished; changed input and pieces of other runs are refused."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import ChangedInputError, commit_snapshot
from crossmargin_prover.private import shard_name
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.slack import slack_name
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import prove_statement
from crossmargin_prover.store import FolderStore, Store
from crossmargin_prover.vault import Vault, VaultError
from crossmargin_prover.witness import Records
from crossmargin_verifier.statement import shard_file
from crossmargin_verifier.verify import verify_statement

BACKEND = select_backend()
RANDOMNESS = SystemRandomness()
RELATION = Relation(("usd", "btc"), (Auxiliary("debt", True),), (Row("covered", (1, 100), (1,)),))
ACCOUNTS = 11
PER_SHARD = 4
SHARDS = 3
EXAMPLE = Path(__file__).parents[2] / "examples" / "small"


class InterruptedRunError(Exception):
    """Stands for the end of the process."""


class Fragile(dict[str, bytes]):
    """A store whose process ends, or whose disk is full, after some pieces."""

    def __init__(self, pieces: int, error: Exception) -> None:
        super().__init__()
        self.pieces, self.error = pieces, error

    def __setitem__(self, name: str, data: bytes) -> None:
        if not self.pieces:
            raise self.error
        self.pieces -= 1
        super().__setitem__(name, data)


def commit(store: Store, seed: int = 1, **options: Any) -> CommittedSnapshot:
    records = np.random.default_rng(seed).integers(0, 9, (ACCOUNTS, 2))
    ids = [f"holder {number}" for number in range(ACCOUNTS)]
    given = {"sid": "venue/book/1", "size": PER_SHARD, "open_totals": True, **options}
    return commit_snapshot(
        given["sid"], 1, RELATION.columns, csr_array(records), ids, given["size"], RANDOMNESS, BACKEND, store=store,
        open_totals=given["open_totals"], executor=given.get("executor"),
    )  # fmt: skip


def solvent(number: int, records: Records) -> tuple[npt.ArrayLike, npt.ArrayLike]:
    return np.zeros((len(records), 1), np.uint64), records.matrix @ np.array([[1], [100]])


def generous(number: int, records: Records) -> tuple[npt.ArrayLike, npt.ArrayLike]:
    """Another true witness: every account has a debt of one."""
    return np.ones((len(records), 1), np.uint64), records.matrix @ np.array([[1], [100]]) + 1


def prove(snapshot: CommittedSnapshot, store: Store, **options: Any) -> dict[str, bytes]:
    given = {"witness": solvent, "relation": RELATION, "policy": bytes(32), "packing": 1, **options}
    return prove_statement(
        snapshot, given["relation"], given["policy"], given["witness"], RANDOMNESS, BACKEND, packing=given["packing"],
        store=store, executor=given.get("executor"),
    )  # fmt: skip


def verify(files: dict[str, bytes]) -> None:
    verify_statement(files, RELATION, bytes(32))


@pytest.fixture(scope="module")
def snapshot() -> CommittedSnapshot:
    return commit({})


@pytest.mark.parametrize("pieces", range(8))
def test_commitment_goes_on_where_it_was_interrupted(pieces: int) -> None:
    store = Fragile(pieces, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        commit(store)
    before = dict(store)
    assert "snapshot.cm1" not in before
    store.pieces = 100
    snapshot = commit(store)
    for name in before:
        # The totals are opened with a fresh nonce; nothing of the unfinished run is public.
        assert name == "totals.cm1" or store[name] == before[name], name
    verify(prove(snapshot, {}))


@pytest.mark.parametrize("pieces", range(2 * SHARDS))
def test_proof_goes_on_where_it_was_interrupted(snapshot: CommittedSnapshot, pieces: int) -> None:
    store = Fragile(pieces, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        prove(snapshot, store)
    before = dict(store)
    store.pieces = 100
    with ThreadPoolExecutor(2) as executor:
        files = prove(snapshot, store, executor=executor)
    verify(files)
    assert all(store[name] == data for name, data in before.items())
    assert all(files[name] == data for name, data in before.items() if name in files)


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"sid": "venue/book/2"}, {"size": 2}, {"size": 8}, {"open_totals": False}]
)
def test_changed_input_of_a_commitment_is_refused(change: dict[str, Any]) -> None:
    store = Fragile(2, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        commit(store)
    store.pieces = 100
    before = dict(store)
    with pytest.raises(ChangedInputError, match="begun with other"):
        commit(store, **change)
    assert store == before


@pytest.mark.parametrize("pieces", [1, SHARDS, SHARDS + 1])
@pytest.mark.parametrize("change", [{"policy": bytes(31) + b"\x01"}, {"packing": 0}])
def test_changed_statement_is_refused(snapshot: CommittedSnapshot, pieces: int, change: dict[str, Any]) -> None:
    store = Fragile(pieces, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        prove(snapshot, store)
    store.pieces = 100
    with pytest.raises(CrossmarginError, match=r"with the same input|remove the file"):
        prove(snapshot, store, **change)


def test_changed_witness_is_refused(snapshot: CommittedSnapshot) -> None:
    store = Fragile(SHARDS, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        prove(snapshot, store)
    store.pieces = 100
    with pytest.raises(ChangedInputError, match="not the slacks that were committed"):
        prove(snapshot, store, witness=generous)


def test_pieces_of_other_runs_are_refused(snapshot: CommittedSnapshot) -> None:
    kept: dict[str, bytes] = {}
    other: dict[str, bytes] = {}
    prove(snapshot, kept)
    prove(snapshot, other)
    for change in ({shard_file(1): other[shard_file(1)]}, {slack_name(0): other[slack_name(0)]}):
        with pytest.raises(ChangedInputError, match=r"shard-00000\d.cm1: of another run"):
            prove(snapshot, {**kept, **change})
    foreign: dict[str, bytes] = {}
    prove(commit({}), foreign)
    with pytest.raises(ChangedInputError, match="with the same input"):
        prove(snapshot, {**kept, slack_name(0): foreign[slack_name(0)]})
    first, second = Fragile(3, InterruptedRunError()), Fragile(3, InterruptedRunError())
    for store in (first, second):
        with pytest.raises(InterruptedRunError):
            commit(store)
    dict.__setitem__(first, shard_name(0), second[shard_name(0)])
    with pytest.raises(ChangedInputError, match=r"shard-000000\.npz: of another run"):
        commit(first)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not an archive"])
def test_damaged_pieces_are_refused(snapshot: CommittedSnapshot, damage: bytes) -> None:
    kept: dict[str, bytes] = {}
    prove(snapshot, kept)
    for name in kept:
        with pytest.raises(MalformedError, match=name.replace(".", r"\.")):
            prove(snapshot, {**kept, name: damage})
    begun = Fragile(3, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        commit(begun)
    for name in begun:
        with pytest.raises(MalformedError, match=name.replace(".", r"\.")):
            commit({**begun, name: damage})


def test_full_disk_leaves_no_half_of_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path / "store")
    store["first"] = b"kept"
    synced = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for name in ("first", "second"):
        with pytest.raises(OSError, match="No space left"):
            store[name] = b"lost"
    monkeypatch.setattr(os, "fsync", synced)
    assert dict(store) == {"first": b"kept"}
    assert [path.name for path in store.path.iterdir()] == ["first"]
    with pytest.raises(KeyError):
        del store["second"]
    del store["first"]
    assert len(store) == 0


def test_two_runs_do_not_share_a_vault(tmp_path: Path) -> None:
    vault = Vault.create(tmp_path / "vault")
    with vault.locked(), pytest.raises(VaultError, match="another run is at work"), vault.locked():
        pass
    with vault.locked():
        pass


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line in a process group of its own; nothing of it outlives the test."""
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", "from crossmargin_prover.cli import main; main()", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def members(group: int) -> list[int]:
    """Return the processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_killed_run_is_finished_by_the_same_command(run: Any, tmp_path: Path) -> None:
    """kill -9 in the middle: the workers end too, nothing is published, and the same command finishes the run."""
    vault, bundle = tmp_path / "vault", tmp_path / "bundle"
    arguments = ("run", "--book", str(EXAMPLE), "--vault", str(vault), "--bundle", str(bundle), "--shard", "1")
    first = run(*arguments, "--processes", "2")
    deadline = time.monotonic() + 240
    while not list(vault.glob("work/*/shard-*.cm1")):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    while members(first.pid):
        assert time.monotonic() < deadline, "workers outlive the run"
        time.sleep(0.05)
    assert not bundle.exists()
    digest = (vault / "snapshot" / "snapshot.cm1").read_bytes()
    found = {path: path.read_bytes() for path in vault.glob("work/*/s*")}
    second = run(*arguments, "--processes", "1")
    output, _ = second.communicate(timeout=240)
    assert second.returncode == 0, output
    assert "found finished" in output
    assert "Verdict: VERIFIED" in output
    assert (vault / "snapshot" / "snapshot.cm1").read_bytes() == digest
    kept = {path.name: data for path, data in found.items() if path.suffix == ".cm1"}
    published = [path.read_bytes() for path in bundle.rglob("shard-*.cm1")]
    assert all(data in published for data in kept.values())
    assert not list(vault.glob("work/*"))
