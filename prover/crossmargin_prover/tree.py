"""Trees with all their nodes, the source of the paths in receipts (SPEC S5, H3)."""

from collections.abc import Sequence

from crossmargin_verifier.protocol.merkle import EMPTY_LEAF, HASH_BYTES, parents, shard_leaves

__all__ = ["Tree", "shard_tree", "top_tree"]


class Tree:
    """A binary tree over a power of two of hashes; every level is one bytes object, 64 bytes a leaf in all."""

    def __init__(self, leaves: bytes, count: int) -> None:
        """Build over hashes of 32 bytes each, one after the other, and empty leaves behind them up to the count."""
        self._levels = [leaves + EMPTY_LEAF * (count - len(leaves) // HASH_BYTES)]
        while len(self._levels[-1]) > HASH_BYTES:
            self._levels.append(parents(self._levels[-1]))

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


def shard_tree(encodings: bytes, leaves: int) -> Tree:
    """Return the tree of a shard over its encoded points, 33 bytes each, and then its empty leaves.

    leaves: N, a power of two.
    """
    return Tree(shard_leaves(encodings), leaves)


def top_tree(shard_roots: Sequence[bytes]) -> Tree:
    """Return the tree over the roots of all shards in order."""
    return Tree(b"".join(shard_roots), 1 << (len(shard_roots) - 1).bit_length())
