import hashlib

import pytest

from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.transcript import Transcript


def tagged(label: str, data: bytes) -> bytes:
    tag = b"crossmargin/2/" + label.encode()
    return hashlib.sha256(bytes([len(tag)]) + tag + data).digest()


def test_definition() -> None:
    state = tagged("transcript", b"\x06totals")
    transcript = Transcript("totals")
    assert transcript.state == state
    transcript.absorb("Q", b"data")
    state = tagged("absorb", state + b"\x01Q" + (4).to_bytes(8, "big") + b"data")
    assert transcript.state == state
    message = state + b"\x02mu"
    wide = tagged("challenge0", message) + tagged("challenge1", message)
    assert transcript.challenge("mu") == int.from_bytes(wide, "big") % ORDER
    assert transcript.state == tagged("challenge2", message)


@pytest.mark.parametrize(
    "other",
    [[("ab", b"c")], [("a", b"bc")], [("a", b"b"), ("a", b"c")], [("a", b"")], []],
)
def test_what_is_absorbed_is_bound_with_its_label(other: list[tuple[str, bytes]]) -> None:
    def challenge(absorbed: list[tuple[str, bytes]]) -> int:
        transcript = Transcript("shard")
        for label, data in absorbed:
            transcript.absorb(label, data)
        return transcript.challenge("x")

    assert challenge([("a", b"b")]) != challenge(other)


def test_kinds_differ() -> None:
    kinds = ("shard", "totals", "auxtotals", "records")
    assert len({Transcript(kind).challenge("c") for kind in kinds}) == 4


def test_challenges_differ_by_label_and_place() -> None:
    transcript = Transcript("shard")
    first = transcript.challenge("x")
    assert first != transcript.challenge("x")
    assert first != Transcript("shard").challenge("y")
