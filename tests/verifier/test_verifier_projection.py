"""The projections against a reading of the definition bit by bit."""

import hashlib

from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.polynomial import powers
from crossmargin_verifier.protocol.projection import combined_columns, projection_stream
from crossmargin_verifier.protocol.shape import PROJECTIONS, Shape

SHAPE = Shape(accounts_per_shard=2, shards=1, columns=3, auxiliaries=0, disclosed=0, rows=1, packing=0, mode=1)


def test_stream() -> None:
    stream = projection_stream(b"s" * 32, SHAPE)
    assert stream == hashlib.shake_256(b"\x12crossmargin/1/proj" + b"s" * 32).digest(16 * 2 * 3)


def test_combination() -> None:
    seed = hashlib.sha256(b"seed").digest()
    challenge = 2**200 + 12345
    weights = [7, ORDER - 3]
    stream = projection_stream(seed, SHAPE)
    expected = []
    for column in range(3):
        total = 0
        for account, weight in enumerate(weights):
            start = 16 * (account * 3 + column)
            cell = int.from_bytes(stream[start : start + 16], "little")
            total += weight * sum(pow(challenge, bit, ORDER) for bit in range(128) if cell >> bit & 1)
        expected.append(total % ORDER)
    assert combined_columns(stream, SHAPE, powers(challenge, PROJECTIONS), weights) == expected
