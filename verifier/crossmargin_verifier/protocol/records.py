"""Record proofs: every committed record is a vector of small integers (SPEC section 4, B1 - B5, V4).

Once per snapshot and shard. z_l = sum_{i,v} alpha_l(i) beta_l(v) x_iv + y_l for P pairs of random bit vectors; every
z_l is a number of b bytes, and nothing else is checked about its range. If some |x_iv| >= X, all z_l fit with
probability at most (3/4)^312, or 2^-128 where a shard has one account. A sum-check over the accounts reduces
sum_l lambda^l z_l to one value at rho, and an opening of X* + chi C_M, X* = sum_i eq(rho, i) X_i, shows that value.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from crossmargin_circuits.digest import tag_prefix
from crossmargin_verifier.protocol.equation import Block, PointEquation
from crossmargin_verifier.protocol.errors import LimitError
from crossmargin_verifier.protocol.field import HALF, ORDER, SCALAR_BYTES, dot
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.limits import MAX_COLUMNS
from crossmargin_verifier.protocol.manifests import HEADER_BYTES, records_file
from crossmargin_verifier.protocol.opening import verify_opening
from crossmargin_verifier.protocol.polynomial import eq_table, evaluate, powers
from crossmargin_verifier.protocol.proof_stream import RECORDS_MAGIC, open_proof
from crossmargin_verifier.protocol.shape import opening_size
from crossmargin_verifier.protocol.transcript import (
    CHI,
    LAMBDA,
    MASK,
    PROJECTION_SEED,
    PROJECTIONS,
    RECORDS,
    RHO,
    ROUND,
    SNAPSHOT,
)

__all__ = ["PublicRecords", "RecordShape", "record_bits", "record_weights", "verify_records"]


@dataclass(frozen=True)
class RecordShape:
    """Every size of a record proof, computed from N accounts a shard and V columns."""

    accounts_per_shard: int
    columns: int

    def __post_init__(self) -> None:
        """Check this verifier's limit."""
        if self.columns > MAX_COLUMNS:
            raise LimitError(f"{self.columns} columns: this verifier handles {MAX_COLUMNS}")

    @property
    def account_bits(self) -> int:
        """nu, variables that number the account in a shard, and rounds of the sum-check."""
        return self.accounts_per_shard.bit_length() - 1

    @property
    def magnitude_bits(self) -> int:
        """B: a projection of honest records, without its mask, is below 2^B in magnitude."""
        return 62 + (self.accounts_per_shard * self.columns).bit_length()

    @property
    def projection_bytes(self) -> int:
        """b, bytes of one z_l: its mask has 2^(8 b - 1) values, at least 2^90 times 2^B."""
        return (self.magnitude_bits + 98) // 8

    @property
    def mask_bits(self) -> int:
        """Y: y_l - 2^B is uniform in [0, 2^Y)."""
        return 8 * self.projection_bytes - 1

    @property
    def projections(self) -> int:
        """P, random projections of a shard: soundness 2^-128."""
        return 128 if self.accounts_per_shard == 1 else 312

    @property
    def bound(self) -> int:
        """X: what is shown is |x_iv| < X. Within the limits of a shape, 2^40 X is below r / 4 (V2)."""
        return 1 << 8 * self.projection_bytes + (self.accounts_per_shard > 1)

    @property
    def masks(self) -> int:
        """m_R, entries of o_M: g_{1,1}, g_{1,2}, .., g_{nu,2}, y_0, .., y_{P-1}."""
        return 2 * self.account_bits + self.projections

    @property
    def size(self) -> int:
        """Bytes of one record proof."""
        sent = self.projections * self.projection_bytes + 2 * self.account_bits * SCALAR_BYTES
        return HEADER_BYTES + 32 + 8 + POINT_BYTES + sent + opening_size(self.columns + self.masks + 1)


@dataclass(frozen=True)
class PublicRecords:
    """The public data of the records of a shard: its number (index), cnt_j accounts and the root over their X_i."""

    snapshot_digest: bytes
    shape: RecordShape
    accounts: int
    index: int
    position_root: bytes


