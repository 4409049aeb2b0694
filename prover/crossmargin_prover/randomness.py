"""Every random draw of the prover, by name (SPEC P1, P7, P9, section 12).

Blindings, masks and nonces hide the records and must never repeat. `SystemRandomness` hedges them: a draw is
SHAKE-256 of a long-term secret key, 32 fresh bytes of the operating system, the name of the draw and the caller's
context (transcript state and witness), so that neither a bad generator nor a known key alone reveals anything.
`SeededRandomness` makes the draws of the test vectors only.
"""

import hashlib
import secrets
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crossmargin_circuits.digest import tag_prefix
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.inclusion import NONCE_BYTES

__all__ = ["KEY_BYTES", "Draw", "Randomness", "SeededRandomness", "SystemRandomness"]

KEY_BYTES = 32
"""Bytes of the long-term secret key of `SystemRandomness`, and of the seed of `SeededRandomness`."""

WIDE_BYTES = 64
"""A scalar is 512 bits reduced modulo r, so that its bias is below 2^-256."""

_HEDGED_TAG = b"crossmargin prover, hedged draw, version 1"


class Draw(StrEnum):
    """The names of the draws."""

    NONCE = "nonce"
    """Nonce of an account, from which its blinding r_i follows (SPEC S4)."""
    SLACK = "slack"
    """Blinding s_h of a slack row (SPEC S8)."""
    MASK = "mask"
    """An entry of o_M (SPEC P1)."""
    MASK_BLINDING = "maskblind"
    """Blinding r_M of C_M (SPEC P1)."""
    OPEN = "open"
    """An entry of q in the opening of a shard (SPEC P7)."""
    TOTALS = "totals"
    """q of the base totals (SPEC P9)."""
    AUXILIARY_OPEN = "auxopen"
    """An entry of q in the opening of the auxiliary totals (SPEC P10)."""
    RECORD_MASK = "rmask"
    """An entry of o_M of a record proof: g_{d,e}, then y_l less 2^B (SPEC B1)."""
    RECORD_MASK_BLINDING = "rmaskblind"
    """Blinding r_M of C_M of a record proof (SPEC B1)."""
    RECORD_OPEN = "ropen"
    """An entry of q in the opening of a record proof (SPEC B5)."""


class Randomness(Protocol):
    """Source of the draws; picklable, so that shards can be proven in other processes.

    context: the bytes that the draw is bound to; shard: number of the shard, or 0; first: index of the first draw.
    """

    def order(self, count: int, context: bytes) -> npt.NDArray[np.int64]:
        """Return a permutation of 0 .. count - 1: entry i goes to leaf i (SPEC S4)."""

    def nonces(self, first: int, count: int, context: bytes) -> bytes:
        """Return the nonces of `count` accounts from leaf `first` on, 32 bytes each."""

    def scalars(self, draw: Draw, shard: int, first: int, count: int, context: bytes) -> list[int]:
        """Return uniform scalars in [0, r)."""

    def integers(self, draw: Draw, shard: int, first: int, count: int, bits: int, context: bytes) -> list[int]:
        """Return uniform integers in [0, 2^bits), bits <= 512."""

    def attempt(self, context: bytes) -> "Randomness":
        """Return the source of one attempt at a proof, from a seed of its own that nothing keeps."""


