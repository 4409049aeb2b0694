"""Trees over committed points (SPEC S5).

leaf(P) = SHA-256(0x00 || enc P), node = SHA-256(0x01 || left || right), and 32 zero bytes for an empty leaf and for a
missing shard. Every shard has a tree of 2^w leaves; the top tree has the shard roots in order, padded alike.
Shards are aligned: leaf i of shard j is leaf j 2^w + i of the whole tree, and its path is the one in the shard, then
that of the shard in the top tree. What is empty lies at the end of a level, so one hash a level stands for all of it.
"""

import hashlib
from collections.abc import Sequence

from crossmargin_verifier.protocol.group import POINT_BYTES

__all__ = [
    "EMPTY_LEAF",
    "HASH_BYTES",
    "leaf_hash",
    "parents",
    "path_length",
    "root_of",
    "root_of_path",
    "shard_leaves",
    "shard_root",
    "top_root",
]

HASH_BYTES = 32

EMPTY_LEAF = bytes(HASH_BYTES)
"""Stands for an empty leaf, and in the top tree for a missing shard; no preimage of it is known."""


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
    """Return the leaves of the accounts of a shard, 32 bytes each, from their encoded points, 33 bytes each."""
    starts = range(0, len(encodings), POINT_BYTES)
    return b"".join([leaf_hash(encodings[start : start + POINT_BYTES]) for start in starts])


def root_of(leaves: bytes, levels: int) -> bytes:
    """Return the root over 2^levels leaves, of which the first are given, at least one, and the others are empty.

    Raises:
        ValueError: no leaf, or too many.
    """
    if not 0 < len(leaves) <= HASH_BYTES << levels:
        raise ValueError(f"a tree of {levels} levels has 1 to 2^{levels} leaves")
    empty = EMPTY_LEAF
    for _ in range(levels):
        leaves = parents(leaves if len(leaves) % (2 * HASH_BYTES) == 0 else leaves + empty)
        empty = parents(empty + empty)
    return leaves


def shard_root(encodings: bytes, leaves: int) -> bytes:
    """Return the root of a shard of so many leaves (a power of two) from the encoded points of its accounts."""
    return root_of(shard_leaves(encodings), leaves.bit_length() - 1)


def top_root(shard_roots: Sequence[bytes]) -> bytes:
    """Return the root over the roots of all shards in order."""
    return root_of(b"".join(shard_roots), (len(shard_roots) - 1).bit_length())
