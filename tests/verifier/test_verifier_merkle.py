"""Trees against a naive recursion over the definition."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_prover.tree import Tree, shard_tree, top_tree
from crossmargin_verifier.protocol.merkle import (
    EMPTY_SUBTREE,
    leaf_hash,
    path_length,
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
    leaves = [sha(b"\x00", encoding) for encoding in encodings]
    size = 1 << depth
    roots = [naive_root(leaves[start : start + size]) for start in range(0, len(leaves), size)]
    top = roots + [bytes(32)] * ((1 << (len(roots) - 1).bit_length()) - len(roots))
    return roots, naive_root(top)


def encodings(count: int) -> list[bytes]:
    return [bytes([2]) + number.to_bytes(32, "big") for number in range(count)]


trees = st.tuples(st.integers(0, 4), st.integers(1, 9))


def trees_of(points: list[bytes], size: int) -> tuple[list[Tree], Tree]:
    """Return the trees of the shards, and the one on top."""
    parts = [shard_tree(b"".join(points[start : start + size])) for start in range(0, len(points), size)]
    return parts, top_tree([part.root for part in parts])


@given(trees)
def test_trees_of_shards_and_the_tree_on_top(shape: tuple[int, int]) -> None:
    depth, shards = shape
    points = encodings(shards << depth)
    size = 1 << depth
    parts, top = trees_of(points, size)
    assert ([part.root for part in parts], top.root) == naive(points, depth)
    roots = [shard_root(b"".join(points[start : start + size])) for start in range(0, len(points), size)]
    assert (roots, top_root(roots)) == naive(points, depth)
    for index, point in enumerate(points):
        shard, leaf = divmod(index, size)
        path = parts[shard].path(leaf) + top.path(shard)
        assert len(path) == path_length(size, shards)
        assert root_of_path(leaf_hash(point), index, path) == top.root
        if path:
            assert root_of_path(leaf_hash(point), index ^ 1, path) != top.root


def test_padding_of_the_top_tree_is_visible() -> None:
    _, top = trees_of(encodings(3), 1)
    assert EMPTY_SUBTREE in top.path(2)
    assert EMPTY_SUBTREE not in top.path(0)


def test_leaves_and_nodes_are_told_apart() -> None:
    left, right = encodings(2)
    assert leaf_hash(left + right) != shard_tree(left + right).root


@pytest.mark.parametrize("make", [shard_root, shard_tree])
def test_trees_have_a_power_of_two_of_points(make: Callable[[bytes], object]) -> None:
    for count in (0, 3, 5):
        with pytest.raises(ValueError, match="power of two"):
            make(b"".join(encodings(count)))
    with pytest.raises(ValueError, match="33 bytes"):
        make(bytes(34))


@pytest.mark.parametrize("make", [top_root, top_tree])
def test_a_top_tree_has_a_shard(make: Callable[[list[bytes]], object]) -> None:
    with pytest.raises(ValueError, match="shard"):
        make([])


@pytest.mark.parametrize("index", [-1, 4])
def test_no_path_in_a_tree_to_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(ValueError, match="leaf"):
        shard_tree(b"".join(encodings(4))).path(index)
