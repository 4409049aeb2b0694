"""Receipts: a holder checks that their own record is committed (SPEC S4, H1 - H5).

X_i = sum_v x_iv A_v + r_i H with r_i = (H_blind0(m) || H_blind1(m)) mod r and m = u16 len sid || sid || u16 len id ||
id || nonce. The check needs no model and no proof. The receipt is private: it holds the record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from crossmargin_circuits.digest import DIGEST_BYTES, tagged_hash
from crossmargin_circuits.encoding import Reader, Writer
from crossmargin_circuits.layout import RECORD_BOUND, columns_digest, decode_columns
from crossmargin_verifier.protocol.errors import LimitError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators
from crossmargin_verifier.protocol.group import POINT_BYTES, encode_point, msm
from crossmargin_verifier.protocol.limits import MAX_COLUMNS
from crossmargin_verifier.protocol.manifests import SnapshotManifest
from crossmargin_verifier.protocol.merkle import HASH_BYTES, leaf_hash, path_length, root_of_path

__all__ = [
    "NONCE_BYTES",
    "RECEIPT_MAGIC",
    "Receipt",
    "VerifiedReceipt",
    "blinding_scalar",
    "verify_receipt",
    "verify_same_position",
]

RECEIPT_MAGIC = b"CM2H"

NONCE_BYTES = 32


def blinding_scalar(sid: str, holder: str, nonce: bytes) -> int:
    """Return r_i, the blinding of the record of one account, from snapshot id, account id and nonce (SPEC S4)."""
    message = Writer().string(sid).string(holder).raw(nonce).bytes()
    wide = tagged_hash("blind0", message) + tagged_hash("blind1", message)
    return int.from_bytes(wide, "big") % ORDER


@dataclass(frozen=True)
class Receipt:
    """A holder's receipt: snapshot digest, global index, id, nonce, record (units of the columns), path.

    Private: its repr does not show nonce, record and id.
    """

    snapshot_digest: bytes
    index: int
    holder: str = field(repr=False)
    nonce: bytes = field(repr=False)
    record: tuple[int, ...] = field(repr=False)
    path: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> "Receipt":
        """Parse a receipt file.

        Raises:
            MalformedError: not canonical. LimitError: too many columns.
        """
        reader = Reader(data, "receipt", RECEIPT_MAGIC)
        digest = reader.raw(DIGEST_BYTES, "snapshot digest")
        index = reader.u64("index")
        holder = reader.string("id")
        nonce = reader.raw(NONCE_BYTES, "nonce")
        count = reader.count("number of columns", 8)
        if count > MAX_COLUMNS:
            raise LimitError(f"receipt of {count} columns: this verifier handles {MAX_COLUMNS}")
        record = tuple(reader.i64("record") for _ in range(count))
        path = tuple(reader.raw(HASH_BYTES, "path") for _ in range(reader.u8("path length")))
        reader.end()
        return cls(digest, index, holder, nonce, record, path)


@dataclass(frozen=True)
class VerifiedReceipt:
    """A receipt that passed H1 - H4, with the snapshot it belongs to, its columns and the 33 bytes of its X_i."""

    receipt: Receipt
    snapshot: SnapshotManifest
    columns: tuple[str, ...]
    position: bytes


def verify_receipt(
    receipt_file: bytes,
    snapshot_file: bytes,
    columns_file: bytes,
    *,
    holder: str,
    snapshot_digest: bytes | None = None,
    record: Sequence[int] | None = None,
) -> VerifiedReceipt:
    """Check H1 - H4 on a receipt.

    holder: the id that the holder knows as theirs alone, compared byte for byte. snapshot_digest: from an independent
    publication (bulletin board); record: the holder's record by their own books.

    Soundness: without snapshot_digest the check covers only the given snapshot file, which the venue may have shown to
    nobody else; without record the holder must compare the returned one with their own books.

    Raises:
        MalformedError: a file is not canonical. LimitError: it is more than this verifier handles.
        RejectedError: H1 to H4.
    """
    snapshot = SnapshotManifest.decode(snapshot_file)
    columns = decode_columns(columns_file)
    receipt = Receipt.decode(receipt_file)

    # H1: the snapshot is the published one, and the record is about its columns.
    if snapshot_digest is not None and snapshot.digest != snapshot_digest:
        raise RejectedError("H1", "the snapshot is not the published one")
    if receipt.snapshot_digest != snapshot.digest:
        raise RejectedError("H1", "the receipt is about another snapshot")
    if columns_digest(columns) != snapshot.columns_digest:
        raise RejectedError("H1", "the columns are not those of the snapshot")
    if len(receipt.record) != len(columns):
        raise RejectedError("H1", f"{len(receipt.record)} entries in the record, {len(columns)} columns")

    # H2: the account is the holder's own, and the record is in range.
    if not receipt.holder:
        raise RejectedError("H2", "the id is empty")
    if receipt.holder != holder:
        raise RejectedError("H2", "the id in the receipt is not the holder's")
    for label, entry in zip(columns, receipt.record, strict=True):
        if abs(entry) >= RECORD_BOUND:
            raise RejectedError("H2", f"column {label!r}: magnitude not below 2^62")
    if record is not None and tuple(record) != receipt.record:
        raise RejectedError("H2", "the record in the receipt is not the holder's")

    # H3: the leaf exists, and the path has the one length.
    if receipt.index >= snapshot.accounts:
        raise RejectedError("H3", f"index {receipt.index}: the snapshot has {snapshot.accounts} accounts")
    length = path_length(snapshot.accounts_per_shard, snapshot.shards)
    if len(receipt.path) != length:
        raise RejectedError("H3", f"path of {len(receipt.path)} siblings: must be {length}")

    # H4: the commitment to the record, blinded with the id, is that leaf.
    blinding = blinding_scalar(snapshot.sid, receipt.holder, receipt.nonce)
    bases = [*position_generators(len(columns)), blinding_generator()]
    position = encode_point(msm([*receipt.record, blinding], bases))
    if root_of_path(leaf_hash(position), receipt.index, receipt.path) != snapshot.position_root:
        raise RejectedError("H4", "record, id and nonce do not lead to the position root")
    return VerifiedReceipt(receipt, snapshot, columns, position)


def verify_same_position(receipt: VerifiedReceipt, snapshot: SnapshotManifest, positions: bytes, index: int) -> None:
    """Check H5: account `index` of a stand-alone snapshot is the account of a receipt of the book.

    positions: enc(X_i) of the stand-alone snapshot, one after the other. All 33 bytes must be equal, and so must the
    columns: X_i does not contain their labels.

    Raises:
        RejectedError: H5.
    """
    if not 0 <= index < len(positions) // POINT_BYTES:
        raise RejectedError("H5", f"the stand-alone snapshot has no account {index}")
    if snapshot.columns_digest != receipt.snapshot.columns_digest:
        raise RejectedError("H5", "the stand-alone proof is about other columns")
    if positions[index * POINT_BYTES : (index + 1) * POINT_BYTES] != receipt.position:
        raise RejectedError("H5", "the stand-alone proof is about another position")
