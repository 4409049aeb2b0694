"""Openings of the totals: all columns of the snapshot, and the disclosed auxiliaries of a statement (SPEC P9, P10)."""

from collections.abc import Sequence

from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import Backend, finite
from crossmargin_prover.opening import prove_opening
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.generators import blinding_generator, slack_generators
from crossmargin_verifier.protocol.group import encode_point
from crossmargin_verifier.protocol.linear_form import auxiliary_weights
from crossmargin_verifier.protocol.messages import AuxiliaryTotals, BaseTotals, encode_total_list
from crossmargin_verifier.protocol.transcript import (
    AUXILIARY_TOTALS,
    ETA,
    SNAPSHOT,
    STATEMENT,
    TOTALS,
    TOTALS_NONCE,
    TOTALS_VALUES,
    ZETA,
    Transcript,
)

__all__ = ["prove_auxiliary_totals", "prove_base_totals"]


def prove_base_totals(
    snapshot_digest: bytes, totals: Sequence[int], blinding: int, nonce: int, backend: Backend
) -> BaseTotals:
    """Open T_v = sum_i x_iv for every column, with a Schnorr proof of the blinding sum_i r_i (SPEC P9).

    nonce: q, uniform, secret and never used again.
    """
    transcript = Transcript(TOTALS)
    transcript.absorb(SNAPSHOT, snapshot_digest)
    transcript.absorb(TOTALS_VALUES, encode_total_list(tuple(totals)))
    commitment = finite(backend.msm([nonce], [blinding_generator()]))
    transcript.absorb(TOTALS_NONCE, encode_point(commitment))
    eta = transcript.challenge(ETA)
    return BaseTotals(snapshot_digest, tuple(totals), commitment, (nonce + eta * blinding) % ORDER)


def prove_auxiliary_totals(
    statement_digest: bytes,
    relation: Relation,
    packing: int,
    totals: Sequence[int],
    bit_sums: Sequence[int],
    blinding: int,
    randomness: Randomness,
    context: bytes,
    backend: Backend,
) -> AuxiliaryTotals:
    """Open the totals of the disclosed auxiliaries over the sum of all slack rows (SPEC P10).

    totals: T'_e; bit_sums: sum_h b_{hG+a,j,t}, ordered (a J + j) 64 + t; blinding: sum_h s_h; context: what the draws
    of the opening are bound to, besides the transcript.
    """
    transcript = Transcript(AUXILIARY_TOTALS)
    transcript.absorb(STATEMENT, statement_digest)
    transcript.absorb(TOTALS_VALUES, encode_total_list(tuple(totals)))
    zeta = transcript.challenge(ZETA)
    weights = auxiliary_weights(relation, packing, zeta)
    secret = [*bit_sums, blinding % ORDER]
    points = [*slack_generators(relation.values, packing), blinding_generator()]
    nonces = randomness.scalars(Draw.AUXILIARY_OPEN, 0, 0, len(points), transcript.state + context)
    opening = prove_opening(transcript, points, [1] * len(points), secret, weights, nonces, backend)
    return AuxiliaryTotals(statement_digest, tuple(totals), opening)
