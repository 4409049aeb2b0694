"""Runs that are interrupted go on from what is finished; changed input and pieces of other runs are refused."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from scipy.sparse import csr_array

from crossmargin.loading import load_folder
from crossmargin.placement import PUBLIC_FOLDER, Names, write_folder
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover import record_files
from crossmargin_prover.backend import select_backend
from crossmargin_prover.cli import main, proving
from crossmargin_prover.commitments import ChangedInputError, commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.slack import slack_name
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import BEGUN, prove_statement
from crossmargin_prover.vault.arrays import shard_name
from crossmargin_prover.vault.store import FolderStore, Store
from crossmargin_prover.vault.vault import Vault, VaultError
from crossmargin_prover.witness import Records
from crossmargin_prover.workflow import commit as workflow_commit
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.manifests import StatementManifest, records_file, shard_file
from crossmargin_verifier.protocol.records import PublicRecords
from crossmargin_verifier.protocol.verify import ClaimedStatement, verify_statements

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


def verify(snapshot: CommittedSnapshot, files: dict[str, bytes]) -> None:
    claimed = {"covered": ClaimedStatement(StatementFiles(files), RELATION, bytes(32))}
    verify_statements(SnapshotFiles(snapshot.files), claimed, arithmetic=BACKEND.arithmetic)


@pytest.fixture(scope="module")
def snapshot() -> CommittedSnapshot:
    return commit({})


PIECES = 1 + SHARDS + 3 + SHARDS
"""Of a commitment: the plan, shards, columns, positions, totals and record proofs; the manifest is one more."""


@pytest.mark.parametrize("pieces", range(PIECES + 1))
def test_commitment_goes_on_where_it_was_interrupted(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    proven: list[int] = []
    honest = record_files.prove_records

    def counted(public: PublicRecords, *given: Any) -> bytes:
        proven.append(public.index)
        return honest(public, *given)

    monkeypatch.setattr(record_files, "prove_records", counted)
    store = Fragile(pieces, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        commit(store)
    before = dict(store)
    assert "snapshot.cm2" not in before
    finished = [shard for shard in range(SHARDS) if records_file(shard) in before]
    proven.clear()
    store.pieces = 100
    snapshot = commit(store)
    for name in before:
        # The totals are opened with a fresh nonce; nothing of the unfinished run is public.
        assert name == "totals.cm2" or store[name] == before[name], name
    # A finished record proof is never made again.
    assert finished + proven == list(range(SHARDS))
    verify(snapshot, prove(snapshot, {}))


def test_record_proofs_of_a_lost_attempt_share_nothing() -> None:
    """Killed before the store has it, a proof leaves no mask behind: the next attempt commits to other ones."""
    store = Fragile(PIECES - 1, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        commit(store)
    tries = []
    for _ in range(2):
        copy = Fragile(100, InterruptedRunError())
        copy.update(store)
        assert commit(copy).manifest.digest
        tries.append(copy[records_file(SHARDS - 1)])
    header, mask = slice(0, 46), slice(46, 79)
    assert tries[0][header] == tries[1][header]
    assert tries[0][mask] != tries[1][mask]


def test_record_proof_of_another_snapshot_is_refused(snapshot: CommittedSnapshot) -> None:
    for foreign in (snapshot.files[records_file(0)], b"", b"CM2B"):
        store = Fragile(PIECES, InterruptedRunError())
        with pytest.raises(InterruptedRunError):
            commit(store)
        store.pieces = 100
        dict.__setitem__(store, records_file(0), foreign)
        with pytest.raises(MalformedError, match=r"records-000000\.cm2: no record proof of this shard and snapshot"):
            commit(store)
    exchanged = {**store, records_file(0): store[records_file(1)]}
    with pytest.raises(MalformedError, match=r"records-000000\.cm2"):
        commit(exchanged)


@pytest.mark.parametrize("pieces", range(2 * SHARDS + 1))
def test_proof_goes_on_where_it_was_interrupted(snapshot: CommittedSnapshot, pieces: int) -> None:
    store = Fragile(pieces, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        prove(snapshot, store)
    before = dict(store)
    store.pieces = 100
    with ThreadPoolExecutor(2) as executor:
        files = prove(snapshot, store, executor=executor)
    verify(snapshot, files)
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


@pytest.mark.parametrize("pieces", [1, SHARDS + 1, SHARDS + 2])
@pytest.mark.parametrize("change", [{"policy": bytes(31) + b"\x01"}, {"packing": 0}])
def test_changed_statement_is_refused(snapshot: CommittedSnapshot, pieces: int, change: dict[str, Any]) -> None:
    store = Fragile(pieces, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        prove(snapshot, store)
    store.pieces = 100
    with pytest.raises(CrossmarginError, match="with the same input"):
        prove(snapshot, store, **change)


def test_changed_witness_is_refused(snapshot: CommittedSnapshot) -> None:
    store = Fragile(SHARDS + 1, InterruptedRunError())
    with pytest.raises(InterruptedRunError):
        prove(snapshot, store)
    store.pieces = 100
    with pytest.raises(ChangedInputError, match="not the committed slacks"):
        prove(snapshot, store, witness=generous)


def test_pieces_of_other_runs_are_refused(snapshot: CommittedSnapshot) -> None:
    kept: dict[str, bytes] = {}
    other: dict[str, bytes] = {}
    prove(snapshot, kept)
    prove(snapshot, other)
    for change in ({shard_file(1): other[shard_file(1)]}, {slack_name(0): other[slack_name(0)]}):
        with pytest.raises(ChangedInputError, match=r"shard-00000\d.cm2: of another run"):
            prove(snapshot, {**kept, **change})
    foreign: dict[str, bytes] = {}
    prove(commit({}), foreign)
    with pytest.raises(ChangedInputError, match=r"slack-000000\.npz: of another statement"):
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
    for name in kept.keys() - {BEGUN}:
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
    with vault.locked(), pytest.raises(VaultError, match="another run is using"), vault.locked():
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
    while not list(vault.glob("work/*/shard-*.cm2")):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    while members(first.pid):
        assert time.monotonic() < deadline, "workers outlive the run"
        time.sleep(0.05)
    assert not bundle.exists()
    digest = (vault / "snapshot" / "snapshot.cm2").read_bytes()
    found = {path: path.read_bytes() for path in vault.glob("work/*/s*")}
    second = run(*arguments, "--processes", "1")
    output, _ = second.communicate(timeout=240)
    assert second.returncode == 0, output
    assert "found finished" in output
    assert "\nVERIFIED\n" in output
    assert (vault / "snapshot" / "snapshot.cm2").read_bytes() == digest
    kept = {path.name: data for path, data in found.items() if path.suffix == ".cm2"}
    published = [path.read_bytes() for path in bundle.rglob("shard-*.cm2")]
    assert all(data in published for data in kept.values())
    assert not list(vault.glob("work/*"))


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault with a finished snapshot of the small example and its coverage statement."""
    vault = tmp_path_factory.mktemp("proven") / "vault"
    options = ("--book", EXAMPLE, "--vault", vault, "--processes", 1)
    assert command("commit", *options, "--shard", 4).exit_code == 0
    assert command("prove", *options, "--statement", "coverage", "--packing", 0).exit_code == 0
    return vault


