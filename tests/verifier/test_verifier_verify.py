"""Whole books: what the caller chooses, what may be missing, what may be mixed, and where the work is done."""

import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from importlib.util import find_spec
from typing import Any

import pytest
from protocol_vectors import POLICY, Files, parts, relations_of, verify

from crossmargin_circuits.layout import columns_digest, encode_columns
from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.backend import select_backend
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.verify import ClaimedStatement, check_wrap, verify_snapshot, verify_statements
from crossmargin_verifier.workers import worker_pool

FASTEST = select_backend().arithmetic
"""The fastest that is installed, where the arithmetic is not what is tested."""

SNAPSHOT, COLUMNS, POSITIONS, TOTALS = (
    f"snapshot/{name}.cm2" for name in ("snapshot", "columns", "positions", "totals")
)
MAINTENANCE, COVERAGE = "statements/maintenance/", "statements/coverage/"
SHARD = MAINTENANCE + "shard-000000.cm2"


def records(shard: int) -> str:
    return f"snapshot/records-{shard:06d}.cm2"


def quick(files: Files, relations: dict[str, Relation] | None = None, **options: Any) -> Any:
    return verify(files, relations, **{"arithmetic": FASTEST, **options})


def changed(files: Files, name: str, at: int = -1, mask: int = 1) -> Files:
    data = bytearray(files[name])
    data[at] ^= mask
    return {**files, name: bytes(data)}


def without(files: Files, *names: str) -> Files:
    return {name: data for name, data in files.items() if name not in names}


def with_relation(files: Files, relation: Relation) -> Files:
    """Return the files with another relation of maintenance, and the statement manifest that goes with it."""
    name = MAINTENANCE + "statement.cm2"
    statement = replace(StatementManifest.decode(files[name]), relation_digest=relation.digest)
    return {**files, MAINTENANCE + "relation.cm2": relation.encoded, name: statement.encoded}


def refused(step: str, run: Callable[[], object], reason: str | None = None, statement: str | None = None) -> None:
    with pytest.raises(RejectedError, match=reason) as caught:
        run()
    assert (caught.value.step, caught.value.statement) == (step, statement)


def test_a_book(tiny: Files) -> None:
    book = verify(tiny)
    assert book.totals == (1023, 75, 9)
    assert book.snapshot == SnapshotManifest.decode(tiny[SNAPSHOT])
    assert (book.snapshot.accounts, book.snapshot.leaves) == (3, 4)
    assert list(book.statements) == ["maintenance", "coverage"]
    maintenance, coverage = book.statements.values()
    assert (maintenance.auxiliary_totals, coverage.auxiliary_totals) == ((110, 0), (2, 0))
    assert maintenance.statement == StatementManifest.decode(tiny[MAINTENANCE + "statement.cm2"])
    assert maintenance.relation == relations_of(tiny)["maintenance"]
    with pytest.raises(FrozenInstanceError):
        book.totals = None  # type: ignore[misc]


def test_a_stand_alone_account(alone: Files) -> None:
    book = verify(alone)
    assert book.totals is None
    assert book.statements["maintenance"].auxiliary_totals is None
    assert (book.snapshot.accounts, book.snapshot.accounts_per_shard) == (1, 1)


def test_records_and_totals_without_any_statement(sharded: Files) -> None:
    book = quick(sharded, {})
    assert (book.totals, book.statements) == ((2021, 150, 18), {})
    refused("V4", lambda: quick(changed(sharded, records(2)), {}))


def test_other_files_are_ignored_unless_they_are_of_the_protocol(tiny: Files) -> None:
    quick({**tiny, "snapshot/notes.txt": b"?", MAINTENANCE + "policy.json": b"?", SHARD + ".orig": b"?"})
    for name in (records(1), "snapshot/slack.cm2", MAINTENANCE + "shard-000001.cm2", COVERAGE + "model.cm2"):
        with pytest.raises(MalformedError, match="there is no place for it"):
            quick({**tiny, name: tiny[SHARD]})


