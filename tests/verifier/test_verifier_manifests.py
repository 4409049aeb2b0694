"""Manifests and point files: exact round trips, and hostile bytes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_prover.point_files import encode_positions, encode_slack_rows
from crossmargin_verifier.protocol.errors import LimitError, MalformedError
from crossmargin_verifier.protocol.manifests import (
    NO_MODEL,
    POSITIONS_FILE,
    SLACK_FILE,
    SnapshotManifest,
    StatementManifest,
    point_file_body,
    point_file_size,
    records_file,
    shard_file,
)

digests = st.binary(min_size=32, max_size=32)
snapshots = st.builds(
    SnapshotManifest,
    sid=st.text(st.characters(codec="utf-8"), max_size=20),
    as_of=st.integers(0, 2**64 - 1),
    columns_digest=digests,
    accounts_per_shard=st.just(1),
    accounts=st.integers(1, 100_000),
    position_root=digests,
) | st.builds(
    SnapshotManifest,
    sid=st.just("venue"),
    as_of=st.just(0),
    columns_digest=digests,
    accounts_per_shard=st.integers(0, 12).map(lambda exponent: 1 << exponent),
    accounts=st.integers(4096, 100_000),
    position_root=digests,
)
statements = st.builds(
    StatementManifest,
    snapshot_digest=digests,
    relation_digest=digests,
    policy_digest=digests,
    model_digest=digests,
    packing=st.integers(0, 4),
    slack_root=digests,
)
SNAPSHOT = SnapshotManifest("venue/2025", 1735689600, b"c" * 32, 4, 3, b"r" * 32)
STATEMENT = StatementManifest(b"a" * 32, b"b" * 32, b"c" * 32, NO_MODEL, 2, b"d" * 32)


@given(snapshots)
def test_snapshot_round_trip(manifest: SnapshotManifest) -> None:
    assert SnapshotManifest.decode(manifest.encoded) == manifest


@given(statements)
def test_statement_round_trip(manifest: StatementManifest) -> None:
    assert StatementManifest.decode(manifest.encoded) == manifest


@given(snapshots, snapshots)
def test_digest_binds_every_field(one: SnapshotManifest, other: SnapshotManifest) -> None:
    assert (one.digest == other.digest) == (one == other)


@pytest.mark.parametrize("data", [SNAPSHOT.encoded, STATEMENT.encoded])
def test_manifests_have_one_length(data: bytes) -> None:
    decode = SnapshotManifest.decode if data is SNAPSHOT.encoded else StatementManifest.decode
    for size in range(len(data)):
        with pytest.raises(MalformedError):
            decode(data[:size])
    with pytest.raises(MalformedError, match="after the last field"):
        decode(data + b"\x00")


@pytest.mark.parametrize(
    ("size", "accounts", "error", "reason"),
    [
        (0, 1, MalformedError, "power of two"),
        (3, 1, MalformedError, "power of two"),
        (4, 0, MalformedError, "no account"),
        (2, 1, MalformedError, "too many for 1 accounts"),
        (8, 4, MalformedError, "too many for 4 accounts"),
        (16, 8, MalformedError, "too many for 8 accounts"),
        (2**20, 1, MalformedError, "too many for 1 accounts"),
        (2**63, 2**62, MalformedError, "too many"),
        (4, 2**40 + 1, MalformedError, "at most"),
        (1, 2**64 - 1, MalformedError, "at most"),
        (2**63, 2**63, MalformedError, "at most"),
        (1, 2**40, LimitError, "this verifier handles"),
        (2**21, 2**21, LimitError, "this verifier handles"),
        (2**20, 2**24 + 1, LimitError, "this verifier handles"),
    ],
)
def test_counts_out_of_range(size: int, accounts: int, error: type[Exception], reason: str) -> None:
    at = len(SNAPSHOT.encoded) - 48
    data = SNAPSHOT.encoded[:at] + size.to_bytes(8, "big") + accounts.to_bytes(8, "big") + b"r" * 32
    with pytest.raises(error, match=reason):
        SnapshotManifest.decode(data)


@given(st.integers(0, 12).map(lambda exponent: 1 << exponent), st.integers(1, 10_000))
def test_shards_and_empty_leaves(size: int, accounts: int) -> None:
    """Every shard has an account, all but the last are full, and fewer leaves are empty than used; or it is refused."""
    if size >= 2 * accounts:
        with pytest.raises(MalformedError, match="too many"):
            replace(SNAPSHOT, accounts_per_shard=size, accounts=accounts)
        return
    manifest = replace(SNAPSHOT, accounts_per_shard=size, accounts=accounts)
    counts = [manifest.accounts_in(shard) for shard in range(manifest.shards)]
    assert sum(counts) == accounts
    assert counts[:-1] == [size] * (manifest.shards - 1)
    assert 1 <= counts[-1] <= size
    assert manifest.leaves == size * manifest.shards < 2 * accounts


@pytest.mark.parametrize("value", [5, 255])
def test_packing_out_of_range(value: int) -> None:
    at = 6 + 128
    data = STATEMENT.encoded[:at] + bytes([value]) + STATEMENT.encoded[at + 1 :]
    with pytest.raises(MalformedError, match="packing"):
        StatementManifest.decode(data)


def test_sid_is_utf8() -> None:
    data = bytearray(SNAPSHOT.encoded)
    data[8] = 0xFF
    with pytest.raises(MalformedError, match="UTF-8"):
        SnapshotManifest.decode(bytes(data))


ENCODINGS = [bytes([2]) + number.to_bytes(32, "big") for number in range(3)]
BODY = b"".join(ENCODINGS)


@pytest.mark.parametrize(("name", "encode"), [(POSITIONS_FILE, encode_positions), (SLACK_FILE, encode_slack_rows)])
def test_point_files(name: str, encode: object) -> None:
    data = encode_positions(BODY) if encode is encode_positions else encode_slack_rows(BODY)
    assert len(data) == point_file_size(3)
    assert point_file_body(data, name, 3) == BODY
    for size in range(len(data)):
        with pytest.raises(MalformedError, match="bytes"):
            point_file_body(data[:size], name, 3)
    with pytest.raises(MalformedError, match="bytes"):
        point_file_body(data + b"\x00", name, 3)
    with pytest.raises(MalformedError, match="bytes"):
        point_file_body(data, name, 2)


@pytest.mark.parametrize("count", [0, 2, 4, 2**63, 2**64 - 1])
def test_count_in_the_file_is_the_expected_one(count: int) -> None:
    data = bytearray(encode_positions(BODY))
    data[6:14] = count.to_bytes(8, "big")
    with pytest.raises(MalformedError, match="must be 3"):
        point_file_body(bytes(data), POSITIONS_FILE, 3)


def test_point_files_are_not_exchanged() -> None:
    with pytest.raises(MalformedError, match="CM2R"):
        point_file_body(encode_positions(BODY), SLACK_FILE, 3)


def test_only_whole_points_are_written() -> None:
    for encode in (encode_positions, encode_slack_rows):
        with pytest.raises(ValueError, match="33 bytes"):
            encode(BODY[:-1])


def test_names_of_proofs() -> None:
    assert shard_file(0) == "shard-000000.cm2"
    assert shard_file(123456) == "shard-123456.cm2"
    assert records_file(7) == "records-000007.cm2"
