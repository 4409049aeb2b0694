"""A whole statement about a committed snapshot: all files of one published directory (SPEC S7 - S10, P1 - P10).

The witness is checked in exact integers before anything is proven, and the finished files are given to the verifier
before they are returned.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from crossmargin_circuits.digest import DIGEST_BYTES
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import Backend, UInt64Array
from crossmargin_prover.jobs import Progress, no_progress, run_jobs
from crossmargin_prover.randomness import Randomness
from crossmargin_prover.shard import prove_shard
from crossmargin_prover.slack import SlackRows, commit_slack_rows
from crossmargin_prover.snapshot import PADDING, CommittedSnapshot, number_account
from crossmargin_prover.totals import prove_auxiliary_totals
from crossmargin_prover.witness import ShardWitness, check_rows, unsigned_values
from crossmargin_verifier.shape import Shape
from crossmargin_verifier.shard import PublicShard, check_bounded_size
from crossmargin_verifier.statement import (
    AUXILIARY_TOTALS_FILE,
    BOOK,
    RELATION_FILE,
    SLACK_FILE,
    STATEMENT_FILE,
    StatementManifest,
    encode_slack_rows,
    shard_file,
)
from crossmargin_verifier.verify import verify_statement

__all__ = ["DEFAULT_PACKING", "StatementError", "prove_statement"]

DEFAULT_PACKING = 2
"""gamma: four accounts share a slack row, where published bytes and length of the opening balance (SPEC section 9)."""


class StatementError(CrossmarginError):
    """A statement that cannot be made about this snapshot."""


def prove_statement(
    snapshot: CommittedSnapshot,
    relation: Relation,
    policy_digest: bytes,
    auxiliaries: npt.ArrayLike,
    slacks: npt.ArrayLike,
    randomness: Randomness,
    backend: Backend,
    *,
    packing: int = DEFAULT_PACKING,
    mode: int = BOOK,
    executor: Executor | None = None,
    progress: Progress = no_progress,
    name_account: Callable[[int], str] = number_account,
) -> dict[str, bytes]:
    """Prove that every committed account satisfies the relation; returns all files of the statement, verified.

    auxiliaries: integers (S N, Q); slacks: integers (S N, K), both in the order of the leaves, that is of
    `snapshot.records`; packing: gamma, lowered to nu in small shards; mode: 0 book, 1 bounded; name_account: names an
    account in errors by its number in the input of the commitment.

    Raises:
        StatementError: the relation is about other columns, or a book statement about a snapshot with closed totals.
        BudgetError: S10, the coefficients are too large.
        WitnessError: a value out of range, or an account that does not satisfy a row; names both.
        RejectedError: V4, the coefficients are too large for bounded mode; else the verifier refuses the finished
            files, which shows a fault of this program.
    """
    if mode == BOOK and not snapshot.opens_totals:
        raise StatementError("a statement about the book needs the totals of the snapshot, which stay closed")
    accounts = snapshot.manifest.accounts_per_shard
    packing = min(packing, accounts.bit_length() - 1)
    draft = StatementManifest(
        snapshot_digest=snapshot.manifest.digest,
        relation_digest=relation.digest,
        policy_digest=policy_digest,
        packing=packing,
        mode=mode,
        slack_root=bytes(DIGEST_BYTES),
    )
    shape = Shape.of(snapshot.manifest, draft, relation)
    if shape.bounded:
        check_bounded_size(relation, shape)
    values = _checked_values(snapshot, relation, auxiliaries, slacks, name_account)

    # S8, S9: slack rows, blinded for this statement alone, and the manifest.
    witness_digest = hashlib.sha256(values.tobytes() + snapshot.nonces).digest()
    context = draft.encoded + witness_digest
    rows = commit_slack_rows(values, accounts, packing, randomness, context, backend, executor, progress)
    statement = replace(draft, slack_root=rows.tree.root)

    # P1 - P8: every shard by itself.
    jobs = [
        (*_shard_job(snapshot, relation, shape, statement, rows, shard), randomness, backend)
        for shard in range(snapshot.manifest.shards)
    ]
    proofs = run_jobs(prove_shard, jobs, executor, progress, "prove shards")

    files = {
        **snapshot.files,
        RELATION_FILE: relation.encoded,
        STATEMENT_FILE: statement.encoded,
        SLACK_FILE: encode_slack_rows(rows.encodings),
        **{shard_file(shard): proof for shard, proof in enumerate(proofs)},
    }
    if relation.disclosed and snapshot.opens_totals:
        totals = prove_auxiliary_totals(statement.digest, relation, rows, randomness, witness_digest, backend)
        files[AUXILIARY_TOTALS_FILE] = totals.encode()

    progress("verify", 0, 1)
    verify_statement(files, relation, policy_digest, allow_offsets=True)
    progress("verify", 1, 1)
    return files


def _checked_values(
    snapshot: CommittedSnapshot,
    relation: Relation,
    auxiliaries: npt.ArrayLike,
    slacks: npt.ArrayLike,
    name_account: Callable[[int], str],
) -> UInt64Array:
    """Return the values of all leaves (S N, J), once the statement is known to be true."""
    if relation.columns != snapshot.columns:
        raise StatementError("the relation is about other columns than the snapshot")
    leaves = snapshot.manifest.leaves
    relation.check_size(leaves)

    def name(leaf: int) -> str:
        number = snapshot.order[leaf]
        return "a padding account" if number == PADDING else name_account(number)

    helpers = unsigned_values(auxiliaries, leaves, [entry.label for entry in relation.auxiliaries], "auxiliary", name)
    y = unsigned_values(slacks, leaves, [row.label for row in relation.rows], "row", name)
    check_rows(relation, snapshot.records, helpers, y, name)
    return np.concatenate([y, helpers], axis=1)


def _shard_job(
    snapshot: CommittedSnapshot,
    relation: Relation,
    shape: Shape,
    statement: StatementManifest,
    rows: SlackRows,
    shard: int,
) -> tuple[PublicShard, ShardWitness]:
    public = PublicShard(
        statement_digest=statement.digest,
        relation=relation,
        shape=shape,
        index=shard,
        position_root=snapshot.tree.shard_roots[shard],
        slack_root=rows.tree.shard_roots[shard],
    )
    start = shard * snapshot.manifest.accounts_per_shard
    stop = start + snapshot.manifest.accounts_per_shard
    witness = ShardWitness(
        records=snapshot.records.slice(start, stop),
        values=rows.shard_values(shard),
        position_blindings=snapshot.blindings[start:stop],
        slack_blindings=rows.shard_blindings(shard),
    )
    return public, witness
