"""Check a bundle or a receipt on disk: read with limits, verify every proof, judge every claim.

All input counts as hostile; a folder that changes during the check is neither verified nor rejected.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import CrossmarginError, PolicyError
from crossmargin_circuits.policy import Policy
from crossmargin_verifier.bundle.declarations import SUMMARY_FILE, SUMMARY_TEXT_FILE
from crossmargin_verifier.bundle.files import BundleFolder, StatementFolder
from crossmargin_verifier.bundle.folder import CannotCheckError, Folder
from crossmargin_verifier.bundle.judged_statement import JudgedStatement
from crossmargin_verifier.bundle.limits import MAX_RECEIPT_BYTES
from crossmargin_verifier.bundle.readable_twin import ReadableTwin
from crossmargin_verifier.bundle.receipt_view import describe
from crossmargin_verifier.bundle.signature import receipt_digest, verify_signature
from crossmargin_verifier.bundle.verdict import Verdict, judge
from crossmargin_verifier.kernel import KernelError
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.inclusion import verify_receipt
from crossmargin_verifier.protocol.verify import VerifiedSnapshot, verify_snapshot, verify_statement
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["CannotCheckError", "CheckedReceipt", "check_bundle", "check_receipt"]


@dataclass(frozen=True, repr=False)
class CheckedReceipt:
    """A receipt that passed H1 - H4 and whose signature, if there is one, holds; `view` is private.

    unchecked: policy digests of margins in the readable twin whose policy the bundle lacks.
    """

    view: Mapping[str, Any]
    unchecked: tuple[str, ...]
    signed: bool
    snapshot_compared: bool
    key_compared: bool


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
    with _opened(folder) as opened:
        bundle = BundleFolder(opened)
        manifest, reserves = bundle.manifest, bundle.reserves
        _compare(bundle, expected)
        snapshot: VerifiedSnapshot | None = None
        judged = []
        for name in manifest.statements:
            with _naming(name), _failures():
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


def check_receipt(
    path: str | PathLike[str],
    folder: str | PathLike[str],
    holder: str,
    *,
    snapshot_digest: bytes | None = None,
    key: bytes | None = None,
) -> CheckedReceipt:
    """Check a receipt against the snapshot of a bundle, and compute the holder's margin under its statements.

    path: the receipt file, or its readable twin (.json), which the check recomputes and compares; holder: the account
    id that the holder knows as theirs; snapshot_digest, key: from an independent publication.

    >>> folder = "tests/bundles/crossmargin-1"
    >>> checked = check_receipt(f"{folder}/receipt.json", f"{folder}/bundle", "acct-b")
    >>> checked.signed, checked.snapshot_compared
    (True, False)
    >>> checked.view["margin"][2]["excess"]
    '101,597.49583439 USD'
    >>> check_receipt(f"{folder}/receipt.json", f"{folder}/bundle", "acct-c")
    Traceback (most recent call last):
    crossmargin_verifier.protocol.errors.RejectedError: H2: the id in the receipt is not the holder's

    Raises:
        CannotCheckError, MalformedError, RejectedError: as in `check_bundle`; H1 - H4 and "signature".
    """
    with _opened(folder) as opened:
        bundle = BundleFolder(opened)
        manifest, _ = bundle.manifest, bundle.reserves
        path = Path(path)
        data = _read(path, MAX_RECEIPT_BYTES)
        twin: ReadableTwin | None = None
        signature = None
        if path.suffix == ".json":
            twin = ReadableTwin.decode(data)
            data, signature = twin.receipt, twin.signature
        first = bundle.statement(manifest.statements[0])
        verified = verify_receipt(
            data, first.snapshot_file, first.columns_file, holder=holder, snapshot_digest=snapshot_digest
        )
        if verified.snapshot.digest != manifest.snapshot_digest:
            raise RejectedError("H1", "the bundle's statements are about another snapshot than its bundle.json")
        if verified.receipt.record[0] != 1:
            raise RejectedError(
                "H2", "the account column of the record is not 1: the account is not counted in the totals"
            )
        if key is not None and key != manifest.receipt_key:
            raise RejectedError("signature", "the bundle names another receipt key than the one expected")
        if signature is not None:
            verify_signature(manifest.receipt_key, receipt_digest(data), signature)
        policies = {}
        for name in manifest.statements:
            with _naming(name):
                policies[name] = _stated_policy(bundle.statement(name), verified.snapshot.digest)
        view = describe(verified, data, signature or b"", manifest.receipt_key, policies)
        unchecked: list[str] = []
        if twin is not None:
            unchecked = twin.unknown_margins(view)
            different = twin.differences(view)
            if different:
                raise RejectedError(
                    "H2", f"the readable receipt differs from the signed one in: {', '.join(different)}"
                )
    return CheckedReceipt(view, tuple(unchecked), signature is not None, snapshot_digest is not None, key is not None)


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[Folder]:
    """Yield an open folder; if it changed during the check, no finding about it counts."""
    with Folder.open(Path(path)) as folder:
        try:
            yield folder
        except (CannotCheckError, KernelError):
            raise
        except CrossmarginError:
            if folder.changed():
                raise folder.mixture() from None
            raise


def _compare(bundle: BundleFolder, expected: Mapping[str, bytes]) -> None:
    """Compare digests before any verification, so a mistyped digest shows at once.

    Raises:
        RejectedError: V10, an expected digest differs or belongs to nothing in the bundle.
    """
    manifest = bundle.manifest
    found = {"snapshot": manifest.snapshot_digest, "receipt key": manifest.receipt_key}
    for name in manifest.statements:
        with _naming(name):
            if f"{name} policy" in expected:
                found[f"{name} policy"] = bundle.statement(name).policy.digest
            if f"{name} statement" in expected:
                found[f"{name} statement"] = bundle.statement(name).statement.digest
    for name, digest in expected.items():
        if name not in found:
            raise RejectedError("V10", f"the bundle has no {name} to compare the expected digest with")
        if found[name] != digest:
            raise RejectedError("V10", f"{name}: expected {digest.hex()}, found {found[name].hex()}")


@contextmanager
def _naming(statement: str) -> Iterator[None]:
    """Add the name of the statement to errors about it."""
    try:
        yield
    except RejectedError as error:
        raise RejectedError(error.step, f"statement {statement}: {error.reason}", error.shard) from None
    except (MalformedError, PolicyError) as error:
        raise type(error)(f"statement {statement}: {error}") from None


@contextmanager
def _failures() -> Iterator[None]:
    """Separate failures of the machine from findings about a bundle."""
    try:
        yield
    except BrokenExecutor:
        raise CannotCheckError("a worker process ended early; perhaps memory ran out: try fewer processes") from None
    except MemoryError:
        raise CannotCheckError("memory ran out: try fewer processes") from None
    except KernelError as error:
        raise CannotCheckError(str(error)) from None


def _report(progress: Progress, subject: str, stage: str, done: int, total: int) -> None:
    progress(f"{subject}: {stage}", done, total)


def _stated_policy(folder: StatementFolder, snapshot_digest: bytes) -> Policy:
    """Return the policy of a folder after checking that it is that of its statement; read no proofs."""
    policy, statement = folder.policy, folder.statement
    if statement.snapshot_digest != snapshot_digest:
        raise RejectedError("V2", "the statement is about another snapshot")
    relation = compile_policy(policy).relation
    if (statement.policy_digest, statement.relation_digest) != (policy.digest, relation.digest):
        raise RejectedError("V2", "the statement is about another policy")
    return policy


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise CannotCheckError(f"{path}: {error.strerror}") from None
    if len(data) > limit:
        raise MalformedError(f"{path.name}: more than {limit} bytes")
    return data
