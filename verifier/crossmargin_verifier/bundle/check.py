"""Check a bundle on disk: read with limits, verify every proof, judge every claim.

All input counts as hostile; a folder that changes during the check is neither verified nor rejected.
"""

import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from os import PathLike

from crossmargin_circuits.amounts import format_time
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.effort import Effort
from crossmargin_circuits.relation import COEFFICIENT_BYTES
from crossmargin_circuits.version import VERSION
from crossmargin_verifier.bundle.anchor import ANCHOR_FILE
from crossmargin_verifier.bundle.declarations import BUNDLE_FILE, Totals
from crossmargin_verifier.bundle.figures import File, Run
from crossmargin_verifier.bundle.files import BundleFolder
from crossmargin_verifier.bundle.findings import failures, naming, opened_folder
from crossmargin_verifier.bundle.folder import CannotCheckError
from crossmargin_verifier.bundle.judged_statement import JudgedStatement
from crossmargin_verifier.bundle.limits import MAX_STATEMENTS
from crossmargin_verifier.bundle.multiplication import check_points, points_of
from crossmargin_verifier.bundle.verdict import Outcome, Verdict, judge
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.manifests import SnapshotManifest
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.verify import ClaimedStatement, verify_statements
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["CannotCheckError", "check_bundle"]


def check_bundle(
    folder: str | PathLike[str],
    expected: Mapping[str, bytes] | None = None,
    *,
    executor: Executor | None = None,
    arithmetic: Arithmetic = PLAIN,
    progress: Progress = no_progress,
    patient: bool = False,
) -> Verdict:
    """Verify every statement of a bundle and judge its claims.

    expected: digests from an independent publication, by their names in the verdict, of which "bundle" covers all
    others; executor: runs the multiplications, by default in this process; arithmetic: plain Python or
    `KernelArithmetic`; progress: called with the name of a stage, the number of finished parts and the number of all;
    patient: verify also what takes long for its size.

    >>> published = "32672ace33da61359ae201a477acc6d9fedeb4fbb8fea853cf8a1b811e3196cd"
    >>> bundle = "tests/bundles/crossmargin-2/bundle"
    >>> verdict = check_bundle(bundle, {"bundle": bytes.fromhex(published)})
    >>> verdict.outcome, verdict.compared
    (<Outcome.VERIFIED: 'verified'>, ('bundle',))
    >>> check_bundle(bundle, {"bundle": bytes(32)})
    Traceback (most recent call last):
    crossmargin_verifier.protocol.errors.RejectedError: V10: bundle: expected 0000...

    Raises:
        CannotCheckError: there is no bundle, a file is unreadable or beyond the limits of this verifier, or the bundle
            changed while it was read; a worker or the kernel failed; memory ran out; it takes long for its size.
        MalformedError: a file is not canonical. RejectedError: a step does not hold, or a file is missing.
    """
    expected = expected or {}
    started = time.time()
    with opened_folder(folder) as opened, failures():
        bundle = BundleFolder(opened)
        manifest = bundle.manifest
        if len(manifest.statements) > MAX_STATEMENTS:
            raise CannotCheckError(f"{BUNDLE_FILE}: more than {MAX_STATEMENTS} statements: this verifier takes no more")
        bundle.check_anchor()
        digests = _compare(bundle, expected)
        if manifest.totals is Totals.CLOSED:
            raise CannotCheckError(f"{BUNDLE_FILE}: closed totals: this release checks opened ones, or none")
        reserves = bundle.reserves
        compiled, claimed, shapes = {}, {}, []
        effort = Effort()
        snapshot = bundle.snapshot()
        progress("policies", 0, len(manifest.statements))
        for number, name in enumerate(manifest.statements):
            with naming(name):
                statement = bundle.statement(name)
                policy = statement.policy
                effort.allow(statement.policy_bytes)
                compiled[name] = compile_policy(
                    policy, effort=effort, coefficients=statement.relation_bytes // COEFFICIENT_BYTES
                )
                relation = compiled[name].relation
                files = statement.read(snapshot, relation)
                shapes.append(Shape.of(snapshot.manifest, statement.statement, relation))
                claimed[name] = ClaimedStatement(files, relation, policy.digest)
            progress("policies", number + 1, len(manifest.statements))
        _check_anchored(bundle, snapshot.manifest)
        bundle.check_all_read()
        if not patient:
            points = points_of(snapshot.manifest, len(snapshot.columns), shapes)
            check_points(points, sum(bundle.sizes.values()), arithmetic)
        book = verify_statements(snapshot, claimed, executor=executor, arithmetic=arithmetic, progress=progress)
        judged = [
            JudgedStatement(number, name, compiled[name], book.statements[name], bundle.statement(name).factor)
            for number, name in enumerate(manifest.statements, 1)
        ]
        verdict = judge(manifest, reserves, book, judged)
        if verdict.outcome is not Outcome.VERIFIED and opened.changed():
            raise opened.mixture()
    digests |= verdict.digests
    return replace(
        verdict,
        digests=digests,
        compared=tuple(name for name in digests if name in expected),
        files=tuple(File(path, size, bundle.anchor.files[path].hex()) for path, size in sorted(bundle.sizes.items())),
        run=Run(VERSION, _described(arithmetic), _time(started), _time(time.time())),
    )


def _compare(bundle: BundleFolder, expected: Mapping[str, bytes]) -> dict[str, str]:
    """Compare digests before any verification, so a mistyped digest shows at once; return that of the bundle.

    The anchor states them; that it states the right ones is checked later.

    Raises:
        RejectedError: V10, an expected digest differs or belongs to nothing in the bundle.
    """
    anchor = bundle.anchor
    digest = anchor.digest
    found = {"bundle": digest, "snapshot": anchor.snapshot_digest, "receipt key": bundle.manifest.receipt_key}
    for each in anchor.statements:
        found |= {f"{each.name} statement": each.statement_digest, f"{each.name} policy": each.policy_digest}
    for name, value in expected.items():
        if name not in found:
            raise RejectedError("V10", f"the bundle has no {name} to compare the expected digest with")
        if found[name] != value:
            raise RejectedError("V10", f"{name}: expected {value.hex()}, found {found[name].hex()}")
    return {"bundle": digest.hex()}


def _check_anchored(bundle: BundleFolder, manifest: SnapshotManifest) -> None:
    """Check that the digests in the anchor are those of the files (V10)."""
    anchor = bundle.anchor
    if (anchor.snapshot_digest, anchor.as_of) != (manifest.digest, manifest.as_of):
        raise RejectedError("V10", f"{ANCHOR_FILE} is about another snapshot than its files")
    for each in anchor.statements:
        folder = bundle.statement(each.name)
        if (each.statement_digest, each.policy_digest) != (folder.statement.digest, folder.policy.digest):
            raise RejectedError("V10", f"{ANCHOR_FILE} states other digests of {each.name} than its files have")


def _described(arithmetic: Arithmetic) -> str:
    return f"compiled kernel {VERSION}" if isinstance(arithmetic, KernelArithmetic) else "plain Python"


def _time(seconds: float) -> str:
    return format_time(int(seconds))
