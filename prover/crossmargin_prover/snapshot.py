"""A committed snapshot: its public files, and the venue's secrets for statements and receipts (SPEC S4 - S6)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from crossmargin_circuits.digest import tag_prefix
from crossmargin_circuits.encoding import Writer
from crossmargin_circuits.errors import MalformedError
from crossmargin_prover.backend import Int64Array
from crossmargin_prover.tree import Tree, shard_tree, top_tree
from crossmargin_prover.witness import Records
from crossmargin_verifier.protocol.field import ORDER, SCALAR_BYTES
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators
from crossmargin_verifier.protocol.group import POINT_BYTES, msm, sum_points_batch
from crossmargin_verifier.protocol.inclusion import NONCE_BYTES, RECEIPT_MAGIC, Receipt
from crossmargin_verifier.protocol.manifests import POSITIONS_FILE, TOTALS_FILE, SnapshotManifest, point_file_body
from crossmargin_verifier.protocol.merkle import shard_root, top_root

__all__ = [
    "COORDINATES_BYTES",
    "CommittedShard",
    "CommittedSnapshot",
    "blindings",
    "decode_blindings",
    "encode_receipt",
    "number_account",
    "number_leaf",
    "receipt_for",
    "receipt_in",
]

COORDINATES_BYTES = 64
"""Bytes of a stored point, x and y; a later snapshot then needs no square root."""


@dataclass(frozen=True, repr=False)
class CommittedShard:
    """The accounts and commitments of one shard, in the order of the leaves; `points` is public, all else secret.

    Empty leaves have no part in it. records: (cnt, V); nonces: 32 cnt bytes; order: for every account its number in
    the input of the commitment; points: X_i, 64 cnt bytes, x and y; blinding: sum_i r_i.
    """

    records: Records
    ids: tuple[str, ...]
    nonces: bytes
    order: Int64Array
    points: bytes
    blinding: int

    def __len__(self) -> int:
        """Return cnt, the number of accounts."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Return a text without accounts."""
        return f"CommittedShard({len(self)} accounts, redacted)"

    def nonce(self, leaf: int) -> bytes:
        """Return the nonce of a leaf, secret."""
        return self.nonces[NONCE_BYTES * leaf : NONCE_BYTES * (leaf + 1)]

    @cached_property
    def encodings(self) -> bytes:
        """enc(X_i), 33 cnt bytes."""
        coordinates = np.frombuffer(self.points, dtype=np.uint8).reshape(-1, COORDINATES_BYTES)
        compressed = np.empty((len(coordinates), POINT_BYTES), dtype=np.uint8)
        compressed[:, 0] = 2 | coordinates[:, -1] & 1
        compressed[:, 1:] = coordinates[:, : POINT_BYTES - 1]
        return compressed.tobytes()

    def encoding(self, leaf: int) -> bytes:
        """Return enc(X_i) of a leaf."""
        return self.encodings[POINT_BYTES * leaf : POINT_BYTES * (leaf + 1)]

    def blindings(self, sid: str) -> list[int]:
        """Return r_i for every account, secret."""
        return blindings(sid, self.ids, self.nonces)

    def check_opening(self, sid: str, where: str) -> None:
        """Check that the sum of the commitments opens to the sums of records and blindings.

        Raises:
            MalformedError: it does not; the shard is damaged.
        """
        values = [int.from_bytes(self.points[start : start + 32], "big") for start in range(0, len(self.points), 32)]
        blinding = sum(self.blindings(sid)) % ORDER
        totals = [*self.records.totals(), blinding]
        bases = [*position_generators(self.records.columns), blinding_generator()]
        points = list(zip(values[::2], values[1::2], strict=True))
        if blinding != self.blinding or sum_points_batch([points]) != [msm(totals, bases)]:
            raise MalformedError(f"{where}: its commitments do not open to its records: restore the file")

    def take(self, places: Sequence[int], sid: str) -> "CommittedShard":
        """Return some accounts alone."""
        ids = tuple(self.ids[place] for place in places)
        nonces = b"".join(self.nonce(place) for place in places)
        return CommittedShard(
            records=self.records.take(places),
            ids=ids,
            nonces=nonces,
            order=self.order[list(places)],
            points=b"".join(
                self.points[COORDINATES_BYTES * place : COORDINATES_BYTES * (place + 1)] for place in places
            ),
            blinding=sum(blindings(sid, ids, nonces)) % ORDER,
        )

    @classmethod
    def join(cls, shards: Sequence["CommittedShard"]) -> "CommittedShard":
        """Return shards as one, for books that fit into memory."""
        return cls(
            records=Records.join([shard.records for shard in shards]),
            ids=tuple(holder for shard in shards for holder in shard.ids),
            nonces=b"".join(shard.nonces for shard in shards),
            order=np.concatenate([shard.order for shard in shards]),
            points=b"".join(shard.points for shard in shards),
            blinding=sum(shard.blinding for shard in shards) % ORDER,
        )


