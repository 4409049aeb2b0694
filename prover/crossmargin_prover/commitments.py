"""Commit a snapshot: one commitment per account, their tree, the manifest and the base totals (SPEC S4 - S6, P9).

The snapshot is published before any statement, and serves all of them.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import chain

from crossmargin_circuits.digest import DIGEST_BYTES
from crossmargin_circuits.layout import check_labels, columns_digest, encode_columns
from crossmargin_prover.backend import Backend, Int64Array
from crossmargin_prover.jobs import Progress, no_progress, run_jobs
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_prover.snapshot import PADDING, CommittedSnapshot, number_account
from crossmargin_prover.totals import prove_base_totals
from crossmargin_prover.witness import CsrMatrix, Records, WitnessError
from crossmargin_verifier.field import ORDER
from crossmargin_verifier.group import encode_point
from crossmargin_verifier.inclusion import NONCE_BYTES, blinding_scalar
from crossmargin_verifier.merkle import ShardedTree
from crossmargin_verifier.statement import (
    COLUMNS_FILE,
    POSITIONS_FILE,
    SNAPSHOT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    encode_positions,
)

__all__ = ["commit_snapshot", "stand_alone_snapshot"]

MAX_ID_BYTES = 2**16 - 1
"""Bytes of an account id: it is hashed with a u16 length (SPEC S4)."""


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
) -> CommittedSnapshot:
    """Commit the records of a book, padded to whole shards and put into a fresh random order.

    sid: snapshot id, with the venue's name, unique per book; as_of: Unix seconds; records: accounts x columns, int64,
    in units of the columns; ids: what each holder knows to be his alone; accounts_per_shard: N, a power of two;
    open_totals: False leaves `totals.cm1` out, which only bounded statements allow; name_account: names an account in
    errors by its row in records.

    Raises:
        WitnessError: a record out of range, or an id that is empty, repeated or too long.
        MalformedError: labels that are empty or repeated, or a size that is no power of two or beyond the limits.
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
    leaves = draft.leaves
    context = hashlib.sha256(b"".join(part.tobytes() for part in (rows.indptr, rows.indices, rows.data))).digest()
    context += sid.encode("utf-8")
    order = [number if number < len(rows) else PADDING for number in randomness.order(leaves, context)]
    arranged = rows.take(order)
    holders = tuple(ids[number] if number != PADDING else "" for number in order)
    nonces = randomness.nonces(leaves, context)
    blindings = [
        blinding_scalar(sid, holder, nonces[NONCE_BYTES * leaf : NONCE_BYTES * (leaf + 1)])
        for leaf, holder in enumerate(holders)
    ]
    jobs = []
    for start in range(0, leaves, accounts_per_shard):
        stop = start + accounts_per_shard
        part = arranged.slice(start, stop)
        jobs.append((backend, part.indptr, part.indices, part.data, blindings[start:stop]))
    committed = run_jobs(_commit_positions, jobs, executor, progress, "commit positions")
    encodings = list(chain.from_iterable(committed))

    manifest = replace(draft, position_root=ShardedTree(encodings, accounts_per_shard).root)
    files = _files(manifest, columns, encodings)
    if open_totals:
        nonce = randomness.scalars(Draw.TOTALS, 0, 0, 1, context + manifest.digest)[0]
        totals = prove_base_totals(manifest.digest, arranged.totals(), sum(blindings) % ORDER, nonce, backend)
        files[TOTALS_FILE] = totals.encode()
    return CommittedSnapshot(manifest, tuple(columns), files, arranged, holders, nonces, tuple(order))


def stand_alone_snapshot(
    book: CommittedSnapshot, leaves: Sequence[int], randomness: Randomness, backend: Backend
) -> CommittedSnapshot:
    """Return a snapshot of a few accounts of the book alone, for a bounded proof about them (SPEC section 5, H5).

    Snapshot id, ids and nonces are those of the book, hence the X_i are the same 33 bytes; padding accounts are new.
    The totals stay closed, since they would be the records.
    """
    if not leaves or len(set(leaves)) != len(leaves) or any(book.order[leaf] == PADDING for leaf in leaves):
        raise ValueError("one or more different leaves that hold accounts are needed")
    sid = book.manifest.sid
    count = 1 << (len(leaves) - 1).bit_length()
    missing = count - len(leaves)
    context = book.manifest.digest + b"".join(leaf.to_bytes(8, "big") for leaf in leaves)
    fresh = randomness.nonces(missing, context)
    padding = book.records.take([PADDING] * missing)
    blindings = [blinding_scalar(sid, "", fresh[NONCE_BYTES * n : NONCE_BYTES * (n + 1)]) for n in range(missing)]
    encodings = [book.encodings[leaf] for leaf in leaves]
    encodings += _commit_positions(backend, padding.indptr, padding.indices, padding.data, blindings)
    manifest = SnapshotManifest(
        sid=sid,
        as_of=book.manifest.as_of,
        columns_digest=book.manifest.columns_digest,
        accounts_per_shard=count,
        shards=1,
        position_root=ShardedTree(encodings, count).root,
    )
    return CommittedSnapshot(
        manifest=manifest,
        columns=book.columns,
        files=_files(manifest, book.columns, encodings),
        records=book.records.take([*leaves, *[PADDING] * missing]),
        ids=tuple(book.ids[leaf] for leaf in leaves) + ("",) * missing,
        nonces=b"".join(book.nonce(leaf) for leaf in leaves) + fresh,
        order=tuple(book.order[leaf] for leaf in leaves) + (PADDING,) * missing,
    )


def _files(manifest: SnapshotManifest, columns: Sequence[str], encodings: Sequence[bytes]) -> dict[str, bytes]:
    return {
        COLUMNS_FILE: encode_columns(columns),
        SNAPSHOT_FILE: manifest.encoded,
        POSITIONS_FILE: encode_positions(encodings),
    }


def _commit_positions(
    backend: Backend, indptr: Int64Array, indices: Int64Array, data: Int64Array, blindings: list[int]
) -> list[bytes]:
    return [encode_point(point) for point in backend.commit_sparse(indptr, indices, data, blindings)]


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
