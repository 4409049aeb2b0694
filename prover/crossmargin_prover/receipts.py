"""Receipts of a committed snapshot: the private file, its signature and its readable twin (SPEC H1 - H4).

Each account gets two files, named by a keyed hash of its id so that neither a listing nor a guess links a name to an
account: NAME.cm1, the receipt that is signed, and NAME.json, the same for people, with the signature and the account's
own margin. `index.json` says which is whose.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossmargin_circuits.policy import Policy
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.snapshot import PADDING, CommittedSnapshot, receipt_for
from crossmargin_verifier.holder import describe
from crossmargin_verifier.inclusion import Receipt, VerifiedReceipt

__all__ = ["ReceiptFiles", "find_leaf", "make_receipts", "receipt_name"]

NAME_LENGTH = 32
"""Hexadecimal digits of the name of a receipt's files."""


@dataclass(frozen=True, repr=False)
class ReceiptFiles:
    """The receipt of one account and its readable twin; secret."""

    account: str
    name: str
    receipt: bytes
    twin: Mapping[str, Any]

    @property
    def files(self) -> dict[str, bytes]:
        """The files by name."""
        text = json.dumps(self.twin, indent=2, ensure_ascii=False) + "\n"
        return {f"{self.name}.cm1": self.receipt, f"{self.name}.json": text.encode("utf-8")}


def receipt_name(account: str, naming_key: bytes) -> str:
    """Return the name of an account's receipt files, without an ending."""
    return hmac.new(naming_key, account.encode("utf-8"), hashlib.sha256).hexdigest()[:NAME_LENGTH]


def find_leaf(snapshot: CommittedSnapshot, account: str) -> int | None:
    """Return the leaf of an account, or None."""
    return snapshot.ids.index(account) if account and account in snapshot.ids else None


def make_receipts(
    snapshot: CommittedSnapshot,
    leaves: Sequence[int],
    policies: Mapping[str, Policy],
    key: SigningKey,
    naming_key: bytes,
) -> Iterator[ReceiptFiles]:
    """Yield the receipts of leaves that hold accounts.

    policies: statement name -> policy; each twin shows the account's margin under all of them; naming_key: secret, so
    that whoever knows an id cannot tell the name of its files.
    """
    public = key.public
    for leaf in leaves:
        if snapshot.order[leaf] == PADDING:
            continue
        receipt = receipt_for(snapshot, leaf)
        parsed = Receipt.decode(receipt)
        committed = VerifiedReceipt(parsed, snapshot.manifest, snapshot.columns, snapshot.encodings[leaf])
        twin = describe(committed, receipt, key.sign_receipt(receipt), public, policies)
        account = snapshot.ids[leaf]
        yield ReceiptFiles(account, receipt_name(account, naming_key), receipt, twin)
