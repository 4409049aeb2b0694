"""Proof files are read through the transcript, so every message in use was absorbed first (SPEC S1, V4).

A proof is a sequence of messages of points and scalars. `ProofStream.message` absorbs the bytes of the next message
before it decodes them. Only the last scalars of a file are not absorbed; no challenge follows them. Sizes follow from
the shape, so a file has one length and every value one encoding.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from crossmargin_circuits.encoding import Reader
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import SCALAR_BYTES, decode_scalar
from crossmargin_verifier.protocol.group import POINT_BYTES, Affine, decode_point
from crossmargin_verifier.protocol.transcript import SHARD_ROOTS, Transcript

__all__ = [
    "AUXILIARY_TOTALS_MAGIC",
    "RECORDS_MAGIC",
    "SHARD_MAGIC",
    "TOTALS_MAGIC",
    "ProofStream",
    "open_proof",
]

RECORDS_MAGIC = b"CM2B"
SHARD_MAGIC = b"CM2P"
TOTALS_MAGIC = b"CM2T"
AUXILIARY_TOTALS_MAGIC = b"CM2U"

Value = TypeVar("Value")


class ProofStream(Transcript):
    """A transcript that absorbs each message read from a proof; errors name the fields of a message as in SPEC."""

    def __init__(self, kind: str, reader: Reader) -> None:
        """Start a transcript of a kind, and read the messages that follow in the reader."""
        super().__init__(kind)
        self._reader = reader

    def message(
        self, label: str, *, points: Sequence[str] = (), scalars: Sequence[str] = ()
    ) -> tuple[list[Affine], list[int]]:
        """Absorb the next message, points and then scalars by the names of their fields, and return it decoded.

        Raises:
            MalformedError: a point or a scalar is not canonical.
        """
        encoded_points = [(self._reader.raw(POINT_BYTES, field), field) for field in points]
        encoded_scalars = [(self._reader.raw(SCALAR_BYTES, field), field) for field in scalars]
        self.absorb(label, b"".join([data for data, _ in encoded_points + encoded_scalars]))
        return (
            [self._decode(decode_point, *each) for each in encoded_points],
            [self._decode(decode_scalar, *each) for each in encoded_scalars],
        )

    def integers(self, label: str, count: int, size: int) -> list[int]:
        """Absorb the next message, `count` unsigned integers of `size` bytes, and return them; all are canonical."""
        data = self._reader.raw(count * size, label)
        self.absorb(label, data)
        return [int.from_bytes(data[start : start + size], "big") for start in range(0, len(data), size)]

    def totals(self, label: str, count: int) -> tuple[int, ...]:
        """Absorb the next message, u32 count and i128 totals, and return the totals.

        Raises:
            MalformedError: another count.
        """
        data = self._reader.raw(4 + 16 * count, "totals")
        self.absorb(label, data)
        if data[:4] != count.to_bytes(4, "big"):
            raise self._reader.refuse("number of totals", f"must be {count}")
        return tuple(int.from_bytes(data[at : at + 16], "big", signed=True) for at in range(4, len(data), 16))

    def last(self, count: int, field: str) -> list[int]:
        """Return the last scalars of the proof, not absorbed.

        Raises:
            MalformedError: a scalar is not canonical, or trailing bytes follow.
        """
        scalars = [self._decode(decode_scalar, self._reader.raw(SCALAR_BYTES, field), field) for _ in range(count)]
        self._reader.end()
        return scalars

    def challenge(self, label: str) -> int:
        """Return a challenge; refuse one after the last scalars, since it would not depend on them.

        Raises:
            MalformedError: the proof ends here.
        """
        if not self._reader.left:
            raise self._reader.refuse(f"challenge {label!r}", "after the last field of the proof")
        return super().challenge(label)

    def _decode(self, decode: Callable[[bytes], Value], data: bytes, field: str) -> Value:
        try:
            return decode(data)
        except MalformedError as error:
            raise self._reader.refuse(field, str(error)) from None


def open_proof(
    kind: str, file: str, magic: bytes, data: bytes, step: str, subject: str, digest: bytes, shard: bytes = b""
) -> ProofStream:
    """Return the stream of a proof, after its header, the digest of its subject and the number of its shard.

    kind, subject: of the transcript, which absorbs the digest; file: its name; step: named in a rejection; shard: u64
    and roots of the shard, absorbed too, for proofs of one shard.

    Raises:
        MalformedError: V1, the file has another header.
        RejectedError: the proof is about another subject or shard.
    """
    reader = Reader(data, file, magic)
    for noun, expected in ((subject, digest), ("shard", shard[:8])):
        if reader.raw(len(expected), noun) != expected:
            raise RejectedError(step, f"{file} is about another {noun}")
    stream = ProofStream(kind, reader)
    stream.absorb(subject, digest)
    if shard:
        stream.absorb(SHARD_ROOTS, shard)
    return stream
