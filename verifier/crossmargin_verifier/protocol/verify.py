"""Verification of a book: one snapshot, and all statements about it in one equation (SPEC V1 - V9).

`verify_snapshot` checks the committed positions alone, which is all that a receipt needs; `verify_statements` checks
records, totals and statements. Their steps, in order:

    V1       manifests and columns are canonical; every other file has the one size that follows from them
    V2       columns, snapshot, relation and policy are the expected ones, and no row can wrap modulo r
    V3       positions and slack rows lead to the roots in the manifests
    V7, V8   the totals are in range, and lead to one equation between points each
    V4       every record proof leads to one equation
    V5, V6   every shard proof, read through its transcript, leads to one equation
    V9       all equations hold, in one multi-scalar multiplication under random weights

Apart from the weights, verification is a pure function of the files. Before reporting a rejection, it decodes the
committed points; if one of them is invalid, it reports that point instead (V1).

**Duties of the caller.** Compile each relation from the policy that has this policy digest, and read that policy.
Compare the digests of snapshot and statements, which a `VerifiedBook` carries, with an independent publication. If
`totals` is None, nothing is said about sums, and a row with an auxiliary says nothing about its account: accept only
policies that need none. The maker of the files must not be able to predict the weights.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from crossmargin_circuits.layout import columns_digest
from crossmargin_circuits.relation import VALUE_BITS, Relation
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic, MalformedPointError
from crossmargin_verifier.protocol.equation import (
    Bases,
    Block,
    EquationSource,
    Workplace,
    check_encodings,
    check_equations,
)
from crossmargin_verifier.protocol.errors import LimitError, MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.generators import (
    account_generators,
    blinding_generator,
    mask_generators,
    position_generators,
    value_generator,
)
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    COLUMNS_FILE,
    NO_MODEL,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    StatementManifest,
    records_file,
    shard_file,
)
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.protocol.records import PublicRecords, RecordShape, verify_records
from crossmargin_verifier.protocol.shape import Shape, totals_size, values_by_place
from crossmargin_verifier.protocol.shard import PublicShard, verify_shard
from crossmargin_verifier.protocol.totals import verify_auxiliary_totals, verify_base_totals
from crossmargin_verifier.protocol.weights import WeightSource, batch_weights, files_digest
from crossmargin_verifier.workers import Progress, no_progress

__all__ = [
    "ClaimedStatement",
    "VerifiedBook",
    "VerifiedSnapshot",
    "VerifiedStatement",
    "check_wrap",
    "verify_snapshot",
    "verify_statements",
]


@dataclass(frozen=True)
class ClaimedStatement:
    """The files of a statement, and the verifier's own relation and policy digest for it."""

    files: StatementFiles = field(repr=False)
    relation: Relation = field(repr=False)
    policy_digest: bytes


@dataclass(frozen=True)
class VerifiedSnapshot:
    """A snapshot whose files agree with each other: manifest, column labels, and committed positions in their tree.

    positions: enc(X_i) in global order, 33 bytes each, one after the other; not decoded.
    """

    manifest: SnapshotManifest
    columns: tuple[str, ...]
    positions: bytes = field(repr=False)
    shard_roots: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class VerifiedStatement:
    """A statement that holds for every account; auxiliary_totals: of the disclosed auxiliaries in order, or None."""

    statement: StatementManifest
    relation: Relation = field(repr=False)
    auxiliary_totals: tuple[int, ...] | None


@dataclass(frozen=True)
class VerifiedBook:
    """The result: the records of every account are small integers, for which all statements hold.

    totals: of the columns, in their units, or None if they are left out; the module's docstring lists the caller's
    duties.
    """

    snapshot: SnapshotManifest
    totals: tuple[int, ...] | None
    statements: Mapping[str, VerifiedStatement]


def verify_snapshot(
    files: SnapshotFiles,
    *,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
) -> VerifiedSnapshot:
    """Check that columns, manifest and positions agree (V1 - V3); nothing is said about the records.

    Raises:
        MalformedError: a file is missing or not canonical.
        RejectedError: V2, V3.
    """
    manifest, columns, positions = files.manifest, files.columns, files.positions
    with _points_first({POSITIONS_FILE: positions}, Workplace(arithmetic, executor)):
        # V2: the columns are those of the manifest.
        if columns_digest(columns) != manifest.columns_digest:
            raise RejectedError("V2", "the columns are not those of the snapshot")
        # V3: the positions lead to the position root.
        roots = _shard_roots(positions, manifest.accounts_per_shard, partial(progress, "snapshot: trees"))
        if top_root(roots) != manifest.position_root:
            raise RejectedError("V3", "the positions do not lead to the position root of the snapshot")
    return VerifiedSnapshot(manifest, columns, positions, roots)