def test_policy_and_relation_are_the_verifiers_own(tiny: Files) -> None:
    own = relations_of(tiny)
    relation = own["maintenance"]
    snapshot, claims = parts(tiny, own)
    claims["coverage"] = replace(claims["coverage"], policy_digest=b"\x01" + bytes(31))
    refused("V2", lambda: verify_statements(snapshot, claims), "policy", "coverage")
    cheaper = replace(relation, rows=(*relation.rows[:3], replace(relation.rows[3], base=(100, 110, 116))))
    refused("V2", lambda: quick(tiny, {"maintenance": cheaper}), "policy", "maintenance")
    # A prover who ships the relation he likes, with a manifest to match, is not believed either.
    refused("V2", lambda: quick(with_relation(tiny, cheaper), own), "policy", "maintenance")
    relabelled = replace(relation, columns=("usd", "btc", "future"))
    refused("V2", lambda: quick(tiny, {"maintenance": relabelled}), "columns", "maintenance")


def test_a_hidden_model_is_refused(tiny: Files) -> None:
    name = MAINTENANCE + "statement.cm2"
    statement = replace(StatementManifest.decode(tiny[name]), model_digest=b"m" * 32)
    refused("V2", lambda: quick({**tiny, name: statement.encoded}), "hidden model", "maintenance")


def test_statement_about_another_snapshot(tiny: Files) -> None:
    later = replace(SnapshotManifest.decode(tiny[SNAPSHOT]), as_of=1)
    refused("V2", lambda: quick({**tiny, SNAPSHOT: later.encoded}), "another snapshot", "maintenance")
    refused("V7", lambda: quick({**tiny, SNAPSHOT: later.encoded}, {}), "another snapshot")
    closed = without(tiny, TOTALS)
    refused("V4", lambda: quick({**closed, SNAPSHOT: later.encoded}, {}), "another snapshot")


def test_columns_and_positions_are_those_of_the_manifest(tiny: Files) -> None:
    relabelled = {**tiny, COLUMNS: encode_columns(("usd", "btc", "future"))}
    refused("V2", lambda: quick(relabelled, {}), "columns")
    refused("V3", lambda: quick(changed(tiny, POSITIONS, 14), {}), "position root")
    snapshot, _ = parts(changed(tiny, POSITIONS, 14), {})
    refused("V3", lambda: verify_snapshot(snapshot), "position root")


@pytest.mark.parametrize("reach", [0, 1])
def test_rows_that_could_wrap(reach: int) -> None:
    """V2: 2 (|L| X + |L'| 2^64 + |c|) < r, with the bound of the record proof, offsets and auxiliaries counted."""
    bound = RecordShape(4096, 500).bound
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    left = order // 2 - (5 * bound + (3 << 64))
    coefficients, rest = divmod(left, bound)
    rows = [
        Row("tight", (5 + coefficients, 0), (3,), rest + reach),
        Row("signs", (-5, coefficients), (-3,), -rest - reach),
        Row("auxiliary", (coefficients, 5), (3 + (rest >> 64),), (rest & (1 << 64) - 1) + reach),
    ]
    for row in rows:
        relation = Relation(("usd", "btc"), (Auxiliary("u", False),), (row,))
        if reach:
            refused("V2", lambda relation=relation: check_wrap(relation, bound), row.label)  # type: ignore[misc]
        else:
            check_wrap(relation, bound)


