"""Trees with empty leaves against a naive recursion over the definition."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_prover.tree import Tree, shard_tree, top_tree
from crossmargin_verifier.protocol import merkle
from crossmargin_verifier.protocol.merkle import (
    EMPTY_LEAF,
    leaf_hash,
    path_length,
    root_of,
    root_of_path,
    shard_root,
    top_root,
)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def naive_root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    middle = len(leaves) // 2
    return sha(b"\x01", naive_root(leaves[:middle]), naive_root(leaves[middle:]))


def naive(encodings: list[bytes], depth: int) -> tuple[list[bytes], bytes]:
    """Every empty leaf is there, and so is every missing shard."""
    size = 1 << depth
    leaves = [sha(b"\x00", encoding) for encoding in encodings]
    leaves += [bytes(32)] * (-len(leaves) % size)
    roots = [naive_root(leaves[start : start + size]) for start in range(0, len(leaves), size)]
    top = roots + [bytes(32)] * ((1 << (len(roots) - 1).bit_length()) - len(roots))
    return roots, naive_root(top)


def encodings(count: int) -> list[bytes]:
    return [bytes([2]) + number.to_bytes(32, "big") for number in range(count)]


trees = st.tuples(st.integers(0, 4), st.integers(1, 70))


def trees_of(points: list[bytes], size: int) -> tuple[list[Tree], Tree]:
    """Return the trees of the shards, and the one on top."""
    parts = [shard_tree(b"".join(points[start : start + size]), size) for start in range(0, len(points), size)]
    return parts, top_tree([part.root for part in parts])


@given(trees)
def test_trees_of_shards_and_the_tree_on_top(shape: tuple[int, int]) -> None:
    depth, accounts = shape
    points = encodings(accounts)
    size = 1 << depth
    parts, top = trees_of(points, size)
    assert ([part.root for part in parts], top.root) == naive(points, depth)
    roots = [shard_root(b"".join(points[start : start + size]), size) for start in range(0, len(points), size)]
    assert (roots, top_root(roots)) == naive(points, depth)
    for index, point in enumerate(points):
        shard, leaf = divmod(index, size)
        path = parts[shard].path(leaf) + top.path(shard)
        assert len(path) == path_length(size, len(roots))
        assert root_of_path(leaf_hash(point), index, path) == top.root
        if path:
            assert root_of_path(leaf_hash(point), index ^ 1, path) != top.root


def test_empty_leaves_and_missing_shards_are_visible() -> None:
    parts, top = trees_of(encodings(5), 2)
    assert parts[2].path(0) == (EMPTY_LEAF,)
    assert EMPTY_LEAF in top.path(2)
    assert EMPTY_LEAF not in top.path(0) + parts[0].path(0)


def test_a_tree_that_is_mostly_empty_costs_a_hash_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the size of the tree is computed or held."""
    hashed: list[int] = []
    parents = merkle.parents

    def counted(level: bytes) -> bytes:
        hashed.append(len(level) // 64)
        return parents(level)

    monkeypatch.setattr(merkle, "parents", counted)
    root = shard_root(b"".join(encodings(1)), 1 << 40)
    assert sum(hashed) == 2 * 40
    expected, empty = leaf_hash(encodings(1)[0]), bytes(32)
    for _ in range(40):
        expected, empty = sha(b"\x01", expected, empty), sha(b"\x01", empty, empty)
    assert root == expected


def test_leaves_and_nodes_are_told_apart() -> None:
    left, right = encodings(2)
    assert leaf_hash(left + right) != shard_tree(left + right, 2).root


def test_a_tree_has_no_more_leaves_than_it_can() -> None:
    for count in (0, 3, 5):
        with pytest.raises(ValueError, match="leaves"):
            shard_root(b"".join(encodings(count)), 2)
    with pytest.raises(ValueError, match="leaves"):
        top_root([])
    assert root_of(bytes(32), 0) == bytes(32)


@pytest.mark.parametrize("index", [-1, 4])
def test_no_path_in_a_tree_to_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(ValueError, match="leaf"):
        shard_tree(b"".join(encodings(4)), 4).path(index)