def verify_statements(
    snapshot: SnapshotFiles,
    statements: Mapping[str, ClaimedStatement],
    *,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
    draw: WeightSource | None = None,
) -> VerifiedBook:
    """Verify that every committed record consists of small integers and satisfies the relation of every statement.

    statements: by name, in the order of the bundle; without any, records and totals alone are verified. executor: runs
    the pieces of the multiplication, by default in this process; arithmetic: multiplies points; draw: source of the
    weights of V9, for tests only.

    Raises:
        MalformedError: a file is missing, superfluous or not canonical.
        RejectedError: V2 - V9 with step, statement and shard.
    """
    workplace = Workplace(arithmetic, executor)
    manifest, columns = snapshot.manifest, snapshot.columns
    points = {POSITIONS_FILE: snapshot.positions}
    with _points_first(points, workplace):
        # V1, V2: every file has its size before anything of the size of a shard is computed.
        records = RecordShape(manifest.accounts_per_shard, len(columns))
        sizes = {records_file(shard): records.size for shard in range(manifest.shards)}
        if TOTALS_FILE in snapshot:
            sizes[TOTALS_FILE] = totals_size(len(columns))
        snapshot.check_sizes(sizes, COLUMNS_FILE, SNAPSHOT_FILE, POSITIONS_FILE)
        opened = {}
        for name, claimed in statements.items():
            with _naming(name):
                opened[name] = _check_subject(claimed, snapshot, records.bound)
                points[f"statement {name}: {SLACK_FILE}"] = opened[name].slack_rows

        # V3
        verified = verify_snapshot(snapshot, executor=executor, arithmetic=arithmetic, progress=progress)

        # V4, V7: a record proof becomes an equation when its turn comes.
        sources = []
        for shard, root in enumerate(verified.shard_roots):
            public = PublicRecords(manifest.digest, records, manifest.accounts_in(shard), shard, root)
            sources.append(EquationSource(shard, partial(verify_records, public, snapshot[records_file(shard)])))
        totals = None
        if TOTALS_FILE in snapshot:
            totals, equation = verify_base_totals(manifest.digest, len(columns), snapshot[TOTALS_FILE])
            sources.append(EquationSource(None, lambda: equation))

        # V3, V5, V8: so does a shard proof.
        results = {}
        for name in statements:
            with _naming(name):
                results[name], own = _read_statement(name, opened[name], verified, progress)
                sources += own

        # V6, V9
        files = {f"snapshot/{name}": data for name, data in snapshot.bytes.items()}
        for name, claimed in statements.items():
            files |= {f"statements/{name}/{file}": data for file, data in claimed.files.bytes.items()}
        if draw is None:
            draw = batch_weights(files_digest(files))
        check_equations(sources, _bases(verified, records, list(opened.values())), draw, workplace, progress)
    return VerifiedBook(manifest, totals, results)


class _OpenedStatement(NamedTuple):
    """A statement about the expected subject, whose files have the sizes that follow from its shape."""

    files: StatementFiles
    relation: Relation
    shape: Shape
    slack_rows: bytes


def _check_subject(claimed: ClaimedStatement, snapshot: SnapshotFiles, bound: int) -> _OpenedStatement:
    """Check V1 and V2 of a statement; bound: X, of the entries of a record."""
    files, relation = claimed.files, claimed.relation
    manifest = files.manifest
    # relation.cm2 serves only for comparison with the verifier's own relation.
    if files[RELATION_FILE] != relation.encoded:
        Relation.decode(files[RELATION_FILE], snapshot.columns)
    if columns_digest(relation.columns) != snapshot.manifest.columns_digest:
        raise RejectedError("V2", "the relation of the policy is about other columns than the snapshot")
    if files[RELATION_FILE] != relation.encoded or manifest.relation_digest != relation.digest:
        raise RejectedError("V2", "the relation is not that of the policy")
    if manifest.policy_digest != claimed.policy_digest:
        raise RejectedError("V2", "the statement is about another policy")
    if manifest.model_digest != NO_MODEL:
        raise RejectedError("V2", "the statement is about a hidden model, and the policy hides no array")
    if manifest.snapshot_digest != snapshot.manifest.digest:
        raise RejectedError("V2", "the statement is about another snapshot")
    check_wrap(relation, bound)
    shape = Shape.of(snapshot.manifest, manifest, relation)
    sizes = {shard_file(shard): shape.shard_size for shard in range(shape.shards)}
    if shape.disclosed and TOTALS_FILE in snapshot:
        sizes[AUXILIARY_TOTALS_FILE] = shape.auxiliary_totals_size
    files.check_sizes(sizes, RELATION_FILE, STATEMENT_FILE, SLACK_FILE)
    return _OpenedStatement(files, relation, shape, files.slack_rows(shape.leaves))


