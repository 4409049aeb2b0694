"""The slack rows of a statement: commitments to the bits of slacks and auxiliaries, freshly blinded (SPEC S8)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossmargin_circuits.errors import MalformedError
from crossmargin_circuits.relation import VALUE_BITS
from crossmargin_prover.backend import Backend, Int64Array, UInt64Array, finite
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_prover.vault.arrays import decode_arrays, encode_arrays
from crossmargin_prover.vault.store import located
from crossmargin_verifier.protocol.field import SCALAR_BYTES, decode_scalar, encode_scalars
from crossmargin_verifier.protocol.group import POINT_BYTES, encode_point

__all__ = ["SlackRows", "commit_slack_rows", "slack_name"]


_ARRAYS: Mapping[str, type[np.generic]] = {
    "statement": np.uint8,
    "values_digest": np.uint8,
    "blindings": np.uint8,
    "bit_sums": np.int64,
    "encodings": np.uint8,
}


@dataclass(frozen=True, repr=False)
class SlackRows:
    """The slack rows R_h of a shard: `encodings`, 33 bytes each, are public, all else is secret.

    statement: digest of the statement manifest without slack root; values_digest: digest of the committed
    values; blindings: s_h (n); bit_sums: sum_h b_{hG+a,j,t}, ordered (a J + j) 64 + t.
    """

    statement: bytes
    values_digest: bytes
    blindings: list[int]
    bit_sums: Int64Array
    encodings: bytes

    def __repr__(self) -> str:
        """Return a text without values and blindings."""
        return f"SlackRows({len(self.blindings)} rows, redacted)"

    def auxiliary_totals(self, rows: int, values: int) -> list[int]:
        """Return sum_i aux_iu for every auxiliary u; rows: K of the relation, values: J, rows and auxiliaries."""
        bits = self.bit_sums.reshape(-1, values, VALUE_BITS).sum(axis=0)[rows:]
        return [sum(count << bit for bit, count in enumerate(each)) for each in bits.tolist()]

    def encode(self) -> bytes:
        """Return the rows as bytes; secret."""
        return encode_arrays(
            statement=np.frombuffer(self.statement, dtype=np.uint8),
            values_digest=np.frombuffer(self.values_digest, dtype=np.uint8),
            blindings=np.frombuffer(encode_scalars(self.blindings), dtype=np.uint8),
            bit_sums=self.bit_sums,
            encodings=np.frombuffer(self.encodings, dtype=np.uint8),
        )

    @classmethod
    def decode(cls, store: Mapping[str, bytes], shard: int, rows: int) -> "SlackRows":
        """Read the rows of a shard from a store; rows: the expected number.

        Raises:
            MalformedError: the file is of another kind or version, or truncated.
        """
        name = located(store, slack_name(shard))
        if slack_name(shard) not in store:
            raise MalformedError(f"{name} is missing: discard that run (--restart)")
        arrays = decode_arrays(store[slack_name(shard)], name, _ARRAYS)
        parts = {each: arrays[each].tobytes() for each in _ARRAYS}
        if len(parts["blindings"]) != rows * SCALAR_BYTES or len(parts["encodings"]) != rows * POINT_BYTES:
            raise MalformedError(f"{name}: not the slack rows of a shard of {rows} rows: discard that run (--restart)")
        blindings = parts["blindings"]
        return cls(
            statement=parts["statement"],
            values_digest=parts["values_digest"],
            blindings=[
                decode_scalar(blindings[start : start + SCALAR_BYTES])
                for start in range(0, len(blindings), SCALAR_BYTES)
            ],
            bit_sums=arrays["bit_sums"],
            encodings=parts["encodings"],
        )


def slack_name(shard: int) -> str:
    """Return the name of the slack rows of a shard in a store."""
    return f"slack-{shard:06d}.npz"


def commit_slack_rows(
    values: UInt64Array,
    packing: int,
    first: int,
    randomness: Randomness,
    statement: bytes,
    context: bytes,
    backend: Backend,
) -> SlackRows:
    """Commit the values of a shard (N, J), 2^packing accounts to a row, with blindings drawn for this statement alone.

    first: global number of the first row; context: the bytes that the draws are bound to.
    """
    blindings = randomness.scalars(Draw.SLACK, 0, first, len(values) >> packing, context)
    encodings = b"".join(encode_point(finite(point)) for point in backend.commit_bits(values, packing, blindings))
    sums = backend.fold_bits(values, packing, [1] * len(blindings))
    digest = hashlib.sha256(values.tobytes()).digest()
    return SlackRows(statement, digest, blindings, np.array(sums, dtype=np.int64), encodings)
