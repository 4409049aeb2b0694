"""Whole statements: what the caller chooses, what may be missing, and what is read from disk."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.layout import columns_digest, decode_columns, encode_columns
from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_verifier.bundle import folder as reading
from crossmargin_verifier.bundle.files import StatementFolder
from crossmargin_verifier.bundle.folder import CannotCheckError, Folder
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.manifests import BOOK, BOUNDED, SnapshotManifest, StatementManifest
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.verify import VerifiedStatement, verify_snapshot, verify_statement
from crossmargin_verifier.protocol.weights import files_digest
from crossmargin_verifier.workers import worker_pool

POLICY = bytes(32)
SHARD = "shard-000000.cm1"
Files = dict[str, bytes]


def relation_of(files: Files) -> Relation:
    return Relation.decode(files["relation.cm1"], decode_columns(files["columns.cm1"]))


def verify(files: Files, **options: Any) -> VerifiedStatement:
    return verify_statement(StatementFiles(files), relation_of(files), POLICY, **options)


def with_relation(files: Files, relation: Relation) -> Files:
    """Return the files with another relation, and the statement manifest that goes with it."""
    statement = replace(StatementManifest.decode(files["statement.cm1"]), relation_digest=relation.digest)
    return {**files, "relation.cm1": relation.encoded, "statement.cm1": statement.encoded}


def refused(step: str, run: Callable[[], object], reason: str | None = None) -> None:
    with pytest.raises(RejectedError, match=reason) as caught:
        run()
    assert caught.value.step == step


def test_book_statement(tiny: Files) -> None:
    verified = verify(tiny)
    assert verified.totals == (1025, 75, 9)
    assert verified.auxiliary_totals == (12,)
    assert verified.statement.mode == BOOK
    assert verified.snapshot.leaves == 4
    assert verified.totals is not None
    assert verified.snapshot == SnapshotManifest.decode(tiny["snapshot.cm1"])
    assert verified.statement == StatementManifest.decode(tiny["statement.cm1"])
    with pytest.raises(FrozenInstanceError):
        verified.totals = None  # type: ignore[misc]


def test_bounded_statement_without_totals(bounded: Files) -> None:
    verified = verify(bounded)
    assert verified.totals is None
    assert verified.auxiliary_totals is None
    assert verified.statement.mode == BOUNDED
    assert verified.totals is None


def test_other_files_are_ignored(tiny: Files) -> None:
    verify({**tiny, "shard-000001.cm1": b"?", "notes.txt": b"?"})


def test_policy_and_relation_are_the_verifiers_own(tiny: Files) -> None:
    relation = relation_of(tiny)
    refused("V2", lambda: verify_statement(StatementFiles(tiny), relation, b"\x01" + bytes(31)), "policy")
    cheaper = replace(relation, rows=(*relation.rows[:2], replace(relation.rows[2], base=(100, 110, 116))))
    refused("V2", lambda: verify_statement(StatementFiles(tiny), cheaper, POLICY), "policy")
    # A prover who ships the relation he likes, with a manifest to match, is not believed either.
    refused("V2", lambda: verify_statement(StatementFiles(with_relation(tiny, cheaper)), relation, POLICY), "policy")
    relabelled = replace(relation, columns=("usd", "btc", "future"))
    refused("V2", lambda: verify_statement(StatementFiles(tiny), relabelled, POLICY), "columns")


def test_statement_about_another_snapshot(tiny: Files) -> None:
    statement = replace(StatementManifest.decode(tiny["statement.cm1"]), snapshot_digest=bytes(32))
    refused("V2", lambda: verify({**tiny, "statement.cm1": statement.encoded}), "another snapshot")
    later = replace(SnapshotManifest.decode(tiny["snapshot.cm1"]), as_of=1735689601)
    refused("V2", lambda: verify({**tiny, "snapshot.cm1": later.encoded}), "another snapshot")


def test_size_condition(tiny: Files) -> None:
    """Coefficients of 128 bits wrap modulo r from some 256 columns on."""
    labels = tuple(f"column {number}" for number in range(300))
    snapshot = replace(SnapshotManifest.decode(tiny["snapshot.cm1"]), columns_digest=columns_digest(labels))
    for coefficient, step in ((2**127 - 1, "V2"), (2**126, None)):
        relation = Relation(labels, (), (Row("wide", (coefficient,) * 300, ()),))
        statement = replace(
            StatementManifest.decode(tiny["statement.cm1"]),
            snapshot_digest=snapshot.digest,
            relation_digest=relation.digest,
        )
        files = {
            **tiny,
            "columns.cm1": encode_columns(labels),
            "snapshot.cm1": snapshot.encoded,
            "statement.cm1": statement.encoded,
            "relation.cm1": relation.encoded,
        }
        if step:
            refused(step, lambda files=files: verify(files), "S10: row 'wide'")  # type: ignore[misc]
        else:
            with pytest.raises(MalformedError, match=SHARD):
                verify(files)


def test_bounded_size_condition(bounded: Files) -> None:
    relation = relation_of(bounded)
    large = replace(relation, rows=(replace(relation.rows[0], base=(2**110, 0, -1)), *relation.rows[1:]))
    refused("V4", lambda: verify(with_relation(bounded, large)), "bounded mode")
    large = replace(relation, rows=(replace(relation.rows[0], offset=-(2**127)), *relation.rows[1:]))
    refused("V4", lambda: verify(with_relation(bounded, large)), "another statement")


def test_offsets(tiny: Files) -> None:
    relation = relation_of(tiny)
    rows = (*relation.rows[:2], replace(relation.rows[2], offset=7))
    files = with_relation(tiny, replace(relation, rows=rows))
    refused("V2", lambda: verify(files), "'equity_up' has a positive offset")
    rows = (*relation.rows[:2], replace(relation.rows[2], offset=-7))
    refused("V4", lambda: verify(with_relation(tiny, replace(relation, rows=rows))))


@pytest.mark.parametrize(
    "name",
    [
        "columns.cm1",
        "relation.cm1",
        "snapshot.cm1",
        "positions.cm1",
        "totals.cm1",
        "statement.cm1",
        "slack.cm1",
        SHARD,
        "auxtotals.cm1",
    ],
)
def test_missing_files(tiny: Files, name: str) -> None:
    relation = relation_of(tiny)
    files = {other: data for other, data in tiny.items() if other != name}
    with pytest.raises(MalformedError, match=f"{name}: missing"):
        verify_statement(StatementFiles(files), relation, POLICY)


def test_bounded_mode_omits_both_totals_or_neither(tiny: Files, bounded: Files) -> None:
    with pytest.raises(MalformedError, match=r"auxtotals\.cm1: missing"):
        verify({**bounded, "totals.cm1": tiny["totals.cm1"]})
    with pytest.raises(MalformedError, match=r"totals\.cm1: missing"):
        verify({**bounded, "auxtotals.cm1": tiny["auxtotals.cm1"]})
    refused("V7", lambda: verify({**bounded, **{name: tiny[name] for name in ("totals.cm1", "auxtotals.cm1")}}))


@pytest.mark.parametrize("mode", ["tiny", "bounded"])
def test_auxiliary_totals_without_a_disclosed_auxiliary(tiny: Files, bounded: Files, mode: str) -> None:
    files = {"tiny": tiny, "bounded": bounded}[mode]
    relation = replace(relation_of(files), auxiliaries=(Auxiliary("perp_long", False),))
    superfluous = {**with_relation(files, relation), "auxtotals.cm1": tiny["auxtotals.cm1"]}
    with pytest.raises(MalformedError, match="discloses no auxiliary"):
        verify(superfluous)


def test_weights_are_drawn_when_every_byte_was_read(tiny: Files) -> None:
    def draw() -> int:
        raise AssertionError("drawn too early")

    for name in ("totals.cm1", "auxtotals.cm1", SHARD, "slack.cm1", "positions.cm1"):
        with pytest.raises(MalformedError):
            verify({**tiny, name: tiny[name][:-1]}, draw=draw)


def test_verification_is_deterministic_but_for_the_weights(tiny: Files) -> None:
    assert verify(tiny) == verify(tiny, draw=lambda: 1)


def test_one_snapshot_for_several_statements(tiny: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = verify_snapshot(StatementFiles(tiny))
    assert snapshot.manifest.digest == SnapshotManifest.decode(tiny["snapshot.cm1"]).digest
    assert snapshot.columns == ("usd", "btc", "perp")
    assert snapshot.positions == tiny["positions.cm1"][14:]
    monkeypatch.setattr("crossmargin_verifier.protocol.verify.verify_snapshot", None)
    assert verify(tiny, snapshot=snapshot) == verify(tiny, snapshot=snapshot)


def test_a_statement_cannot_bring_another_snapshot(tiny: Files, bounded: Files) -> None:
    snapshot = verify_snapshot(StatementFiles(tiny))
    other = replace(SnapshotManifest.decode(tiny["snapshot.cm1"]), as_of=1)
    refused("V2", lambda: verify({**tiny, "snapshot.cm1": other.encoded}, snapshot=snapshot), "another snapshot")
    refused("V2", lambda: verify(bounded, snapshot=snapshot), "another snapshot")
    columns = {**tiny, "columns.cm1": encode_columns(("usd", "btc", "future"))}
    relation = relation_of(tiny)
    refused("V2", lambda: verify_statement(StatementFiles(columns), relation, POLICY, snapshot=snapshot), "columns")
    data = tiny["positions.cm1"]
    exchanged = data[:14] + data[47:80] + data[14:47] + data[80:]
    refused("V3", lambda: verify({**tiny, "positions.cm1": exchanged}, snapshot=snapshot), "positions")
    with pytest.raises(MalformedError, match="missing"):
        verify({name: data for name, data in tiny.items() if name != "positions.cm1"}, snapshot=snapshot)


PIECES = pytest.mark.parametrize("pieces", [None, 1, 5])
ARITHMETICS = pytest.mark.parametrize(
    "arithmetic",
    [
        PLAIN,
        pytest.param(
            KernelArithmetic(1),
            marks=pytest.mark.skipif(find_spec("crossmargin_kernel") is None, reason="no compiled kernel is installed"),
        ),
    ],
)


@pytest.fixture(scope="session")
def processes() -> Iterator[Executor]:
    with worker_pool(2) as pool:
        assert pool is not None
        yield pool


@pytest.fixture
def workplace(pieces: int | None, arithmetic: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Here, or in threads, and then in pieces of so many points."""
    if pieces is None:
        yield {"arithmetic": arithmetic}
        return
    monkeypatch.setattr("crossmargin_verifier.protocol.equation.MAX_PIECE", pieces)
    with ThreadPoolExecutor(2) as threads:
        yield {"arithmetic": arithmetic, "executor": threads}


