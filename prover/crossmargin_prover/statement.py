"""A whole statement about a committed snapshot: the files of its published folder (SPEC S7 - S9, V2, P1 - P10).

The run checks the witness in exact integers before it commits to it. A store keeps the slack rows and proofs of
finished shards, from which the run resumes after an interruption. The publisher of the files verifies them first.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from crossmargin_circuits.digest import DIGEST_BYTES
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import Backend, UInt64Array
from crossmargin_prover.commitments import ChangedInputError
from crossmargin_prover.point_files import encode_slack_rows
from crossmargin_prover.randomness import Randomness
from crossmargin_prover.shard import prove_shard
from crossmargin_prover.slack import SlackRows, commit_slack_rows, slack_name
from crossmargin_prover.snapshot import CommittedShard, CommittedSnapshot, number_leaf
from crossmargin_prover.totals import prove_auxiliary_totals
from crossmargin_prover.vault.store import Store, located
from crossmargin_prover.witness import Records, ShardWitness, WitnessError, check_rows, unsigned_values
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    NO_MODEL,
    RELATION_FILE,
    SLACK_FILE,
    STATEMENT_FILE,
    SnapshotManifest,
    StatementManifest,
    shard_file,
)
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.protocol.proof_stream import SHARD_MAGIC, open_proof
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard
from crossmargin_verifier.protocol.transcript import SHARD, STATEMENT
from crossmargin_verifier.protocol.verify import check_wrap
from crossmargin_verifier.workers import Progress, no_progress, run_jobs

__all__ = [
    "DEFAULT_PACKING",
    "GivenWitness",
    "StatementError",
    "WitnessSource",
    "belongs_to",
    "check_coefficients",
    "prove_statement",
]

DEFAULT_PACKING = 2
"""gamma: four accounts share a slack row, which balances published bytes and opening length (SPEC section 9)."""

BEGUN = "statement"
"""Name of the piece that identifies the statement of a store: digest of the manifest without slack root."""

WitnessSource = Callable[[int, Records], tuple[npt.ArrayLike, npt.ArrayLike]]
"""Returns auxiliaries (cnt, Q) and slacks (cnt, K) of a shard, from its number and its records (cnt, V).

