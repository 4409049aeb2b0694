"""The public bundle: one folder per statement (SPEC section 6), and the files that tie them together.

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

from crossmargin_circuits.amounts import parse_amount
from crossmargin_circuits.digest import DIGEST_BYTES
from crossmargin_circuits.encoding import Fields, dump_canonical, load_canonical
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


@dataclass(frozen=True)
class BundleManifest:
    """The subject of a bundle; `loaded`, `rejected` and `padding` count accounts."""

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
        keys = ("format", "venue", "snapshot", "statements", "receipt_key", "accounts")
        root = Fields(load_canonical(data, BUNDLE_FILE), f"{BUNDLE_FILE}: ", *keys)
        root.format(BUNDLE_FORMAT)
        names = root.any("statements")
        if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
            raise root.refuse("statements", "a list of distinct names is needed")
        for name in names:
            if not isinstance(name, str) or not _STATEMENT.fullmatch(name):
                raise root.refuse("statements", "a name is 1 to 32 of a-z 0-9 _ -, a letter first")
            if name in RESERVED:
                raise root.refuse("statements", f"{name!r} is a word of the verdict's own")
        receipt_key = root.hexadecimal("receipt_key", POINT_BYTES)
        decode_point(receipt_key)
        accounts = root.inner("accounts", "loaded", "rejected", "padding")
        return cls(
            venue=root.printable("venue"),
            snapshot_digest=root.hexadecimal("snapshot", DIGEST_BYTES),
            statements=tuple(names),
            receipt_key=receipt_key,
            loaded=accounts.count("loaded"),
            rejected=accounts.count("rejected"),
            padding=accounts.count("padding"),
        )


@dataclass(frozen=True)
class DeclaredReserves:
    """The venue's declared holdings at the time of one snapshot: amounts in each asset, insurance fund in a
    currency."""

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
        """Return the declared amount of an asset, or None if none is declared."""
        text = self.assets.get(asset)
        return None if text is None else Fraction(text)

    @classmethod
    def decode(cls, data: bytes) -> "DeclaredReserves":
        """Parse `reserves.json`.

        Raises:
            MalformedError: not canonical, other keys, or an amount that is no decimal.
        """
        keys = ("format", "snapshot", "source", "assets", "insurance_fund")
        root = Fields(load_canonical(data, RESERVES_FILE), f"{RESERVES_FILE}: ", *keys)
        root.format(RESERVES_FORMAT)
        assets = root.mapping("assets")
        for name, amount in assets.items():
            parse_amount(amount, root.path(f"assets.{name}"))
        fund = root.inner("insurance_fund", "currency", "amount")
        parse_amount(fund.any("amount"), fund.path("amount"))
        currency = fund.any("currency")
        if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
            raise fund.refuse("currency", "a name such as USD is needed")
        return cls(
            snapshot_digest=root.hexadecimal("snapshot", DIGEST_BYTES),
            source=root.printable("source"),
            assets=assets,
            currency=currency,
            insurance_fund=fund.string("amount"),
        )
