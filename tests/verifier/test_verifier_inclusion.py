"""Receipts: H1 - H5 one by one, and hostile receipt files."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_circuits.layout import columns_digest, encode_columns
from crossmargin_prover.snapshot import encode_receipt
from crossmargin_prover.tree import shard_tree, top_tree
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators
from crossmargin_verifier.protocol.group import encode_point, msm
from crossmargin_verifier.protocol.inclusion import (
    Receipt,
    VerifiedReceipt,
    blinding_scalar,
    verify_receipt,
    verify_same_position,
)
from crossmargin_verifier.protocol.manifests import SnapshotManifest

HOLDERS = ["alice@example.org", "bob@example.org", "carol/sub 1", "dave", "erin"]
RECORDS = [(1000, 5, -3), (-(2**62) + 1, 2**62 - 1, 0), (0, 0, 0), (1, 2, 3), (4, 5, 6)]
LABELS = ("usd", "btc", "perp")


def position(sid: str, holder: str, nonce: bytes, record: tuple[int, ...]) -> bytes:
    blinding = blinding_scalar(sid, holder, nonce)
    return encode_point(msm([*record, blinding], [*position_generators(3), blinding_generator()]))


NONCES = [bytes([number]) * 32 for number in range(5)]
POSITIONS = [position("book", *account) for account in zip(HOLDERS, NONCES, RECORDS, strict=True)]
TREES = [shard_tree(b"".join(POSITIONS[start : start + 2]), 2) for start in (0, 2, 4)]
TOP = top_tree([tree.root for tree in TREES])
SNAPSHOT = SnapshotManifest("book", 7, columns_digest(LABELS), 2, 5, TOP.root)
COLUMNS = encode_columns(LABELS)


def path(index: int) -> tuple[bytes, ...]:
    return TREES[index // 2].path(index % 2) + TOP.path(index // 2)


def receipt(index: int) -> Receipt:
    return Receipt(SNAPSHOT.digest, index, HOLDERS[index], NONCES[index], RECORDS[index], path(index))


def check(given: Receipt, **changes: Any) -> VerifiedReceipt:
    arguments: dict[str, Any] = {"holder": given.holder, "snapshot_digest": SNAPSHOT.digest}
    return verify_receipt(encode_receipt(given), SNAPSHOT.encoded, COLUMNS, **{**arguments, **changes})


@pytest.mark.parametrize("index", range(5))
def test_honest_receipts(index: int) -> None:
    verified = check(receipt(index), record=RECORDS[index])
    assert verified.receipt == receipt(index)
    assert verified.snapshot == SNAPSHOT
    assert verified.columns == LABELS
    assert verified.position == POSITIONS[index]


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_blinding_binds_sid_and_id_apart(sid: str, holder: str, other_sid: str, other: str) -> None:
    same = blinding_scalar(sid, holder, bytes(32)) == blinding_scalar(other_sid, other, bytes(32))
    assert same == ((sid, holder) == (other_sid, other))


def refused(given: Receipt, step: str, reason: str, **changes: Any) -> None:
    with pytest.raises(RejectedError, match=reason) as caught:
        check(given, **changes)
    assert caught.value.step == step


def test_h1_snapshot() -> None:
    refused(receipt(0), "H1", "published", snapshot_digest=bytes(32))
    refused(replace(receipt(0), snapshot_digest=bytes(32)), "H1", "another snapshot")
    with pytest.raises(RejectedError, match="H1: the receipt is about another snapshot"):
        other = replace(SNAPSHOT, as_of=8)
        verify_receipt(encode_receipt(receipt(0)), other.encoded, COLUMNS, holder=HOLDERS[0])


def test_h1_columns() -> None:
    other = encode_columns(("btc", "usd", "perp"))
    with pytest.raises(RejectedError, match="H1: the columns"):
        verify_receipt(encode_receipt(receipt(0)), SNAPSHOT.encoded, other, holder=HOLDERS[0])
    refused(replace(receipt(0), record=(1000, 5)), "H1", "2 entries")
    refused(replace(receipt(0), record=(1000, 5, -3, 0)), "H1", "4 entries")


def test_h2_id() -> None:
    refused(replace(receipt(0), holder=""), "H2", "the id is empty", holder="")
    refused(receipt(0), "H2", "not the holder's", holder="bob@example.org")
    refused(receipt(0), "H2", "not the holder's", holder="Alice@example.org")
    refused(receipt(0), "H2", "not the holder's", holder="alice@example.org ")


def test_h2_no_normalisation_of_ids() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    refused(replace(receipt(0), holder=composed), "H2", "not the holder's", holder=decomposed)


@pytest.mark.parametrize("entry", [2**62, -(2**62), 2**63 - 1, -(2**63)])
def test_h2_range(entry: int) -> None:
    refused(replace(receipt(0), record=(1000, entry, -3)), "H2", r"'btc': magnitude")


def test_h2_record() -> None:
    refused(receipt(0), "H2", "record", record=(1000, 5, -2))
    refused(receipt(0), "H2", "record", record=(1000, 5))


@pytest.mark.parametrize("index", [5, 6, 7, 2**63, 2**64 - 1])
def test_h3_index(index: int) -> None:
    """Index 5 is the empty leaf of the last shard."""
    refused(replace(receipt(0), index=index), "H3", "the snapshot has 5 accounts")


@pytest.mark.parametrize("length", [0, 2, 4])
def test_h3_path_length(length: int) -> None:
    siblings = (path(0) * 2)[:length]
    refused(replace(receipt(0), path=siblings), "H3", "must be 3")


@pytest.mark.parametrize(
    "change",
    [
        {"index": 1},
        {"index": 2},
        {"nonce": bytes(31) + b"\x01"},
        {"record": (1000, 5, -2)},
        {"record": (999, 5, -3)},
        {"path": (path(0)[1], path(0)[0], path(0)[2])},
        {"path": path(1)},
        {"path": (*path(0)[:2], bytes(32))},
    ],
)
def test_h4_commitment_and_path(change: dict[str, Any]) -> None:
    refused(replace(receipt(0), **change), "H4", "position root")


def test_h4_one_leaf_is_not_for_two_holders() -> None:
    """The id is in the blinding: whoever accepts a leaf with one id cannot be shown it with another."""
    shown = replace(receipt(0), holder="bob@example.org")
    refused(shown, "H4", "position root")


def test_h3_an_empty_leaf_is_nobodys() -> None:
    """Not even where somebody knows an opening of what is committed there: nothing is."""
    siblings = TREES[2].path(1) + TOP.path(2)
    refused(replace(receipt(4), index=5, path=siblings), "H3", "the snapshot has 5 accounts")


def test_h5() -> None:
    verified = check(receipt(1))
    verify_same_position(verified, SNAPSHOT, POSITIONS[0] + POSITIONS[1], 1)
    mirrored = bytes([POSITIONS[1][0] ^ 1]) + POSITIONS[1][1:]
    for positions, index in [
        (POSITIONS[0] + POSITIONS[1], 0),
        (POSITIONS[0] + POSITIONS[1], 2),
        (POSITIONS[1], -1),
        (mirrored, 0),
        (b"", 0),
    ]:
        with pytest.raises(RejectedError, match="H5"):
            verify_same_position(verified, SNAPSHOT, positions, index)


def test_h5_the_same_point_under_other_labels() -> None:
    """1000 usd and 5 btc have the point of 1000 btc and 5 usd, where the list of columns says so."""
    verified = check(receipt(0))
    relabelled = replace(SNAPSHOT, columns_digest=columns_digest(("btc", "usd", "perp")))
    with pytest.raises(RejectedError, match="H5: the stand-alone proof is about other columns"):
        verify_same_position(verified, relabelled, POSITIONS[0], 0)


def test_repr_shows_nothing_private() -> None:
    text = repr(receipt(0)) + repr(check(receipt(0)))
    assert "alice" not in text
    assert "1000" not in text
    assert NONCES[0].hex() not in text


@given(
    st.builds(
        Receipt,
        snapshot_digest=st.binary(min_size=32, max_size=32),
        index=st.integers(0, 2**64 - 1),
        holder=st.text(st.characters(codec="utf-8"), max_size=20),
        nonce=st.binary(min_size=32, max_size=32),
        record=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(tuple),
        path=st.lists(st.binary(min_size=32, max_size=32), max_size=5).map(tuple),
    )
)
def test_round_trip(receipt: Receipt) -> None:
    assert Receipt.decode(encode_receipt(receipt)) == receipt


def test_every_other_length_is_refused() -> None:
    data = encode_receipt(receipt(0))
    for size in range(len(data)):
        with pytest.raises(MalformedError):
            Receipt.decode(data[:size])
    with pytest.raises(MalformedError, match="after the last field"):
        Receipt.decode(data + b"\x00")


def test_huge_counts_allocate_nothing() -> None:
    data = encode_receipt(receipt(0))
    columns = 6 + 32 + 8 + 2 + len(HOLDERS[0]) + 32
    for count in (4, 2**16, 2**32 - 1):
        hostile = data[:columns] + count.to_bytes(4, "big") + data[columns + 4 :]
        with pytest.raises(MalformedError):
            Receipt.decode(hostile)
    length = columns + 4 + 3 * 8
    for count in (2, 4, 255):
        hostile = data[:length] + bytes([count]) + data[length + 1 :]
        with pytest.raises(MalformedError):
            Receipt.decode(hostile)


def test_id_is_utf8() -> None:
    data = bytearray(encode_receipt(receipt(0)))
    data[48] = 0xFF
    with pytest.raises(MalformedError, match="UTF-8"):
        Receipt.decode(bytes(data))


def test_position_is_binding_to_the_sign() -> None:
    """A record and its negative have different points, also where the blinding is mirrored with it."""
    one = msm([5, 7], [position_generators(1)[0], blinding_generator()])
    other = msm([-5, ORDER - 7], [position_generators(1)[0], blinding_generator()])
    assert encode_point(one)[1:] == encode_point(other)[1:]
    assert encode_point(one) != encode_point(other)
