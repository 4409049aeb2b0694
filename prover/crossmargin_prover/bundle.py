"""Assemble the public bundle, let the verifier judge it, and only then replace an earlier one.

Every statement folder is copied as it was proven; reserves, counts and the key for receipts are declared beside them;
the two summaries are the verifier's own verdict.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path

from crossmargin.loading import Parameters
from crossmargin.placement import (
    PUBLIC_FILE,
    PUBLIC_FOLDER,
    check_target,
    make_folder,
    put_in_place,
    real_path,
    write_new_file,
)
from crossmargin.units import format_decimal
from crossmargin_circuits.errors import MalformedError
from crossmargin_prover.vault.lock import BusyError, locked_folder, locked_temporary, sweep_beside
from crossmargin_prover.vault.names import BUNDLE, STATEMENT
from crossmargin_prover.vault.vault import Report, VaultError
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.declarations import (
    BUNDLE_FILE,
    RESERVES_FILE,
    SUMMARY_FILE,
    SUMMARY_TEXT_FILE,
    BundleManifest,
    DeclaredReserves,
)
from crossmargin_verifier.bundle.folder import CannotCheckError
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
    log: Callable[[str], None] = lambda line: None,
) -> Verdict:
    """Write the bundle of proven statements to `out`, in place of an earlier one; return its verdict.

    executor, arithmetic: of the verifier; log: takes warnings about what is left over.

    A bundle with failing claims is published too: its verdict states the truth about the book.

    Raises:
        RejectedError, MalformedError: the verifier rejects a proof; the function then publishes nothing.
        VaultError: a file of a statement is missing.
        CrossmarginError: `out` holds something else than a bundle, or a statement's folder an unexpected file.
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
    out = real_path(out)
    check_bundle_folder(out)
    for folder in statements.values():
        foreign = STATEMENT.foreign(folder)
        if foreign:
            raise VaultError(
                f"{folder} holds {foreign[0]}, no file of a statement: move it away, or it would be public"
            )
    make_folder(out.parent, PUBLIC_FOLDER, PUBLIC_FOLDER)
    with locked_temporary(out, BUNDLE) as temporary:
        for name, folder in statements.items():
            make_folder(temporary / name, PUBLIC_FOLDER)
            # Temporary files of a killed run must not become public either.
            for path in sorted(each for each in folder.iterdir() if STATEMENT.lists(each.name)):
                write_new_file(temporary / name / path.name, path.read_bytes(), PUBLIC_FILE)
        write_new_file(temporary / BUNDLE_FILE, manifest.encoded, PUBLIC_FILE)
        write_new_file(temporary / RESERVES_FILE, reserves.encoded, PUBLIC_FILE)
        try:
            verdict = check_bundle(temporary, executor=executor, arithmetic=arithmetic, progress=progress)
        except CannotCheckError as error:
            # Name the missing file in the vault, since the temporary folder disappears.
            reason = str(error)
            for name, folder in statements.items():
                reason = reason.replace(str(temporary / name), str(folder))
            raise VaultError(reason) from None
        write_new_file(temporary / SUMMARY_FILE, verdict.encoded, PUBLIC_FILE)
        write_new_file(temporary / SUMMARY_TEXT_FILE, verdict.text.encode("utf-8"), PUBLIC_FILE)
        temporary.chmod(PUBLIC_FOLDER)
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


def check_bundle_folder(folder: Path) -> None:
    """Refuse to replace anything but an empty folder or an earlier bundle with nothing else in it.

    Raises:
        CrossmarginError: there is something else.
    """
    folder = real_path(folder)
    check_target(folder, BUNDLE, BUNDLE_FILE)
    if not (folder / BUNDLE_FILE).exists():
        return
    try:
        statements = BundleManifest.decode((folder / BUNDLE_FILE).read_bytes()).statements
    except MalformedError:
        raise VaultError(f"{folder}: {BUNDLE_FILE} is damaged: remove the folder, or choose another one") from None
    others = sorted(each.name for each in folder.iterdir() if each.is_dir() and each.name not in statements)
    if others:
        raise VaultError(f"{folder} holds something else, {others[0]}: move it away, or choose another folder")
