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

from crossmargin_circuits.layout import columns_digest
from crossmargin_circuits.relation import VALUE_BITS, Relation
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic, MalformedPointError
from crossmargin_verifier.protocol.equation import (
    Bases,
    Block,
    CommittedPoints,
    EquationSource,
    Workplace,
    check_encodings,
    check_equations,
)
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
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
from crossmargin_verifier.protocol.shape import Shape, totals_size
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
    columns: tuple[str, ...]
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
    with _points_first({(None, POSITIONS_FILE): positions}, Workplace(arithmetic, executor)):
        _check_columns(files)
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
    points: dict[tuple[str | None, str], bytes] = {(None, POSITIONS_FILE): snapshot.positions}
    with _points_first(points, workplace):
        # V1, V2: every file has its size before anything of the size of a shard is computed.
        _check_columns(snapshot)
        records = RecordShape(manifest.accounts_per_shard, len(columns))
        if 4 * manifest.leaves * records.bound >= ORDER:
            raise RejectedError("V2", "sums over so many accounts can wrap modulo r")
        record_proofs = [snapshot.sized(records_file(shard), records.size) for shard in range(manifest.shards)]
        totals_file = snapshot.sized(TOTALS_FILE, totals_size(len(columns))) if TOTALS_FILE in snapshot else None
        names = (COLUMNS_FILE, SNAPSHOT_FILE, POSITIONS_FILE, TOTALS_FILE)
        snapshot.refuse_others({*names, *map(records_file, range(manifest.shards))})
        opened = {}
        for name, claimed in statements.items():
            with _naming(name):
                opened[name] = _open_statement(claimed, snapshot, records.bound)
                points[name, SLACK_FILE] = opened[name].slack_rows

        # V3
        verified = verify_snapshot(snapshot, executor=executor, arithmetic=arithmetic, progress=progress)
        slack_roots = {}
        for name, statement in opened.items():
            with _naming(name):
                slack_roots[name] = statement.slack_roots(partial(progress, f"statement {name}: trees"))

        # V7, V4: record proofs become equations when their turn comes.
        sources = []
        for shard, (data, root) in enumerate(zip(record_proofs, verified.shard_roots, strict=True)):
            public = PublicRecords(manifest.digest, records, manifest.accounts_in(shard), shard, root)
            sources.append(EquationSource(shard, partial(verify_records, public, data)))
        totals = None
        if totals_file is not None:
            totals, equation = verify_base_totals(manifest.digest, len(columns), totals_file)
            sources.append(EquationSource.made(equation))

        # V8, V5: so do shard proofs.
        results = {}
        for name, statement in opened.items():
            roots = zip(verified.shard_roots, slack_roots[name], strict=True)
            for shard, (data, pair) in enumerate(zip(statement.proofs, roots, strict=True)):
                subject = PublicShard(
                    statement.manifest.digest,
                    statement.relation,
                    statement.shape,
                    manifest.accounts_in(shard),
                    shard,
                    *pair,
                )
                sources.append(EquationSource(shard, _naming(name)(partial(verify_shard, subject, data)), name))
            auxiliary_totals = None
            if statement.auxiliary_totals is not None:
                with _naming(name):
                    auxiliary_totals, equation = verify_auxiliary_totals(
                        statement.manifest.digest, statement.relation, statement.shape, statement.auxiliary_totals
                    )
                sources.append(EquationSource.made(equation, name))
            results[name] = VerifiedStatement(statement.manifest, statement.relation, auxiliary_totals)

        # V6, V9
        files = {f"snapshot/{name}": data for name, data in snapshot.bytes.items()}
        for name, claimed in statements.items():
            files |= {f"statements/{name}/{file}": data for file, data in claimed.files.bytes.items()}
        check_equations(
            sources,
            _bases(manifest, records, verified.positions, list(opened.values())),
            batch_weights(files_digest(files)) if draw is None else draw,
            workplace,
            progress,
        )
    return VerifiedBook(manifest, columns, totals, results)


