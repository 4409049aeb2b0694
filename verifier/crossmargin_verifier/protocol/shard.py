"""Verification of the proof of one shard, up to one equation between points (SPEC section 3, V4 - V6, section 5)."""

from dataclasses import dataclass

from crossmargin_circuits.encoding import Reader
from crossmargin_circuits.relation import VALUE_BITS, Relation
from crossmargin_verifier.protocol.equation import Block, PointEquation
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import ORDER, centred, dot
from crossmargin_verifier.protocol.linear_form import ProjectionForm, shard_claim, shard_weights
from crossmargin_verifier.protocol.manifests import shard_file
from crossmargin_verifier.protocol.opening import verify_opening
from crossmargin_verifier.protocol.polynomial import eq_table, powers
from crossmargin_verifier.protocol.projection import combined_columns, projection_stream
from crossmargin_verifier.protocol.proof_stream import SHARD_MAGIC, ProofStream
from crossmargin_verifier.protocol.shape import PROJECTIONS as PROJECTION_COUNT
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.sumcheck import verify_sumcheck
from crossmargin_verifier.protocol.transcript import (
    BETA,
    CHI,
    LAMBDA,
    MASK,
    MU,
    PROJECTION_SEED,
    PROJECTIONS,
    SHARD,
    SHARD_ROOTS,
    STATEMENT,
)

__all__ = ["PublicShard", "check_bounded_size", "check_shard", "verify_shard"]


@dataclass(frozen=True)
class PublicShard:
    """The public data of a shard, known before its proof is read."""

    statement_digest: bytes
    relation: Relation
    shape: Shape
    index: int
    position_root: bytes
    slack_root: bytes


def check_bounded_size(relation: Relation, shape: Shape) -> None:
    """Check that no row of a bounded record can wrap modulo r (SPEC section 5, V4).

    Raises:
        RejectedError: V4, names the row.
    """
    for row in relation.rows:
        base = sum(map(abs, row.base)) << shape.mask_bits + 2
        auxiliary = (sum(map(abs, row.auxiliary)) << VALUE_BITS) + abs(row.offset)
        if base * 4 >= ORDER or auxiliary * 8 >= ORDER:
            raise RejectedError("V4", f"row {row.label!r}: coefficients too large for bounded mode")


def check_shard(public: PublicShard, data: bytes) -> Reader:
    """Check that a file is the proof of this shard; return the reader of the messages that follow.

    Raises:
        MalformedError: V1, the file has another header.
        RejectedError: V4, the proof is about another statement or shard.
    """
    shard = public.index
    reader = Reader(data, shard_file(shard), SHARD_MAGIC)
    if reader.raw(len(public.statement_digest), "statement digest") != public.statement_digest:
        raise RejectedError("V4", "the proof is about another statement", shard)
    if reader.u64("shard") != shard:
        raise RejectedError("V4", "the proof is about another shard", shard)
    return reader


def verify_shard(public: PublicShard, data: bytes) -> PointEquation:
    """Read the proof of a shard, and reduce it to one equation between points.

    Raises:
        MalformedError: V1, a point or a scalar is not canonical.
        RejectedError: V4, as `check_shard`, or a projection is out of range.
    """
    shape, relation, shard = public.shape, public.relation, public.index
    # V4
    stream = ProofStream(SHARD, check_shard(public, data))
    stream.absorb(STATEMENT, public.statement_digest)
    stream.absorb(SHARD_ROOTS, shard.to_bytes(8, "big") + public.position_root + public.slack_root)

    # P1
    (mask,), _ = stream.message(MASK, points=["C_M"])

    # P2
    bits = b""
    powers_of_lambda: list[int] = []
    projection_claim: int | None = None
    if shape.bounded:
        bits = projection_stream(stream.seed(PROJECTION_SEED), shape)
        _, projections = stream.message(PROJECTIONS, scalars=[f"z_{number}" for number in range(PROJECTION_COUNT)])
        for number, projection in enumerate(projections):
            if abs(centred(projection)) >= 1 << shape.mask_bits + 1:
                raise RejectedError("V4", f"projection z_{number} out of range: records not shown to be small", shard)
        powers_of_lambda = powers(stream.challenge(LAMBDA), PROJECTION_COUNT)
        projection_claim = dot(powers_of_lambda, projections)

    # P3, P4
    claim = verify_sumcheck(stream, shape, projection_claim)

    # P5
    _, (beta,) = stream.message(BETA, scalars=["beta"])
    mu = stream.challenge(MU)
    chi = stream.challenge(CHI)

    # P6, V5
    rho_accounts = claim.rho[shape.first_account_variable :]
    form = None
    if shape.bounded:
        form = ProjectionForm(combined_columns(bits, shape, powers_of_lambda, eq_table(rho_accounts)), powers_of_lambda)
    weights = shard_weights(relation, shape, claim.tau, claim.rho, mu, form)
    target = shard_claim(relation, mu, beta, claim.value - beta * beta + beta, claim.projection_value)

    # P7, P8, V6: bases (A | chi B | chi^2 M | H), P_0 = X* + chi R* + chi^2 C_M.
    opened = verify_opening(stream, weights, target)
    slacks = shape.columns
    masks = slacks + shape.slack_length
    chi_squared = chi * chi % ORDER
    base = opened.base_weights
    return PointEquation(
        step="V6",
        reason="the opening of the shard does not hold: proof, positions and slack rows do not belong together",
        shard=shard,
        generators={
            Block.A: base[:slacks],
            Block.B: [chi * entry % ORDER for entry in base[slacks:masks]],
            Block.M: [chi_squared * entry % ORDER for entry in base[masks:-1]],
            Block.H: base[-1:],
            Block.U: [opened.value],
        },
        committed={
            Block.X: eq_table(rho_accounts, opened.committed),
            Block.R: eq_table(rho_accounts[shape.packing :], opened.committed * chi % ORDER),
        },
        points=[*opened.points, (opened.committed * chi_squared % ORDER, mask)],
    )
