"""The snapshot of a vault with all its record proofs: those that are missing are made, the others kept."""

from crossmargin_prover.record_files import prove_missing_records
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.vault.arrays import shard_name
from crossmargin_prover.vault.store import located
from crossmargin_prover.vault.vault import Vault
from crossmargin_prover.workflow.run import Run
from crossmargin_verifier.protocol.manifests import records_file

__all__ = ["whole_snapshot"]


def whole_snapshot(vault: Vault, run: Run) -> CommittedSnapshot:
    """Return the committed snapshot of a vault that the caller has locked.

    Raises:
        MalformedError: a file is damaged.
    """
    snapshot = vault.load()
    manifest = snapshot.manifest
    missing = [shard for shard in range(manifest.shards) if records_file(shard) not in snapshot.files]
    if not missing:
        return snapshot
    for shard in missing:
        # The proof of a damaged record would be kept, and every bundle with it be rejected.
        snapshot.shards[shard].check_opening(manifest.sid, located(vault.snapshot, shard_name(shard)))
    prove_missing_records(
        manifest,
        len(snapshot.columns),
        snapshot.shards,
        snapshot.shard_roots,
        vault.snapshot,
        vault.randomness,
        run.backend,
        run.executor,
        run.progress,
    )
    return vault.load()