def record_bits(sigma: bytes, shape: RecordShape) -> tuple[bytes, bytes]:
    """Return alpha, N blocks of P / 8 bytes, and beta, V blocks: bit l of a block, little-endian, is that of l (B2).

    A shard of one account has no alpha in the stream: its bits are 1.
    """
    block = shape.projections // 8
    rows = shape.accounts_per_shard if shape.accounts_per_shard > 1 else 0
    stream = hashlib.shake_256(tag_prefix("proj") + sigma).digest(block * (rows + shape.columns))
    return stream[: block * rows] or b"\xff" * block, stream[block * rows :]


def record_weights(
    shape: RecordShape, alpha: bytes, beta: bytes, powers_of_lambda: Sequence[int], rho: Sequence[int]
) -> list[int]:
    """Return w for the opening of the records of a shard, in the order (x | o_M | H) (B5).

    alpha, beta: as from `record_bits`; powers_of_lambda: lambda^0 .. lambda^(P - 1); rho: nu challenges.
    """
    block = shape.projections // 8
    accounts = eq_table(rho)
    weights = [0] * shape.columns
    for place in range(block):
        # Accounts whose bits agree at this place are added up first, one bucket for each value of the byte.
        buckets = [0] * 256
        for byte, weight in zip(alpha[place::block], accounts, strict=True):
            buckets[byte] += weight
        table = [0]
        for bit in range(8):
            folded = sum(bucket for byte, bucket in enumerate(buckets) if byte >> bit & 1)
            entry = powers_of_lambda[8 * place + bit] * folded % ORDER
            table += [other + entry for other in table]
        weights = [weight + table[byte] for weight, byte in zip(weights, beta[place::block], strict=True)]
    for at in rho:
        weights += [at - HALF, at * at - HALF]
    share = pow(shape.accounts_per_shard, -1, ORDER)
    weights += [share * power for power in powers_of_lambda]
    return [weight % ORDER for weight in weights] + [0]


def verify_records(public: PublicRecords, data: bytes) -> PointEquation:
    """Read the record proof of a shard, and reduce it to one equation between points.

    Raises:
        MalformedError: V1, a point or a scalar is not canonical.
        RejectedError: V4, the proof is about another snapshot or shard.
    """
    shape, file = public.shape, records_file(public.index)
    roots = public.index.to_bytes(8, "big") + public.position_root
    stream = open_proof(RECORDS, file, RECORDS_MAGIC, data, "V4", SNAPSHOT, public.snapshot_digest, roots)

    # B1, B2
    (mask,), _ = stream.message(MASK, points=["C_M"])
    alpha, beta = record_bits(stream.seed(PROJECTION_SEED), shape)

    # B3: a z_l of b bytes is in range.
    projections = stream.integers(PROJECTIONS, shape.projections, shape.projection_bytes)
    powers_of_lambda = powers(stream.challenge(LAMBDA), shape.projections)
    claim = dot(powers_of_lambda, projections)

    # B4
    rho: list[int] = []
    for variable in range(shape.account_bits):
        _, sent = stream.message(ROUND, scalars=[f"round {variable + 1}"] * 2)
        rho.append(stream.challenge(RHO))
        claim = evaluate([(claim - sum(sent)) * HALF, *sent], rho[-1])

    # B5: bases (A | chi M | H), P_0 = X* + chi C_M.
    chi = stream.challenge(CHI)
    opened = verify_opening(stream, record_weights(shape, alpha, beta, powers_of_lambda, rho), claim)
    base = opened.base_weights
    return PointEquation(
        step="V4",
        reason="the opening of the records does not hold: record proof and positions do not belong together",
        generators={
            Block("A"): base[: shape.columns],
            Block("M"): [chi * entry % ORDER for entry in base[shape.columns : -1]],
            Block("H"): base[-1:],
            Block("U"): [opened.value],
        },
        committed={Block("X"): eq_table(rho, opened.committed)[: public.accounts]},
        points=[*opened.points, (opened.committed * chi % ORDER, mask)],
    )
