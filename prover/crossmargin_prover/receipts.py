"""Receipts of a committed snapshot: the private file, its signature and its readable twin (SPEC H1 - H4).

Each account gets two files, named by a keyed hash of its id so that neither a listing nor a guess links a name to an
account: NAME.cm1, the receipt that is signed, and NAME.json, the same for people, with the signature and the account's
own margin. `index.json` says which is whose.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from crossmargin_circuits.policy import Policy
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.snapshot import PADDING, CommittedSnapshot, receipt_in
from crossmargin_verifier.bundle.receipt_view import describe
from crossmargin_verifier.protocol.inclusion import Receipt, VerifiedReceipt
from crossmargin_verifier.protocol.merkle import shard_tree

__all__ = ["ReceiptFiles", "find_leaves", "make_receipts", "receipt_name"]

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


def find_leaves(snapshot: CommittedSnapshot, accounts: Iterable[str]) -> dict[str, int]:
    """Return the leaf of every account that is in the snapshot."""
    wanted = {account for account in accounts if account}
    size = snapshot.manifest.accounts_per_shard
    found: dict[str, int] = {}
    for number in range(snapshot.manifest.shards):
        if len(found) == len(wanted):
            break
        for place, holder in enumerate(snapshot.shards[number].ids):
            if holder in wanted:
                found[holder] = number * size + place
    return found


def make_receipts(
    snapshot: CommittedSnapshot,
    leaves: Iterable[int] | None,
    policies: Mapping[str, Policy],
    key: SigningKey,
    naming_key: bytes,
) -> Iterator[ReceiptFiles]:
    """Yield the receipts of leaves that hold accounts, shard by shard, each shard checked before it is signed.

    leaves: all, where None; policies: statement name -> policy; each twin shows the account's margin under all of them;
    naming_key: secret, so that whoever knows an id cannot tell the name of its files.
    """
    public = key.public
    places: dict[int, Iterable[int]] = {}
    if leaves is None:
        places = {number: range(snapshot.manifest.accounts_per_shard) for number in range(snapshot.manifest.shards)}
    else:
        for number, group in groupby(sorted(map(snapshot.place, leaves)), key=itemgetter(0)):
            places[number] = [place for _, place in group]
    for number, inside in places.items():
        shard = snapshot.shards[number]
        # What is signed must open: a receipt that does not is evidence against the venue.
        shard.check_opening(snapshot.manifest.sid, f"shard {number}")
        tree = shard_tree(shard.encodings)
        for place in inside:
            if shard.order[place] == PADDING:
                continue
            receipt = receipt_in(snapshot, number, shard, place, tree)
            parsed = Receipt.decode(receipt)
            committed = VerifiedReceipt(parsed, snapshot.manifest, snapshot.columns, shard.encoding(place))
            twin = describe(committed, receipt, key.sign_receipt(receipt), public, policies)
            account = shard.ids[place]
            yield ReceiptFiles(account, receipt_name(account, naming_key), receipt, twin)
