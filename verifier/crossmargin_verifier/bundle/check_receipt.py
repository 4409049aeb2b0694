"""Check a holder's receipt: with the published snapshot digest alone, and with a bundle also the holder's margin.

Four outcomes. A receipt is *verified*, or it is one of *another snapshot*, or the file is *no receipt* or was changed,
or it *does not fit*: the venue signed it, and it leads to no leaf of its snapshot. Only the last is a finding against
the venue. The content of a file decides what it is, never its name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from crossmargin_circuits.amounts import format_time
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.layout import columns_digest, decode_columns
from crossmargin_verifier.bundle.checked_receipt import CheckedReceipt
from crossmargin_verifier.bundle.files import BundleFolder
from crossmargin_verifier.bundle.findings import naming, opened_folder
from crossmargin_verifier.bundle.folder import CannotCheckError, Folder
from crossmargin_verifier.bundle.foreign_text import foreign_text
from crossmargin_verifier.bundle.holder_margin import HolderMargin, margin_under
from crossmargin_verifier.bundle.limits import MAX_COLUMNS_BYTES, MAX_MANIFEST_BYTES, MAX_RECEIPT_BYTES
from crossmargin_verifier.bundle.receipt_file import NotAReceiptError, ReceiptFile
from crossmargin_verifier.bundle.signature import receipt_digest, verify_signature
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.inclusion import Receipt, VerifiedReceipt, verify_receipt
from crossmargin_verifier.protocol.manifests import COLUMNS_FILE, SNAPSHOT_FILE, SnapshotManifest

__all__ = ["AnotherSnapshotError", "CheckedReceipt", "NotAReceiptError", "UnfitReceiptError", "check_receipt"]


MAX_QUOTED = 100
"""Characters of an id in a message."""


class AnotherSnapshotError(CannotCheckError):
    """The receipt is about another snapshot than the one it is compared with."""


class UnfitReceiptError(RejectedError):
    """The receipt does not fit; is_signed: the venue signed it, so the file is evidence."""

    def __init__(self, step: str, reason: str, *, is_signed: bool) -> None:
        """Take the step that does not hold."""
        super().__init__(step, reason)
        self.is_signed = is_signed

    @property
    def advice(self) -> str:
        """What the holder does with the file."""
        if self.is_signed:
            return "the venue signed it: keep the file, it is evidence"
        return "the file has no signature: ask for NAME.json, which is evidence"


@dataclass(frozen=True)
class _Surroundings:
    """What a receipt is compared with: the snapshot and columns of a bundle or of two files, and the bundle itself."""

    snapshot: bytes | None = None
    columns: bytes | None = None
    bundle: BundleFolder | None = None
    folder: Folder | None = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Turn a finding about the bundle into a check that could not be made: it says nothing about the receipt."""
        try:
            yield
        except CannotCheckError:
            raise
        except CrossmarginError as error:
            if self.folder is not None and self.folder.changed():
                raise self.folder.mixture() from None
            raise CannotCheckError(f"the bundle: {error}: check it with `crossmargin-verify bundle`") from None


