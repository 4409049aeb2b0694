"""Commit a snapshot: commitments, tree, manifest, base totals and record proofs (SPEC S4 - S6, P9, B1 - B5).

The venue publishes the snapshot before any statement; it serves all of them. The run commits shards one by one, then
proves their records one by one, and keeps both in a store, from which it resumes after an interruption.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from crossmargin_circuits.digest import DIGEST_BYTES
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.layout import check_labels, columns_digest, encode_columns
from crossmargin_prover.backend import Backend, Int64Array, finite
from crossmargin_prover.point_files import encode_positions
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_prover.record_files import prove_missing_records
from crossmargin_prover.snapshot import CommittedShard, CommittedSnapshot, blindings, decode_blindings, number_account
from crossmargin_prover.totals import prove_base_totals
from crossmargin_prover.vault.arrays import (
    PLAN,
    SnapshotPlan,
    StoredShards,
    decode_shard,
    encode_shard,
    load_snapshot,
    shard_name,
)
from crossmargin_prover.vault.rerandomize import Earlier, Origins
from crossmargin_prover.vault.store import Store, located
from crossmargin_prover.witness import CsrMatrix, Records, WitnessError
from crossmargin_verifier.protocol.field import ORDER, encode_scalars
from crossmargin_verifier.protocol.group import Point
from crossmargin_verifier.protocol.manifests import (
    COLUMNS_FILE,
    POSITIONS_FILE,
    SNAPSHOT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
)
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.workers import Progress, no_progress, run_jobs

__all__ = ["ChangedInputError", "book_digest", "commit_snapshot", "stand_alone_snapshot"]

MAX_ID_BYTES = 2**16 - 1
"""Bytes of an account id: it is hashed with a u16 length (SPEC S4)."""

STAGE = "commit positions"


class ChangedInputError(CrossmarginError):
    """An interrupted run had other input than the run that resumes it."""


def commit_snapshot(
    sid: str,
    as_of: int,
    columns: Sequence[str],
    records: CsrMatrix,
    ids: Sequence[str],
    accounts_per_shard: int,
    randomness: Randomness,
    backend: Backend,
    *,
    open_totals: bool = True,
    executor: Executor | None = None,
    progress: Progress = no_progress,
    name_account: Callable[[int], str] = number_account,
    store: Store | None = None,
    since: Earlier | None = None,
) -> CommittedSnapshot:
    """Commit the records of a book in a fresh random order, and prove that each consists of small integers.

    sid: snapshot id, with the venue's name, unique per book; as_of: Unix seconds; records: accounts x columns, int64,
    in units of the columns; ids: the id that each holder knows as theirs alone; accounts_per_shard: N, a power of two,
    at most 2^ceil(log2 accounts); open_totals: False leaves `totals.cm2` out, for a statement about single accounts;
    name_account: names an account in errors by its row in records; store: keeps finished shards and record proofs,
    from which the next call resumes after an interruption; since: an earlier snapshot to re-randomize commitments
    from.

    Raises:
        WitnessError: no account, a record out of range, or an id that is empty, repeated or too long.
        MalformedError: labels that are empty or repeated, a size that is no power of two or beyond the limits, or a
            damaged store.
        ChangedInputError: the store holds shards of other input.
    """
    rows = Records.of(records, name_account)
    if not len(rows):
        raise WitnessError("no account: a snapshot needs at least one")
    _check_ids(ids, len(rows), name_account)
    if rows.columns != len(columns):
        raise WitnessError(f"records with {rows.columns} columns, {len(columns)} labels")
    check_labels(columns, "column")
    draft = SnapshotManifest(
        sid=sid,
        as_of=as_of,
        columns_digest=columns_digest(columns),
        accounts_per_shard=accounts_per_shard,
        accounts=len(rows),
        position_root=bytes(DIGEST_BYTES),
    )
    store = {} if store is None else store
    plan = _plan(draft, book_digest(columns, rows, ids), open_totals, randomness, store)

    parts = _Parts(draft, rows, ids, plan, since)
    missing = [shard for shard in range(draft.shards) if not _is_finished(store, shard, parts)]
    jobs = ((backend, randomness, sid, *parts.job(shard)) for shard in missing)
    finished = draft.accounts - sum(map(draft.accounts_in, missing))
    progress(STAGE, finished, draft.accounts)
    # What the record proofs need again, and hashing makes dear: 32 bytes an account.
    fresh: dict[int, bytes] = {}
    for shard, (nonces, points, scalars) in zip(missing, run_jobs(_commit_shard, jobs, executor), strict=True):
        part, holders, order = parts.records(shard), parts.holders(shard), parts.order(shard)
        fresh[shard], blinding = scalars, sum(decode_blindings(scalars)) % ORDER
        store[shard_name(shard)] = encode_shard(CommittedShard(part, holders, nonces, order, points, blinding))
        finished += draft.accounts_in(shard)
        progress(STAGE, finished, draft.accounts)
    return _finish(draft, columns, open_totals, plan, randomness, backend, store, executor, progress, fresh)


def book_digest(columns: Sequence[str], records: Records, ids: Sequence[str]) -> bytes:
    """Return a digest of accounts and their records; secret, since it would let an attacker guess a small book."""
    state = hashlib.sha256(columns_digest(columns))
    for part in (records.indptr, records.indices, records.data):
        state.update(len(part).to_bytes(8, "big"))
        state.update(np.ascontiguousarray(part).data)
    for holder in ids:
        encoded = holder.encode("utf-8")
        state.update(len(encoded).to_bytes(4, "big") + encoded)
    return state.digest()


def stand_alone_snapshot(
    book: CommittedSnapshot, leaf: int, randomness: Randomness, backend: Backend
) -> CommittedSnapshot:
    """Return a snapshot of one account of the book, for a proof about this account alone (SPEC H5).

    Snapshot id, id and nonce are those of the book, hence X_i is the same 33 bytes. The totals are left out, since they
    would be the record.

    Raises:
        ValueError: no such leaf, or an empty one.
    """
    number, place = book.place(leaf)
    alone = book.shards[number].take([place], book.manifest.sid)
    root = shard_root(alone.encodings, 1)
    manifest = replace(book.manifest, accounts_per_shard=1, accounts=1, position_root=top_root([root]))
    files = _files(manifest, book.columns, alone.encodings)
    prove_missing_records(manifest, len(book.columns), (alone,), (root,), files, randomness, backend)
    return CommittedSnapshot(manifest, book.columns, files, (alone,))


@dataclass(frozen=True, repr=False)
class _Parts:
    """The input, cut into shards in the order of the plan."""

    draft: SnapshotManifest
    rows: Records
    ids: Sequence[str]
    plan: SnapshotPlan
    since: Earlier | None

    def order(self, shard: int) -> Int64Array:
        size = self.draft.accounts_per_shard
        return self.plan.order[shard * size : (shard + 1) * size]

    def records(self, shard: int) -> Records:
        return self.rows.take(self.order(shard))

    def holders(self, shard: int) -> tuple[str, ...]:
        return tuple(self.ids[number] for number in self.order(shard).tolist())

    def job(self, shard: int) -> tuple[int, bytes, Records, tuple[str, ...], Origins | None]:
        """Return the arguments of the commitment of a shard."""
        records, holders = self.records(shard), self.holders(shard)
        origins = None if self.since is None else self.since.origins(records, holders)
        return shard * self.draft.accounts_per_shard, self.plan.inputs, records, holders, origins


def _plan(
    draft: SnapshotManifest, book: bytes, open_totals: bool, randomness: Randomness, store: Store
) -> SnapshotPlan:
    """Return the plan of the store, which must match this input, or a fresh one."""
    inputs = hashlib.sha256(draft.encoded + bytes([open_totals]) + book).digest()
    plan = SnapshotPlan.load(store)
    if plan is None:
        plan = SnapshotPlan(book, inputs, randomness.order(draft.accounts, inputs))
        plan.save(store)
    if plan.inputs != inputs or len(plan.order) != draft.accounts:
        raise ChangedInputError(
            f"{located(store, PLAN)}: begun with other accounts, positions, columns, time or shard size: finish it "
            "with the same input, or choose another vault"
        )
    return plan


def _is_finished(store: Store, shard: int, parts: _Parts) -> bool:
    """Return whether the store holds a shard; refuse a shard of another run."""
    if shard_name(shard) not in store:
        return False
    found = decode_shard(store, shard, parts.rows.columns)
    if (
        not np.array_equal(found.order, parts.order(shard))
        or found.records != parts.records(shard)
        or found.ids != parts.holders(shard)
    ):
        where = located(store, shard_name(shard))
        raise ChangedInputError(f"{where}: of another run than the plan of this vault: remove the file")
    found.check_opening(parts.draft.sid, located(store, shard_name(shard)))
    return True


def _commit_shard(
    backend: Backend,
    randomness: Randomness,
    sid: str,
    first: int,
    context: bytes,
    records: Records,
    holders: tuple[str, ...],
    origins: Origins | None,
) -> tuple[bytes, bytes, bytes]:
    """Return the nonces and the points X_i of a shard whose first leaf is `first`, and sc(r_i), one after the other."""
    witness = hashlib.sha256(context)
    for part in (records.indptr, records.indices, records.data):
        witness.update(np.ascontiguousarray(part).data)
    nonces = randomness.nonces(first, len(records), witness.digest())
    fresh = blindings(sid, holders, nonces)
    if origins is None:
        points = backend.commit_sparse(records.indptr, records.indices, records.data, fresh)
    else:
        points = origins.commit(fresh, backend)
    return nonces, _coordinates(points), encode_scalars(fresh)


def _coordinates(points: Sequence[Point]) -> bytes:
    pairs = map(finite, points)
    return b"".join(x.to_bytes(32, "big") + y.to_bytes(32, "big") for x, y in pairs)


def _finish(
    draft: SnapshotManifest,
    columns: Sequence[str],
    open_totals: bool,
    plan: SnapshotPlan,
    randomness: Randomness,
    backend: Backend,
    store: Store,
    executor: Executor | None,
    progress: Progress,
    fresh: Mapping[int, bytes],
) -> CommittedSnapshot:
    """Write the public files of a store with all shards, and prove their records; the manifest comes last.

    fresh: sc(r_i) of the shards that this process committed.
    """
    encodings: list[bytes] = []
    totals = [0] * len(columns)
    blinding = 0
    for number in range(draft.shards):
        shard = decode_shard(store, number, len(columns))
        encodings.append(shard.encodings)
        totals = [total + part for total, part in zip(totals, shard.records.totals(), strict=True)]
        blinding += shard.blinding
    roots = [shard_root(each, draft.accounts_per_shard) for each in encodings]
    manifest = replace(draft, position_root=top_root(roots))
    files = _files(manifest, columns, b"".join(encodings))
    if open_totals:
        nonce = randomness.scalars(Draw.TOTALS, 0, 0, 1, plan.inputs + manifest.digest)[0]
        files[TOTALS_FILE] = prove_base_totals(manifest.digest, totals, blinding % ORDER, nonce, backend)
    for name in (COLUMNS_FILE, POSITIONS_FILE, TOTALS_FILE):
        if name in files:
            store[name] = files[name]
    shards = StoredShards(store, manifest, len(columns), b"".join(encodings))
    prove_missing_records(manifest, len(columns), shards, roots, store, randomness, backend, executor, progress, fresh)
    store[SNAPSHOT_FILE] = files[SNAPSHOT_FILE]
    return load_snapshot(store)


def _files(manifest: SnapshotManifest, columns: Sequence[str], encodings: bytes) -> dict[str, bytes]:
    return {
        COLUMNS_FILE: encode_columns(columns),
        SNAPSHOT_FILE: manifest.encoded,
        POSITIONS_FILE: encode_positions(encodings),
    }


def _check_ids(ids: Sequence[str], accounts: int, name_account: Callable[[int], str]) -> None:
    if len(ids) != accounts:
        raise WitnessError(f"{len(ids)} ids for {accounts} accounts")
    seen = set()
    for number, holder in enumerate(ids):
        if not holder:
            raise WitnessError(f"{name_account(number)}: empty id")
        if len(holder.encode("utf-8")) > MAX_ID_BYTES:
            raise WitnessError(f"{name_account(number)}: id longer than {MAX_ID_BYTES} bytes")
        if holder in seen:
            raise WitnessError(f"{name_account(number)}: id used by an earlier account")
        seen.add(holder)