@dataclass(frozen=True, repr=False)
class CommittedSnapshot:
    """Everything about one snapshot.

    manifest, columns and files are public; shards are secret, and may be read from a store on demand.
    files: `columns.cm2`, `snapshot.cm2`, `positions.cm2`, a record proof for every shard and, unless they are left out,
    the totals, `totals.cm2`.
    """

    manifest: SnapshotManifest
    columns: tuple[str, ...]
    files: Mapping[str, bytes]
    shards: Sequence[CommittedShard] = field(compare=False)

    def __repr__(self) -> str:
        """Return a text without accounts."""
        return f"CommittedSnapshot({self.manifest.sid!r}, {self.manifest.accounts} accounts, redacted)"

    @property
    def opens_totals(self) -> bool:
        """Whether the totals of all columns are published."""
        return TOTALS_FILE in self.files

    def shard_encodings(self, shard: int) -> bytes:
        """Return enc(X_i) for every account of a shard, public."""
        size = POINT_BYTES * self.manifest.accounts_per_shard
        body = point_file_body(self.files[POSITIONS_FILE], POSITIONS_FILE, self.manifest.accounts)
        return bytes(body[size * shard : size * (shard + 1)])

    @cached_property
    def shard_roots(self) -> tuple[bytes, ...]:
        """Root over X_i of every shard, public.

        Raises:
            MalformedError: the positions do not lead to the root of the manifest.
        """
        size = self.manifest.accounts_per_shard
        roots = tuple(shard_root(self.shard_encodings(shard), size) for shard in range(self.manifest.shards))
        if top_root(roots) != self.manifest.position_root:
            raise MalformedError(f"{POSITIONS_FILE} does not lead to the root of the snapshot: the vault is damaged")
        return roots

    @cached_property
    def top_tree(self) -> Tree:
        """The tree over the roots of the shards, public."""
        return top_tree(self.shard_roots)

    def whole(self) -> CommittedShard:
        """Return all accounts in global order, for books that fit into memory."""
        return CommittedShard.join(list(self.shards))

    def place(self, leaf: int) -> tuple[int, int]:
        """Return the shard of an account's leaf and its place in it.

        Raises:
            ValueError: no such leaf, or an empty one.
        """
        if not 0 <= leaf < self.manifest.accounts:
            raise ValueError(f"leaf {leaf} holds no account")
        return divmod(leaf, self.manifest.accounts_per_shard)


def blindings(sid: str, ids: Sequence[str], nonces: bytes) -> list[int]:
    """Return r_i of accounts from ids and nonces; equal to `inclusion.blinding_scalar` for each (SPEC S4)."""
    # The common prefix of all messages is hashed once.
    begin = Writer().string(sid).bytes()
    first, second = (hashlib.sha256(tag_prefix(tag) + begin) for tag in ("blind0", "blind1"))
    scalars = []
    for leaf, holder in enumerate(ids):
        encoded = holder.encode("utf-8")
        message = len(encoded).to_bytes(2, "big") + encoded + nonces[NONCE_BYTES * leaf : NONCE_BYTES * (leaf + 1)]
        high, low = first.copy(), second.copy()
        high.update(message)
        low.update(message)
        scalars.append(int.from_bytes(high.digest() + low.digest(), "big") % ORDER)
    return scalars


def decode_blindings(scalars: bytes) -> list[int]:
    """Return blindings from their encodings, one after the other."""
    starts = range(0, len(scalars), SCALAR_BYTES)
    return [int.from_bytes(scalars[start : start + SCALAR_BYTES], "big") for start in starts]


def number_account(number: int) -> str:
    """Name an account in errors by its number in the input of the commitment; the venue may pass a better name."""
    return f"account {number}"


def number_leaf(shard: CommittedShard, place: int) -> str:
    """Name the account at a place of a shard in errors; the venue may pass a better name."""
    return number_account(int(shard.order[place]))


def receipt_for(snapshot: CommittedSnapshot, leaf: int) -> bytes:
    """Return the private receipt file of the account at a leaf (SPEC H1 - H4).

    Raises:
        ValueError: there is no such leaf, or it is empty.
    """
    number, place = snapshot.place(leaf)
    shard = snapshot.shards[number]
    tree = shard_tree(shard.encodings, snapshot.manifest.accounts_per_shard)
    return receipt_in(snapshot, number, shard, place, tree)


def receipt_in(snapshot: CommittedSnapshot, number: int, shard: CommittedShard, place: int, tree: Tree) -> bytes:
    """Return the receipt of the account at a place of a shard, from the shard's number and tree."""
    leaf = number * snapshot.manifest.accounts_per_shard + place
    receipt = Receipt(
        snapshot_digest=snapshot.manifest.digest,
        index=leaf,
        holder=shard.ids[place],
        nonce=shard.nonce(place),
        record=shard.records.row(place),
        path=tree.path(place) + snapshot.top_tree.path(number),
    )
    return encode_receipt(receipt)


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the bytes of the receipt file."""
    writer = Writer(RECEIPT_MAGIC).raw(receipt.snapshot_digest).u64(receipt.index).string(receipt.holder)
    writer.raw(receipt.nonce).u32(len(receipt.record))
    for entry in receipt.record:
        writer.i64(entry)
    return writer.u8(len(receipt.path)).raw(b"".join(receipt.path)).bytes()
