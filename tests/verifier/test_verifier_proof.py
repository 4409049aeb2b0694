"""Proof files, read through their transcripts: nothing is used that was not absorbed, and hostile bytes are refused."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from protocol_vectors import parts, relations_of

from crossmargin_circuits.encoding import Reader
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import PRIME
from crossmargin_verifier.protocol.proof_stream import ProofStream
from crossmargin_verifier.protocol.records import PublicRecords, RecordShape, verify_records
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard, verify_shard
from crossmargin_verifier.protocol.totals import verify_auxiliary_totals, verify_base_totals
from crossmargin_verifier.protocol.transcript import SHARD as SHARD_KIND
from crossmargin_verifier.protocol.transcript import Transcript

SHARD = "shard-000000.cm2"
RECORDS = "records-000000.cm2"


@dataclass(frozen=True)
class Case:
    """A proof file: how it is read, how many digests are absorbed before it, and its header and last scalars."""

    data: bytes
    read: Callable[[bytes], object]
    before: int
    header: int
    last: int


def records_reader(files: dict[str, bytes]) -> Callable[[bytes], object]:
    manifest = parts(files, {})[0].manifest
    shape = RecordShape(manifest.accounts_per_shard, 3)
    public = PublicRecords(manifest.digest, shape, manifest.accounts, 0, bytes(32))
    return lambda data: verify_records(public, data)


def shard_reader(files: dict[str, bytes]) -> Callable[[bytes], object]:
    snapshot, claims = parts(files, relations_of(files))
    claimed = claims["maintenance"]
    manifest, statement = snapshot.manifest, claimed.files.manifest
    shape = Shape.of(manifest, statement, claimed.relation)
    public = PublicShard(statement.digest, claimed.relation, shape, manifest.accounts_in(0), 0, bytes(32), bytes(32))
    return lambda data: verify_shard(public, data)


@pytest.fixture
def cases(tiny: dict[str, bytes], alone: dict[str, bytes]) -> dict[str, Case]:
    snapshot, claims = parts(tiny, relations_of(tiny))
    claimed = claims["maintenance"]
    digest, relation = claimed.files.manifest.digest, claimed.relation
    shape = Shape.of(snapshot.manifest, claimed.files.manifest, relation)
    return {
        "shard": Case(claimed.files[SHARD], shard_reader(tiny), 2, 46, 4),
        "records": Case(snapshot[RECORDS], records_reader(tiny), 2, 46, 4),
        "records of one": Case(parts(alone, {})[0][RECORDS], records_reader(alone), 2, 46, 4),
        "totals": Case(
            snapshot["totals.cm2"], lambda data: verify_base_totals(snapshot.manifest.digest, 3, data), 1, 38, 1
        ),
        "auxtotals": Case(
            claimed.files["auxtotals.cm2"],
            lambda data: verify_auxiliary_totals(digest, relation, shape, data),
            1,
            38,
            4,
        ),
    }


KINDS = pytest.mark.parametrize("kind", ["shard", "records", "records of one", "totals", "auxtotals"])


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
    with pytest.raises(MalformedError, match=r"challenge 'chi' .*: after the last field"):
        stream.challenge("chi")


def test_last_scalars_are_the_last() -> None:
    """Scalars that are not absorbed cannot stand before others."""
    with pytest.raises(MalformedError, match="32 bytes after the last field"):
        ProofStream(SHARD_KIND, Reader(bytes(64), "proof")).last(1, "s")


@KINDS
def test_every_other_length_is_refused(cases: dict[str, Case], kind: str) -> None:
    data, read = cases[kind].data, cases[kind].read
    step = max(1, len(data) // 60)
    for size in (
        *range(0, len(data), step),
        len(data) - 32 * cases[kind].last,
        len(data) - 1,
        len(data) + 1,
        2 * len(data),
    ):
        with pytest.raises(MalformedError):
            read((data + data)[:size])


@KINDS
def test_magic_and_version(cases: dict[str, Case], kind: str) -> None:
    data, read = cases[kind].data, cases[kind].read
    with pytest.raises(MalformedError, match="magic"):
        read(b"CM2Z" + data[4:])
    with pytest.raises(MalformedError, match=r"written by crossmargin/1, which release 0\.1\.0 reads"):
        read(b"CM1" + data[3:4] + b"\x00\x01" + data[6:])
    with pytest.raises(MalformedError, match="version"):
        read(data[:4] + b"\x00\x03" + data[6:])


@pytest.mark.parametrize(("kind", "step"), [("shard", "V5"), ("records", "V4"), ("totals", "V7"), ("auxtotals", "V8")])
def test_what_a_proof_is_about(cases: dict[str, Case], kind: str, step: str) -> None:
    """Digest and shard are the verifier's own; the file must name the same."""
    case = cases[kind]
    for at in range(6, case.header):
        other = case.data[:at] + bytes([case.data[at] ^ 0x80]) + case.data[at + 1 :]
        with pytest.raises(RejectedError, match="another") as caught:
            case.read(other)
        assert caught.value.step == step


