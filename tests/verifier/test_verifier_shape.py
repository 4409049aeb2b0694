"""Sizes against the formulas and the figures of SPEC section 9."""

from dataclasses import replace

import pytest

from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest
from crossmargin_verifier.protocol.shape import Shape, folds, opening_size

LARGE = Shape(accounts_per_shard=4096, shards=1, columns=500, auxiliaries=0, disclosed=0, rows=16, packing=2, mode=0)


@pytest.mark.parametrize(("packing", "size"), [(0, 2370), (2, 2502), (3, 2568)])
def test_size_of_a_shard_proof(packing: int, size: int) -> None:
    shape = replace(LARGE, packing=packing)
    assert shape.shard_size == size
    assert shape.shard_size == 304 + 32 * (2 * shape.variables + 2) + 66 * folds(shape.opening_length)


def test_size_of_a_bounded_proof_of_one_account() -> None:
    assert replace(LARGE, accounts_per_shard=1, packing=0, mode=1).shard_size == 5698


def test_size_of_totals() -> None:
    shape = replace(LARGE, auxiliaries=3, disclosed=2)
    assert shape.totals_size == 107 + 16 * 500
    assert shape.auxiliary_totals_size == 235 + 16 * 2 + 66 * folds(shape.auxiliary_opening_length)


def test_counts() -> None:
    assert (LARGE.variables, LARGE.value_variables, LARGE.account_bits) == (6 + 4 + 12, 4, 12)
    assert (LARGE.leaves, LARGE.slack_rows_per_shard, LARGE.slack_length) == (4096, 1024, 4096)
    assert LARGE.masks == 2 * 22 + 3
    assert LARGE.opening_length == 500 + 4096 + 47 + 1
    assert LARGE.degrees == (4, *[2] * 21)
    bounded = replace(LARGE, mode=1)
    assert bounded.masks == 2 * 22 + 3 + 2 * 12 + 128
    assert bounded.mask_bits == 62 + (4096 * 500).bit_length() + 88


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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"accounts_per_shard": 2}, "packing exponent"),
        ({"columns": 2**16 + 1}, "columns"),
        ({"rows": 2**13}, "slack row"),
        ({"columns": 2**16, "mode": 1}, "record entries"),
    ],
)
def test_limits(change: dict[str, int], reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        replace(LARGE, **change)


def test_shape_of_a_statement(tiny: dict[str, bytes]) -> None:
    relation = Relation.decode(tiny["relation.cm1"], decode_columns(tiny["columns.cm1"]))
    snapshot = SnapshotManifest.decode(tiny["snapshot.cm1"])
    shape = Shape.of(snapshot, StatementManifest.decode(tiny["statement.cm1"]), relation)
    assert shape == Shape(4, 1, 3, 1, 1, 3, 1, 0)
    assert shape.shard_size == len(tiny["shard-000000.cm1"])
    assert shape.totals_size == len(tiny["totals.cm1"])
    assert shape.auxiliary_totals_size == len(tiny["auxtotals.cm1"])
