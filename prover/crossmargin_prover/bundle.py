"""Assemble the public bundle, have the verifier judge it, and put it in place only when that is done.

Every statement folder is copied as it was proven; reserves, counts and the key for receipts are declared beside them;
the two summaries are the verifier's own verdict.
"""

import secrets
import shutil
import stat
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path

from crossmargin.loading import Parameters
from crossmargin.units import format_decimal
from crossmargin_circuits.errors import MalformedError
from crossmargin_prover.vault.vault import Report, VaultError, check_replaceable, put_in_place
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.declarations import (
    BUNDLE_FILE,
    RESERVES_FILE,
    SUMMARY_FILE,
    SUMMARY_TEXT_FILE,
    BundleManifest,
    DeclaredReserves,
)
from crossmargin_verifier.bundle.verdict import Verdict
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["check_bundle_folder", "publish"]


def publish(
    out: Path,
    snapshot_digest: bytes,
    statements: Mapping[str, Path],
    report: Report,
    receipt_key: bytes,
    parameters: Parameters,
    *,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
) -> Verdict:
    """Write the bundle of proven statements to `out`, in place of an earlier one; returns the verdict on it.

    executor, arithmetic: of the verifier.

    A verdict with failing claims is published all the same: it is the truth about the book, and says so.

    Raises:
        RejectedError, MalformedError: the verifier refuses a proof; nothing is published then.
        VaultError: `out` holds something else than a bundle.
    """
    manifest = BundleManifest(
        venue=report.venue,
        snapshot_digest=snapshot_digest,
        statements=tuple(statements),
        receipt_key=receipt_key,
        loaded=report.loaded,
        rejected=report.rejected_accounts,
        padding=report.padding,
    )
    reserves = DeclaredReserves(
        snapshot_digest=snapshot_digest,
        source=parameters.reserves.source,
        assets={name: format_decimal(amount) for name, amount in parameters.reserves.assets.items()},
        currency=parameters.model.value_unit.currency,
        insurance_fund=format_decimal(parameters.reserves.insurance_fund),
    )
    out = out.resolve()
    check_bundle_folder(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}")
    temporary.mkdir(mode=stat.S_IRWXU)
    try:
        for name, folder in statements.items():
            (temporary / name).mkdir()
            for path in folder.iterdir():
                shutil.copyfile(path, temporary / name / path.name)
        (temporary / BUNDLE_FILE).write_bytes(manifest.encoded)
        (temporary / RESERVES_FILE).write_bytes(reserves.encoded)
        verdict = check_bundle(temporary, executor=executor, arithmetic=arithmetic, progress=progress)
        (temporary / SUMMARY_FILE).write_bytes(verdict.encoded)
        (temporary / SUMMARY_TEXT_FILE).write_text(verdict.text, encoding="utf-8")
        temporary.chmod(0o755)
        put_in_place(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return verdict


def check_bundle_folder(folder: Path) -> None:
    """Refuse to publish in place of anything but an empty folder or an earlier bundle with nothing else in it.

    Raises:
        VaultError: there is something else.
    """
    check_replaceable(folder, BUNDLE_FILE)
    if not (folder / BUNDLE_FILE).exists():
        return
    known = {BUNDLE_FILE, RESERVES_FILE, SUMMARY_FILE, SUMMARY_TEXT_FILE}
    try:
        known |= set(BundleManifest.decode((folder / BUNDLE_FILE).read_bytes()).statements)
    except MalformedError:
        raise VaultError(f"{folder}: {BUNDLE_FILE} is damaged: remove the folder, or choose another one") from None
    others = sorted(each.name for each in folder.iterdir() if each.name not in known)
    if others:
        raise VaultError(f"{folder} holds something else, {others[0]}, which would be lost: choose another folder")
