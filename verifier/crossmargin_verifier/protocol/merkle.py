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
    "leaf_hash",
    "parents",
    "path_length",
    "root_of_path",
    "shard_leaves",
    "shard_root",
    "top_leaves",
    "top_root",
]

HASH_BYTES = 32

EMPTY_SUBTREE = bytes(HASH_BYTES)
"""Stands in the top tree for a missing shard; no preimage of it is known."""


def leaf_hash(encoding: bytes) -> bytes:
    """Return the leaf of an encoded point (33 bytes)."""
    return hashlib.sha256(b"\x00" + encoding).digest()


def path_length(leaves_per_shard: int, shards: int) -> int:
    """Return the number of siblings from a leaf to the root: w + ceil(log2 shards)."""
    return leaves_per_shard.bit_length() - 1 + (shards - 1).bit_length()


def root_of_path(leaf: bytes, index: int, siblings: Sequence[bytes]) -> bytes:
    """Return the root over a leaf at a global index, with its siblings from the leaf up."""
    node = leaf
    for level, sibling in enumerate(siblings):
        node = parents(sibling + node if index >> level & 1 else node + sibling)
    return node


def parents(level: bytes) -> bytes:
    """Return the nodes above a level of nodes, 32 bytes each, one after the other."""
    sha256 = hashlib.sha256
    pair = 2 * HASH_BYTES
    return b"".join([sha256(b"\x01" + level[start : start + pair]).digest() for start in range(0, len(level), pair)])


def shard_leaves(encodings: bytes) -> bytes:
    """Return the leaves of a shard, 32 bytes each, from its encoded points, 33 bytes each; a power of two of them.

    Raises:
        ValueError: another number of bytes.
    """
    count = len(encodings) // POINT_BYTES
    if len(encodings) % POINT_BYTES or count < 1 or count & (count - 1):
        raise ValueError("the leaves of a tree must be a power of two of points, 33 bytes each")
    starts = range(0, len(encodings), POINT_BYTES)
    return b"".join([leaf_hash(encodings[start : start + POINT_BYTES]) for start in starts])


def top_leaves(shard_roots: Sequence[bytes]) -> bytes:
    """Return the leaves of the top tree: the roots of all shards, padded with EMPTY_SUBTREE to a power of two.

    Raises:
        ValueError: no shard.
    """
    if not shard_roots:
        raise ValueError("there must be a shard")
    count = len(shard_roots)
    return b"".join(shard_roots) + EMPTY_SUBTREE * ((1 << (count - 1).bit_length()) - count)


def root_of(leaves: bytes) -> bytes:
    """Return the root over leaves of 32 bytes each, a power of two of them."""
    while len(leaves) > HASH_BYTES:
        leaves = parents(leaves)
    return leaves


def shard_root(encodings: bytes) -> bytes:
    """Return the root of a shard from its encoded points."""
    return root_of(shard_leaves(encodings))


def top_root(shard_roots: Sequence[bytes]) -> bytes:
    """Return the root over the roots of all shards in order."""
    return root_of(top_leaves(shard_roots))
