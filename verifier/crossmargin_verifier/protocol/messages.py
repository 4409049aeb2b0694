"""Proof files: shard proofs, base totals and auxiliary totals (SPEC section 6).

Every decoder knows the exact length from the shape before it reads, and accepts one encoding per value.
"""

from dataclasses import dataclass

from crossmargin_circuits.digest import DIGEST_BYTES
from crossmargin_circuits.encoding import Reader, Writer
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import SCALAR_BYTES, decode_scalar, encode_scalar, encode_scalars
from crossmargin_verifier.protocol.group import POINT_BYTES, Affine, decode_point, encode_point
from crossmargin_verifier.protocol.manifests import AUXILIARY_TOTALS_FILE, TOTALS_FILE, shard_file
from crossmargin_verifier.protocol.shape import LAST_LENGTH, PROJECTIONS, Shape, folds

__all__ = ["AuxiliaryTotals", "BaseTotals", "Opening", "ShardProof", "encode_total_list"]

SHARD_MAGIC = b"CM1P"
TOTALS_MAGIC = b"CM1T"
AUXILIARY_TOTALS_MAGIC = b"CM1U"


@dataclass(frozen=True)
class Opening:
    """OPEN(l): nonce commitment Gamma, u, pairs (E, E') of the foldings, and the last four scalars (SPEC P7, P8)."""

    nonce: Affine
    value: int
    folds: tuple[tuple[Affine, Affine], ...]
    scalars: tuple[int, ...]

    def write(self, writer: Writer) -> None:
        """Append OPEN to a file."""
        writer.raw(encode_point(self.nonce)).raw(encode_scalar(self.value))
        for low, high in self.folds:
            writer.raw(encode_point(low)).raw(encode_point(high))
        writer.raw(encode_scalars(self.scalars))

    @classmethod
    def read(cls, reader: Reader, length: int) -> "Opening":
        """Read OPEN(length) from a file."""
        nonce = _point(reader, "Gamma")
        value = _scalar(reader, "u")
        pairs = tuple(
            (_point(reader, f"E of fold {fold}"), _point(reader, f"E' of fold {fold}"))
            for fold in range(1, folds(length) + 1)
        )
        scalars = tuple(_scalar(reader, "last scalars") for _ in range(LAST_LENGTH))
        return cls(nonce, value, pairs, scalars)


@dataclass(frozen=True)
class ShardProof:
    """Proof of one shard (SPEC section 3).

    rounds: per round the coefficients t_{d,1..D_d}; bounded mode adds `projections` (128 scalars z_l) and
    `projection_rounds`, the coefficients (p_1, p_2) of the account rounds; both are empty in book mode.
    """

    statement_digest: bytes
    shard: int
    mask: Affine
    projections: tuple[int, ...]
    rounds: tuple[tuple[int, ...], ...]
    projection_rounds: tuple[tuple[int, int], ...]
    beta: int
    opening: Opening

    def round_message(self, variable: int) -> bytes:
        """Return what the round of a 0-based variable absorbs: sc of its coefficients, those of bounded mode last."""
        first = len(self.rounds) - len(self.projection_rounds)
        extra = self.projection_rounds[variable - first] if variable >= first else ()
        return encode_scalars((*self.rounds[variable], *extra))

    def encode(self) -> bytes:
        """Return the bytes of the shard file."""
        writer = Writer(SHARD_MAGIC).raw(self.statement_digest).u64(self.shard).raw(encode_point(self.mask))
        writer.raw(encode_scalars(self.projections))
        for variable in range(len(self.rounds)):
            writer.raw(self.round_message(variable))
        writer.raw(encode_scalar(self.beta))
        self.opening.write(writer)
        return writer.bytes()

    @classmethod
    def decode(cls, data: bytes, shape: Shape, shard: int) -> "ShardProof":
        """Parse the file of a shard (from 0).

        Raises:
            MalformedError: wrong length, header or encoding.
        """
        name = shard_file(shard)
        _check_size(data, name, shape.shard_size)
        reader = Reader(data, name, SHARD_MAGIC)
        digest = reader.raw(DIGEST_BYTES, "statement digest")
        index = reader.u64("shard")
        mask = _point(reader, "C_M")
        projections = tuple(_scalar(reader, f"z_{number}") for number in range(PROJECTIONS if shape.bounded else 0))
        rounds = []
        projection_rounds = []
        for variable, degree in enumerate(shape.degrees):
            field = f"round {variable + 1}"
            rounds.append(tuple(_scalar(reader, field) for _ in range(degree)))
            if shape.bounded and variable >= shape.first_account_variable:
                projection_rounds.append((_scalar(reader, field), _scalar(reader, field)))
        beta = _scalar(reader, "beta")
        opening = Opening.read(reader, shape.opening_length)
        reader.end()
        return cls(digest, index, mask, projections, tuple(rounds), tuple(projection_rounds), beta, opening)


