"""Vault and reserves to a public bundle; the verifier judges it before it replaces an earlier one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crossmargin.loading import Parameters
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_prover.bundle import BundleContent, check_bundle_folder
from crossmargin_prover.bundle import publish as publish_bundle
from crossmargin_prover.vault.publications import PublishedStatement
from crossmargin_prover.vault.vault import Vault
from crossmargin_prover.workflow.given import given_names, given_parameters, open_vault
from crossmargin_prover.workflow.order import Moment, check_replaces
from crossmargin_prover.workflow.prices import check_prices
from crossmargin_prover.workflow.proven import Proven
from crossmargin_prover.workflow.run import Run
from crossmargin_prover.workflow.series import bundle_in_series, check_series, move_latest
from crossmargin_prover.workflow.thin_changes import thin_changes
from crossmargin_prover.workflow.thin_totals import thin_totals
from crossmargin_verifier.bundle.verdict import Verdict
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.manifests import TOTALS_FILE, records_file

if TYPE_CHECKING:
    from crossmargin import Book

__all__ = ["Published", "publish"]

_RESTORE = "nothing is published: restore {} of the vault from a copy"
_AGAIN = "nothing is published: prove that statement again, with `crossmargin prove --statement NAME`"


@dataclass(frozen=True)
class Published:
    """A public bundle, its digest, its verdict, and the warnings to the venue."""

    bundle: Path
    digest: bytes
    verdict: Verdict
    warnings: tuple[str, ...]


def publish(
    book: "Book | Parameters",
    vault: Vault | str | Path,
    bundle: str | Path,
    statements: str | Sequence[str] = (),
    run: Run | None = None,
    *,
    since: Vault | str | Path | None = None,
    series: bool = False,
    older: bool = False,
    despite_claims: bool = False,
    other_prices: bool = False,
) -> Published:
    """Publish the named statements, by default all, with the declared reserves, in place of an earlier bundle.

    The verifier judges the whole bundle first; a bundle that it rejects is not published. The run logs warnings before
    it makes the bundle.

    since: vault of the snapshot published before, for a warning where few accounts changed; series: `bundle` is a
    folder of bundles; this one gets a separate name there, and `latest` leads to it. older: replace a later bundle, or
    one of another snapshot with the same time. despite_claims: publish a bundle with claims that fail or that nobody
    judged. other_prices: publish a snapshot at a second set of prices.

    Raises:
        VaultError: the vault has no such proven statement, or the folder holds something else.
        OrderError: the folder holds a later bundle, or another snapshot of the same time.
        SecondPricesError: statements about this snapshot were published at other prices.
        ClaimsOpenError: claims of the bundle fail or are not judged.
        CrossmarginError: the verifier rejects a proof.

    >>> import crossmargin as cm
    >>> from crossmargin_prover import commit, prove, publish
    >>> book = cm.load("examples/small")
    >>> vault = commit(book, "build/vault").vault
    >>> proven = prove(book, vault)
    >>> print(publish(book, vault, "build/bundle").verdict.outcome)
    verified
    """
    parameters, vault = given_parameters(book), open_vault(vault)
    bundle, run = Path(bundle), run or Run()
    chosen = _choose(vault, given_names(statements), [each.name for each in parameters.model.statements])
    policies = [each.policy for each in chosen]
    times = {policy.as_of for policy in policies}
    snapshot = vault.load()
    moment = Moment(snapshot.manifest, max(times))
    if series:
        check_series(bundle, moment, older=older)
        bundle = bundle_in_series(bundle, moment)
    check_bundle_folder(bundle)
    check_replaces(bundle, moment, older=older)
    public = [
        PublishedStatement(each.statement, each.manifest.digest, policy.digest, policy.as_of)
        for each, policy in zip(chosen, policies, strict=True)
    ]
    if not other_prices:
        check_prices(vault.published, public)
    warnings = [f"published total over few accounts: {each}" for each in thin_totals(snapshot, chosen)]
    if since is not None and (earlier := open_vault(since)).published:
        changes = thin_changes(earlier.load(), snapshot)
        warnings += [f"few accounts changed since {earlier.path}: {each}" for each in changes]
    if len(times) > 1:
        warnings.insert(0, "the proven statements are about prices of different times")
    for each in warnings:
        run.log(f"warning: {each}")
    with vault.locked():
        content = BundleContent(
            snapshot.manifest, vault.snapshot.path, tuple(chosen), vault.load_report(), parameters, vault.signing_key
        )
        try:
            verdict = publish_bundle(
                bundle,
                content,
                despite_claims=despite_claims,
                judged=lambda: vault.log_published(public),
                executor=run.executor,
                arithmetic=run.backend.arithmetic,
                progress=run.progress,
                log=run.log,
            )
        except (RejectedError, MalformedError) as error:
            raise CrossmarginError(f"{vault.path}: {error}; {_hint(error)}") from None
    if series:
        move_latest(bundle)
    return Published(bundle, bytes.fromhex(verdict.digests["bundle"]), verdict, tuple(warnings))


def _hint(error: RejectedError | MalformedError) -> str:
    """Return what mends a vault: files of a snapshot are restored, and statements proven again."""
    if isinstance(error, MalformedError):
        return _AGAIN if str(error).startswith("statement") else _RESTORE.format("that file in snapshot/")
    if error.statement is not None:
        return _AGAIN
    damaged = {"V4": records_file(error.shard or 0), "V7": TOTALS_FILE}
    return _RESTORE.format(f"snapshot/{damaged.get(error.step, '')}")


def _choose(vault: Vault, names: Sequence[str], order: Sequence[str]) -> list[Proven]:
    """Return the proven statements with these names, or all: those of the model in its order, then the others."""
    proven = vault.statements()
    missing = [name for name in names if name not in proven]
    if missing:
        raise CrossmarginError(
            f"{vault.path}: not proven yet: {', '.join(missing)}; run `crossmargin prove --statement NAME`"
        )
    every = sorted(proven, key=lambda name: order.index(name) if name in order else len(order))
    return [Proven(name, proven[name]) for name in dict.fromkeys(names or every)]
