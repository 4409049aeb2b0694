"""Verification of a whole statement (SPEC V1 - V9).

A snapshot is verified once (`verify_snapshot`) and can carry any number of statements (`verify_statement`). The
relation is the verifier's own, compiled from the policy; nothing but commitments and proofs is taken from the files.
Verifying is a pure function of the files but for the weights of V9, drawn when every byte has been received. Files,
digests and trees are checked here; committed points are decoded where they are multiplied, in pieces (`equation`).
Whenever something is rejected, the points of the files whose length was checked so far are decoded first and the first
that is none is named instead: positions for whatever step, slack rows once V2 and the comparison of digests passed.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from crossmargin_circuits.errors import BudgetError
from crossmargin_circuits.layout import columns_digest, decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic, MalformedPointError
from crossmargin_verifier.protocol.equation import Bases, Block, Workplace, check_encodings, check_equations
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
    BOOK,
    COLUMNS_FILE,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    StatementManifest,
    encode_positions,
    point_file_body,
    shard_file,
)
from crossmargin_verifier.protocol.merkle import shard_tree, top_tree
from crossmargin_verifier.protocol.messages import AuxiliaryTotals, BaseTotals, ShardProof
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard, check_bounded_size, check_shard, verify_shard
from crossmargin_verifier.protocol.totals import verify_auxiliary_totals, verify_base_totals
from crossmargin_verifier.protocol.weights import WeightSource, batch_weights
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["VerifiedSnapshot", "VerifiedStatement", "verify_snapshot", "verify_statement"]


@dataclass(frozen=True)
class VerifiedSnapshot:
    """A snapshot whose files agree with each other: manifest, column labels, and committed positions in their tree.

    positions: enc(X_i) in global order, 33 bytes each, one after the other. They are decoded with every statement.
    """

    manifest: SnapshotManifest
    columns: tuple[str, ...]
    positions: bytes = field(repr=False)
    shard_roots: tuple[bytes, ...] = field(repr=False)

    @property
    def digest(self) -> bytes:
        """The snapshot digest, to be compared with the published one."""
        return self.manifest.digest


@dataclass(frozen=True)
class VerifiedStatement:
    """What a verified statement shows, and about what.

    totals: of the base columns, in their units, or None where they stay closed (bounded mode); auxiliary_totals: of
    the disclosed auxiliaries in order, or None.

    The caller still has to compare the digests of snapshot and statement with an independent publication, and the
    policy digest with a policy that he has read (SPEC V10).
    """

    snapshot: SnapshotManifest
    statement: StatementManifest
    relation: Relation = field(repr=False)
    totals: tuple[int, ...] | None
    auxiliary_totals: tuple[int, ...] | None

    @property
    def mode(self) -> int:
        """BOOK or BOUNDED."""
        return self.statement.mode

    @property
    def leaves(self) -> int:
        """Accounts, with padding."""
        return self.snapshot.leaves

    @property
    def book_statement_shown(self) -> bool:
        """Whether totals were opened, without which nothing follows about the book as a whole (SPEC 8.3)."""
        return self.totals is not None


def verify_snapshot(
    files: Mapping[str, bytes],
    *,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
) -> VerifiedSnapshot:
    """Check that columns, manifest and positions agree (V1 - V3).

    That every position is a point of the curve is left to `verify_statement`, which has to decode them.

    Raises:
        MalformedError: a file is missing or not canonical.
        RejectedError: V2, V3.
    """
    # V1
    manifest = SnapshotManifest.decode(_file(files, SNAPSHOT_FILE))
    columns = decode_columns(_file(files, COLUMNS_FILE))
    positions = point_file_body(_file(files, POSITIONS_FILE), POSITIONS_FILE, manifest.leaves)
    with _points_first({POSITIONS_FILE: positions}, Workplace(arithmetic, executor)):
        # V2
        if columns_digest(columns) != manifest.columns_digest:
            raise RejectedError("V2", "the columns are not those of the snapshot")
        # V3
        roots = _shard_roots(positions, manifest.shards, progress)
        if top_tree(roots).root != manifest.position_root:
            raise RejectedError("V3", "the positions do not lead to the position root of the snapshot")
    return VerifiedSnapshot(manifest, columns, positions, roots)


def verify_statement(
    files: Mapping[str, bytes],
    relation: Relation,
    policy_digest: bytes,
    *,
    snapshot: VerifiedSnapshot | None = None,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
    draw: WeightSource | None = None,
) -> VerifiedStatement:
    """Verify a statement (V1 - V9): every committed account satisfies the relation.

    files: name to bytes, as `read_statement` returns; relation: the verifier's own, compiled from the policy with
    policy_digest; snapshot: verified before, when several statements share one; executor: where pieces are multiplied,
    if not in this process; arithmetic: who multiplies; draw: source of the weights of V9, for tests alone.

    Soundness: the weights must be unpredictable to whoever made the files, and the arithmetic must be right.

    Raises:
        MalformedError: a file is missing, superfluous or not canonical.
        RejectedError: V2 - V9 with step and shard.
    """
    workplace = Workplace(arithmetic, executor)
    shared = snapshot is not None
    if snapshot is None:
        snapshot = verify_snapshot(files, executor=executor, arithmetic=arithmetic, progress=progress)
    manifest = snapshot.manifest
    points = {POSITIONS_FILE: snapshot.positions}
    with _points_first(points, workplace):
        if shared:
            _check_same_snapshot(files, snapshot)

        # V1
        statement = StatementManifest.decode(_file(files, STATEMENT_FILE))
        stated = Relation.decode(_file(files, RELATION_FILE), snapshot.columns)
        # V2 before the rest of V1, since the lengths of the other files follow from the verifier's own relation.
        _check_digests(snapshot, statement, stated, relation, policy_digest)
        shape = Shape.of(manifest, statement, relation)
        # V1
        slack_rows = point_file_body(_file(files, SLACK_FILE), SLACK_FILE, shape.slack_rows)
        points[SLACK_FILE] = slack_rows
        proofs = [ShardProof.decode(_file(files, shard_file(shard)), shape, shard) for shard in range(manifest.shards)]
        totals, auxiliary_totals = _decode_totals(files, shape)
        # V3
        slack_roots = _shard_roots(slack_rows, manifest.shards, progress)
        if top_tree(slack_roots).root != statement.slack_root:
            raise RejectedError("V3", "the slack rows do not lead to the slack root of the statement")
        # V4
        if shape.bounded:
            check_bounded_size(relation, shape)
        public = [
            PublicShard(statement.digest, relation, shape, shard, *roots)
            for shard, roots in enumerate(zip(snapshot.shard_roots, slack_roots, strict=True))
        ]
        for pair in zip(public, proofs, strict=True):
            check_shard(*pair)
        # V7, V8
        equations = []
        if totals is not None:
            equations.append(verify_base_totals(manifest.digest, totals))
        if auxiliary_totals is not None:
            equations.append(verify_auxiliary_totals(statement.digest, relation, shape, auxiliary_totals))
        # V5, V6, V9
        bases = Bases(
            generators={
                Block.A: position_generators(shape.columns),
                Block.B: slack_generators(shape.values, shape.packing),
                Block.M: mask_generators(shape.masks),
                Block.H: [blinding_generator()],
                Block.U: [value_generator()],
            },
            committed={Block.X: snapshot.positions, Block.R: slack_rows},
            shards=manifest.shards,
        )
        check_equations(
            [partial(verify_shard, *pair) for pair in zip(public, proofs, strict=True)],
            equations,
            bases,
            batch_weights(files) if draw is None else draw,
            workplace,
            progress,
        )
    return VerifiedStatement(
        snapshot=manifest,
        statement=statement,
        relation=relation,
        totals=None if totals is None else totals.totals,
        auxiliary_totals=None if auxiliary_totals is None else auxiliary_totals.totals,
    )


@contextmanager
def _points_first(files: Mapping[str, bytes], workplace: Workplace) -> Iterator[None]:
    """When something is rejected, or a point cannot be decoded, name the first such point of these files instead."""
    try:
        yield
    except (RejectedError, MalformedPointError):
        for name, encodings in files.items():
            check_encodings(encodings, name, workplace)
        raise


def _shard_roots(encodings: bytes, shards: int, progress: Progress) -> tuple[bytes, ...]:
    """Return the root of every shard tree, one tree at a time."""
    size = len(encodings) // shards
    roots = []
    progress("trees", 0, shards)
    for shard in range(shards):
        roots.append(shard_tree(encodings[shard * size : (shard + 1) * size]).root)
        progress("trees", shard + 1, shards)
    return tuple(roots)


def _check_same_snapshot(files: Mapping[str, bytes], snapshot: VerifiedSnapshot) -> None:
    """Check that the snapshot of the files is the one that was verified."""
    if SnapshotManifest.decode(_file(files, SNAPSHOT_FILE)) != snapshot.manifest:
        raise RejectedError("V2", "the statement comes with another snapshot")
    if decode_columns(_file(files, COLUMNS_FILE)) != snapshot.columns:
        raise RejectedError("V2", "the columns are not those of the snapshot")
    if _file(files, POSITIONS_FILE) != encode_positions(snapshot.positions):
        raise RejectedError("V3", "the positions are not those of the snapshot")


def _check_digests(
    snapshot: VerifiedSnapshot,
    statement: StatementManifest,
    stated: Relation,
    relation: Relation,
    policy_digest: bytes,
) -> None:
    """Check V2 and S10."""
    if columns_digest(relation.columns) != snapshot.manifest.columns_digest:
        raise RejectedError("V2", "the relation of the policy is about other columns than the snapshot")
    if stated.digest != relation.digest or statement.relation_digest != relation.digest:
        raise RejectedError("V2", "the relation is not that of the policy")
    if statement.policy_digest != policy_digest:
        raise RejectedError("V2", "the statement is about another policy")
    if statement.snapshot_digest != snapshot.digest:
        raise RejectedError("V2", "the statement is about another snapshot")
    try:
        relation.check_size(snapshot.manifest.leaves)
    except BudgetError as error:
        raise RejectedError("V2", str(error)) from None
    for row in relation.rows:
        if row.offset > 0:
            raise RejectedError("V2", f"row {row.label!r} has a positive offset, which weakens the statement")


def _decode_totals(files: Mapping[str, bytes], shape: Shape) -> tuple[BaseTotals | None, AuxiliaryTotals | None]:
    """Parse both totals; bounded mode may omit them, both or neither."""
    if not shape.disclosed and AUXILIARY_TOTALS_FILE in files:
        raise MalformedError(f"{AUXILIARY_TOTALS_FILE}: the relation discloses no auxiliary")
    if shape.mode != BOOK and TOTALS_FILE not in files and AUXILIARY_TOTALS_FILE not in files:
        return None, None
    totals = BaseTotals.decode(_file(files, TOTALS_FILE), shape)
    if not shape.disclosed:
        return totals, None
    return totals, AuxiliaryTotals.decode(_file(files, AUXILIARY_TOTALS_FILE), shape)


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise MalformedError(f"{name}: missing")
    return files[name]
