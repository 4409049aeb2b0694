"""Verification of the proof of one shard, up to one equation between points (SPEC section 3, V4 - V6, section 5)."""

from dataclasses import dataclass

from crossmargin_circuits.relation import VALUE_BITS, Relation
from crossmargin_verifier.protocol.equation import Block, PointEquation
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import ORDER, centred, dot, encode_scalar, encode_scalars
from crossmargin_verifier.protocol.group import encode_point
from crossmargin_verifier.protocol.linear_form import ProjectionForm, shard_claim, shard_weights
from crossmargin_verifier.protocol.messages import ShardProof
from crossmargin_verifier.protocol.opening import verify_opening
from crossmargin_verifier.protocol.polynomial import eq_table, powers
from crossmargin_verifier.protocol.projection import combined_columns, projection_stream
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
    Transcript,
)

__all__ = ["PublicShard", "check_bounded_size", "check_shard", "verify_shard"]


@dataclass(frozen=True)
class PublicShard:
    """What a verifier knows of a shard before he reads its proof."""

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


def check_shard(public: PublicShard, proof: ShardProof) -> None:
    """Check what needs no challenge: the proof is about this shard, and its projections are in range.

    Raises:
        RejectedError: V4.
    """
    shard = public.index
    if proof.statement_digest != public.statement_digest:
        raise RejectedError("V4", "the proof is about another statement", shard)
    if proof.shard != shard:
        raise RejectedError("V4", f"the proof is about shard {proof.shard}", shard)
    limit = 1 << public.shape.mask_bits + 1
    for number, projection in enumerate(proof.projections):
        if abs(centred(projection)) >= limit:
            raise RejectedError("V4", f"projection z_{number} out of range: records are not shown to be small", shard)


def verify_shard(public: PublicShard, proof: ShardProof) -> PointEquation:
    """Run the transcript of a shard again and reduce its proof to one equation between points.

    Raises:
        RejectedError: V4, as `check_shard`.
    """
    shape, relation, shard = public.shape, public.relation, public.index
    # V4
    check_shard(public, proof)
    transcript = Transcript(SHARD)
    transcript.absorb(STATEMENT, public.statement_digest)
    transcript.absorb(SHARD_ROOTS, shard.to_bytes(8, "big") + public.position_root + public.slack_root)

    # P1
    transcript.absorb(MASK, encode_point(proof.mask))

    # P2
    stream = b""
    powers_of_lambda: list[int] = []
    projection_claim: int | None = None
    if shape.bounded:
        stream = projection_stream(transcript.seed(PROJECTION_SEED), shape)
        transcript.absorb(PROJECTIONS, encode_scalars(proof.projections))
        powers_of_lambda = powers(transcript.challenge(LAMBDA), len(proof.projections))
        projection_claim = dot(powers_of_lambda, proof.projections)

    # P3, P4
    claim = verify_sumcheck(transcript, shape, proof, projection_claim)

    # P5
    transcript.absorb(BETA, encode_scalar(proof.beta))
    mu = transcript.challenge(MU)
    chi = transcript.challenge(CHI)
    phi = claim.value - proof.beta * proof.beta + proof.beta

    # P6, V5
    rho_accounts = claim.rho[shape.first_account_variable :]
    form = None
    if shape.bounded:
        columns = combined_columns(stream, shape, powers_of_lambda, eq_table(rho_accounts))
        form = ProjectionForm(columns, powers_of_lambda)
    weights = shard_weights(relation, shape, claim.tau, claim.rho, mu, form)
    target = shard_claim(relation, mu, proof.beta, phi, claim.projection_value)

    # P7, P8, V6: bases (A | chi B | chi^2 M | H), P_0 = X* + chi R* + chi^2 C_M.
    opened = verify_opening(transcript, proof.opening, weights, target)
    bits = shape.columns
    masks = bits + shape.slack_length
    chi_squared = chi * chi % ORDER
    base = opened.base_weights
    return PointEquation(
        step="V6",
        reason="the opening of the shard does not hold: proof, positions and slack rows do not belong together",
        shard=shard,
        generators={
            Block.A: base[:bits],
            Block.B: [chi * entry % ORDER for entry in base[bits:masks]],
            Block.M: [chi_squared * entry % ORDER for entry in base[masks:-1]],
            Block.H: base[-1:],
            Block.U: [opened.value],
        },
        committed={
            Block.X: eq_table(rho_accounts, opened.committed),
            Block.R: eq_table(rho_accounts[shape.packing :], opened.committed * chi % ORDER),
        },
        points=[*opened.points, (opened.committed * chi_squared % ORDER, proof.mask)],
    )
