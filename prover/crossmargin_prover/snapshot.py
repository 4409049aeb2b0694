"""A committed snapshot: its public files, and what the venue keeps to make statements and receipts (SPEC S4 - S6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from crossmargin_prover.witness import Records
from crossmargin_verifier.inclusion import NONCE_BYTES, Receipt, blinding_scalar
from crossmargin_verifier.merkle import ShardedTree
from crossmargin_verifier.statement import POSITIONS_FILE, TOTALS_FILE, SnapshotManifest, decode_point_file

__all__ = ["PADDING", "CommittedSnapshot", "number_account", "receipt_for"]

PADDING = -1
"""Stands in `CommittedSnapshot.order` for a leaf without an account."""


@dataclass(frozen=True, repr=False)
class CommittedSnapshot:
    """Everything about one snapshot; all lists are in the order of the leaves, S N of them.

    manifest, columns and files are public; records, ids, nonces and order are secret.
    files: `columns.cm1`, `snapshot.cm1`, `positions.cm1` and, unless the totals stay closed, `totals.cm1`.
    order: for every leaf the number of the account in the input of the commitment, or PADDING.
    """

    manifest: SnapshotManifest
    columns: tuple[str, ...]
    files: Mapping[str, bytes]
    records: Records
    ids: tuple[str, ...]
    nonces: bytes
    order: tuple[int, ...]

    def __repr__(self) -> str:
        """Return a text without accounts."""
        return f"CommittedSnapshot({self.manifest.sid!r}, {self.manifest.leaves} leaves, redacted)"

    @property
    def opens_totals(self) -> bool:
        """Whether the totals of all columns are published."""
        return TOTALS_FILE in self.files

    @cached_property
    def encodings(self) -> list[bytes]:
        """enc(X_i) for every leaf, public."""
        return decode_point_file(self.files[POSITIONS_FILE], POSITIONS_FILE, self.manifest.leaves)

    @cached_property
    def tree(self) -> ShardedTree:
        """The tree over all X_i, public."""
        return ShardedTree(self.encodings, self.manifest.accounts_per_shard)

    @cached_property
    def blindings(self) -> list[int]:
        """r_i for every leaf, secret."""
        return [blinding_scalar(self.manifest.sid, holder, self.nonce(leaf)) for leaf, holder in enumerate(self.ids)]

    def nonce(self, leaf: int) -> bytes:
        """Return the nonce of a leaf, secret."""
        return self.nonces[NONCE_BYTES * leaf : NONCE_BYTES * (leaf + 1)]


def number_account(number: int) -> str:
    """Name an account in errors by its number in the input of the commitment; the venue may pass a better name."""
    return f"account {number}"


def receipt_for(snapshot: CommittedSnapshot, leaf: int) -> bytes:
    """Return the private receipt file of the account at a leaf (SPEC H1 - H4).

    Raises:
        ValueError: no such leaf, or a padding account, which nobody holds.
    """
    if not 0 <= leaf < snapshot.manifest.leaves or snapshot.order[leaf] == PADDING:
        raise ValueError(f"leaf {leaf} holds no account")
    receipt = Receipt(
        snapshot_digest=snapshot.manifest.digest,
        index=leaf,
        holder=snapshot.ids[leaf],
        nonce=snapshot.nonce(leaf),
        record=snapshot.records.row(leaf),
        path=snapshot.tree.path(leaf),
    )
    return receipt.encode()