It returns the same every time.
"""


class StatementError(CrossmarginError):
    """The statement cannot be made about this snapshot."""


class GivenWitness:
    """Precomputed auxiliaries (n, Q) and slacks (n, K) of the accounts, in the order of the leaves."""

    def __init__(self, auxiliaries: npt.ArrayLike, slacks: npt.ArrayLike, snapshot: SnapshotManifest) -> None:
        """Take both; secret.

        Raises:
            WitnessError: the number of accounts is not that of the snapshot.
        """
        self._auxiliaries, self._slacks = np.asarray(auxiliaries), np.asarray(slacks)
        self._size = snapshot.accounts_per_shard
        for array, what in ((self._auxiliaries, "auxiliary"), (self._slacks, "row")):
            if array.size and len(array) != snapshot.accounts:
                raise WitnessError(f"{what} values of {len(array)} accounts: must be {snapshot.accounts}")

    def __repr__(self) -> str:
        """Return a text without the values."""
        return "GivenWitness(redacted)"

    def __call__(self, shard: int, records: Records) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        """Return the part of a shard."""
        part = slice(shard * self._size, shard * self._size + len(records))
        return self._auxiliaries[part], self._slacks[part]


def prove_statement(
    snapshot: CommittedSnapshot,
    relation: Relation,
    policy_digest: bytes,
    witness: WitnessSource,
    randomness: Randomness,
    backend: Backend,
    *,
    packing: int = DEFAULT_PACKING,
    executor: Executor | None = None,
    progress: Progress = no_progress,
    name_account: Callable[[CommittedShard, int], str] = number_leaf,
    store: Store | None = None,
) -> dict[str, bytes]:
    """Prove that every committed account satisfies the relation; return the statement's own files, not yet verified.

    packing: gamma, lowered to nu in small shards; name_account: names an account in errors by its shard and its place
    there; store: keeps finished parts, from which the next call resumes after an interruption.

    Raises:
        StatementError: the relation is about other columns, discloses totals that the snapshot leaves out, or has a row
            that could wrap around modulo r (V2).
        WitnessError: a value out of range, or an account that does not satisfy a row; names both.
        ChangedInputError: the store holds parts of another statement, or the witness is not the committed one.
        MalformedError: a damaged store.
    """
    if relation.columns != snapshot.columns:
        raise StatementError("the relation is about other columns than the snapshot")
    check_totals(relation, snapshot)
    check_coefficients(relation, snapshot.manifest.accounts_per_shard, snapshot.manifest.accounts)
    packing = min(packing, snapshot.manifest.accounts_per_shard.bit_length() - 1)
    draft = StatementManifest(
        snapshot_digest=snapshot.manifest.digest,
        relation_digest=relation.digest,
        policy_digest=policy_digest,
        model_digest=NO_MODEL,
        packing=packing,
        slack_root=bytes(DIGEST_BYTES),
    )
    shape = Shape.of(snapshot.manifest, draft, relation)
    run = _Run(snapshot, relation, shape, draft, witness, name_account, {} if store is None else store)
    run.begin()

    # S8, S9: slack rows, blinded for this statement alone, and the manifest.
    run.commit_slack_rows(randomness, backend, executor, progress)
    encodings = [run.slack_rows(shard).encodings for shard in range(shape.shards)]
    slack_roots = [shard_root(each, shape.slack_rows_per_shard) for each in encodings]
    statement = replace(draft, slack_root=top_root(slack_roots))

    # P1 - P8: every shard by itself.
    run.prove_shards(statement, slack_roots, randomness, backend, executor, progress)

    files = {
        RELATION_FILE: relation.encoded,
        STATEMENT_FILE: statement.encoded,
        SLACK_FILE: encode_slack_rows(b"".join(encodings)),
        **{shard_file(shard): run.store[shard_file(shard)] for shard in range(shape.shards)},
    }
    if relation.disclosed and snapshot.opens_totals:
        files[AUXILIARY_TOTALS_FILE] = run.prove_totals(statement, randomness, backend)
    return files


def check_coefficients(relation: Relation, accounts_per_shard: int, accounts: int) -> None:
    """Check that no row, and no sum over the book, can wrap modulo r, by the bound of the record proofs (V2).

    Raises:
        StatementError: names the row, and what to change.
    """
    bound = RecordShape(accounts_per_shard, len(relation.columns)).bound
    leaves = -(-accounts // accounts_per_shard) * accounts_per_shard
    try:
        check_wrap(relation, bound)
    except RejectedError as error:
        raise StatementError(f"{error}: choose a coarser value quantum, or smaller shards") from None
    if 4 * leaves * bound >= ORDER:
        raise StatementError(f"V2: sums over {accounts} accounts can wrap modulo r: choose smaller shards")


def check_totals(relation: Relation, snapshot: CommittedSnapshot) -> None:
    """Refuse a relation that says nothing without totals about a snapshot that leaves them out.

    Whoever makes up a shortfall satisfies every row: only its opened total says anything. A value that some row bounds
    from above, as the requirement in a strict statement, needs no total.

    Raises:
        StatementError: names the first auxiliary to disclose.
    """
    free = [number for number in relation.disclosed if all(row.auxiliary[number] >= 0 for row in relation.rows)]
    if free and not snapshot.opens_totals:
        label = relation.auxiliaries[free[0]].label
        raise StatementError(
            f"the snapshot leaves its totals out, and the statement discloses the total of {label!r}: it would show "
            "nothing; prove a strict statement, which has no shortfall, or commit with open totals"
        )


def belongs_to(store: Store, statement: StatementManifest) -> bool:
    """Return whether the pieces of a store belong to a statement, finished or not."""
    return store.get(BEGUN) == replace(statement, slack_root=bytes(DIGEST_BYTES)).digest


@dataclass(frozen=True, repr=False)
class _Run:
    """The work on one statement, shard by shard."""

    snapshot: CommittedSnapshot
    relation: Relation
    shape: Shape
    draft: StatementManifest
    witness: WitnessSource
    name_account: Callable[[CommittedShard, int], str]
    store: Store

    def begin(self) -> None:
        """Write the statement of the pieces, or compare it with that of an earlier run."""
        if BEGUN not in self.store:
            self.store[BEGUN] = self.draft.digest
        elif self.store[BEGUN] != self.draft.digest:
            raise ChangedInputError(
                f"{located(self.store, BEGUN)}: an unfinished run of this statement had other prices, another model, "
                "packing or snapshot: finish it with the same input, or discard it (--restart)"
            )

    def slack_rows(self, shard: int) -> SlackRows:
        """Return the finished slack rows of a shard; refuse those of another statement."""
        rows = SlackRows.decode(self.store, shard, self.shape.slack_rows_per_shard)
        if rows.statement != self.draft.digest or len(rows.bit_sums) != self.shape.slack_length:
            name = located(self.store, slack_name(shard))
            raise ChangedInputError(f"{name}: of another statement: discard that run (--restart)")
        return rows

    def values(self, number: int, shard: CommittedShard, *, check: bool = True) -> UInt64Array:
        """Return the values of a shard (N, J), zeros for empty leaves; check: also check that rows hold."""
        relation, accounts = self.relation, len(shard)

        name = partial(self.name_account, shard)
        auxiliaries, slacks = self.witness(number, shard.records)
        labels = [entry.label for entry in relation.auxiliaries]
        unsigned = unsigned_values(auxiliaries, accounts, labels, "auxiliary", name)
        y = unsigned_values(slacks, accounts, [row.label for row in relation.rows], "row", name)
        if check:
            check_rows(relation, shard.records, unsigned, y, name)
        values = np.zeros((self.shape.accounts_per_shard, self.shape.values), dtype=np.uint64)
        np.concatenate([y, unsigned], axis=1, out=values[:accounts])
        return values

    def commit_slack_rows(
        self, randomness: Randomness, backend: Backend, executor: Executor | None, progress: Progress
    ) -> None:
        """Commit the missing slack rows of shards."""
        missing = [shard for shard in range(self.shape.shards) if slack_name(shard) not in self.store]
        for shard in sorted(set(range(self.shape.shards)) - set(missing)):
            self.slack_rows(shard)

        def jobs() -> Iterator[tuple[object, ...]]:
            for shard in missing:
                committed = self.snapshot.shards[shard]
                values = self.values(shard, committed)
                first = shard * self.shape.slack_rows_per_shard
                context = self.draft.encoded + hashlib.sha256(values.tobytes() + committed.nonces).digest()
                yield values, self.shape.packing, first, randomness, self.draft.digest, context, backend

        done = self._report("commit slacks", missing, progress)
        for shard, rows in zip(missing, run_jobs(commit_slack_rows, jobs(), executor), strict=True):
            self.store[slack_name(shard)] = rows.encode()
            done()

    def prove_shards(
        self,
        statement: StatementManifest,
        slack_roots: list[bytes],
        randomness: Randomness,
        backend: Backend,
        executor: Executor | None,
        progress: Progress,
    ) -> None:
        """Prove the shards without a proof."""
        accounts_in = self.snapshot.manifest.accounts_in
        public = [
            PublicShard(statement.digest, self.relation, self.shape, accounts_in(shard), shard, *roots)
            for shard, roots in enumerate(zip(self.snapshot.shard_roots, slack_roots, strict=True))
        ]
        missing = [shard for shard in range(self.shape.shards) if shard_file(shard) not in self.store]
        for shard in sorted(set(range(self.shape.shards)) - set(missing)):
            name = located(self.store, shard_file(shard))
            proof = self.store[shard_file(shard)]
            if len(proof) != self.shape.shard_size:
                raise MalformedError(f"{name}: {len(proof)} bytes: must be {self.shape.shard_size}")
            try:
                number = shard.to_bytes(8, "big")
                open_proof(SHARD, name, SHARD_MAGIC, proof, "V5", STATEMENT, statement.digest, number)
            except RejectedError:
                raise ChangedInputError(f"{name}: of another run of this statement: discard it (--restart)") from None

        def jobs() -> Iterator[tuple[object, ...]]:
            for shard in missing:
                yield public[shard], *self._shard_secrets(shard), randomness, backend

        done = self._report("prove shards", missing, progress)
        for shard, proof in zip(missing, run_jobs(_prove_shard, jobs(), executor), strict=True):
            self.store[shard_file(shard)] = proof
            done()

    def _shard_secrets(self, number: int) -> tuple[str, CommittedShard, UInt64Array, list[int]]:
        """Return snapshot id, committed shard, values and slack blindings."""
        shard, rows = self.snapshot.shards[number], self.slack_rows(number)
        # The commitment step checked them; here their digest must match.
        values = self.values(number, shard, check=False)
        if hashlib.sha256(values.tobytes()).digest() != rows.values_digest:
            name = located(self.store, slack_name(number))
            raise ChangedInputError(f"{name}: not the committed slacks: discard that run (--restart)")
        return self.snapshot.manifest.sid, shard, values, rows.blindings

    def prove_totals(self, statement: StatementManifest, randomness: Randomness, backend: Backend) -> bytes:
        """Return the file of the totals of the disclosed auxiliaries."""
        rows, values = len(self.relation.rows), self.relation.values
        bit_sums = np.zeros(self.shape.slack_length, dtype=np.int64)
        totals = [0] * len(self.relation.auxiliaries)
        blinding = 0
        state = hashlib.sha256()
        for shard in range(self.shape.shards):
            part = self.slack_rows(shard)
            bit_sums += part.bit_sums
            totals = [a + b for a, b in zip(totals, part.auxiliary_totals(rows, values), strict=True)]
            blinding += sum(part.blindings)
            state.update(part.values_digest)
        return prove_auxiliary_totals(
            statement.digest,
            self.relation,
            self.shape.packing,
            [totals[number] for number in self.relation.disclosed],
            bit_sums.tolist(),
            blinding,
            randomness,
            state.digest(),
            backend,
        )

    def _report(self, stage: str, missing: list[int], progress: Progress) -> Callable[[], None]:
        """Report the accounts of finished shards; return a callback that reports one more shard."""
        manifest = self.snapshot.manifest
        left = iter(missing)
        done = manifest.accounts - sum(map(manifest.accounts_in, missing))
        progress(stage, done, manifest.accounts)

        def one_more() -> None:
            nonlocal done
            done += manifest.accounts_in(next(left))
            progress(stage, done, manifest.accounts)

        return one_more


def _prove_shard(
    public: PublicShard,
    sid: str,
    shard: CommittedShard,
    values: UInt64Array,
    slack_blindings: list[int],
    randomness: Randomness,
    backend: Backend,
) -> bytes:
    witness = ShardWitness(shard.records, values, shard.blindings(sid), slack_blindings)
    return prove_shard(public, witness, randomness, backend)
