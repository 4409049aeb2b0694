"""Verification of a whole statement (SPEC V1 - V9).

`verify_snapshot` checks the commitments, once for any number of statements about them; `verify_statement` checks a
statement. Their steps, in order:

    snapshot    V1  manifest and columns are canonical, and there are as many positions as the manifest says
                V2  the columns are those of the manifest
                V3  the positions lead to the position root
    statement   V1  the manifest is canonical
                V2  the statement is about the verifier's own relation, policy, columns and snapshot
                V1  every other file has the one size that follows from relation and manifests
                V3  the slack rows lead to the slack root
                V4  every proof is about its shard of this statement
                V7, V8  the totals are in range, and lead to one equation between points each
                V5, V6  every shard proof, read through its transcript, leads to one equation between points
                V9  all equations hold, in one multi-scalar multiplication under random weights

Apart from the weights, verification is a pure function of the files. Before reporting a rejection, it decodes the
committed points; if one of them is invalid, it reports that point instead (V1).

**Duties of the caller** (V10). Compile the relation from the policy that has this policy digest, and read that policy.
Compare the digests of snapshot and statement, which a `VerifiedStatement` carries, with an independent publication.
If `totals` is None, the statement shows nothing about the book as a whole. The maker of the files must not be able to
predict the weights.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from crossmargin_circuits.errors import BudgetError
from crossmargin_circuits.layout import columns_digest
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic, MalformedPointError
from crossmargin_verifier.protocol.equation import (
    Bases,
    Block,
    PointEquation,
    Workplace,
    check_encodings,
    check_equations,
)
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.generators import (
    blinding_generator,
    mask_generators,
    position_generators,
    slack_generators,
    value_generator,
)
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    StatementManifest,
    shard_file,
)
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard, check_bounded_size, check_shard, verify_shard
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.totals import verify_auxiliary_totals, verify_base_totals
from crossmargin_verifier.protocol.weights import WeightSource, batch_weights
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["VerifiedSnapshot", "VerifiedStatement", "verify_snapshot", "verify_statement"]


@dataclass(frozen=True)
class VerifiedSnapshot:
    """A snapshot whose files agree with each other: manifest, column labels, and committed positions in their tree.

    positions: enc(X_i) in global order, 33 bytes each, one after the other. Each statement decodes them.
    """

    manifest: SnapshotManifest
    columns: tuple[str, ...]
    positions: bytes = field(repr=False)
    shard_roots: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class VerifiedStatement:
    """The result of a verified statement and its subject; the module's docstring lists the caller's duties.

    totals: of the base columns, in their units, or None if closed (bounded mode); auxiliary_totals: of the disclosed
    auxiliaries in order, or None.
    """

    snapshot: SnapshotManifest
    statement: StatementManifest
    relation: Relation = field(repr=False)
    totals: tuple[int, ...] | None
    auxiliary_totals: tuple[int, ...] | None


def verify_snapshot(
    files: StatementFiles,
    *,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
) -> VerifiedSnapshot:
    """Check that columns, manifest and positions agree; each statement decodes the positions.

    Raises:
        MalformedError: a file is missing or not canonical.
        RejectedError: V2, V3.
    """
    # V1: manifest and columns are canonical, and there are as many positions as the manifest says.
    manifest, columns, positions = files.snapshot, files.columns, files.positions
    with _points_first({POSITIONS_FILE: positions}, Workplace(arithmetic, executor)):
        # V2: the columns are those of the manifest.
        if columns_digest(columns) != manifest.columns_digest:
            raise RejectedError("V2", "the columns are not those of the snapshot")
        # V3: the positions lead to the position root.
        roots = _shard_roots(positions, manifest.shards, progress)
        if top_root(roots) != manifest.position_root:
            raise RejectedError("V3", "the positions do not lead to the position root of the snapshot")
    return VerifiedSnapshot(manifest, columns, positions, roots)


def verify_statement(
    files: StatementFiles,
    relation: Relation,
    policy_digest: bytes,
    *,
    snapshot: VerifiedSnapshot | None = None,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
    draw: WeightSource | None = None,
) -> VerifiedStatement:
    """Verify that every committed account satisfies the relation, and that the totals are those of the commitments.

    relation, policy_digest: the verifier's own (see the duties above); snapshot: verified before, if several statements
    share one; executor: runs the pieces of the multiplication, by default in this process; arithmetic: multiplies
    points; draw: source of the weights of V9, for tests only.

    Raises:
        MalformedError: a file is missing, superfluous or not canonical.
        RejectedError: V2 - V9 with step and shard.
    """
    workplace = Workplace(arithmetic, executor)
    if snapshot is None:
        snapshot = verify_snapshot(files, executor=executor, arithmetic=arithmetic, progress=progress)
    points = {POSITIONS_FILE: snapshot.positions}
    with _points_first(points, workplace):
        # V1: the manifest is canonical.
        statement = files.statement

        # V2: the statement is about this relation, policy, columns and snapshot.
        _check_same_snapshot(files, snapshot)
        _check_relation(files, snapshot, relation, policy_digest)

        # V1: every other file has the one size that follows from relation and manifests.
        shape = Shape.of(snapshot.manifest, statement, relation)
        points[SLACK_FILE] = files.slack_rows
        proofs = [files.sized(shard_file(shard), shape.shard_size) for shard in range(shape.shards)]
        totals_file, auxiliary_totals_file = _totals_files(files, shape)

        # V3: the slack rows lead to the slack root.
        slack_roots = _shard_roots(files.slack_rows, shape.shards, progress)
        if top_root(slack_roots) != statement.slack_root:
            raise RejectedError("V3", "the slack rows do not lead to the slack root of the statement")

        # V4: every proof is about its shard of this statement.
        if shape.bounded:
            check_bounded_size(relation, shape)
        public = [
            PublicShard(statement.digest, relation, shape, shard, *roots)
            for shard, roots in enumerate(zip(snapshot.shard_roots, slack_roots, strict=True))
        ]
        for pair in zip(public, proofs, strict=True):
            check_shard(*pair)

        # V7, V8: the totals are in range, and lead to one equation between points each.
        totals: tuple[int, ...] | None = None
        auxiliary_totals: tuple[int, ...] | None = None
        equations: list[PointEquation] = []
        if totals_file is not None:
            totals, equation = verify_base_totals(snapshot.manifest.digest, shape, totals_file)
            equations.append(equation)
        if auxiliary_totals_file is not None:
            auxiliary_totals, equation = verify_auxiliary_totals(
                statement.digest, relation, shape, auxiliary_totals_file
            )
            equations.append(equation)

        # V5, V6: every shard proof leads to one equation between points. V9: all of them hold.
        check_equations(
            [partial(verify_shard, *pair) for pair in zip(public, proofs, strict=True)],
            equations,
            _bases(shape, snapshot.positions, files.slack_rows),
            batch_weights(files.digest) if draw is None else draw,
            workplace,
            progress,
        )
    return VerifiedStatement(snapshot.manifest, statement, relation, totals, auxiliary_totals)


@contextmanager
def _points_first(points: dict[str, bytes], workplace: Workplace) -> Iterator[None]:
    """Before reporting a rejection or a malformed point, decode these files; report their first invalid point
    instead."""
    try:
        yield
    except (RejectedError, MalformedPointError):
        for name, encodings in points.items():
            check_encodings(encodings, name, workplace)
        raise


def _shard_roots(encodings: bytes, shards: int, progress: Progress) -> tuple[bytes, ...]:
    """Return the root of every shard tree, one tree at a time."""
    size = len(encodings) // shards
    roots = []
    progress("trees", 0, shards)
    for shard in range(shards):
        roots.append(shard_root(encodings[shard * size : (shard + 1) * size]))
        progress("trees", shard + 1, shards)
    return tuple(roots)


def _check_same_snapshot(files: StatementFiles, snapshot: VerifiedSnapshot) -> None:
    """Check that the files contain the verified snapshot."""
    if files.snapshot != snapshot.manifest:
        raise RejectedError("V2", "the statement comes with another snapshot")
    if files.columns != snapshot.columns:
        raise RejectedError("V2", "the columns are not those of the snapshot")
    if files.positions != snapshot.positions:
        raise RejectedError("V3", "the positions are not those of the snapshot")


def _check_relation(
    files: StatementFiles, snapshot: VerifiedSnapshot, relation: Relation, policy_digest: bytes
) -> None:
    """Check V2 and S10; `relation.cm1` serves only for comparison with the verifier's own relation."""
    statement = files.statement
    if files[RELATION_FILE] != relation.encoded:
        Relation.decode(files[RELATION_FILE], snapshot.columns)
    if columns_digest(relation.columns) != snapshot.manifest.columns_digest:
        raise RejectedError("V2", "the relation of the policy is about other columns than the snapshot")
    if files[RELATION_FILE] != relation.encoded or statement.relation_digest != relation.digest:
        raise RejectedError("V2", "the relation is not that of the policy")
    if statement.policy_digest != policy_digest:
        raise RejectedError("V2", "the statement is about another policy")
    if statement.snapshot_digest != snapshot.manifest.digest:
        raise RejectedError("V2", "the statement is about another snapshot")
    try:
        relation.check_size(snapshot.manifest.leaves)
    except BudgetError as error:
        raise RejectedError("V2", str(error)) from None
    for row in relation.rows:
        if row.offset > 0:
            raise RejectedError("V2", f"row {row.label!r} has a positive offset, which weakens the statement")


def _totals_files(files: StatementFiles, shape: Shape) -> tuple[bytes | None, bytes | None]:
    """Return both files of totals; the second exists for disclosed auxiliaries, and bounded mode may omit both."""
    if not shape.disclosed and AUXILIARY_TOTALS_FILE in files:
        raise MalformedError(f"{AUXILIARY_TOTALS_FILE}: the relation discloses no auxiliary")
    if shape.bounded and TOTALS_FILE not in files and AUXILIARY_TOTALS_FILE not in files:
        return None, None
    totals = files.sized(TOTALS_FILE, shape.totals_size)
    return totals, files.sized(AUXILIARY_TOTALS_FILE, shape.auxiliary_totals_size) if shape.disclosed else None


def _bases(shape: Shape, positions: bytes, slack_rows: bytes) -> Bases:
    """Return the bases of all equations."""
    generators = {
        Block.A: position_generators(shape.columns),
        Block.B: slack_generators(shape.values, shape.packing),
        Block.M: mask_generators(shape.masks),
        Block.H: [blinding_generator()],
        Block.U: [value_generator()],
    }
    return Bases(generators, {Block.X: positions, Block.R: slack_rows}, shape.shards)
