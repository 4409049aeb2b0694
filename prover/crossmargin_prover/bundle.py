"""Assemble the public bundle, let the verifier judge it, and only then replace an earlier one.

The public files of the snapshot are copied once, the files of each statement as they were proven; reserves, counts and
the key for receipts are declared beside them. The anchor lists the SHA-256 of all of them; the key for receipts signs
it. The two summaries are the verifier's own verdict.
"""

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from crossmargin.loading import Parameters
from crossmargin.placement import (
    PUBLIC_FILE,
    PUBLIC_FOLDER,
    Names,
    check_target,
    make_folder,
    put_in_place,
    real_path,
    write_new_file,
)
from crossmargin.units import format_decimal
from crossmargin_circuits.encoding import EARLIER_RELEASE
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.vault.lock import BusyError, locked_folder, locked_temporary, sweep_beside
from crossmargin_prover.vault.names import BUNDLE, PUBLIC_SNAPSHOT, SNAPSHOT, STATEMENT
from crossmargin_prover.vault.vault import Report, VaultError
from crossmargin_prover.workflow.proven import Proven
from crossmargin_verifier.bundle.anchor import (
    ANCHOR_FILE,
    ANCHOR_SIGNATURE_FILE,
    SNAPSHOT_FOLDER,
    STATEMENTS_FOLDER,
    Anchor,
    AnchoredStatement,
)
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.declarations import (
    BUNDLE_FILE,
    RESERVES_FILE,
    SUMMARY_FILE,
    SUMMARY_TEXT_FILE,
    BundleManifest,
    DeclaredReserves,
    Totals,
)
from crossmargin_verifier.bundle.folder import CannotCheckError
from crossmargin_verifier.bundle.verdict import Outcome, Verdict
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.protocol.manifests import TOTALS_FILE, SnapshotManifest
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["BundleContent", "ClaimsOpenError", "check_bundle_folder", "publish"]


class ClaimsOpenError(CrossmarginError):
    """Claims of the bundle fail or are not judged, so it was not published; the verdict names them."""

    def __init__(self, verdict: Verdict) -> None:
        """Take the verdict on the bundle that was not published."""
        topics = ", ".join(dict.fromkeys(str(claim.topic) for claim in (*verdict.failed, *verdict.open)))
        super().__init__(
            f"nothing is published: claims fail or are not judged ({topics}); --despite-claims publishes them anyway"
        )
        self.verdict = verdict


@dataclass(frozen=True)
class BundleContent:
    """What a bundle is made of: the vault's folder of the snapshot, the proven statements, and what is declared."""

    snapshot: SnapshotManifest
    folder: Path
    statements: tuple[Proven, ...]
    report: Report
    parameters: Parameters
    key: SigningKey = field(repr=False)

    @property
    def manifest(self) -> BundleManifest:
        """The content of `bundle.json`."""
        return BundleManifest(
            venue=self.report.venue,
            snapshot_digest=self.snapshot.digest,
            statements=tuple(each.statement for each in self.statements),
            receipt_key=self.key.public,
            totals=Totals.OPENED if (self.folder / TOTALS_FILE).exists() else Totals.NONE,
            loaded=self.report.loaded,
            rejected=self.report.rejected_accounts,
        )

    @property
    def reserves(self) -> DeclaredReserves:
        """The content of `reserves.json`."""
        declared = self.parameters.reserves
        return DeclaredReserves(
            snapshot_digest=self.snapshot.digest,
            source=declared.source,
            assets={name: format_decimal(amount) for name, amount in declared.assets.items()},
            currency=self.parameters.model.value_unit.currency,
            insurance_fund=format_decimal(declared.insurance_fund),
        )

    def anchor(self, files: Mapping[str, bytes]) -> Anchor:
        """Return the anchor of the written files, SHA-256 by path."""
        return Anchor(
            venue=self.report.venue,
            snapshot_digest=self.snapshot.digest,
            as_of=self.snapshot.as_of,
            statements=tuple(
                AnchoredStatement(each.statement, each.manifest.digest, each.manifest.policy_digest)
                for each in self.statements
            ),
            files=files,
        )


