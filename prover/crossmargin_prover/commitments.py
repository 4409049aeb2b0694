"""Commit a snapshot: one commitment per account, their tree, the manifest and the base totals (SPEC S4 - S6, P9).

The venue publishes the snapshot before any statement; it serves all of them. The run commits shards one by one and
keeps them in a store, from which it resumes after an interruption.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from crossmargin_circuits.digest import DIGEST_BYTES
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.layout import check_labels, columns_digest, encode_columns
from crossmargin_prover.backend import Backend, Int64Array, finite
from crossmargin_prover.point_files import encode_positions
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_prover.snapshot import PADDING, CommittedShard, CommittedSnapshot, blindings, number_account
from crossmargin_prover.totals import prove_base_totals
from crossmargin_prover.vault.arrays import PLAN, SnapshotPlan, decode_shard, encode_shard, load_snapshot, shard_name
from crossmargin_prover.vault.rerandomize import Earlier, Origins
from crossmargin_prover.vault.store import Store, located
from crossmargin_prover.witness import CsrMatrix, Records, WitnessError
from crossmargin_verifier.protocol.field import ORDER
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
    """Commit the records of a book, padded to whole shards and put into a fresh random order.

    sid: snapshot id, with the venue's name, unique per book; as_of: Unix seconds; records: accounts x columns, int64,
    in units of the columns; ids: the id that each holder knows as theirs alone; accounts_per_shard: N, a power of two;
    open_totals: False leaves `totals.cm1` out, which only bounded statements allow; name_account: names an account in
    errors by its row in records; store: keeps finished shards, from which the next call resumes after an
    interruption; since: an earlier snapshot to re-randomize commitments from.

    Raises:
        WitnessError: a record out of range, or an id that is empty, repeated or too long.
        MalformedError: labels that are empty or repeated, a size that is no power of two or beyond the limits, or a
            damaged store.
        ChangedInputError: the store holds shards of other input.
    """
    rows = Records.of(records, name_account)
    _check_ids(ids, len(rows), name_account)
    if rows.columns != len(columns):
        raise WitnessError(f"records with {rows.columns} columns, {len(columns)} labels")
    check_labels(columns, "column")
    draft = SnapshotManifest(
        sid=sid,
        as_of=as_of,
        columns_digest=columns_digest(columns),
        accounts_per_shard=accounts_per_shard,
        shards=max(1, -(-len(rows) // max(1, accounts_per_shard))),
        position_root=bytes(DIGEST_BYTES),
    )
    store = {} if store is None else store
    plan = _plan(draft, book_digest(columns, rows, ids), len(rows), open_totals, randomness, store)

    parts = _Parts(draft, rows, ids, plan, since)
    missing = [shard for shard in range(draft.shards) if not _is_finished(store, shard, parts)]
    jobs = ((backend, randomness, sid, *parts.job(shard)) for shard in missing)
    finished = accounts_per_shard * (draft.shards - len(missing))
    progress(STAGE, finished, draft.leaves)
    for shard, (nonces, points, blinding) in zip(missing, run_jobs(_commit_shard, jobs, executor), strict=True):
        part, holders, order = parts.records(shard), parts.holders(shard), parts.order(shard)
        store[shard_name(shard)] = encode_shard(CommittedShard(part, holders, nonces, order, points, blinding))
        finished += accounts_per_shard
        progress(STAGE, finished, draft.leaves)
    return _finish(draft, columns, open_totals, plan, randomness, backend, store)


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
    book: CommittedSnapshot, leaves: Sequence[int], randomness: Randomness, backend: Backend
) -> CommittedSnapshot:
    """Return a stand-alone snapshot of a few accounts of the book, for a bounded proof about them (SPEC section 5, H5).

    Snapshot id, ids and nonces are those of the book, hence the X_i are the same 33 bytes; padding accounts are new.
    The totals stay closed, since they would be the records.
    """
    places = [book.place(leaf) for leaf in leaves]
    taken = [book.shards[shard].take([place], book.manifest.sid) for shard, place in places]
    if not leaves or len(set(leaves)) != len(leaves) or any(each.order[0] == PADDING for each in taken):
        raise ValueError("one or more different leaves that hold accounts are needed")
    sid = book.manifest.sid
    count = 1 << (len(leaves) - 1).bit_length()
    missing = count - len(leaves)
    context = book.manifest.digest + b"".join(leaf.to_bytes(8, "big") for leaf in leaves)
    empty = Records.empty(missing, len(book.columns))
    holders, order = ("",) * missing, np.full(missing, PADDING, dtype=np.int64)
    nonces, points, blinding = _commit_shard(backend, randomness, sid, 0, context, empty, holders, None)
    padding = CommittedShard(empty, holders, nonces, order, points, blinding)
    alone = CommittedShard.join([*taken, padding])
    manifest = SnapshotManifest(
        sid=sid,
        as_of=book.manifest.as_of,
        columns_digest=book.manifest.columns_digest,
        accounts_per_shard=count,
        shards=1,
        position_root=top_root([shard_root(alone.encodings)]),
    )
    return CommittedSnapshot(manifest, book.columns, _files(manifest, book.columns, alone.encodings), (alone,))


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
        return tuple(self.ids[number] if number != PADDING else "" for number in self.order(shard).tolist())

    def job(self, shard: int) -> tuple[int, bytes, Records, tuple[str, ...], Origins | None]:
        """Return the arguments of the commitment of a shard."""
        records, holders = self.records(shard), self.holders(shard)
        origins = None if self.since is None else self.since.origins(records, holders)
        return shard * self.draft.accounts_per_shard, self.plan.inputs, records, holders, origins


def _plan(
    draft: SnapshotManifest, book: bytes, accounts: int, open_totals: bool, randomness: Randomness, store: Store
) -> SnapshotPlan:
    """Return the plan of the store, which must match this input, or a fresh one."""
    inputs = hashlib.sha256(draft.encoded + bytes([open_totals]) + book).digest()
    plan = SnapshotPlan.load(store)
    if plan is None:
        order = randomness.order(draft.leaves, inputs)
        plan = SnapshotPlan(book, inputs, np.where(order < accounts, order, PADDING))
        plan.save(store)
    if plan.inputs != inputs or len(plan.order) != draft.leaves:
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
) -> tuple[bytes, bytes, int]:
    """Return the nonces and the points X_i of a shard whose first leaf is `first`, and sum_i r_i."""
    witness = hashlib.sha256(context)
    for part in (records.indptr, records.indices, records.data):
        witness.update(np.ascontiguousarray(part).data)
    nonces = randomness.nonces(first, len(records), witness.digest())
    fresh = blindings(sid, holders, nonces)
    if origins is None:
        points = backend.commit_sparse(records.indptr, records.indices, records.data, fresh)
    else:
        points = origins.commit(fresh, backend)
    return nonces, _coordinates(points), sum(fresh) % ORDER


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
) -> CommittedSnapshot:
    """Write the public files of a store with all shards, the manifest last."""
    encodings: list[bytes] = []
    totals = [0] * len(columns)
    blinding = 0
    for number in range(draft.shards):
        shard = decode_shard(store, number, len(columns))
        encodings.append(shard.encodings)
        totals = [total + part for total, part in zip(totals, shard.records.totals(), strict=True)]
        blinding += shard.blinding
    roots = [shard_root(each) for each in encodings]
    manifest = replace(draft, position_root=top_root(roots))
    files = _files(manifest, columns, b"".join(encodings))
    if open_totals:
        nonce = randomness.scalars(Draw.TOTALS, 0, 0, 1, plan.inputs + manifest.digest)[0]
        files[TOTALS_FILE] = prove_base_totals(manifest.digest, totals, blinding % ORDER, nonce, backend)
    for name in (COLUMNS_FILE, POSITIONS_FILE, TOTALS_FILE, SNAPSHOT_FILE):
        if name in files:
            store[name] = files[name]
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
