"""Check a bundle on disk: read with limits, verify every proof, judge every claim.

All input counts as hostile; a folder that changes during the check is neither verified nor rejected.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from os import PathLike

from crossmargin_circuits.compile import compile_policy
from crossmargin_verifier.bundle.declarations import SUMMARY_FILE, SUMMARY_TEXT_FILE
from crossmargin_verifier.bundle.files import BundleFolder
from crossmargin_verifier.bundle.findings import failures, naming, opened_folder
from crossmargin_verifier.bundle.folder import CannotCheckError
from crossmargin_verifier.bundle.judged_statement import JudgedStatement
from crossmargin_verifier.bundle.verdict import Verdict, judge
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.verify import VerifiedSnapshot, verify_snapshot, verify_statement
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["CannotCheckError", "check_bundle"]


def check_bundle(
    folder: str | PathLike[str],
    expected: Mapping[str, bytes] | None = None,
    *,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
) -> Verdict:
    """Verify every statement of a bundle and judge its claims.

    expected: digests from an independent publication, by the names in the verdict; executor: runs the multiplications,
    by default in this process; arithmetic: plain Python or `KernelArithmetic`; progress: called with the name of a
    stage, the number of finished parts and the number of all parts.

    >>> published = "ff5a0daeac2d147ed60cc4d3786d9559b2e5e07a4da401fcdb774b729f2ecfc2"
    >>> bundle = "tests/bundles/crossmargin-1/bundle"
    >>> verdict = check_bundle(bundle, {"snapshot": bytes.fromhex(published)})
    >>> verdict.verified, verdict.compared
    (True, ('snapshot',))
    >>> print(verdict.claims[0].name, verdict.claims[0].result)
    maintenance PASS
    >>> check_bundle(bundle, {"snapshot": bytes(32)})
    Traceback (most recent call last):
    crossmargin_verifier.protocol.errors.RejectedError: V10: snapshot: expected 0000...

    Raises:
        CannotCheckError: a file is missing or unreadable, or the bundle changed while it was read; a worker or the
            kernel failed; memory ran out.
        MalformedError: a file is not canonical. RejectedError: a step does not hold.
    """
    expected = expected or {}
    with opened_folder(folder) as opened:
        bundle = BundleFolder(opened)
        manifest, reserves = bundle.manifest, bundle.reserves
        _compare(bundle, expected)
        snapshot: VerifiedSnapshot | None = None
        judged = []
        for name in manifest.statements:
            with naming(name), failures():
                stage = partial(_report, progress, f"statement {name}")
                stage("policy", 0, 1)
                statement = bundle.statement(name)
                policy = statement.policy
                compiled = compile_policy(policy)
                stage("policy", 1, 1)
                files = statement.read(compiled.relation)
                if snapshot is None:
                    snapshot = verify_snapshot(
                        files, executor=executor, arithmetic=arithmetic, progress=partial(_report, progress, "snapshot")
                    )
                verified = verify_statement(
                    files,
                    compiled.relation,
                    policy.digest,
                    snapshot=snapshot,
                    executor=executor,
                    arithmetic=arithmetic,
                    progress=stage,
                )
                judged.append(JudgedStatement(name, compiled, verified))
                bundle.forget(name)
        verdict = judge(manifest, reserves, judged)
        for file, summary in ((SUMMARY_FILE, verdict.encoded), (SUMMARY_TEXT_FILE, verdict.text.encode("utf-8"))):
            if bundle.summary(file) not in (None, summary):
                raise RejectedError("V10", f"{file} is not the verdict on this bundle")
        if not verdict.verified and opened.changed():
            raise opened.mixture()
    return replace(verdict, compared=tuple(name for name in verdict.digests if name in expected))


def _compare(bundle: BundleFolder, expected: Mapping[str, bytes]) -> None:
    """Compare digests before any verification, so a mistyped digest shows at once.

    Raises:
        RejectedError: V10, an expected digest differs or belongs to nothing in the bundle.
    """
    manifest = bundle.manifest
    found = {"snapshot": manifest.snapshot_digest, "receipt key": manifest.receipt_key}
    for name in manifest.statements:
        with naming(name):
            if f"{name} policy" in expected:
                found[f"{name} policy"] = bundle.statement(name).policy.digest
            if f"{name} statement" in expected:
                found[f"{name} statement"] = bundle.statement(name).statement.digest
    for name, digest in expected.items():
        if name not in found:
            raise RejectedError("V10", f"the bundle has no {name} to compare the expected digest with")
        if found[name] != digest:
            raise RejectedError("V10", f"{name}: expected {digest.hex()}, found {found[name].hex()}")


def _report(progress: Progress, subject: str, stage: str, done: int, total: int) -> None:
    progress(f"{subject}: {stage}", done, total)