def test_a_statement_whose_row_could_wrap(tiny: Files) -> None:
    """2^127 - 1 wraps with records below 2^161 only where 4 accounts share a shard of many columns."""
    labels = tuple(f"column {number}" for number in range(300))
    snapshot = replace(SnapshotManifest.decode(tiny[SNAPSHOT]), columns_digest=columns_digest(labels))
    for coefficient, step in ((2**127 - 1, "V2"), (2**77, None)):
        relation = Relation(labels, (), (Row("wide", (coefficient,) * 300, ()),))
        name = MAINTENANCE + "statement.cm2"
        statement = replace(
            StatementManifest.decode(tiny[name]), snapshot_digest=snapshot.digest, relation_digest=relation.digest
        )
        files = {
            **without(tiny, TOTALS, MAINTENANCE + "auxtotals.cm2"),
            COLUMNS: encode_columns(labels),
            SNAPSHOT: snapshot.encoded,
            name: statement.encoded,
            MAINTENANCE + "relation.cm2": relation.encoded,
            records(0): bytes(RecordShape(4, 300).size),
        }
        if step:
            refused(step, lambda files=files: quick(files, {"maintenance": relation}), "row 'wide'", "maintenance")  # type: ignore[misc]  # noqa: B023
        else:
            with pytest.raises(MalformedError, match="shard-000000"):
                quick(files, {"maintenance": relation})


@pytest.mark.parametrize("sign", [1, -1])
def test_offsets_of_either_sign_are_part_of_the_statement(tiny: Files, sign: int) -> None:
    """The offset of the vectors counts for three accounts, not for the empty leaf; another one is another statement."""
    relation = relations_of(tiny)["maintenance"]
    assert relation.rows[1].offset == 20
    rows = (*relation.rows[:2], replace(relation.rows[2], offset=sign), relation.rows[3])
    other = without(with_relation(tiny, replace(relation, rows=rows)), TOTALS, MAINTENANCE + "auxtotals.cm2")
    other = without(other, *(name for name in tiny if name.startswith(COVERAGE)))
    refused("V5", lambda: quick(other), "another statement", "maintenance")


@pytest.mark.parametrize(
    "name",
    [
        COLUMNS,
        SNAPSHOT,
        POSITIONS,
        records(0),
        MAINTENANCE + "relation.cm2",
        MAINTENANCE + "statement.cm2",
        COVERAGE + "slack.cm2",
        SHARD,
        COVERAGE + "auxtotals.cm2",
    ],
)
def test_missing_files(tiny: Files, name: str) -> None:
    folder, bare = name.rsplit("/", 1)
    where = f"statement {folder.split('/')[1]}: " if folder != "snapshot" else ""
    with pytest.raises(MalformedError, match=f"^{where}{bare}: missing"):
        quick(without(tiny, name), relations_of(tiny))


def test_records_of_some_shards_only(sharded: Files) -> None:
    """Without the record proof of a shard nothing is verified, whichever shard it is."""
    for shard in range(3):
        with pytest.raises(MalformedError, match=f"records-{shard:06d}.cm2: missing"):
            quick(without(sharded, records(shard)))


def test_totals_are_left_out_together(tiny: Files, alone: Files) -> None:
    """All of them, or none: auxiliary totals without totals are refused, and so is the reverse."""
    auxiliary = (MAINTENANCE + "auxtotals.cm2", COVERAGE + "auxtotals.cm2")
    book = quick(without(tiny, TOTALS, *auxiliary))
    assert book.totals is None
    assert [found.auxiliary_totals for found in book.statements.values()] == [None, None]
    with pytest.raises(MalformedError, match=r"statement coverage: auxtotals\.cm2: missing"):
        quick(without(tiny, auxiliary[1]))
    with pytest.raises(MalformedError, match=r"statement maintenance: auxtotals\.cm2: there is no place for it"):
        quick(without(tiny, TOTALS))
    with pytest.raises(MalformedError, match=r"statement coverage: auxtotals\.cm2: there is no place for it"):
        quick(without(tiny, TOTALS, auxiliary[0]))
    with pytest.raises(MalformedError, match=r"auxtotals\.cm2: there is no place for it"):
        quick({**alone, auxiliary[0]: tiny[auxiliary[0]]})


