"""Receipts of a committed snapshot: the private file of each account, signed (SPEC H1 - H4).

Each account gets two files, named by a keyed hash of its id; neither a listing nor a guess links a name to an account:
NAME.json, which its holder checks without any other file, and NAME.cm2, the receipt alone, without the signature.
`index.json` maps accounts to files. Receipts depend on the snapshot alone, not on statements about it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from crossmargin_circuits.errors import MalformedError
from crossmargin_prover.signing import WEIGHT_BITS, SigningKey
from crossmargin_prover.snapshot import CommittedShard, CommittedSnapshot, receipt_in
from crossmargin_prover.tree import shard_tree
from crossmargin_verifier.bundle.receipt_file import ReceiptFile, account_name
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators
from crossmargin_verifier.protocol.group import PRIME, msm
from crossmargin_verifier.protocol.manifests import COLUMNS_FILE, SNAPSHOT_FILE

__all__ = ["ReceiptFiles", "find_leaves", "make_receipts", "receipt_name"]

NAME_LENGTH = 32
"""Hexadecimal digits of the name of a receipt's files."""

BATCH = 256
"""Number of receipts per batch: each batch needs one equation for its openings and one for its signatures."""


@dataclass(frozen=True, repr=False)
class ReceiptFiles:
    """The two files of one account, and their name without an ending; secret."""

    account: str
    name: str
    content: ReceiptFile

    @property
    def files(self) -> dict[str, bytes]:
        """The files by name."""
        return {f"{self.name}.cm2": self.content.receipt, f"{self.name}.json": self.content.encoded}


def receipt_name(account: str, naming_key: bytes) -> str:
    """Return the name of an account's receipt files, without an ending."""
    return hmac.new(naming_key, account.encode("utf-8"), hashlib.sha256).hexdigest()[:NAME_LENGTH]


def find_leaves(snapshot: CommittedSnapshot, accounts: Iterable[str]) -> dict[str, int]:
    """Return the leaf of every account that is in the snapshot, by its id, with or without the holder's part."""
    wanted = {account for account in accounts if account}
    size = snapshot.manifest.accounts_per_shard
    found: dict[str, int] = {}
    for number in range(snapshot.manifest.shards):
        if len(found) == len(wanted):
            break
        for place, holder in enumerate(snapshot.shards[number].ids):
            for name in {holder, account_name(holder)} & wanted:
                found[name] = number * size + place
    return found


def make_receipts(
    snapshot: CommittedSnapshot, leaves: Iterable[int] | None, key: SigningKey, naming_key: bytes
) -> Iterator[ReceiptFiles]:
    """Yield the receipts of leaves, after checking that each opens and its signature verifies.

    A signed receipt that does not open would be evidence against the venue.

    leaves: all, where None; naming_key: secret, so that an id alone does not reveal the name of its files.

    Raises:
        MalformedError: a commitment does not open. SignatureFailedError: a signature does not verify.
    """
    public, manifest = key.public, snapshot.manifest
    snapshot_file, columns_file = snapshot.files[SNAPSHOT_FILE], snapshot.files[COLUMNS_FILE]
    places: dict[int, Sequence[int]] = {}
    if leaves is None:
        places = {number: range(manifest.accounts_in(number)) for number in range(manifest.shards)}
    else:
        for number, group in groupby(sorted(map(snapshot.place, leaves)), key=itemgetter(0)):
            places[number] = [place for _, place in group]
    for number, inside in places.items():
        shard = snapshot.shards[number]
        where = f"shard {number}"
        shard.check_opening(manifest.sid, where)
        tree = shard_tree(shard.encodings, manifest.accounts_per_shard)
        for start in range(0, len(inside), BATCH):
            batch = inside[start : start + BATCH]
            check_each_opening(shard, batch, manifest.sid, where)
            receipts = [receipt_in(snapshot, number, shard, place, tree) for place in batch]
            signatures = key.sign_receipts(receipts)
            for place, receipt, signature in zip(batch, receipts, signatures, strict=True):
                account = shard.ids[place]
                content = ReceiptFile(receipt, snapshot_file, columns_file, public, signature)
                yield ReceiptFiles(account, receipt_name(account, naming_key), content)


def check_each_opening(shard: CommittedShard, places: Sequence[int], sid: str, where: str) -> None:
    """Check that each commitment at these places opens to its record x_i and blinding r_i, in one equation.

        sum_i w_i (X_i - <x_i, A> - r_i H) = 0

    with fresh random weights w_i of 128 bits: an account that does not open passes with probability 2^-128.

    Raises:
        MalformedError: one does not open, or is no point of the curve.
    """
    chosen = shard.take(places, sid)
    weights = [secrets.randbits(WEIGHT_BITS) for _ in places]
    values = [int.from_bytes(chosen.points[at : at + 32], "big") for at in range(0, len(chosen.points), 32)]
    points = list(zip(values[::2], values[1::2], strict=True))
    records, scalars = chosen.records, [0] * (chosen.records.columns + 1)
    ends = records.indptr.tolist()
    for weight, begin, end in zip(weights, ends, ends[1:], strict=False):
        for column, entry in zip(records.indices[begin:end].tolist(), records.data[begin:end].tolist(), strict=True):
            scalars[column] += weight * entry
    scalars[-1] = sum(weight * r for weight, r in zip(weights, chosen.blindings(sid), strict=True))
    bases = [*position_generators(records.columns), blinding_generator()]
    on_curve = all((y * y - x * x * x - 7) % PRIME == 0 for x, y in points)
    if not on_curve or msm(weights, points) != msm([each % ORDER for each in scalars], bases):
        raise MalformedError(f"{where}: a commitment does not open to the record of its account: restore the file")