def _read_statement(
    name: str, opened: _OpenedStatement, snapshot: VerifiedSnapshot, progress: Progress
) -> tuple[VerifiedStatement, list[EquationSource]]:
    """Check V3 of a statement, and return what it shows if all of its equations hold."""
    files, relation, shape, slack_rows = opened
    manifest = files.manifest
    roots = _shard_roots(slack_rows, shape.slack_rows_per_shard, partial(progress, f"statement {name}: trees"))
    if top_root(roots) != manifest.slack_root:
        raise RejectedError("V3", "the slack rows do not lead to the slack root of the statement")
    sources = []
    for shard, pair in enumerate(zip(snapshot.shard_roots, roots, strict=True)):
        public = PublicShard(manifest.digest, relation, shape, snapshot.manifest.accounts_in(shard), shard, *pair)
        make = _naming(name)(partial(verify_shard, public, files[shard_file(shard)]))
        sources.append(EquationSource(shard, make, name))
    totals = None
    if AUXILIARY_TOTALS_FILE in files:
        totals, equation = verify_auxiliary_totals(manifest.digest, relation, shape, files[AUXILIARY_TOTALS_FILE])
        sources.append(EquationSource(None, lambda: equation, name))
    return VerifiedStatement(manifest, relation, totals), sources


def check_wrap(relation: Relation, bound: int) -> None:
    """Check that no row of a record with entries below the bound X can wrap modulo r (V2).

    Raises:
        RejectedError: names the row.
    """
    for row in relation.rows:
        auxiliary = sum(map(abs, row.auxiliary)) << VALUE_BITS
        if 2 * (sum(map(abs, row.base)) * bound + auxiliary + abs(row.offset)) >= ORDER:
            raise RejectedError("V2", f"row {row.label!r}: its coefficients are so large that it can wrap modulo r")


@contextmanager
def _naming(statement: str) -> Iterator[None]:
    """Add the name of a statement to errors about it."""
    try:
        yield
    except RejectedError as error:
        raise RejectedError(error.step, error.reason, error.shard, statement) from None
    except (LimitError, MalformedError) as error:
        raise type(error)(f"statement {statement}: {error}") from None


@contextmanager
def _points_first(points: Mapping[str, bytes], workplace: Workplace) -> Iterator[None]:
    """Before reporting a rejection or a malformed point, decode these files; report their first invalid point
    instead."""
    try:
        yield
    except (RejectedError, MalformedPointError):
        for name, encodings in points.items():
            check_encodings(encodings, name, workplace)
        raise


def _shard_roots(encodings: bytes, per_shard: int, progress: Callable[[int, int], None]) -> tuple[bytes, ...]:
    """Return the root of every shard tree of so many leaves, one tree at a time; only the last has empty leaves."""
    size = per_shard * POINT_BYTES
    starts = range(0, len(encodings), size)
    roots = []
    progress(0, len(starts))
    for start in starts:
        roots.append(shard_root(encodings[start : start + size], per_shard))
        progress(len(roots), len(starts))
    return tuple(roots)


def _bases(snapshot: VerifiedSnapshot, records: RecordShape, statements: Sequence[_OpenedStatement]) -> Bases:
    """Return the bases of all equations: as many generators as the longest of them needs."""
    shapes = [statement.shape for statement in statements]
    generators = {
        Block("A"): position_generators(records.columns),
        Block("M"): mask_generators(max([records.masks, *(shape.masks for shape in shapes)])),
        Block("H"): [blinding_generator()],
        Block("U"): [value_generator()],
    }
    for account, values in enumerate(values_by_place(shapes)):
        generators[Block("B", account)] = account_generators(account, values)
    committed = {Block("X"): (snapshot.positions, records.accounts_per_shard)}
    for files, _, shape, slack_rows in statements:
        committed[Block("R", files.manifest.digest)] = slack_rows, shape.slack_rows_per_shard
    return Bases(generators, committed, snapshot.manifest.shards)