POINT, SCALAR = 33, 32
# Offsets in the shard proof of `maintenance`: header 6, digest 32, index 8, C_M 33, 24 coefficients, beta, Gamma, u,
# 8 folds, s. In the record proof: C_M, 312 z of 20 bytes, 2 rounds, Gamma, u, 7 folds, s.
MASK = 6 + 32 + 8
ROUNDS = MASK + POINT
BETA = ROUNDS + 24 * SCALAR
NONCE = BETA + SCALAR
FOLDS = NONCE + POINT + SCALAR
LAST = FOLDS + 8 * 2 * POINT
Z_ROUNDS = ROUNDS + 312 * 20
Z_NONCE = Z_ROUNDS + 4 * SCALAR
Z_FOLDS = Z_NONCE + POINT + SCALAR
Z_LAST = Z_FOLDS + 7 * 2 * POINT

HOSTILE_SCALARS = [ORDER, ORDER + 1, 2**256 - 1]
HOSTILE_POINTS = [
    bytes(33),
    b"\x04" + bytes(31) + b"\x01",
    b"\x02" + (PRIME + 1).to_bytes(32, "big"),
    b"\x02" + b"\xff" * 32,
    b"\x02" + (5).to_bytes(32, "big"),
]


@pytest.mark.parametrize(
    ("kind", "offset", "field"),
    [
        ("shard", ROUNDS, "round 1"),
        ("shard", ROUNDS + 4 * SCALAR, "round 2"),
        ("shard", BETA - SCALAR, "round 11"),
        ("shard", BETA, "beta"),
        ("shard", NONCE + POINT, "u"),
        ("shard", LAST, "last scalars"),
        ("shard", LAST + 3 * SCALAR, "last scalars"),
        ("records", Z_ROUNDS, "round 1"),
        ("records", Z_NONCE - SCALAR, "round 2"),
        ("records", Z_NONCE + POINT, "u"),
        ("records", Z_LAST + 3 * SCALAR, "last scalars"),
    ],
)
@pytest.mark.parametrize("value", HOSTILE_SCALARS)
def test_hostile_scalars(cases: dict[str, Case], kind: str, offset: int, field: str, value: int) -> None:
    data = bytearray(cases[kind].data)
    data[offset : offset + SCALAR] = value.to_bytes(SCALAR, "big")
    with pytest.raises(MalformedError, match=f"{kind}-000000.cm2: {field} .*group order"):
        cases[kind].read(bytes(data))


@pytest.mark.parametrize(
    ("kind", "offset", "field"),
    [
        ("shard", MASK, "C_M"),
        ("shard", NONCE, "Gamma"),
        ("shard", FOLDS, "E of fold 1"),
        ("shard", FOLDS + POINT, "E' of fold 1"),
        ("shard", LAST - POINT, "E' of fold 8"),
        ("records", MASK, "C_M"),
        ("records", Z_NONCE, "Gamma"),
        ("records", Z_LAST - POINT, "E' of fold 7"),
    ],
)
@pytest.mark.parametrize("value", HOSTILE_POINTS)
def test_hostile_points(cases: dict[str, Case], kind: str, offset: int, field: str, value: bytes) -> None:
    data = bytearray(cases[kind].data)
    data[offset : offset + POINT] = value
    with pytest.raises(MalformedError, match=f"{kind}-000000.cm2: {field} "):
        cases[kind].read(bytes(data))


@pytest.mark.parametrize("value", [0, 2**160 - 1])
def test_a_projection_has_no_other_encoding(cases: dict[str, Case], value: int) -> None:
    """Every b bytes are a z_l in range, so there is no check that can be forgotten; the equation then fails."""
    case = cases["records"]
    data = case.data[:ROUNDS] + value.to_bytes(20, "big") + case.data[ROUNDS + 20 :]
    assert case.read(data) != case.read(case.data)


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
    with pytest.raises(MalformedError, match=r"totals\.cm2: s "):
        case.read(bytes(data))
    data = bytearray(case.data)
    data[-SCALAR - POINT] = 4
    with pytest.raises(MalformedError, match="Gamma"):
        case.read(bytes(data))


def test_totals_are_signed(tiny: dict[str, bytes]) -> None:
    snapshot, _ = parts(tiny, {})
    data = bytearray(snapshot["totals.cm2"])
    data[42:58] = (-5).to_bytes(16, "big", signed=True)
    totals, _ = verify_base_totals(snapshot.manifest.digest, 3, bytes(data))
    assert totals == (-5, 75, 9)
