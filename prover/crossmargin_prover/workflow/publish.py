"""Vault and reserves to a public bundle, judged by the verifier before it is put in place."""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from crossmargin.loading import Parameters
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.backend import Backend
from crossmargin_prover.bundle import publish as publish_bundle
from crossmargin_prover.vault.vault import Vault
from crossmargin_verifier.bundle.verdict import Verdict
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["publish", "times"]


def publish(
    vault: Vault,
    parameters: Parameters,
    names: Sequence[str],
    out: Path,
    backend: Backend,
    *,
    executor: Executor | None = None,
    progress: Progress = no_progress,
) -> Verdict:
    """Have the verifier judge the proven statements of these names (all, where none is named), and publish the bundle.

    backend: also the verifier computes with the kernel where the prover does.
    """
    snapshot, report = vault.load(), vault.load_report()
    proven = vault.statements()
    missing = [name for name in names if name not in proven]
    if missing:
        raise CrossmarginError(f"not proven yet: {', '.join(missing)}; run `crossmargin prove --statement NAME`")
    order = [each.name for each in parameters.model.statements]
    every = sorted(proven, key=lambda name: order.index(name) if name in order else len(order))
    chosen = {name: proven[name] for name in (names or every)}
    try:
        return publish_bundle(
            out,
            snapshot.manifest.digest,
            chosen,
            report,
            vault.signing_key.public,
            parameters,
            executor=executor,
            arithmetic=KernelArithmetic() if backend.name == "kernel" else PLAIN,
            progress=progress,
        )
    except RejectedError as error:
        raise CrossmarginError(
            f"{error}; nothing is published: prove that statement again, with `crossmargin prove --statement NAME`"
        ) from None


def times(vault: Vault) -> set[int]:
    """Return the times of the proven statements, Unix seconds."""
    return {Policy.decode((folder / POLICY_FILE).read_bytes()).as_of for folder in vault.statements().values()}
