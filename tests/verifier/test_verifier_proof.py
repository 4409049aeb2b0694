"""Proof files: exact round trips, and hostile bytes at every length and in every field."""

from collections.abc import Callable

import pytest

from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import PRIME
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest
from crossmargin_verifier.protocol.messages import AuxiliaryTotals, BaseTotals, ShardProof
from crossmargin_verifier.protocol.shape import Shape

Decode = Callable[[bytes], ShardProof | BaseTotals | AuxiliaryTotals]
Case = tuple[bytes, Decode]

SHARD = "shard-000000.cm1"


def shape_of(files: dict[str, bytes]) -> Shape:
    relation = Relation.decode(files["relation.cm1"], decode_columns(files["columns.cm1"]))
    snapshot = SnapshotManifest.decode(files["snapshot.cm1"])
    return Shape.of(snapshot, StatementManifest.decode(files["statement.cm1"]), relation)


@pytest.fixture
def cases(tiny: dict[str, bytes], bounded: dict[str, bytes]) -> dict[str, Case]:
    shape, bounded_shape = shape_of(tiny), shape_of(bounded)
    return {
        "shard": (tiny[SHARD], lambda data: ShardProof.decode(data, shape, 0)),
        "bounded": (bounded[SHARD], lambda data: ShardProof.decode(data, bounded_shape, 0)),
        "totals": (tiny["totals.cm1"], lambda data: BaseTotals.decode(data, shape)),
        "auxtotals": (tiny["auxtotals.cm1"], lambda data: AuxiliaryTotals.decode(data, shape)),
    }


KINDS = pytest.mark.parametrize("kind", ["shard", "bounded", "totals", "auxtotals"])


@KINDS
def test_round_trip(cases: dict[str, Case], kind: str) -> None:
    data, decode = cases[kind]
    assert decode(data).encode() == data


@KINDS
def test_every_other_length_is_refused(cases: dict[str, Case], kind: str) -> None:
    data, decode = cases[kind]
    for size in (*range(len(data)), len(data) + 1, 2 * len(data)):
        with pytest.raises(MalformedError, match="bytes: must be"):
            decode((data + data)[:size])


@KINDS
def test_magic_and_version(cases: dict[str, Case], kind: str) -> None:
    data, decode = cases[kind]
    with pytest.raises(MalformedError, match="magic"):
        decode(b"CM1Z" + data[4:])
    with pytest.raises(MalformedError, match="version"):
        decode(data[:4] + b"\x00\x02" + data[6:])


POINT, SCALAR = 33, 32
# Offsets in the tiny shard proof: header 6, digest 32, index 8, C_M 33, 22 coefficients, beta, Gamma, u, 8 folds, s.
ROUNDS = 6 + 32 + 8 + POINT
BETA = ROUNDS + 22 * SCALAR
NONCE = BETA + SCALAR
FOLDS = NONCE + POINT + SCALAR
LAST = FOLDS + 8 * 2 * POINT

HOSTILE_SCALARS = [ORDER, ORDER + 1, 2**256 - 1]
HOSTILE_POINTS = [
    bytes(33),
    b"\x04" + bytes(31) + b"\x01",
    b"\x02" + (PRIME + 1).to_bytes(32, "big"),
    b"\x02" + b"\xff" * 32,
    b"\x02" + (5).to_bytes(32, "big"),
]


@pytest.mark.parametrize(
    ("offset", "field"),
    [
        (ROUNDS, "round 1"),
        (ROUNDS + 4 * SCALAR, "round 2"),
        (BETA - SCALAR, "round 10"),
        (BETA, "beta"),
        (NONCE + POINT, "u"),
        (LAST, "last scalars"),
        (LAST + 3 * SCALAR, "last scalars"),
    ],
)
@pytest.mark.parametrize("value", HOSTILE_SCALARS)
def test_hostile_scalars(tiny: dict[str, bytes], offset: int, field: str, value: int) -> None:
    data = bytearray(tiny[SHARD])
    data[offset : offset + SCALAR] = value.to_bytes(SCALAR, "big")
    with pytest.raises(MalformedError, match=f"{SHARD}: {field} .*group order"):
        ShardProof.decode(bytes(data), shape_of(tiny), 0)


@pytest.mark.parametrize(
    ("offset", "field"),
    [
        (ROUNDS - POINT, "C_M"),
        (NONCE, "Gamma"),
        (FOLDS, "E of fold 1"),
        (FOLDS + POINT, "E' of fold 1"),
        (LAST - POINT, "E' of fold 8"),
    ],
)
@pytest.mark.parametrize("value", HOSTILE_POINTS)
def test_hostile_points(tiny: dict[str, bytes], offset: int, field: str, value: bytes) -> None:
    data = bytearray(tiny[SHARD])
    data[offset : offset + POINT] = value
    with pytest.raises(MalformedError, match=f"{SHARD}: {field} "):
        ShardProof.decode(bytes(data), shape_of(tiny), 0)


def test_hostile_projections(bounded: dict[str, bytes]) -> None:
    data = bytearray(bounded[SHARD])
    data[ROUNDS : ROUNDS + SCALAR] = ORDER.to_bytes(SCALAR, "big")
    with pytest.raises(MalformedError, match="z_0"):
        ShardProof.decode(bytes(data), shape_of(bounded), 0)


@pytest.mark.parametrize("count", [0, 2, 4, 2**32 - 1])
def test_count_of_totals(tiny: dict[str, bytes], count: int) -> None:
    data = bytearray(tiny["totals.cm1"])
    data[38:42] = count.to_bytes(4, "big")
    with pytest.raises(MalformedError, match="number of totals"):
        BaseTotals.decode(bytes(data), shape_of(tiny))


def test_hostile_totals(tiny: dict[str, bytes]) -> None:
    shape = shape_of(tiny)
    data = bytearray(tiny["totals.cm1"])
    data[-SCALAR:] = ORDER.to_bytes(SCALAR, "big")
    with pytest.raises(MalformedError, match=r"totals\.cm1: s "):
        BaseTotals.decode(bytes(data), shape)
    data = bytearray(tiny["totals.cm1"])
    data[-SCALAR - POINT] = 4
    with pytest.raises(MalformedError, match="Gamma"):
        BaseTotals.decode(bytes(data), shape)


def test_totals_are_signed(tiny: dict[str, bytes]) -> None:
    data = bytearray(tiny["totals.cm1"])
    data[42:58] = (-5).to_bytes(16, "big", signed=True)
    totals = BaseTotals.decode(bytes(data), shape_of(tiny))
    assert totals.totals == (-5, 75, 9)
    assert totals.encode() == bytes(data)