def outcome(files: Files, **options: Any) -> tuple[str, str]:
    """Return whether the files are verified, rejected or malformed, and the words."""
    try:
        return "verified", str(verify(files, **options).totals)
    except (RejectedError, MalformedError) as error:
        return type(error).__name__, str(error)


@PIECES
@ARITHMETICS
def test_shards_anywhere(sharded: Files, workplace: dict[str, Any]) -> None:
    verified = verify(sharded, **workplace)
    assert verified == verify(sharded)
    assert verified.totals == (1434, 85, 10)
    assert verified.auxiliary_totals == (14,)


@PIECES
@ARITHMETICS
@pytest.mark.parametrize("shard", [0, 2])
def test_a_wrong_proof_names_its_shard_anywhere(sharded: Files, workplace: dict[str, Any], shard: int) -> None:
    name = f"shard-{shard:06d}.cm1"
    data = bytearray(sharded[name])
    data[-1] ^= 1
    with pytest.raises(RejectedError) as caught:
        verify({**sharded, name: bytes(data)}, **workplace)
    assert (caught.value.step, caught.value.shard) == ("V6", shard)


@PIECES
@ARITHMETICS
def test_wrong_totals_are_named_anywhere(sharded: Files, workplace: dict[str, Any]) -> None:
    for name, step in (("totals.cm1", "V7"), ("auxtotals.cm1", "V8")):
        data = bytearray(sharded[name])
        data[-1] ^= 1
        with pytest.raises(RejectedError) as caught:
            verify({**sharded, name: bytes(data)}, **workplace)
        assert (caught.value.step, caught.value.shard) == (step, None)


