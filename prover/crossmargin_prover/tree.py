"""Trees with all their nodes, the source of the paths in receipts (SPEC S5, H3)."""

from collections.abc import Sequence

from crossmargin_verifier.protocol.merkle import HASH_BYTES, parents, shard_leaves, top_leaves

__all__ = ["Tree", "shard_tree", "top_tree"]


class Tree:
    """A binary tree over a power of two of hashes; every level is one bytes object, 64 bytes a leaf in all."""

    def __init__(self, leaves: bytes) -> None:
        """Build over hashes of 32 bytes each, one after the other."""
        self._levels = [leaves]
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


def shard_tree(encodings: bytes) -> Tree:
    """Return the tree of a shard from its encoded points, 33 bytes each; a power of two of them."""
    return Tree(shard_leaves(encodings))


def top_tree(shard_roots: Sequence[bytes]) -> Tree:
    """Return the tree over the roots of all shards in order."""
    return Tree(top_leaves(shard_roots))
