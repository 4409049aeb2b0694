"""The file that a venue delivers to a holder: NAME.json, which needs no other file, or NAME.cm2 alone (SPEC H1 - H4).

    format       "crossmargin-receipt/2"
    notice       that the file is private
    account      id of the account; holder_part: the part of it that the holder chose, or ""
    leaf         place of the account in the snapshot
    snapshot     id, as_of, digest
    record       every entry that is not zero: column, units, amount
    files        receipt (CM2H), snapshot.cm2 and columns.cm2, in hexadecimal
    key          of the venue, and the signature of the receipt by it

All but the files, the key and the signature is computed from these. The file has one encoding: JSON in ASCII, indented
by 2, keys in this order. So a reader computes it again and compares all bytes, and shows nothing that it read.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crossmargin_circuits.amounts import format_time, format_units
from crossmargin_circuits.encoding import EARLIER_RELEASE, Fields, check_depth
from crossmargin_circuits.errors import MalformedError
from crossmargin_circuits.layout import Column, ColumnKind, decode_columns
from crossmargin_verifier.bundle.folder import CannotCheckError
from crossmargin_verifier.bundle.signature import SIGNATURE_BYTES
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.inclusion import RECEIPT_MAGIC, Receipt
from crossmargin_verifier.protocol.manifests import SnapshotManifest

__all__ = ["RECEIPT_FORMAT", "NotAReceiptError", "ReceiptFile", "account_name", "holder_part"]

RECEIPT_FORMAT = "crossmargin-receipt/2"
EARLIER_FORMAT = "crossmargin-receipt/1"

NOTICE = (
    "PRIVATE. This file shows your balances and positions, and what hides them from others. "
    "Keep it as it is; do not post it or send it on."
)
"""Belongs to the format: a file with other words is another file."""

PART_SEPARATOR = "#"

_LABEL = re.compile(
    r"(?P<kind>balance|entry|position) (?P<name>[^ \[\]]+) \[(?P<unit>[^\[\]]+)\](?: settled in [^ \[\]]+)?"
)


class NotAReceiptError(CannotCheckError):
    """The file is no receipt, or a program or a person changed it since the venue wrote it."""


def holder_part(account: str) -> str:
    """Return the part of a committed id that its holder chose, or "".

    >>> holder_part("acct-0042#blue-heron"), holder_part("acct-0042")
    ('blue-heron', '')
    """
    return account.partition(PART_SEPARATOR)[2]


def account_name(account: str) -> str:
    """Return the part of a committed id that the venue gave: all of it where the holder chose none."""
    return account.partition(PART_SEPARATOR)[0]


@dataclass(frozen=True, repr=False)
class ReceiptFile:
    """A receipt (CM2H), and, in a file that needs no other one, its snapshot, columns, key and signature; private."""

    receipt: bytes
    snapshot: bytes | None = None
    columns: bytes | None = None
    key: bytes | None = None
    signature: bytes | None = None

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of NAME.json.

        Raises:
            MalformedError: receipt, snapshot or columns cannot be decoded.
        """
        if self.snapshot is None or self.columns is None or self.key is None or self.signature is None:
            raise ValueError("a bare receipt has no readable form")
        manifest, labels = SnapshotManifest.decode(self.snapshot), decode_columns(self.columns)
        view = readable(Receipt.decode(self.receipt), manifest, labels)
        files = {"receipt": self.receipt.hex(), "snapshot": self.snapshot.hex(), "columns": self.columns.hex()}
        view |= {"files": files, "key": self.key.hex(), "signature": self.signature.hex()}
        return (json.dumps(view, indent=2) + "\n").encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> "ReceiptFile":
        """Read a delivered file, whatever its name: JSON, or the bare receipt.

        The readable part is not judged here: `check_readable` compares it.

        Raises:
            NotAReceiptError: neither; says what was done to the file where that shows.
        """
        if data[:3] == RECEIPT_MAGIC[:3] or data[:3] == b"CM1":
            return cls(data)
        text = _text(data)
        if not text.lstrip().startswith("{"):
            raise NotAReceiptError("it is no receipt: neither JSON nor a file that begins with CM2H")
        try:
            check_depth(text.encode("utf-8"), "receipt")
            value = json.loads(text, object_pairs_hook=_without_duplicates)
        except json.JSONDecodeError as error:
            if not text[error.pos :].strip() or "Unterminated" in error.msg:
                raise NotAReceiptError(f"it is cut off after {len(data)} bytes") from None
            raise NotAReceiptError(f"it is no JSON: line {error.lineno}, column {error.colno}") from None
        except (ValueError, RecursionError, MalformedError) as error:
            raise NotAReceiptError(f"it is no receipt: {error}") from None
        if isinstance(value, dict) and value.get("format") == EARLIER_FORMAT:
            raise NotAReceiptError(EARLIER_RELEASE)
        try:
            root = Fields(value, "receipt: ", "format", "files", "key", "signature", exactly=False)
            root.format(RECEIPT_FORMAT)
            files = root.inner("files", "receipt", "snapshot", "columns")
            return cls(
                receipt=_hexadecimal(files, "receipt"),
                snapshot=_hexadecimal(files, "snapshot"),
                columns=_hexadecimal(files, "columns"),
                key=root.hexadecimal("key", POINT_BYTES),
                signature=root.hexadecimal("signature", SIGNATURE_BYTES),
            )
        except MalformedError as error:
            raise NotAReceiptError(f"it is no receipt, or was changed: {error}") from None

    def check_readable(self, data: bytes) -> None:
        """Compare a delivered JSON file with the one that its receipt, snapshot and columns give.

        Raises:
            NotAReceiptError: they differ; names the fields, or what a program changed around them.
        """
        if data == self.encoded:
            return
        found, expected = json.loads(_text(data)), json.loads(self.encoded)
        different = sorted(name for name in found.keys() | expected.keys() if not _same(found, expected, name))
        if different:
            raise NotAReceiptError(
                f"its readable part is not what the signed receipt says: {', '.join(different)}: do not rely on it"
            )
        raise NotAReceiptError(
            f"a program saved it again: {_change(data)}; what it says is as signed: take the file as delivered"
        )