def check_receipt(
    path: str | PathLike[str],
    holder: str,
    *,
    snapshot_digest: bytes | None = None,
    key: bytes | None = None,
    bundle: str | PathLike[str] | None = None,
    files: str | PathLike[str] | None = None,
) -> CheckedReceipt:
    """Check H1 - H4 and the venue's signature on a receipt, and compute the holder's margin where there is a bundle.

    path: NAME.json, which needs no other file, or the bare NAME.cm2, which needs a bundle, or a folder `files` with
    snapshot.cm2 and columns.cm2. holder: the id that the holder knows as theirs. snapshot_digest, key: from an
    independent publication.

    >>> folder = "tests/bundles/crossmargin-2"
    >>> checked = check_receipt(f"{folder}/receipt.json", "acct-b", bundle=f"{folder}/bundle")
    >>> checked.is_signed, checked.snapshot_compared
    (True, False)
    >>> checked.margins[0].margin["excess"]
    '101,597.49583439 USD'
    >>> check_receipt(f"{folder}/receipt.json", "acct-c")
    Traceback (most recent call last):
    crossmargin_verifier.bundle.check_receipt.UnfitReceiptError: H2: ...

    Raises:
        UnfitReceiptError: the receipt does not fit: H1 - H4.
        AnotherSnapshotError: it is about another snapshot; names both.
        NotAReceiptError: the file is no receipt, or was changed since the venue wrote it.
        CannotCheckError: a file is missing or unreadable, or the bundle is not what it should be.
    """
    data = _read(Path(path), MAX_RECEIPT_BYTES)
    given = ReceiptFile.decode(data)
    with _surroundings(bundle, files) as around:
        is_signed = given.signature is not None
        _check_signature(given, key, around)
        receipt = _decode(given, is_signed=is_signed)
        snapshot_file, columns_file = _attached(given, receipt, around)
        _compare_snapshots(receipt, SnapshotManifest.decode(snapshot_file), snapshot_digest, around)
        _check_holder(receipt.holder, holder, is_signed=is_signed)
        try:
            verified = verify_receipt(
                given.receipt, snapshot_file, columns_file, holder=holder, snapshot_digest=snapshot_digest
            )
        except RejectedError as error:
            raise UnfitReceiptError(error.step, error.reason, is_signed=is_signed) from None
        if is_signed:
            given.check_readable(data)
        margins = () if around.bundle is None else tuple(_margins(verified, around.bundle, around))
    return CheckedReceipt(
        receipt=verified,
        is_signed=is_signed,
        snapshot_compared=snapshot_digest is not None,
        key_compared=is_signed and key is not None,
        margins=margins,
    )


@contextmanager
def _surroundings(bundle: str | PathLike[str] | None, files: str | PathLike[str] | None) -> Iterator[_Surroundings]:
    """Yield what the receipt is compared with, in a bundle that is held open, or in two files.

    Raises:
        CannotCheckError: a file is missing; or the bundle is malformed, which is no finding about the receipt.
    """
    if bundle is None:
        around = _Surroundings()
        if files is not None:
            snapshot = _read(Path(files) / SNAPSHOT_FILE, MAX_MANIFEST_BYTES)
            around = _Surroundings(snapshot, _read(Path(files) / COLUMNS_FILE, MAX_COLUMNS_BYTES))
        yield around
        return
    with opened_folder(bundle) as folder:
        with _Surroundings(folder=folder).alone():
            opened = BundleFolder(folder)
            opened.check_anchor()
            around = _Surroundings(opened.snapshot_file, opened.columns_file, opened, folder)
            found = SnapshotManifest.decode(opened.snapshot_file).digest
            if found != opened.manifest.snapshot_digest:
                raise MalformedError(f"{SNAPSHOT_FILE} is not the snapshot that bundle.json names")
        yield around


def _check_signature(given: ReceiptFile, key: bytes | None, around: _Surroundings) -> None:
    """Check the signature, if the file has one, and compare the key.

    Raises:
        NotAReceiptError: the signature does not hold, or the key is not the venue's.
    """
    if given.signature is None or given.key is None:
        if key is not None:
            raise NotAReceiptError("it carries no signature to check with a key: check NAME.json, which has one")
        return
    expected = {"that you gave": key}
    if around.bundle is not None:
        with around.alone():
            expected["of the bundle"] = around.bundle.manifest.receipt_key
    for whose, each in expected.items():
        if each is not None and each != given.key:
            raise NotAReceiptError(f"the key in it, {given.key.hex()}, is not the one {whose}, {each.hex()}")
    try:
        verify_signature(given.key, receipt_digest(given.receipt), given.signature)
    except (MalformedError, RejectedError) as error:
        raise NotAReceiptError(f"it was changed since the venue signed it, or it never was signed: {error}") from None


def _decode(given: ReceiptFile, *, is_signed: bool) -> Receipt:
    """Return the receipt inside a file.

    Raises:
        UnfitReceiptError: it is malformed, and the venue signed it. NotAReceiptError: it is malformed.
    """
    try:
        return Receipt.decode(given.receipt)
    except MalformedError as error:
        if is_signed:
            raise UnfitReceiptError("H1", str(error), is_signed=True) from None
        raise NotAReceiptError(str(error)) from None