@pytest.fixture
def vault(proven: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proven, tmp_path / "vault"))


def later(tmp_path: Path, time: str = "09") -> Path:
    """The same book an hour later."""
    book = Path(shutil.copytree(EXAMPLE, tmp_path / f"book-{time}"))
    market = book / "market.yaml"
    text = market.read_text(encoding="utf-8").replace("T08:00", f"T{time}:00").replace("T07:59", "T08:59")
    market.write_text(text, encoding="utf-8")
    return book


def test_report_is_there_before_the_snapshot_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*given: object, **options: object) -> None:
        raise InterruptedRunError

    monkeypatch.setattr(workflow_commit, "commit_snapshot", killed)
    vault = Vault.create(tmp_path / "vault")
    with pytest.raises(InterruptedRunError):
        workflow_commit.commit(load_folder(EXAMPLE), vault)
    assert vault.load_report().loaded == 5


@pytest.mark.parametrize("pieces", range(6))
def test_interrupted_reuse_is_done_again(
    vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    book, target = later(tmp_path), tmp_path / "later"
    written = FolderStore.__setitem__
    left = [pieces]

    def failing(self: FolderStore, name: str, data: bytes) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        left[0] -= 1
        written(self, name, data)

    monkeypatch.setattr(FolderStore, "__setitem__", failing)
    result = command("commit", "--book", book, "--vault", target, "--since", vault, "--processes", 1)
    assert result.exit_code == 1
    assert "No space left" in result.stderr
    monkeypatch.setattr(FolderStore, "__setitem__", written)
    result = command("commit", "--book", book, "--vault", target, "--since", vault, "--processes", 1)
    assert result.exit_code == 0, result.output
    assert "no account changed" in result.output
    digests = {Vault.open(each).load().manifest.digest for each in (vault, target)}
    assert len(digests) == 1
    assert not list(target.glob(".*"))


def test_prices_that_move_after_a_kill_at_the_end(vault: Path, tmp_path: Path) -> None:
    """What is left of a finished statement does not stand in the way of the next; what is left of another does."""
    published = StatementManifest.decode((vault / "statements" / "coverage" / "statement.cm2").read_bytes())
    begun = replace(published, slack_root=bytes(32)).digest
    Vault(vault).work("coverage")[BEGUN] = begun
    Vault(vault).work("initial")[BEGUN] = bytes(32)
    prove = ("prove", "--book", later(tmp_path), "--vault", vault, "--packing", 0, "--processes", 1, "--statement")
    assert command(*prove, "coverage").exit_code == 0
    refused = command(*prove, "initial")
    assert refused.exit_code == 1
    assert "an unfinished run of this statement had other prices" in refused.stderr
    assert command(*prove, "initial", "--restart").exit_code == 0


def test_same_id_for_two_snapshots_is_refused(vault: Path, tmp_path: Path) -> None:
    book = Path(shutil.copytree(EXAMPLE, tmp_path / "book"))
    balances = book / "balances.csv"
    balances.write_text(balances.read_text(encoding="utf-8").replace("65000", "65001"), encoding="utf-8")
    for since, reason in ((vault, "as_of of market.yaml must be later"), (tmp_path / "new", "--since names this")):
        result = command("commit", "--book", book, "--vault", tmp_path / "new", "--since", since, "--processes", 1)
        assert result.exit_code == 1
        assert reason in result.stderr


def test_options_that_would_not_be_used_are_refused(vault: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("11" * 32, encoding="utf-8")
    key.chmod(0o600)
    for option, reason in ((("--shard", 8), "in shards of 4"), (("--signing-key", key), "another signing key")):
        result = command("commit", "--book", EXAMPLE, "--vault", vault, "--processes", 1, *option)
        assert result.exit_code == 1
        assert reason in result.stderr
    result = command(
        "commit", "--book", later(tmp_path), "--vault", tmp_path / "new", "--since", vault, "--signing-key", key,
        "--processes", 1,
    )  # fmt: skip
    assert result.exit_code == 1
    assert "leave --signing-key out" in result.stderr


@pytest.mark.parametrize("array", ["data", "nonces", "points", "blinding"])
def test_commitments_that_do_not_open_are_never_used(vault: Path, tmp_path: Path, array: str) -> None:
    """An edited record, nonce or point is found before anything is announced or signed."""
    path = vault / "snapshot" / shard_name(0)
    with np.load(path, allow_pickle=False) as archive:
        arrays = {each: archive[each].copy() for each in archive.files}
    arrays[array][-1] ^= 1
    np.savez(path, **arrays)
    receipts = command("receipts", "--vault", vault, "--out", tmp_path / "receipts")
    book = later(tmp_path)
    with (book / "accounts.csv").open("a", encoding="utf-8") as stream:
        stream.write("acct-new,\n")
    options = ("--since", vault, "--processes", 1, "--backend", "reference")
    commit = command("commit", "--book", book, "--vault", tmp_path / "new", *options)
    for result in (receipts, commit):
        assert result.exit_code == 1
        assert "refused: " in result.stderr
        assert "publish it now" not in result.output
    assert not list((tmp_path / "receipts").glob("*.cm2"))


def test_vault_in_a_public_folder_is_refused(vault: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    options = ("--book", EXAMPLE, "--vault", vault, "--processes", 1, "--despite-claims")
    publish = ("publish", "--out", bundle, *options)
    command(*publish)
    assert (bundle / "bundle.json").is_file()
    result = command("commit", "--book", EXAMPLE, "--vault", bundle / "vault", "--processes", 1)
    assert "is inside a public bundle" in result.stderr
    (bundle / "thesis.txt").write_text("years of work", encoding="utf-8")
    assert "something else, thesis.txt: move it away" in command(*publish).stderr
    for options in (
        ("--vault", tmp_path / "b" / "vault"),
        ("--vault", tmp_path / "v", "--receipts", tmp_path / "b" / "r"),
    ):
        result = command("run", "--book", EXAMPLE, *options, "--bundle", tmp_path / "b", "--processes", 1)
        assert "would be inside the public bundle" in result.stderr
    assert not (tmp_path / "b").exists()


def test_damaged_statement_names_its_hint(vault: Path, tmp_path: Path) -> None:
    proof = vault / "statements" / "coverage" / shard_file(0)
    data = bytearray(proof.read_bytes())
    data[-1] ^= 1
    proof.write_bytes(data)
    result = command("publish", "--book", EXAMPLE, "--vault", vault, "--out", tmp_path / "bundle", "--processes", 1)
    assert result.exit_code == 1
    assert "nothing is published: prove that statement again" in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_receipts_of_two_snapshots_are_not_mixed(vault: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "receipts", tmp_path / "other"
    assert command("receipts", "--vault", vault, "--out", out).exit_code == 0
    options = ("--book", EXAMPLE, "--vault", other, "--processes", 1)
    assert command("commit", *options).exit_code == 0
    assert command("prove", *options, "--statement", "coverage", "--packing", 0).exit_code == 0
    result = command("receipts", "--vault", other, "--out", out)
    assert result.exit_code == 1
    assert "holds receipts of another snapshot" in result.stderr


def test_bundle_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, names = tmp_path / "folder", Names(("a", "b"))
    for exchanges in (True, False):
        if not exchanges:
            monkeypatch.setattr("crossmargin.placement._exchange", lambda first, second: False)
        write_folder(folder, {"a": b"1"}, names, PUBLIC_FOLDER)
        write_folder(folder, {"b": b"2"}, names, PUBLIC_FOLDER)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"b": b"2"}
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_lost_worker_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (BrokenProcessPool("a child process terminated abruptly"), MemoryError()):

        def lost(*given: object, error: BaseException = error, **options: object) -> None:
            raise error

        monkeypatch.setattr(proving, "commit_book", lost)
        result = command("commit", "--book", EXAMPLE, "--vault", tmp_path / "vault", "--processes", 1)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith(
            "refused: memory ran out, or the system ended a worker process"
        )
