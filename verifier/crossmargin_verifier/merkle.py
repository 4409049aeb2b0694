"""Trees over committed points (SPEC S5).

leaf(P) = SHA-256(0x00 || enc P), node = SHA-256(0x01 || left || right). Every shard has a tree of 2^w leaves; the top
tree has the shard roots in order, padded with 32 zero bytes to a power of two.
"""

import hashlib
from collections.abc import Sequence

__all__ = ["EMPTY_SUBTREE", "HASH_BYTES", "ShardedTree", "leaf_hash", "node_hash", "path_length", "root_of_path"]

HASH_BYTES = 32

EMPTY_SUBTREE = bytes(HASH_BYTES)
"""Stands in the top tree for a shard that does not exist; no preimage of it is known."""


def leaf_hash(encoding: bytes) -> bytes:
    """Return the leaf of an encoded point (33 bytes)."""
    return hashlib.sha256(b"\x00" + encoding).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the parent of two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def path_length(leaves_per_shard: int, shards: int) -> int:
    """Return the number of siblings from a leaf to the root: w + ceil(log2 shards)."""
    return leaves_per_shard.bit_length() - 1 + (shards - 1).bit_length()


def root_of_path(leaf: bytes, index: int, siblings: Sequence[bytes]) -> bytes:
    """Return the root over a leaf at a global index, with its siblings from the leaf up."""
    node = leaf
    for level, sibling in enumerate(siblings):
        node = node_hash(sibling, node) if index >> level & 1 else node_hash(node, sibling)
    return node


class ShardedTree:
    """All levels of the shard trees and of the top tree.

    Shards are aligned: leaf i of shard j is leaf j 2^w + i of the whole tree, so that a path needs the global index
    alone.
    """

    def __init__(self, encodings: Sequence[bytes], leaves_per_shard: int) -> None:
        """Build over encoded points (33 bytes each) in global order; leaves_per_shard is a power of two."""
        if leaves_per_shard < 1 or leaves_per_shard & (leaves_per_shard - 1):
            raise ValueError("leaves per shard must be a power of two")
        if not encodings or len(encodings) % leaves_per_shard:
            raise ValueError("encodings must fill whole shards")
        depth = leaves_per_shard.bit_length() - 1
        self._levels = [[leaf_hash(encoding) for encoding in encodings]]
        for _ in range(depth):
            self._levels.append(_parents(self._levels[-1]))
        self.shard_roots: tuple[bytes, ...] = tuple(self._levels[-1])
        shards = len(self.shard_roots)
        self._levels[-1] += [EMPTY_SUBTREE] * ((1 << (shards - 1).bit_length()) - shards)
        while len(self._levels[-1]) > 1:
            self._levels.append(_parents(self._levels[-1]))
        self._leaves = len(encodings)

    @property
    def root(self) -> bytes:
        """Root of the whole tree, 32 bytes."""
        return self._levels[-1][0]

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return the siblings of a leaf (global index), from the leaf up."""
        if not 0 <= index < self._leaves:
            raise ValueError("no such leaf")
        return tuple(level[index >> height ^ 1] for height, level in enumerate(self._levels[:-1]))


def _parents(level: list[bytes]) -> list[bytes]:
    return [node_hash(left, right) for left, right in zip(level[0::2], level[1::2], strict=True)]
