"""The snapshot of a vault with all its record proofs: those that are missing are made, the others kept."""

from crossmargin_prover.record_files import prove_missing_records
from crossmargin_prover.snapshot import CommittedSnapshot
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
    if all(records_file(shard) in snapshot.files for shard in range(manifest.shards)):
        return snapshot
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
