"""Weights of the batch: from fresh bytes and from every byte of every file."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_verifier.protocol.weights import batch_weights, files_digest

Files = dict[str, bytes]


def drawn(files: Files, number: int = 3) -> list[int]:
    draw = batch_weights(files_digest(files))
    return [draw() for _ in range(number)]


@pytest.fixture
def broken_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_bytes", bytes)


def test_weights_have_128_bits_and_are_fresh(tiny: Files) -> None:
    weights = drawn(tiny, 50) + drawn(tiny, 50)
    assert len(set(weights)) == 100
    assert max(weights).bit_length() <= 128 < max(weights).bit_length() + 16


@pytest.mark.usefixtures("broken_generator")
def test_weights_depend_on_every_byte_where_nothing_is_fresh(tiny: Files) -> None:
    """Whoever knows the generator still had to fix the files before he could know a weight."""
    seen = {tuple(drawn(tiny))}
    assert drawn(tiny) in map(list, seen)
    changed = 0
    for name, data in tiny.items():
        for place in range(0, len(data), max(1, len(data) // 40)):
            other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            seen.add(tuple(drawn({**tiny, name: other})))
            changed += 1
    assert len(seen) == changed + 1
    assert len({weight for weights in seen for weight in weights}) == 3 * len(seen)


@pytest.mark.usefixtures("broken_generator")
def test_weights_depend_on_every_file(tiny: Files) -> None:
    for name in tiny:
        assert drawn({other: data for other, data in tiny.items() if other != name}) != drawn(tiny)
    assert drawn({**tiny, "more": b""}) != drawn(tiny)
    assert drawn(dict(reversed(tiny.items()))) == drawn(tiny)


def test_weights_depend_on_the_fresh_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def generate(size: int) -> bytes:
        asked.append(size)
        return bytes([len(asked)]) * size

    monkeypatch.setattr(secrets, "token_bytes", generate)
    assert drawn({}) != drawn({})
    assert asked == [32, 32]


@given(st.dictionaries(st.text(max_size=3), st.binary(max_size=3), max_size=3), st.data())
def test_no_two_sets_of_files_have_one_digest(files: Files, data: st.DataObject) -> None:
    other = data.draw(st.dictionaries(st.text(max_size=3), st.binary(max_size=3), max_size=3))
    assert (files_digest(files) == files_digest(other)) == (files == other)
