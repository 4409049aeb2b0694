"""Assemble the public bundle, have the verifier judge it, and put it in place only when that is done.

Every statement folder is copied as it was proven; reserves, counts and the key for receipts are declared beside them;
the two summaries are the verifier's own verdict.
"""

import secrets
import shutil
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path

from crossmargin.loading import Parameters
from crossmargin.units import format_decimal
from crossmargin_prover.vault import Report, check_replaceable, put_in_place
from crossmargin_verifier.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.bundle import (
    BUNDLE_FILE,
    RESERVES_FILE,
    SUMMARY_FILE,
    SUMMARY_TEXT_FILE,
    BundleManifest,
    DeclaredReserves,
)
from crossmargin_verifier.check import check_bundle
from crossmargin_verifier.verdict import Verdict
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["publish"]


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
    check_replaceable(out, BUNDLE_FILE)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}")
    temporary.mkdir(parents=True)
    try:
        for name, folder in statements.items():
            shutil.copytree(folder, temporary / name)
        (temporary / BUNDLE_FILE).write_bytes(manifest.encoded)
        (temporary / RESERVES_FILE).write_bytes(reserves.encoded)
        verdict = check_bundle(temporary, executor=executor, arithmetic=arithmetic, progress=progress)
        (temporary / SUMMARY_FILE).write_bytes(verdict.encoded)
        (temporary / SUMMARY_TEXT_FILE).write_text(verdict.text, encoding="utf-8")
        put_in_place(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return verdict