def _attached(given: ReceiptFile, receipt: Receipt, around: _Surroundings) -> tuple[bytes, bytes]:
    """Return the snapshot and columns files of the receipt: those in its own file, or those around a bare one.

    Raises:
        NotAReceiptError: the attached ones are not those that the signed receipt names.
        CannotCheckError: a bare receipt has none.
    """
    if given.snapshot is None or given.columns is None:
        if around.snapshot is None or around.columns is None:
            raise CannotCheckError(
                "a bare receipt needs its snapshot: name the bundle, or the folder with snapshot.cm2 and columns.cm2; "
                "NAME.json needs neither"
            )
        with around.alone():
            decode_columns(around.columns)
            SnapshotManifest.decode(around.snapshot)
        return around.snapshot, around.columns
    try:
        snapshot, labels = SnapshotManifest.decode(given.snapshot), decode_columns(given.columns)
    except MalformedError as error:
        raise NotAReceiptError(f"it was changed: {error}") from None
    if snapshot.digest != receipt.snapshot_digest:
        raise NotAReceiptError("it was changed: the snapshot inside is not the one that the receipt names")
    if columns_digest(labels) != snapshot.columns_digest:
        raise NotAReceiptError("it was changed: the columns inside are not those of its snapshot")
    return given.snapshot, given.columns


def _compare_snapshots(
    receipt: Receipt, snapshot: SnapshotManifest, published: bytes | None, around: _Surroundings
) -> None:
    """Compare the snapshot of a receipt with the published digest and with the one around it.

    snapshot: the attached one, or for a bare receipt the one around it.

    Raises:
        AnotherSnapshotError: they differ.
    """
    if receipt.snapshot_digest != snapshot.digest:
        raise AnotherSnapshotError(
            f"the receipt is about the snapshot with digest {receipt.snapshot_digest.hex()}; the one beside it is "
            f"{_described(snapshot)}"
        )
    about = f"the receipt is about {_described(snapshot)}"
    if around.snapshot is not None:
        other = SnapshotManifest.decode(around.snapshot)
        if other.digest != snapshot.digest:
            raise AnotherSnapshotError(f"{about}; what you compare it with is about {_described(other)}")
    if published is not None and published != snapshot.digest:
        raise AnotherSnapshotError(f"{about}; the digest that you gave is {published.hex()}")


def _described(snapshot: SnapshotManifest) -> str:
    return f"{foreign_text(snapshot.sid)} of {format_time(snapshot.as_of)}, digest {snapshot.digest.hex()}"


def _check_holder(found: str, given: str, *, is_signed: bool) -> None:
    """Compare the id in a receipt with the holder's, byte for byte.

    Raises:
        NotAReceiptError: they differ in blanks or capitals alone: a slip of the pen, no finding.
        UnfitReceiptError: H2, they differ.
    """
    if found == given:
        return
    ids = f"the id in it is {_quoted(found)}, and you gave {_quoted(given)}"
    if found.strip().casefold() == given.strip().casefold():
        what = "capitals" if found.strip() != given.strip() else "blanks around it"
        raise NotAReceiptError(f"{ids}: they differ in {what}")
    raise UnfitReceiptError("H2", f"{ids}: it is another account's, or the id is mistyped", is_signed=is_signed)


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}...")


def _margins(verified: VerifiedReceipt, bundle: BundleFolder, around: _Surroundings) -> Iterator[HolderMargin]:
    """Yield the margin under every statement of a bundle, whose policies are those that its statements name.

    Raises:
        CannotCheckError: a policy is another one, or reads other columns.
    """
    with around.alone():
        for name in bundle.manifest.statements:
            with naming(name):
                folder = bundle.statement(name)
                policy, statement = folder.policy, folder.statement
                if statement.snapshot_digest != verified.snapshot.digest:
                    raise RejectedError("V2", "the statement is about another snapshot")
                digests = policy.digest, compile_policy(policy).relation.digest
                if (statement.policy_digest, statement.relation_digest) != digests:
                    raise RejectedError("V2", "the statement is about another policy")
                if policy.layout.labels != verified.columns:
                    raise RejectedError("V2", "the policy is about other columns than the snapshot")
                yield margin_under(name, policy, verified.receipt.record)


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise CannotCheckError(f"{path}: {error.strerror}") from None
    if len(data) > limit:
        raise NotAReceiptError(f"{path.name} has more than {limit} bytes")
    return data