@pytest.fixture(scope="module")
def changed(sharded: Files) -> list[tuple[Files, tuple[str, str]]]:
    """Files with one changed byte, each with its outcome in plain Python, in one piece."""
    found = []
    # Of positions and slack rows the last byte is that of a point, and so is one in the middle.
    places = {"positions.cm1": (0.5, 1), "slack.cm1": (1,), "shard-000001.cm1": (0.5, 1), "auxtotals.cm1": (1,)}
    for name, shares in places.items():
        data = sharded[name]
        for place in [int(share * (len(data) - 1)) for share in shares]:
            files = {**sharded, name: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]}
            found.append((files, outcome(files)))
    return found


@ARITHMETICS
@pytest.mark.parametrize("pieces", [3])
def test_a_changed_byte_has_one_outcome_anywhere(
    changed: list[tuple[Files, tuple[str, str]]], workplace: dict[str, Any]
) -> None:
    """Points that are none come before everything else, as if all had been decoded first."""
    for files, expected in changed:
        assert outcome(files, **workplace) == expected


def test_points_come_first(sharded: Files) -> None:
    """A byte that no point has is V1, also where the trees or the policy would be refused."""
    for name in ("positions.cm1", "slack.cm1"):
        data = bytearray(sharded[name])
        data[14 + 3 * 33] = 9
        wrong = {**sharded, name: bytes(data)}
        expected = f"{name}: point 3: point with prefix 9: must be 2 or 3"
        assert outcome(wrong) == ("MalformedError", expected)
        assert outcome(wrong, arithmetic=PLAIN, draw=lambda: 1) == ("MalformedError", expected)
    assert outcome({**wrong, "totals.cm1": b""})[0] == "MalformedError"
    positions = bytearray(sharded["positions.cm1"])
    positions[14] = 9
    with pytest.raises(MalformedError, match="point 0"):
        verify_statement(
            StatementFiles({**sharded, "positions.cm1": bytes(positions)}), relation_of(sharded), b"?" * 32
        )


