"""Sizes against the formulas of SPEC and the files of the vectors."""

from dataclasses import replace

import pytest
from protocol_vectors import load, relations_of

from crossmargin_verifier.protocol.errors import LimitError, MalformedError
from crossmargin_verifier.protocol.limits import MAX_SLACK_GENERATORS
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest
from crossmargin_verifier.protocol.shape import Shape, folds, opening_size, totals_size

LARGE = Shape(accounts_per_shard=4096, shards=1, columns=500, auxiliaries=0, disclosed=0, rows=16, packing=2)


@pytest.mark.parametrize(("packing", "size"), [(0, 2370), (2, 2502), (3, 2568)])
def test_size_of_a_shard_proof(packing: int, size: int) -> None:
    shape = replace(LARGE, packing=packing)
    assert shape.shard_size == size
    assert shape.shard_size == 304 + 32 * (2 * shape.variables + 2) + 66 * folds(shape.opening_length)


def test_size_of_totals() -> None:
    shape = replace(LARGE, auxiliaries=3, disclosed=2)
    assert totals_size(500) == 107 + 16 * 500
    assert shape.auxiliary_totals_size == 235 + 16 * 2 + 66 * folds(shape.slack_length + 1)


def test_counts() -> None:
    assert (LARGE.variables, LARGE.value_variables, LARGE.account_bits) == (6 + 4 + 12, 4, 12)
    assert (LARGE.leaves, LARGE.slack_rows_per_shard, LARGE.slack_length) == (4096, 1024, 4096)
    assert LARGE.masks == 2 * 22 + 3
    assert LARGE.opening_length == 500 + 4096 + 47 + 1
    assert LARGE.degrees == (4, *[2] * 21)


@pytest.mark.parametrize(
    ("length", "count"), [(1, 0), (4, 0), (5, 1), (8, 1), (9, 2), (539, 8), (4096, 10), (4097, 11)]
)
def test_folds(length: int, count: int) -> None:
    assert folds(length) == count
    assert opening_size(length) == 193 + 66 * count


@pytest.mark.parametrize("values", range(1, 10))
def test_value_variables(values: int) -> None:
    shape = replace(LARGE, rows=values)
    assert 1 << shape.value_variables >= values
    assert values == 1 or 1 << (shape.value_variables - 1) < values


def test_rows_pack_no_more_accounts_than_a_shard_has() -> None:
    with pytest.raises(MalformedError, match="packing exponent 2: at most 1 here"):
        replace(LARGE, accounts_per_shard=2)


def test_limit_of_this_verifier() -> None:
    assert replace(LARGE, rows=2**10).slack_length == MAX_SLACK_GENERATORS
    with pytest.raises(LimitError, match="slack row"):
        replace(LARGE, rows=2**10 + 1)


@pytest.mark.parametrize("name", ["tiny", "tiny_one", "shards"])
def test_shapes_of_the_vectors(name: str) -> None:
    files = load(name)
    snapshot = SnapshotManifest.decode(files["snapshot/snapshot.cm2"])
    if "snapshot/totals.cm2" in files:
        assert totals_size(3) == len(files["snapshot/totals.cm2"])
    for statement, relation in relations_of(files).items():
        folder = f"statements/{statement}/"
        shape = Shape.of(snapshot, StatementManifest.decode(files[folder + "statement.cm2"]), relation)
        counts = (shape.columns, shape.rows, shape.auxiliaries, shape.disclosed)
        assert counts == {"maintenance": (3, 4, 3, 2), "coverage": (3, 2, 2, 2)}[statement]
        assert (shape.leaves, shape.shards) == (snapshot.leaves, snapshot.shards)
        assert shape.shard_size == len(files[folder + "shard-000000.cm2"])
        if folder + "auxtotals.cm2" in files:
            assert shape.auxiliary_totals_size == len(files[folder + "auxtotals.cm2"])
