"""What a venue declares in a bundle: its subject and the reserves (SPEC annex B lists all files of a bundle).

    bundle.json      venue, snapshot digest, statements, the key that signs receipts, totals, counts of accounts
    reserves.json    declared reserves per asset and the insurance fund, about one snapshot
    anchor.json      digests of all of that and the SHA-256 of every file that decides a claim (`anchor.py`)
    anchor.sig       signature of the receipt key over anchor.json
    summary.json     the verdict, for programs   } for readers alone: the verifier does not read them,
    summary.txt      the verdict, for people     } and no digest covers them
    snapshot/        the commitment to the book
    statements/NAME/ one statement about it, with its policy.json

All JSON is canonical (RFC 8785); digests and keys are lower-case hexadecimal, amounts decimal strings.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
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
    "Totals",
    "statement_name",
]

BUNDLE_FILE = "bundle.json"
RESERVES_FILE = "reserves.json"
SUMMARY_FILE = "summary.json"
SUMMARY_TEXT_FILE = "summary.txt"

BUNDLE_FORMAT = "crossmargin-bundle/2"
RESERVES_FORMAT = "crossmargin-reserves/2"
EARLIER_FORMATS = ("crossmargin-bundle/1", "crossmargin-reserves/1")

_STATEMENT = re.compile(r"[a-z][a-z0-9_-]{0,31}")
RESERVED = ("accounts", "liabilities", "reserves", "snapshot", "solvency")
"""Words of the verdict's own, which no statement may be called."""

_CURRENCY = re.compile(r"[A-Za-z][A-Za-z0-9]{1,15}")


class Totals(StrEnum):
    """What a bundle shows of the totals of its columns and disclosed auxiliaries."""

    OPENED = "opened"
    CLOSED = "closed"
    """Inequalities between hidden totals and public figures: not checked by this release."""
    NONE = "none"


@dataclass(frozen=True)
class BundleManifest:
    """The subject of a bundle; `loaded` and `rejected` count accounts, and `loaded` must be those of the snapshot."""

    venue: str
    snapshot_digest: bytes
    statements: tuple[str, ...]
    receipt_key: bytes
    totals: Totals
    loaded: int
    rejected: int

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
                "totals": str(self.totals),
                "accounts": {"loaded": self.loaded, "rejected": self.rejected},
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "BundleManifest":
        """Parse `bundle.json`.

        Raises:
            MalformedError: not canonical, other keys, a statement name that could leave the folder, or a key that is no
                point.
        """
        keys = ("format", "venue", "snapshot", "statements", "receipt_key", "totals", "accounts")
        root = Fields(load_canonical(data, BUNDLE_FILE), f"{BUNDLE_FILE}: ", *keys, earlier=EARLIER_FORMATS)
        root.format(BUNDLE_FORMAT)
        names = tuple(statement_name(root, "statements", name) for name in root.items("statements"))
        if not names or len(set(names)) != len(names):
            raise root.refuse("statements", "a list of distinct names is needed")
        receipt_key = root.hexadecimal("receipt_key", POINT_BYTES)
        decode_point(receipt_key)
        accounts = root.inner("accounts", "loaded", "rejected")
        return cls(
            venue=root.printable("venue"),
            snapshot_digest=root.hexadecimal("snapshot", DIGEST_BYTES),
            statements=names,
            receipt_key=receipt_key,
            totals=root.word("totals", Totals, "way to show totals"),
            loaded=accounts.count("loaded"),
            rejected=accounts.count("rejected"),
        )


def statement_name(fields: Fields, key: str, name: object) -> str:
    """Return the name of a statement.

    Raises:
        MalformedError: a name that could leave the folder, or one of the verdict's own words.
    """
    if not isinstance(name, str) or not _STATEMENT.fullmatch(name):
        raise fields.refuse(key, "a name is 1 to 32 of a-z 0-9 _ -, a letter first")
    if name in RESERVED:
        raise fields.refuse(key, f"{name!r} is a word of the verdict's own")
    return name


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

    @property
    def fund(self) -> Fraction:
        """The declared insurance fund."""
        return Fraction(self.insurance_fund)

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
        root = Fields(load_canonical(data, RESERVES_FILE), f"{RESERVES_FILE}: ", *keys, earlier=EARLIER_FORMATS)
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