def test_processes_verify(sharded: Files, processes: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossmargin_verifier.protocol.equation.MAX_PIECE", 4)
    assert verify(sharded, executor=processes) == verify(sharded)
    data = bytearray(sharded["shard-000001.cm1"])
    data[-1] ^= 1
    with pytest.raises(RejectedError, match="V6, shard 1"):
        verify({**sharded, "shard-000001.cm1": bytes(data)}, executor=processes)
    positions = bytearray(sharded["positions.cm1"])
    positions[14 + 33 * 5] = 9
    with pytest.raises(MalformedError, match=r"positions\.cm1: point 5: point with prefix 9"):
        verify({**sharded, "positions.cm1": bytes(positions)}, executor=processes)


@pytest.fixture
def folder(tiny: Files, tmp_path: Path) -> Path:
    for name, data in tiny.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "notes.txt").write_text("ignored")
    (tmp_path / "shard-000001.cm1").write_bytes(b"ignored")
    return tmp_path


def read_statement(path: Path, relation: Relation | None = None) -> StatementFiles:
    with Folder.open(path) as opened:
        return StatementFolder(opened).read(relation)


@pytest.fixture(params=[True, False], ids=["relative", "by path"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as on a system that opens no file relative to an open folder."""
    monkeypatch.setattr(reading, "RELATIVE", request.param)


@pytest.mark.usefixtures("_either_way")
def test_read(folder: Path, tiny: Files) -> None:
    assert read_statement(folder).digest == files_digest(tiny)
    assert read_statement(Path(os.fsdecode(folder))).digest == files_digest(tiny)


def test_read_bounded(bounded: Files, tmp_path: Path) -> None:
    for name, data in bounded.items():
        (tmp_path / name).write_bytes(data)
    assert read_statement(tmp_path).digest == files_digest(bounded)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("name", ["snapshot.cm1", "positions.cm1", "relation.cm1", SHARD])
def test_read_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CannotCheckError, match=f"{name}: No such file"):
        read_statement(folder)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("name", ["snapshot.cm1", "totals.cm1", SHARD])
def test_read_only_plain_files(folder: Path, name: str) -> None:
    """A link could lead anywhere, and a pipe would wait for ever."""
    moved = folder / "moved"
    (folder / name).rename(moved)
    (folder / name).symlink_to(moved)
    with pytest.raises(MalformedError, match="plain file"):
        read_statement(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(MalformedError, match="plain file"):
        read_statement(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(MalformedError, match="plain file"):
        read_statement(folder)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("snapshot.cm1", 2**17 + 1),
        ("statement.cm1", 2**17 + 1),
        ("columns.cm1", 2**24 + 1),
        ("relation.cm1", 2**26 + 1),
        ("positions.cm1", 147),
        ("slack.cm1", 81),
        ("totals.cm1", 2**21 + 1),
        ("auxtotals.cm1", 2**40),
        (SHARD, 2**40),
    ],
)
def test_read_checks_sizes_first(folder: Path, name: str, size: int) -> None:
    """The files are sparse: nothing of them is on the disk, and nothing must be read into memory."""
    with (folder / name).open("r+b") as stream:
        stream.truncate(size)
    with pytest.raises(MalformedError, match=f"{name}: {size} bytes"):
        read_statement(folder)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize(("name", "size"), [("positions.cm1", 145), ("slack.cm1", 79), (SHARD, 10), (SHARD, 0)])
def test_read_takes_sizes_that_are_known_exactly(folder: Path, tiny: Files, name: str, size: int) -> None:
    with (folder / name).open("r+b") as stream:
        stream.truncate(size)
    with pytest.raises(MalformedError, match=f"{name}: {size} bytes: must be {len(tiny[name])}"):
        read_statement(folder, relation_of(tiny))


@pytest.mark.parametrize("reported", [3, 4, 5])
def test_read_takes_no_file_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reported: int) -> None:
    path = tmp_path / "file.cm1"
    path.write_bytes(b"four")
    status = list(path.stat())
    status[6] = reported
    with Folder.open(tmp_path) as opened:
        monkeypatch.setattr(reading.os, "fstat", lambda _: os.stat_result(status))
        if reported == 4:
            assert opened.read("file.cm1", 4, exactly=True) == b"four"
        else:
            with pytest.raises(CannotCheckError, match=r"file\.cm1: it changed while it was read: run again"):
                opened.read("file.cm1", 9)


@pytest.mark.usefixtures("_either_way")
def test_read_does_not_leak_descriptors(folder: Path) -> None:
    (folder / SHARD).unlink()
    (folder / SHARD).mkdir()
    before = os.dup(0)
    os.close(before)
    for _ in range(20):
        with pytest.raises(MalformedError, match="plain file"):
            read_statement(folder)
    after = os.dup(0)
    os.close(after)
    assert before == after


@pytest.mark.usefixtures("_either_way")
def test_dangling_link_is_not_a_missing_file(folder: Path) -> None:
    (folder / "totals.cm1").unlink()
    (folder / "totals.cm1").symlink_to(folder / "nowhere")
    with pytest.raises(MalformedError, match="plain file"):
        read_statement(folder)