@dataclass(frozen=True)
class BaseTotals:
    """Totals of all base columns (units of the columns) and the proof (Gamma, s) of SPEC P9."""

    snapshot_digest: bytes
    totals: tuple[int, ...]
    nonce: Affine
    response: int

    def encode(self) -> bytes:
        """Return the bytes of `totals.cm1`."""
        writer = Writer(TOTALS_MAGIC).raw(self.snapshot_digest).raw(encode_total_list(self.totals))
        return writer.raw(encode_point(self.nonce)).raw(encode_scalar(self.response)).bytes()

    @classmethod
    def decode(cls, data: bytes, shape: Shape) -> "BaseTotals":
        """Parse `totals.cm1`.

        Raises:
            MalformedError: wrong length, header, count or encoding.
        """
        _check_size(data, TOTALS_FILE, shape.totals_size)
        reader = Reader(data, TOTALS_FILE, TOTALS_MAGIC)
        digest = reader.raw(DIGEST_BYTES, "snapshot digest")
        totals = _total_list(reader, shape.columns)
        nonce = _point(reader, "Gamma")
        response = _scalar(reader, "s")
        reader.end()
        return cls(digest, totals, nonce, response)


@dataclass(frozen=True)
class AuxiliaryTotals:
    """Totals of the disclosed auxiliaries, in order, and their opening (SPEC P10)."""

    statement_digest: bytes
    totals: tuple[int, ...]
    opening: Opening

    def encode(self) -> bytes:
        """Return the bytes of `auxtotals.cm1`."""
        writer = Writer(AUXILIARY_TOTALS_MAGIC).raw(self.statement_digest).raw(encode_total_list(self.totals))
        self.opening.write(writer)
        return writer.bytes()

    @classmethod
    def decode(cls, data: bytes, shape: Shape) -> "AuxiliaryTotals":
        """Parse `auxtotals.cm1`.

        Raises:
            MalformedError: wrong length, header, count or encoding.
        """
        _check_size(data, AUXILIARY_TOTALS_FILE, shape.auxiliary_totals_size)
        reader = Reader(data, AUXILIARY_TOTALS_FILE, AUXILIARY_TOTALS_MAGIC)
        digest = reader.raw(DIGEST_BYTES, "statement digest")
        totals = _total_list(reader, shape.disclosed)
        opening = Opening.read(reader, shape.auxiliary_opening_length)
        reader.end()
        return cls(digest, totals, opening)


def encode_total_list(totals: tuple[int, ...]) -> bytes:
    """Return u32 count and i128 totals, as they stand in the files and are absorbed."""
    writer = Writer().u32(len(totals))
    for total in totals:
        writer.i128(total)
    return writer.bytes()


def _total_list(reader: Reader, count: int) -> tuple[int, ...]:
    if reader.u32("number of totals") != count:
        raise reader.refuse("number of totals", f"must be {count}")
    return tuple(reader.i128("total") for _ in range(count))


def _check_size(data: bytes, name: str, size: int) -> None:
    if len(data) != size:
        raise MalformedError(f"{name}: {len(data)} bytes: must be {size}")


def _point(reader: Reader, field: str) -> Affine:
    data = reader.raw(POINT_BYTES, field)
    try:
        return decode_point(data)
    except MalformedError as error:
        raise reader.refuse(field, str(error)) from None


def _scalar(reader: Reader, field: str) -> int:
    data = reader.raw(SCALAR_BYTES, field)
    try:
        return decode_scalar(data)
    except MalformedError as error:
        raise reader.refuse(field, str(error)) from None