def readable(receipt: Receipt, snapshot: SnapshotManifest, labels: Sequence[str]) -> dict[str, Any]:
    """Return the readable part of a receipt's file: account, leaf, snapshot and record."""
    record = [
        {"column": label, "units": str(units), "amount": _amount(units, label)}
        for label, units in zip(labels, receipt.record, strict=False)
        if units
    ]
    return {
        "format": RECEIPT_FORMAT,
        "notice": NOTICE,
        "account": receipt.holder,
        "holder_part": holder_part(receipt.holder),
        "leaf": receipt.index,
        "snapshot": {"id": snapshot.sid, "as_of": format_time(snapshot.as_of), "digest": snapshot.digest.hex()},
        "record": record,
    }


def _amount(units: int, label: str) -> str:
    """Return units in words where the label names a unit, and else as a multiple of the label."""
    match = _LABEL.fullmatch(label)
    if match is not None:
        with suppress(MalformedError):
            return format_units(units, Column(ColumnKind(match["kind"]), match["name"], match["unit"], limit=1))
    return f"{units} x {label}"


def _hexadecimal(fields: Fields, key: str) -> bytes:
    return fields.hexadecimal(key, len(fields.text(key)) // 2)


_MARKS = {b"\xef\xbb\xbf": ("utf-8-sig", "UTF-8"), b"\xff\xfe": ("utf-16", "UTF-16"), b"\xfe\xff": ("utf-16", "UTF-16")}
"""Marks that editors put in front of a text, with the name of what they say about it."""


def _text(data: bytes) -> str:
    """Return the text of a file in the encoding that its first bytes name.

    Raises:
        NotAReceiptError: it is empty, or no text.
    """
    if not data.strip():
        raise NotAReceiptError("it is empty")
    encoding = next((name for mark, (name, _) in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise NotAReceiptError("it is no receipt: neither text nor a file that begins with CM2H") from None


def _change(data: bytes) -> str:
    """Say how a file with the right values differs from the one encoding."""
    for mark, (_, name) in _MARKS.items():
        if data.startswith(mark):
            return f"it begins with the byte order mark of {name}"
    if b"\r" in data:
        return "its lines end with carriage returns"
    return "its blanks, the order of its keys or its escapes are others"


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _same(found: dict[str, Any], expected: dict[str, Any], name: str) -> bool:
    """Return whether a field has the same JSON value in both, 1 and true and 1.0 being different."""
    if name not in found or name not in expected:
        return False
    return json.dumps(found[name], sort_keys=True) == json.dumps(expected[name], sort_keys=True)
