"""Proof files are written through the transcript, as the verifier's `ProofStream` reads them (SPEC S1, section 6).

The writer absorbs each message as the bytes in the file, so the two sides cannot differ.
"""

from collections.abc import Sequence

from crossmargin_circuits.encoding import Writer
from crossmargin_verifier.protocol.field import encode_scalars
from crossmargin_verifier.protocol.group import Affine, encode_point
from crossmargin_verifier.protocol.transcript import Transcript

__all__ = ["ProofWriter"]


class ProofWriter(Transcript):
    """A transcript that writes each message and the last scalars to the file, in order."""

    def __init__(self, kind: str, magic: bytes, header: bytes) -> None:
        """Start a transcript of a kind, and a file with a header that the transcript does not absorb."""
        super().__init__(kind)
        self._writer = Writer(magic).raw(header)

    def message(self, label: str, *, points: Sequence[Affine] = (), scalars: Sequence[int] = ()) -> None:
        """Write a message, points and then scalars, and absorb it."""
        self._send(label, b"".join(map(encode_point, points)) + encode_scalars(scalars))

    def integers(self, label: str, values: Sequence[int], size: int) -> None:
        """Write unsigned integers of `size` bytes each, and absorb them.

        Raises:
            OverflowError: an integer does not fit.
        """
        self._send(label, b"".join([value.to_bytes(size, "big") for value in values]))

    def totals(self, label: str, totals: Sequence[int]) -> None:
        """Write u32 count and i128 totals, and absorb them."""
        message = Writer().u32(len(totals))
        for total in totals:
            message.i128(total)
        self._send(label, message.bytes())

    def last(self, scalars: Sequence[int]) -> bytes:
        """Write the last scalars without absorbing them, and return the file."""
        return self._writer.raw(encode_scalars(scalars)).bytes()

    def _send(self, label: str, message: bytes) -> None:
        self._writer.raw(message)
        self.absorb(label, message)