class SystemRandomness:
    """Hedged randomness: operating system, secret key and context together."""

    def __init__(self, key: bytes | None = None) -> None:
        """Take the long-term secret key (32 bytes), or a fresh one."""
        self._key = secrets.token_bytes(KEY_BYTES) if key is None else bytes(key)
        if len(self._key) != KEY_BYTES:
            raise ValueError(f"the secret key must have {KEY_BYTES} bytes")

    def __repr__(self) -> str:
        """Return a text without the key."""
        return "SystemRandomness(redacted)"

    def order(self, count: int, context: bytes) -> npt.NDArray[np.int64]:
        """Return a permutation of 0 .. count - 1, by sorting 128-bit keys."""
        keys = np.frombuffer(self._stream("order", 0, 0, 16 * count, context), dtype=np.uint64).reshape(count, 2)
        return np.lexsort((keys[:, 0], keys[:, 1])).astype(np.int64, copy=False)

    def nonces(self, first: int, count: int, context: bytes) -> bytes:
        """Return the nonces of `count` accounts from leaf `first` on, 32 bytes each."""
        return self._stream(Draw.NONCE, 0, first, NONCE_BYTES * count, context)

    def scalars(self, draw: Draw, shard: int, first: int, count: int, context: bytes) -> list[int]:
        """Return uniform scalars in [0, r)."""
        return [value % ORDER for value in self.integers(draw, shard, first, count, 8 * WIDE_BYTES, context)]

    def integers(self, draw: Draw, shard: int, first: int, count: int, bits: int, context: bytes) -> list[int]:
        """Return uniform integers in [0, 2^bits), bits <= 512."""
        stream = self._stream(draw, shard, first, WIDE_BYTES * count, context)
        return [value >> (8 * WIDE_BYTES - bits) for value in _wide(stream)]

    def attempt(self, context: bytes) -> "SystemRandomness":
        """Return a source whose key is a fresh seed: of this key, the context and 32 bytes of the operating system."""
        return SystemRandomness(self._stream("attempt", 0, 0, KEY_BYTES, context))

    def _stream(self, name: str, shard: int, first: int, size: int, context: bytes) -> bytes:
        """Return fresh bytes; two calls with the same arguments share nothing."""
        state = hashlib.shake_256(_HEDGED_TAG + self._key + secrets.token_bytes(32))
        for part in (name.encode("ascii"), shard.to_bytes(8, "big"), first.to_bytes(8, "big"), context):
            state.update(len(part).to_bytes(8, "big") + part)
        return state.digest(size)


class SeededRandomness:
    """The draws of the test vectors (SPEC section 12), with accounts left in the given order. Hides nothing."""

    def __init__(self, seed: bytes) -> None:
        """Take the 32-byte seed."""
        if len(seed) != KEY_BYTES:
            raise ValueError(f"the seed must have {KEY_BYTES} bytes")
        self._prefix = tag_prefix("test-rnd") + seed

    def order(self, count: int, context: bytes) -> npt.NDArray[np.int64]:
        """Return the identity."""
        return np.arange(count, dtype=np.int64)

    def nonces(self, first: int, count: int, context: bytes) -> bytes:
        """Return the nonces of `count` accounts from leaf `first` on, 32 bytes each."""
        return b"".join(self._draw(Draw.NONCE, 0, index)[:NONCE_BYTES] for index in range(first, first + count))

    def scalars(self, draw: Draw, shard: int, first: int, count: int, context: bytes) -> list[int]:
        """Return scalars in [0, r)."""
        return [value % ORDER for value in self.integers(draw, shard, first, count, 8 * WIDE_BYTES, context)]

    def integers(self, draw: Draw, shard: int, first: int, count: int, bits: int, context: bytes) -> list[int]:
        """Return integers in [0, 2^bits): the top bits of the draws."""
        draws = b"".join(self._draw(draw, shard, index) for index in range(first, first + count))
        return [value >> (8 * WIDE_BYTES - bits) for value in _wide(draws)]

    def attempt(self, context: bytes) -> "SeededRandomness":
        """Return the same draws."""
        return self

    def _draw(self, name: str, shard: int, index: int) -> bytes:
        label = name.encode("ascii")
        message = self._prefix + bytes([len(label)]) + label + shard.to_bytes(8, "big") + index.to_bytes(8, "big")
        return hashlib.sha512(message).digest()


def _wide(stream: bytes) -> list[int]:
    return [int.from_bytes(stream[start : start + WIDE_BYTES], "big") for start in range(0, len(stream), WIDE_BYTES)]