def test_auxiliary_totals_without_a_disclosed_auxiliary(tiny: Files) -> None:
    relation = relations_of(tiny)["maintenance"]
    hidden = replace(relation, auxiliaries=tuple(replace(each, disclosed=False) for each in relation.auxiliaries))
    with pytest.raises(MalformedError, match="there is no place for it"):
        quick(with_relation(tiny, hidden))
    without_totals = without(with_relation(tiny, hidden), MAINTENANCE + "auxtotals.cm2")
    refused("V5", lambda: quick(without_totals), "another statement", "maintenance")


MIXTURES = [
    (records(0), records(1), "V4"),
    (records(2), records(1), "V4"),
    (SHARD, MAINTENANCE + "shard-000002.cm2", "V5"),
    (MAINTENANCE + "shard-000001.cm2", COVERAGE + "shard-000001.cm2", None),
    (MAINTENANCE + "auxtotals.cm2", COVERAGE + "auxtotals.cm2", None),
    (MAINTENANCE + "slack.cm2", COVERAGE + "slack.cm2", None),
    (MAINTENANCE + "statement.cm2", COVERAGE + "statement.cm2", "V2"),
    (records(0), SHARD, None),
    (TOTALS, MAINTENANCE + "auxtotals.cm2", None),
]


@pytest.mark.parametrize(("name", "other", "step"), MIXTURES)
def test_files_of_one_book_are_not_exchanged(sharded: Files, name: str, other: str, step: str | None) -> None:
    """None stands for another length."""
    own = relations_of(sharded)
    mixed = {**sharded, name: sharded[other]}
    if step is None:
        with pytest.raises(MalformedError):
            quick(mixed, own)
        return
    with pytest.raises(RejectedError) as caught:
        quick(mixed, own)
    assert caught.value.step == step


def test_files_of_two_books_are_not_mixed(tiny: Files, sharded: Files, alone: Files) -> None:
    """Each file of the one in the place of the same of the other."""
    for book, given in ((tiny, alone), (tiny, sharded), (alone, tiny), (sharded, tiny)):
        own = relations_of(book)
        for name in book.keys() & given.keys():
            if book[name] != given[name]:
                with pytest.raises((MalformedError, RejectedError)):
                    quick({**book, name: given[name]}, own)


def renumbered(files: Files, shard: int, name: str = "records") -> Files:
    """Overwrite the number of a shard in the proof of the next one, and let it stand in its place."""
    place = f"snapshot/{name}-{shard:06d}.cm2"
    data = bytearray(files[f"snapshot/{name}-{shard + 1:06d}.cm2"])
    data[38:46] = shard.to_bytes(8, "big")
    return {**files, place: bytes(data)}


def test_a_record_proof_of_another_shard_does_not_help(sharded: Files) -> None:
    """Nor of another snapshot, with number and digest overwritten: the transcript starts elsewhere."""
    with pytest.raises(RejectedError) as caught:
        quick(renumbered(sharded, 0))
    assert (caught.value.step, caught.value.shard) == ("V4", 0)
    later = replace(SnapshotManifest.decode(sharded[SNAPSHOT]), as_of=1)
    moved = {**sharded, SNAPSHOT: later.encoded}
    for name in (TOTALS, *map(records, range(3))):
        moved[name] = moved[name][:6] + later.digest + moved[name][38:]
    refused("V4", lambda: quick(moved, {}), "do not belong together")


