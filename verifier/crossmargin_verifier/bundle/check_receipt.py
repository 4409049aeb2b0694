"""Check a holder's receipt against the snapshot of a bundle, and compute their margin under its statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.policy import Policy
from crossmargin_verifier.bundle.files import BundleFolder, StatementFolder
from crossmargin_verifier.bundle.findings import naming, opened_folder
from crossmargin_verifier.bundle.folder import CannotCheckError
from crossmargin_verifier.bundle.limits import MAX_RECEIPT_BYTES
from crossmargin_verifier.bundle.readable_twin import ReadableTwin
from crossmargin_verifier.bundle.receipt_view import describe
from crossmargin_verifier.bundle.signature import receipt_digest, verify_signature
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.inclusion import verify_receipt

__all__ = ["CheckedReceipt", "check_receipt"]


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
    with opened_folder(folder) as opened:
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
            with naming(name):
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