def publish(
    out: Path,
    content: BundleContent,
    *,
    despite_claims: bool = False,
    judged: Callable[[], None] = lambda: None,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
    log: Callable[[str], None] = lambda line: None,
) -> Verdict:
    """Write the bundle of proven statements to `out`, in place of an earlier one; return its verdict.

    despite_claims: publish a bundle with claims that fail or that nobody judged; judged: called once the verifier has
    accepted the bundle, before anything becomes public; executor, arithmetic: of the verifier; log: takes warnings
    about what is left over.

    Raises:
        RejectedError, MalformedError: the verifier rejects a proof; the function then publishes nothing.
        ClaimsOpenError: claims fail or are not judged; the function then publishes nothing.
        VaultError: a file of the snapshot or of a statement is missing, or its folder holds an unexpected file.
        CrossmarginError: `out` holds something else than a bundle.
    """
    out = real_path(out)
    check_bundle_folder(out)
    sources = {SNAPSHOT_FOLDER: content.folder}
    sources |= {f"{STATEMENTS_FOLDER}/{each.statement}": each.folder for each in content.statements}
    _check_sources(content.folder, SNAPSHOT, "snapshot")
    for each in content.statements:
        _check_sources(each.folder, STATEMENT, "statement")
    make_folder(out.parent, PUBLIC_FOLDER, PUBLIC_FOLDER)
    with locked_temporary(out, BUNDLE) as temporary:
        files: dict[str, bytes] = {}

        def write(path: str, data: bytes) -> None:
            write_new_file(temporary / path, data, PUBLIC_FILE)
            files[path] = hashlib.sha256(data).digest()

        for place, folder in sources.items():
            make_folder(temporary / place, PUBLIC_FOLDER, PUBLIC_FOLDER)
            public = PUBLIC_SNAPSHOT if place == SNAPSHOT_FOLDER else STATEMENT
            # Private files of the snapshot stay, and so do temporary files of a killed run.
            for path in sorted(each for each in folder.iterdir() if public.lists(each.name)):
                write(f"{place}/{path.name}", path.read_bytes())
        write(BUNDLE_FILE, content.manifest.encoded)
        write(RESERVES_FILE, content.reserves.encoded)
        anchor = content.anchor(dict(files)).encoded
        write(ANCHOR_FILE, anchor)
        write(ANCHOR_SIGNATURE_FILE, content.key.sign_anchor(anchor))
        try:
            verdict = check_bundle(temporary, executor=executor, arithmetic=arithmetic, progress=progress, patient=True)
        except CannotCheckError as error:
            # Name the missing file in the vault, since the temporary folder disappears.
            reason = str(error)
            for place, folder in sources.items():
                reason = reason.replace(str(temporary / place), str(folder))
            raise VaultError(reason) from None
        if verdict.outcome is not Outcome.VERIFIED and not despite_claims:
            raise ClaimsOpenError(verdict)
        write(SUMMARY_FILE, verdict.encoded)
        write(SUMMARY_TEXT_FILE, verdict.text.encode("utf-8"))
        temporary.chmod(PUBLIC_FOLDER)
        judged()
        with ExitStack() as stack:
            if out.exists():
                # Another run must not remove the earlier bundle while it has a temporary name.
                try:
                    stack.enter_context(locked_folder(out))
                except BusyError:
                    raise VaultError(f"{out}: another run is publishing there: wait until it ends") from None
            left = put_in_place(temporary, out, BUNDLE)
    if left is not None:
        log(f"warning: {out} is published; remove what is left of the earlier bundle yourself: {left}")
    sweep_beside(out, BUNDLE)
    return verdict


def _check_sources(folder: Path, names: Names, what: str) -> None:
    """Refuse to publish from a folder of the vault that holds an unexpected file.

    Raises:
        VaultError: names it.
    """
    foreign = names.foreign(folder)
    if foreign:
        raise VaultError(f"{folder} holds {foreign[0]}, no file of a {what}: move it away, or it might become public")


def check_bundle_folder(folder: Path) -> None:
    """Refuse to replace anything but an empty folder or an earlier bundle with nothing else in it.

    Raises:
        CrossmarginError: there is something else, or a bundle of crossmargin/1.
    """
    folder = real_path(folder)
    statements = _earlier_statements(folder)
    check_target(folder, BUNDLE, BUNDLE_FILE)
    inside = folder / STATEMENTS_FOLDER
    others = sorted(each.name for each in inside.iterdir() if each.name not in statements) if inside.is_dir() else []
    if others:
        raise VaultError(
            f"{folder} holds something else, {STATEMENTS_FOLDER}/{others[0]}: move it away, or choose another folder"
        )


def _earlier_statements(folder: Path) -> tuple[str, ...]:
    """Return the statements of the bundle in a folder; none where there is no bundle.

    Raises:
        VaultError: `bundle.json` is damaged, or of crossmargin/1.
    """
    path = folder / BUNDLE_FILE
    if not path.is_file():
        return ()
    try:
        return BundleManifest.decode(path.read_bytes()).statements
    except MalformedError as error:
        if EARLIER_RELEASE in str(error):
            raise VaultError(f"{folder} holds a bundle {EARLIER_RELEASE}: choose another folder") from None
        BUNDLE.check(folder)
        raise VaultError(f"{folder}: {BUNDLE_FILE} is damaged: remove the folder, or choose another one") from None
