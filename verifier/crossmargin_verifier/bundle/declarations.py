"""The public bundle: one folder per statement (SPEC section 6), and what ties them together.

    bundle.json      venue, snapshot digest, statements, the key that signs receipts, counts of accounts
    reserves.json    declared reserves per asset and the insurance fund, about one snapshot
    summary.json     the verdict, for programs   } both are recomputed by the verifier,
    summary.txt      the verdict, for people     } which refuses a bundle that holds other ones
    NAME/            columns, relation, snapshot, positions, totals, statement, slack, shard and auxiliary totals files
                     of one statement, and its policy.json

All JSON is canonical (RFC 8785); digests and keys are lower-case hexadecimal, amounts decimal strings.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from crossmargin_circuits.amounts import parse_amount
from crossmargin_circuits.encoding import dump_canonical, load_canonical
from crossmargin_circuits.errors import MalformedError
from crossmargin_verifier.protocol.group import POINT_BYTES, decode_point

__all__ = [
    "BUNDLE_FILE",
    "RESERVES_FILE",
    "SUMMARY_FILE",
    "SUMMARY_TEXT_FILE",
    "BundleManifest",
    "DeclaredReserves",
]

BUNDLE_FILE = "bundle.json"
RESERVES_FILE = "reserves.json"
SUMMARY_FILE = "summary.json"
SUMMARY_TEXT_FILE = "summary.txt"

BUNDLE_FORMAT = "crossmargin-bundle/1"
RESERVES_FORMAT = "crossmargin-reserves/1"

_STATEMENT = re.compile(r"[a-z][a-z0-9_-]{0,31}")
RESERVED = ("accounts", "liabilities", "reserves", "snapshot", "solvency")
"""Words of the verdict's own, which no statement may be called."""

_CURRENCY = re.compile(r"[A-Za-z0-9]{2,16}")
_HEX = re.compile(r"([0-9a-f]{2})+")


@dataclass(frozen=True)
class BundleManifest:
    """What a bundle is about; `loaded`, `rejected` and `padding` count accounts."""

    venue: str
    snapshot_digest: bytes
    statements: tuple[str, ...]
    receipt_key: bytes
    loaded: int
    rejected: int
    padding: int

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `bundle.json`."""
        return dump_canonical(
            {
                "format": BUNDLE_FORMAT,
                "venue": self.venue,
                "snapshot": self.snapshot_digest.hex(),
                "statements": list(self.statements),
                "receipt_key": self.receipt_key.hex(),
                "accounts": {"loaded": self.loaded, "rejected": self.rejected, "padding": self.padding},
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "BundleManifest":
        """Parse `bundle.json`.

        Raises:
            MalformedError: not canonical, other keys, a statement name that could leave the folder, or a key that is no
                point.
        """
        root = _object(
            load_canonical(data, BUNDLE_FILE),
            BUNDLE_FILE,
            "format",
            "venue",
            "snapshot",
            "statements",
            "receipt_key",
            "accounts",
        )
        _format(root, BUNDLE_FILE, BUNDLE_FORMAT)
        names = root["statements"]
        if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
            raise MalformedError(f"{BUNDLE_FILE}: statements: a list of distinct names is needed")
        for name in names:
            if not isinstance(name, str) or not _STATEMENT.fullmatch(name):
                raise MalformedError(f"{BUNDLE_FILE}: statements: a name is 1 to 32 of a-z 0-9 _ -, a letter first")
            if name in RESERVED:
                raise MalformedError(f"{BUNDLE_FILE}: statements: {name!r} is a word of the verdict's own")
        counts = _object(root["accounts"], f"{BUNDLE_FILE}: accounts", "loaded", "rejected", "padding")
        receipt_key = _bytes(root, BUNDLE_FILE, "receipt_key", POINT_BYTES)
        decode_point(receipt_key)
        for key, count in counts.items():
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise MalformedError(f"{BUNDLE_FILE}: accounts.{key}: a count is needed")
        return cls(
            venue=_text(root, BUNDLE_FILE, "venue"),
            snapshot_digest=_bytes(root, BUNDLE_FILE, "snapshot", 32),
            statements=tuple(names),
            receipt_key=receipt_key,
            **counts,
        )


@dataclass(frozen=True)
class DeclaredReserves:
    """What the venue says it holds at the time of one snapshot: amounts in each asset, insurance fund in a currency."""

    snapshot_digest: bytes
    source: str
    assets: Mapping[str, str]
    currency: str
    insurance_fund: str

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `reserves.json`."""
        return dump_canonical(
            {
                "format": RESERVES_FORMAT,
                "snapshot": self.snapshot_digest.hex(),
                "source": self.source,
                "assets": dict(self.assets),
                "insurance_fund": {"currency": self.currency, "amount": self.insurance_fund},
            }
        )

    def amount(self, asset: str) -> Fraction | None:
        """Return the declared amount of an asset, or None where none is declared."""
        text = self.assets.get(asset)
        return None if text is None else Fraction(text)

    @classmethod
    def decode(cls, data: bytes) -> "DeclaredReserves":
        """Parse `reserves.json`.

        Raises:
            MalformedError: not canonical, other keys, or an amount that is no decimal.
        """
        root = _object(
            load_canonical(data, RESERVES_FILE),
            RESERVES_FILE,
            "format",
            "snapshot",
            "source",
            "assets",
            "insurance_fund",
        )
        _format(root, RESERVES_FILE, RESERVES_FORMAT)
        assets = root["assets"]
        if not isinstance(assets, dict):
            raise MalformedError(f"{RESERVES_FILE}: assets: an object is needed")
        for name, amount in assets.items():
            parse_amount(amount, f"{RESERVES_FILE}: assets.{name}")
        fund = _object(root["insurance_fund"], f"{RESERVES_FILE}: insurance_fund", "currency", "amount")
        parse_amount(fund["amount"], f"{RESERVES_FILE}: insurance_fund.amount")
        if not isinstance(fund["currency"], str) or not _CURRENCY.fullmatch(fund["currency"]):
            raise MalformedError(f"{RESERVES_FILE}: insurance_fund.currency: a name such as USD is needed")
        return cls(
            snapshot_digest=_bytes(root, RESERVES_FILE, "snapshot", 32),
            source=_text(root, RESERVES_FILE, "source"),
            assets=assets,
            currency=_text(fund, f"{RESERVES_FILE}: insurance_fund", "currency"),
            insurance_fund=fund["amount"],
        )


def _object(value: Any, name: str, *keys: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise MalformedError(f"{name}: an object with exactly {', '.join(keys)} is needed")
    return value


def _format(root: dict[str, Any], name: str, expected: str) -> None:
    if root["format"] != expected:
        raise MalformedError(f"{name}: format: expected {expected!r}")


def _text(root: dict[str, Any], name: str, key: str) -> str:
    value = root[key]
    if not isinstance(value, str) or not value or not value.isprintable():
        raise MalformedError(f"{name}: {key}: printable text is needed")
    return value


def _bytes(root: dict[str, Any], name: str, key: str, size: int) -> bytes:
    value = root[key]
    if not isinstance(value, str) or len(value) != 2 * size or not _HEX.fullmatch(value):
        raise MalformedError(f"{name}: {key}: {size} bytes in lower-case hexadecimal are needed")
    return bytes.fromhex(value)
