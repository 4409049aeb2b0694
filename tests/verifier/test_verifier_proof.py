"""Proof files, read through their transcripts: nothing is used that was not absorbed, and hostile bytes are refused."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from crossmargin_circuits.encoding import Reader
from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import PRIME
from crossmargin_verifier.protocol.proof_stream import ProofStream
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard, verify_shard
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.totals import verify_auxiliary_totals, verify_base_totals
from crossmargin_verifier.protocol.transcript import SHARD as SHARD_KIND
from crossmargin_verifier.protocol.transcript import Transcript

SHARD = "shard-000000.cm1"


@dataclass(frozen=True)
class Case:
    """A proof file: how it is read, how many digests are absorbed before it, and its header and last scalars."""

    data: bytes
    read: Callable[[bytes], object]
    before: int
    header: int
    last: int


def relation_of(files: dict[str, bytes]) -> Relation:
    return Relation.decode(files["relation.cm1"], decode_columns(files["columns.cm1"]))


def shape_of(files: dict[str, bytes]) -> Shape:
    decoded = StatementFiles(files)
    return Shape.of(decoded.snapshot, decoded.statement, relation_of(files))


def shard_reader(files: dict[str, bytes]) -> Callable[[bytes], object]:
    statement = StatementFiles(files).statement.digest
    public = PublicShard(statement, relation_of(files), shape_of(files), 0, bytes(32), bytes(32))
    return lambda data: verify_shard(public, data)


@pytest.fixture
def cases(tiny: dict[str, bytes], bounded: dict[str, bytes]) -> dict[str, Case]:
    shape, relation = shape_of(tiny), relation_of(tiny)
    snapshot, statement = StatementFiles(tiny).snapshot.digest, StatementFiles(tiny).statement.digest
    return {
        "shard": Case(tiny[SHARD], shard_reader(tiny), 2, 46, 4),
        "bounded": Case(bounded[SHARD], shard_reader(bounded), 2, 46, 4),
        "totals": Case(tiny["totals.cm1"], lambda data: verify_base_totals(snapshot, shape, data), 1, 38, 1),
        "auxtotals": Case(
            tiny["auxtotals.cm1"], lambda data: verify_auxiliary_totals(statement, relation, shape, data), 1, 38, 4
        ),
    }


KINDS = pytest.mark.parametrize("kind", ["shard", "bounded", "totals", "auxtotals"])


@KINDS
def test_every_byte_is_absorbed_but_header_and_last_scalars(
    cases: dict[str, Case], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header is compared with what the verifier knows; no challenge follows the last scalars."""
    case = cases[kind]
    absorbed: list[bytes] = []
    absorb = Transcript.absorb

    def recorded(transcript: Transcript, label: str, data: bytes) -> None:
        absorbed.append(data)
        absorb(transcript, label, data)

    monkeypatch.setattr(Transcript, "absorb", recorded)
    case.read(case.data)
    messages = b"".join(absorbed[case.before :])
    assert case.data == case.data[: case.header] + messages + case.data[len(case.data) - 32 * case.last :]


def test_no_challenge_after_the_last_scalars() -> None:
    stream = ProofStream(SHARD_KIND, Reader(bytes(64), "proof"))
    stream.message("beta", scalars=["beta"])
    stream.challenge("mu")
    assert stream.last(1, "s") == [0]
    with pytest.raises(ValueError, match="after the last scalars"):
        stream.challenge("chi")


def test_last_scalars_are_the_last() -> None:
    """Scalars that are not absorbed cannot stand before others."""
    with pytest.raises(MalformedError, match="32 bytes after the last field"):
        ProofStream(SHARD_KIND, Reader(bytes(64), "proof")).last(1, "s")


@KINDS
def test_every_other_length_is_refused(cases: dict[str, Case], kind: str) -> None:
    data, read = cases[kind].data, cases[kind].read
    step = max(1, len(data) // 60)
    for size in (*range(0, len(data), step), len(data) - 1, len(data) + 1, 2 * len(data)):
        with pytest.raises(MalformedError):
            read((data + data)[:size])


@KINDS
def test_magic_and_version(cases: dict[str, Case], kind: str) -> None:
    data, read = cases[kind].data, cases[kind].read
    with pytest.raises(MalformedError, match="magic"):
        read(b"CM1Z" + data[4:])
    with pytest.raises(MalformedError, match="version"):
        read(data[:4] + b"\x00\x02" + data[6:])


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
        shard_reader(tiny)(bytes(data))


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
        shard_reader(tiny)(bytes(data))


def test_hostile_projections(bounded: dict[str, bytes]) -> None:
    data = bytearray(bounded[SHARD])
    data[ROUNDS : ROUNDS + SCALAR] = ORDER.to_bytes(SCALAR, "big")
    with pytest.raises(MalformedError, match="z_0"):
        shard_reader(bounded)(bytes(data))


@pytest.mark.parametrize("count", [0, 2, 4, 2**32 - 1])
def test_count_of_totals(cases: dict[str, Case], count: int) -> None:
    data = bytearray(cases["totals"].data)
    data[38:42] = count.to_bytes(4, "big")
    with pytest.raises(MalformedError, match="number of totals"):
        cases["totals"].read(bytes(data))


def test_hostile_totals(cases: dict[str, Case]) -> None:
    case = cases["totals"]
    data = bytearray(case.data)
    data[-SCALAR:] = ORDER.to_bytes(SCALAR, "big")
    with pytest.raises(MalformedError, match=r"totals\.cm1: s "):
        case.read(bytes(data))
    data = bytearray(case.data)
    data[-SCALAR - POINT] = 4
    with pytest.raises(MalformedError, match="Gamma"):
        case.read(bytes(data))


def test_totals_are_signed(tiny: dict[str, bytes]) -> None:
    data = bytearray(tiny["totals.cm1"])
    data[42:58] = (-5).to_bytes(16, "big", signed=True)
    totals, _ = verify_base_totals(StatementFiles(tiny).snapshot.digest, shape_of(tiny), bytes(data))
    assert totals == (-5, 75, 9)
