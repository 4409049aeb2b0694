"""The record proofs of a snapshot, `records-NNNNNN.cm2`: made once, shard by shard, and kept (SPEC B1 - B5).

They depend on the snapshot alone, so every statement about it uses the same files. The store gets a proof whole or not
at all: an interrupted attempt leaves no mask behind, and the next one draws fresh masks.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from types import MappingProxyType

from crossmargin_prover.backend import Backend
from crossmargin_prover.randomness import Randomness
from crossmargin_prover.records import prove_records
from crossmargin_prover.snapshot import CommittedShard, decode_blindings
from crossmargin_prover.vault.store import Store, located
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.manifests import SnapshotManifest, records_file
from crossmargin_verifier.protocol.proof_stream import RECORDS_MAGIC, open_proof
from crossmargin_verifier.protocol.records import PublicRecords, RecordShape
from crossmargin_verifier.protocol.transcript import RECORDS, SNAPSHOT
from crossmargin_verifier.workers import Progress, no_progress, run_jobs

__all__ = ["prove_missing_records"]

STAGE = "prove records"


def prove_missing_records(
    manifest: SnapshotManifest,
    columns: int,
    shards: Sequence[CommittedShard],
    shard_roots: Sequence[bytes],
    store: Store,
    randomness: Randomness,
    backend: Backend,
    executor: Executor | None = None,
    progress: Progress = no_progress,
    fresh: Mapping[int, bytes] = MappingProxyType({}),
) -> None:
    """Prove the records of the shards without a record proof in the store, and put the proofs there.

    columns: V; shard_roots: over the X_i of each shard; fresh: sc(r_i) of shards, by their numbers; those of other
    shards follow from their nonces.

    Raises:
        MalformedError: the store holds a record proof of another snapshot, or one of another length.
    """
    shape = RecordShape(manifest.accounts_per_shard, columns)
    public = [
        PublicRecords(manifest.digest, shape, manifest.accounts_in(shard), shard, root)
        for shard, root in enumerate(shard_roots)
    ]
    missing = [each for each in public if not _is_proven(store, each)]
    jobs = ((each, manifest.sid, shards[each.index], fresh.get(each.index), randomness, backend) for each in missing)
    finished = manifest.accounts - sum(each.accounts for each in missing)
    progress(STAGE, finished, manifest.accounts)
    for each, proof in zip(missing, run_jobs(_prove_records, jobs, executor), strict=True):
        store[records_file(each.index)] = proof
        finished += each.accounts
        progress(STAGE, finished, manifest.accounts)


def _is_proven(store: Store, public: PublicRecords) -> bool:
    """Return whether the store holds the record proof of a shard; refuse one that has no place there."""
    name = records_file(public.index)
    if name not in store:
        return False
    try:
        number = public.index.to_bytes(8, "big")
        open_proof(RECORDS, name, RECORDS_MAGIC, store[name], "V4", SNAPSHOT, public.snapshot_digest, number)
        is_whole = len(store[name]) == public.shape.size
    except (MalformedError, RejectedError):
        is_whole = False
    if not is_whole:
        raise MalformedError(
            f"{located(store, name)}: no record proof of this shard and snapshot: restore the file, or remove it to "
            "have it made again"
        )
    return True


def _prove_records(
    public: PublicRecords,
    sid: str,
    shard: CommittedShard,
    fresh: bytes | None,
    randomness: Randomness,
    backend: Backend,
) -> bytes:
    scalars = shard.blindings(sid) if fresh is None else decode_blindings(fresh)
    return prove_records(public, shard.records, scalars, randomness, backend)
