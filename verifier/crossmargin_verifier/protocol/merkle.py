"""Trees over committed points (SPEC S5).

leaf(P) = SHA-256(0x00 || enc P), node = SHA-256(0x01 || left || right). Every shard has a tree of 2^w leaves; the top
tree has the shard roots in order, padded with 32 zero bytes to a power of two. Shards are aligned: leaf i of shard j is
leaf j 2^w + i of the whole tree, and its path is the one in the shard, then the one of the shard in the top tree.
"""

import hashlib
from collections.abc import Sequence

from crossmargin_verifier.protocol.group import POINT_BYTES

__all__ = [
    "EMPTY_SUBTREE",
    "HASH_BYTES",
    "Tree",
    "leaf_hash",
    "node_hash",
    "path_length",
    "root_of_path",
    "shard_tree",
    "top_tree",
]

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


class Tree:
    """A binary tree over a power of two of hashes; every level is one bytes object, 64 bytes a leaf in all."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Build over hashes (32 bytes each)."""
        count = len(leaves)
        if count < 1 or count & (count - 1):
            raise ValueError("the leaves of a tree must be a power of two")
        self._levels = [b"".join(leaves)]
        if len(self._levels[0]) != count * HASH_BYTES:
            raise ValueError("a leaf must be a hash of 32 bytes")
        while len(self._levels[-1]) > HASH_BYTES:
            self._levels.append(_parents(self._levels[-1]))

    @property
    def root(self) -> bytes:
        """Root, 32 bytes."""
        return self._levels[-1]

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return the siblings of a leaf, from the leaf up."""
        if not 0 <= index < len(self._levels[0]) // HASH_BYTES:
            raise ValueError("no such leaf")
        siblings = []
        for height, level in enumerate(self._levels[:-1]):
            start = (index >> height ^ 1) * HASH_BYTES
            siblings.append(level[start : start + HASH_BYTES])
        return tuple(siblings)


def shard_tree(encodings: bytes) -> Tree:
    """Return the tree of a shard from its encoded points, 33 bytes each, one after the other; 2^w of them."""
    if len(encodings) % POINT_BYTES:
        raise ValueError("encodings must be whole points of 33 bytes")
    sha256 = hashlib.sha256
    return Tree(
        [
            sha256(b"\x00" + encodings[start : start + POINT_BYTES]).digest()
            for start in range(0, len(encodings), POINT_BYTES)
        ]
    )


def top_tree(shard_roots: Sequence[bytes]) -> Tree:
    """Return the tree over the roots of all shards in order, padded with EMPTY_SUBTREE to a power of two."""
    count = len(shard_roots)
    if not count:
        raise ValueError("there must be a shard")
    return Tree([*shard_roots, *[EMPTY_SUBTREE] * ((1 << (count - 1).bit_length()) - count)])


def _parents(level: bytes) -> bytes:
    sha256 = hashlib.sha256
    pair = 2 * HASH_BYTES
    return b"".join([sha256(b"\x01" + level[start : start + pair]).digest() for start in range(0, len(level), pair)])