def relinked(files: Files, manifest: SnapshotManifest, points: bytes) -> Files:
    """Return a snapshot with other positions, its root, and its digest in the files about it."""
    size = manifest.accounts_per_shard
    starts = range(0, len(points), size * 33)
    roots = [shard_root(points[start : start + size * 33], size) for start in starts]
    manifest = replace(manifest, position_root=top_root(roots))
    count = (len(points) // 33).to_bytes(8, "big")
    made = {**files, SNAPSHOT: manifest.encoded, POSITIONS: files[POSITIONS][:6] + count + points}
    for name in (TOTALS, *map(records, range(manifest.shards))):
        made[name] = made[name][:6] + manifest.digest + made[name][38:]
    return made


def test_the_number_of_accounts_is_that_of_the_positions(sharded: Files) -> None:
    """More points than n, fewer, or n moved with them: each is refused, by length, by root or by the proofs."""
    manifest = SnapshotManifest.decode(sharded[SNAPSHOT])
    points = sharded[POSITIONS][14:]
    assert relinked(sharded, manifest, points) == sharded
    for accounts in (4, 6):
        other = replace(manifest, accounts=accounts)
        with pytest.raises(MalformedError, match="must be"):
            quick({**sharded, SNAPSHOT: other.encoded}, {})
    more = points + points[:33]
    with pytest.raises(MalformedError, match="must be"):
        quick({**sharded, POSITIONS: sharded[POSITIONS][:6] + (6).to_bytes(8, "big") + more}, {})
    # The tree of five leaves and an empty one is another tree than that of six.
    six = {**sharded, SNAPSHOT: replace(manifest, accounts=6).encoded}
    six[POSITIONS] = sharded[POSITIONS][:6] + (6).to_bytes(8, "big") + more
    refused("V3", lambda: quick(six, {}), "position root")
    refused("V4", lambda: quick(relinked(sharded, replace(manifest, accounts=6), more), {}))


def test_a_tree_of_another_shape_is_another_snapshot(tiny: Files) -> None:
    """N = 4 and N = 2 have one position root here, but not one digest."""
    manifest = SnapshotManifest.decode(tiny[SNAPSHOT])
    other = replace(manifest, accounts_per_shard=2)
    files = {**tiny, SNAPSHOT: other.encoded, records(1): tiny[records(0)]}
    assert relinked(files, other, tiny[POSITIONS][14:])[SNAPSHOT] == other.encoded
    assert other.digest != manifest.digest
    with pytest.raises((MalformedError, RejectedError)):
        quick(files, {})


def mostly_empty(size: int) -> Files:
    """A book of one account in a shard of so many leaves, as large as its files must be."""
    labels = ("usd",)
    relation = Relation(labels, (), (Row("funded", (1,), ()),))
    point = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    prefix = b"CM2S\x00\x02\x00\x01v" + bytes(8) + columns_digest(labels)
    snapshot = prefix + size.to_bytes(8, "big") + (1).to_bytes(8, "big") + shard_root(point, size)
    return {
        COLUMNS: encode_columns(labels),
        SNAPSHOT: snapshot,
        POSITIONS: b"CM2X\x00\x02" + (1).to_bytes(8, "big") + point,
        records(0): bytes(RecordShape(size, 1).size),
        MAINTENANCE + "relation.cm2": relation.encoded,
        MAINTENANCE + "statement.cm2": StatementManifest(
            bytes(32), relation.digest, POLICY, bytes(32), 4, bytes(32)
        ).encoded,
        MAINTENANCE + "slack.cm2": b"CM2R\x00\x02" + (size >> 4).to_bytes(8, "big"),
        SHARD: bytes(2000),
    }


def test_a_shard_that_is_mostly_empty_costs_nothing() -> None:
    """9 kB of files about one account in 2^20 leaves are refused before anything of that size exists."""
    files = mostly_empty(2**20)
    assert sum(map(len, files.values())) < 12_000
    relation = Relation(("usd",), (), (Row("funded", (1,), ()),))
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError, match=r"snapshot\.cm2: shards of 1048576 accounts: too many for 1 accounts"):
            verify(files, {"maintenance": relation})
        snapshot, _ = parts(files, {})
        with pytest.raises(MalformedError, match="too many"):
            verify_snapshot(snapshot)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_sizes_of_files_are_checked_before_any_tree(sharded: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of record proofs, shard proofs, slack rows and totals, in this statement and the next."""

    def shard_tree(encodings: bytes, leaves: int) -> bytes:
        raise AssertionError("a tree before the last size")

    monkeypatch.setattr("crossmargin_verifier.protocol.verify.shard_root", shard_tree)
    names = [name for name in sharded if name.startswith((COVERAGE, "snapshot/records")) or name == TOTALS]
    assert len(names) == 3 + 1 + 7
    for name in names:
        for data in (sharded[name][:-1], sharded[name] + b"\x00"):
            with pytest.raises(MalformedError):
                verify({**sharded, name: data}, relations_of(sharded))
    with pytest.raises(AssertionError, match="a tree before"):
        verify(sharded)


def test_weights_are_drawn_when_every_byte_was_read(tiny: Files) -> None:
    def draw() -> int:
        raise AssertionError("drawn too early")

    for name in tiny:
        with pytest.raises(MalformedError):
            quick({**tiny, name: tiny[name][:-1]}, relations_of(tiny), draw=draw)


def test_every_equation_has_a_weight_of_its_own(sharded: Files) -> None:
    """Three record proofs, the totals, and of two statements three shard proofs and auxiliary totals each."""
    drawn: list[int] = []

    def draw() -> int:
        drawn.append(len(drawn) + 2**100)
        return drawn[-1]

    quick(sharded, draw=draw)
    assert len(drawn) == 3 + 1 + 2 * (3 + 1)
    drawn.clear()
    quick(sharded, {}, draw=draw)
    assert len(drawn) == 3 + 1


def test_verification_is_deterministic_but_for_the_weights(tiny: Files) -> None:
    assert quick(tiny) == quick(tiny, draw=lambda: 1)


def test_one_statement_twice(tiny: Files) -> None:
    """The same files under two names share their slack rows, and a change is found in the first."""
    own = relations_of(tiny)["maintenance"]
    files = {**tiny, **{name.replace("maintenance", "again"): data for name, data in tiny.items()}}
    book = quick(files, {"maintenance": own, "again": own})
    assert book.statements["maintenance"] == book.statements["again"]
    refused(
        "V6",
        lambda: quick(changed(files, SHARD.replace("maintenance", "again")), {"maintenance": own, "again": own}),
        None,
        "again",
    )


def test_a_verified_snapshot(tiny: Files) -> None:
    snapshot = verify_snapshot(parts(tiny, {})[0])
    assert snapshot.manifest == SnapshotManifest.decode(tiny[SNAPSHOT])
    assert snapshot.columns == ("usd", "btc", "perp")
    assert snapshot.positions == tiny[POSITIONS][14:]
    alone = without(tiny, TOTALS, records(0))
    assert verify_snapshot(parts(alone, {})[0]) == snapshot


PIECES = pytest.mark.parametrize("pieces", [None, 5])
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
    book = verify(sharded, **workplace)
    assert book == quick(sharded)
    assert book.totals == (2021, 150, 18)
    assert [found.auxiliary_totals for found in book.statements.values()] == [(220, 0), (4, 0)]


WRONG = [
    (records(0), "V4", None, 0),
    (records(2), "V4", None, 2),
    (TOTALS, "V7", None, None),
    (SHARD, "V6", "maintenance", 0),
    (MAINTENANCE + "auxtotals.cm2", "V8", "maintenance", None),
    (COVERAGE + "shard-000002.cm2", "V6", "coverage", 2),
    (COVERAGE + "auxtotals.cm2", "V8", "coverage", None),
]


@pytest.mark.parametrize("pieces", [None, 5])
@pytest.mark.parametrize("arithmetic", [FASTEST])
@pytest.mark.parametrize(("name", "step", "statement", "shard"), WRONG)
def test_what_is_wrong_is_named_anywhere(
    sharded: Files, workplace: dict[str, Any], name: str, step: str, statement: str | None, shard: int | None
) -> None:
    with pytest.raises(RejectedError) as caught:
        verify(changed(sharded, name), **workplace)
    assert (caught.value.step, caught.value.statement, caught.value.shard) == (step, statement, shard)
    assert str(caught.value).startswith(f"{step}, " if statement or shard is not None else f"{step}: ")


def test_the_first_of_several_is_named(sharded: Files) -> None:
    """In the order of the equations: records, totals, then statement by statement."""
    files = sharded
    for name, step, statement, shard in reversed(WRONG):
        files = changed(files, name)
        with pytest.raises(RejectedError) as caught:
            quick(files)
        assert (caught.value.step, caught.value.statement, caught.value.shard) == (step, statement, shard)


@pytest.fixture(scope="module")
def outcomes(sharded: Files) -> list[tuple[Files, tuple[str, str]]]:
    """Files with one changed byte, each with its outcome in one piece."""
    found = []
    # Of positions and slack rows the last byte is that of a point, and so is one in the middle.
    places = {POSITIONS: (0.5, 1), COVERAGE + "slack.cm2": (1,), records(1): (0.5,)}
    for name, shares in places.items():
        data = sharded[name]
        for place in [int(share * (len(data) - 1)) for share in shares]:
            files = changed(sharded, name, place)
            found.append((files, outcome(files, arithmetic=FASTEST)))
    return found


@ARITHMETICS
@pytest.mark.parametrize("pieces", [9])
def test_a_changed_byte_has_one_outcome_anywhere(
    outcomes: list[tuple[Files, tuple[str, str]]], workplace: dict[str, Any]
) -> None:
    """Points that are none come before everything else, as if all had been decoded first."""
    for files, expected in outcomes:
        assert outcome(files, **workplace) == expected


def test_points_come_first(sharded: Files) -> None:
    """A byte that no point has is V1, also where the trees or the policy would be refused."""
    for name, where in ((POSITIONS, ""), (COVERAGE + "slack.cm2", "statement coverage: ")):
        wrong = changed(sharded, name, 14 + 3 * 33, sharded[name][14 + 3 * 33] ^ 9)
        expected = f"{where}{name.rsplit('/', 1)[1]}: point 3: point with prefix 9: must be 2 or 3"
        assert outcome(wrong) == ("MalformedError", expected)
        assert outcome(wrong, draw=lambda: 1) == ("MalformedError", expected)
        snapshot, claims = parts(wrong, relations_of(wrong))
        claims["coverage"] = ClaimedStatement(claims["coverage"].files, claims["coverage"].relation, b"?" * 32)
        # The slack rows of a statement about another policy are not looked at.
        refusal = MalformedError if name == POSITIONS else RejectedError
        with pytest.raises(refusal):
            verify_statements(snapshot, claims)


def test_processes_verify(sharded: Files, processes: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossmargin_verifier.protocol.equation.MAX_PIECE", 9)
    assert quick(sharded, executor=processes) == quick(sharded)
    with pytest.raises(RejectedError, match="V6, statement coverage, shard 1"):
        quick(changed(sharded, COVERAGE + "shard-000001.cm2"), executor=processes)
    wrong = changed(sharded, POSITIONS, 14 + 33 * 4, sharded[POSITIONS][14 + 33 * 4] ^ 9)
    with pytest.raises(MalformedError, match=r"positions\.cm2: point 4: point with prefix 9"):
        quick(wrong, executor=processes)


def test_stages_are_reported(sharded: Files) -> None:
    calls: list[tuple[str, int, int]] = []
    quick(sharded, progress=lambda *call: calls.append(call))
    stages = ["snapshot: trees", "statement maintenance: trees", "statement coverage: trees", "proof"]
    assert list(dict.fromkeys(stage for stage, _, _ in calls)) == stages
    for stage in stages:
        own = [(done, total) for name, done, total in calls if name == stage]
        assert own[0] == (0, own[-1][1])
        assert own[-1] == ((3, 3) if stage != "proof" else (5, 5))


def test_files_by_their_bare_names() -> None:
    assert "columns.cm2" in SnapshotFiles({"columns.cm2": b""})
    with pytest.raises(MalformedError, match=r"statement\.cm2: missing"):
        _ = StatementFiles({}).manifest