@dataclass(frozen=True)
class _OpenedStatement:
    """A statement about the expected subject (V2), whose files have the sizes that follow from its shape (V1)."""

    manifest: StatementManifest
    relation: Relation
    shape: Shape
    slack_rows: bytes
    proofs: Sequence[bytes]
    auxiliary_totals: bytes | None

    def slack_roots(self, progress: Callable[[int, int], None]) -> tuple[bytes, ...]:
        """Return the roots over the slack rows of every shard, which lead to the slack root (V3)."""
        roots = _shard_roots(self.slack_rows, self.shape.slack_rows_per_shard, progress)
        if top_root(roots) != self.manifest.slack_root:
            raise RejectedError("V3", "the slack rows do not lead to the slack root of the statement")
        return roots


def _open_statement(claimed: ClaimedStatement, snapshot: SnapshotFiles, bound: int) -> _OpenedStatement:
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
    disclosed = shape.disclosed > 0 and TOTALS_FILE in snapshot
    slack_rows = files.slack_rows(shape.leaves)
    proofs = [files.sized(shard_file(shard), shape.shard_size) for shard in range(shape.shards)]
    totals = files.sized(AUXILIARY_TOTALS_FILE, shape.auxiliary_totals_size) if disclosed else None
    if totals is None and AUXILIARY_TOTALS_FILE in files:
        reason = f"{TOTALS_FILE} is left out" if shape.disclosed else "the relation discloses no auxiliary"
        raise MalformedError(f"{AUXILIARY_TOTALS_FILE}: {reason}")
    names = (RELATION_FILE, STATEMENT_FILE, SLACK_FILE, AUXILIARY_TOTALS_FILE)
    files.refuse_others({*names, *map(shard_file, range(shape.shards))})
    return _OpenedStatement(manifest, relation, shape, slack_rows, proofs, totals)


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
def _naming(statement: str | None) -> Iterator[None]:
    """Add the name of a statement, if any, to errors about it."""
    try:
        yield
    except RejectedError as error:
        raise RejectedError(error.step, error.reason, error.shard, statement) from None
    except MalformedError as error:
        raise (MalformedError(f"statement {statement}: {error}") if statement is not None else error) from None


@contextmanager
def _points_first(points: Mapping[tuple[str | None, str], bytes], workplace: Workplace) -> Iterator[None]:
    """Before reporting a rejection or a malformed point, decode these files; report their first invalid point
    instead."""
    try:
        yield
    except (RejectedError, MalformedPointError):
        for (statement, name), encodings in points.items():
            with _naming(statement):
                check_encodings(encodings, name, workplace)
        raise


def _check_columns(files: SnapshotFiles) -> None:
    """Check that the columns are those of the manifest (V2)."""
    if columns_digest(files.columns) != files.manifest.columns_digest:
        raise RejectedError("V2", "the columns are not those of the snapshot")


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


def _bases(
    manifest: SnapshotManifest, records: RecordShape, positions: bytes, statements: Sequence[_OpenedStatement]
) -> Bases:
    """Return the bases of all equations: as many generators as the longest of them needs."""
    shapes = [statement.shape for statement in statements]
    generators = {
        Block("A"): position_generators(records.columns),
        Block("M"): mask_generators(max([records.masks, *(shape.masks for shape in shapes)])),
        Block("H"): [blinding_generator()],
        Block("U"): [value_generator()],
    }
    for account in range(max([1 << shape.packing for shape in shapes], default=0)):
        values = max(shape.values for shape in shapes if account < 1 << shape.packing)
        generators[Block("B", account)] = account_generators(account, values)
    committed = {Block("X"): CommittedPoints(positions, records.accounts_per_shard)}
    for statement in statements:
        rows = CommittedPoints(statement.slack_rows, statement.shape.slack_rows_per_shard)
        committed[Block("R", statement.manifest.digest)] = rows
    return Bases(generators, committed, manifest.shards)
