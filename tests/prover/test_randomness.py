"""Draws: hedged ones never repeat and hide their key, seeded ones are those of the vectors."""

import hashlib
import pickle

import pytest

from crossmargin_prover.randomness import Draw, SeededRandomness, SystemRandomness
from crossmargin_verifier.protocol.field import ORDER

SEED = bytes(range(32))


def test_seeded_draws_follow_the_specification() -> None:
    def draw(name: bytes, shard: int, index: int) -> bytes:
        tag = b"crossmargin/2/test-rnd"
        head = bytes([len(tag)]) + tag + SEED + bytes([len(name)]) + name
        return hashlib.sha512(head + shard.to_bytes(8, "big") + index.to_bytes(8, "big")).digest()

    randomness = SeededRandomness(SEED)
    expected = [int.from_bytes(draw(b"mask", 3, index), "big") for index in (5, 6)]
    assert randomness.scalars(Draw.MASK, 3, 5, 2, b"") == [value % ORDER for value in expected]
    assert randomness.integers(Draw.MASK, 3, 5, 2, 100, b"") == [value >> 412 for value in expected]
    assert randomness.nonces(0, 2, b"") == draw(b"nonce", 0, 0)[:32] + draw(b"nonce", 0, 1)[:32]
    assert randomness.nonces(1, 1, b"") == draw(b"nonce", 0, 1)[:32]
    assert randomness.order(4, b"").tolist() == [0, 1, 2, 3]


def test_hedged_draws_never_repeat() -> None:
    randomness = SystemRandomness(bytes(32))
    draws = [randomness.scalars(Draw.MASK, 0, 0, 3, b"context") for _ in range(4)]
    assert len({value for draw in draws for value in draw}) == 12
    assert randomness.nonces(0, 1, b"") != randomness.nonces(0, 1, b"")


def test_hedged_draws_depend_on_key_and_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a broken generator of the operating system, key, name and context still separate the draws."""
    monkeypatch.setattr("crossmargin_prover.randomness.secrets.token_bytes", bytes)
    first, second = SystemRandomness(bytes(32)), SystemRandomness(bytes(31) + b"\x01")

    def scalar(randomness: SystemRandomness, draw: Draw, shard: int, context: bytes) -> int:
        return randomness.scalars(draw, shard, 0, 1, context)[0]

    draws = [
        scalar(first, Draw.MASK, 0, b""),
        scalar(second, Draw.MASK, 0, b""),
        scalar(first, Draw.OPEN, 0, b""),
        scalar(first, Draw.MASK, 1, b""),
        scalar(first, Draw.MASK, 0, b"other"),
    ]
    assert len(set(draws)) == len(draws)
    assert draws[0] == scalar(first, Draw.MASK, 0, b"")


def test_hedged_integers_have_the_asked_bits() -> None:
    values = SystemRandomness().integers(Draw.MASK, 0, 0, 200, 20, b"")
    assert max(values) < 2**20
    assert max(values) >= 2**18
    assert all(0 <= value < ORDER for value in SystemRandomness().scalars(Draw.OPEN, 0, 0, 50, b""))


def test_order_is_a_permutation() -> None:
    order = SystemRandomness().order(1000, b"")
    assert sorted(order) == list(range(1000))
    assert order.tolist() != SystemRandomness().order(1000, b"").tolist()
    assert SystemRandomness().order(1, b"").tolist() == [0]


def test_keys_are_checked_kept_and_hidden() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SystemRandomness(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        SeededRandomness(b"short")
    randomness = SystemRandomness(b"\xab" * 32)
    assert "ab" * 4 not in repr(randomness)
    assert "xab" not in repr(randomness)
    assert pickle.loads(pickle.dumps(randomness))._key == b"\xab" * 32  # noqa: S301
