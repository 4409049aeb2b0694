"""Openings of the totals: all columns of the snapshot, and the disclosed auxiliaries of a statement (SPEC P9, P10)."""

from collections.abc import Sequence

from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import Backend, finite
from crossmargin_prover.opening import prove_opening
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.generators import blinding_generator, slack_generators
from crossmargin_verifier.protocol.linear_form import auxiliary_weights
from crossmargin_verifier.protocol.proof_stream import AUXILIARY_TOTALS_MAGIC, TOTALS_MAGIC
from crossmargin_verifier.protocol.transcript import (
    AUXILIARY_TOTALS,
    ETA,
    SNAPSHOT,
    STATEMENT,
    TOTALS,
    TOTALS_NONCE,
    TOTALS_VALUES,
    ZETA,
)

__all__ = ["prove_auxiliary_totals", "prove_base_totals"]


def prove_base_totals(
    snapshot_digest: bytes, totals: Sequence[int], blinding: int, nonce: int, backend: Backend
) -> bytes:
    """Open T_v = sum_i x_iv for every column, and the blinding sum_i r_i by a Schnorr proof (SPEC P9); return the file.

    nonce: q, uniform, secret and never used again.
    """
    writer = ProofWriter(TOTALS, TOTALS_MAGIC, snapshot_digest)
    writer.absorb(SNAPSHOT, snapshot_digest)
    writer.totals(TOTALS_VALUES, totals)
    writer.message(TOTALS_NONCE, points=[finite(backend.msm([nonce], [blinding_generator()]))])
    eta = writer.challenge(ETA)
    return writer.last([nonce + eta * blinding])


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
) -> bytes:
    """Open the totals of the disclosed auxiliaries over the sum of all slack rows (SPEC P10); return the file.

    totals: T'_e; bit_sums: sum_h b_{hG+a,j,t}, ordered (a J + j) 64 + t; blinding: sum_h s_h; context: the bytes
    besides the transcript that the draws of the opening are bound to.
    """
    writer = ProofWriter(AUXILIARY_TOTALS, AUXILIARY_TOTALS_MAGIC, statement_digest)
    writer.absorb(STATEMENT, statement_digest)
    writer.totals(TOTALS_VALUES, totals)
    zeta = writer.challenge(ZETA)
    weights = auxiliary_weights(relation, packing, zeta)
    secret = [*bit_sums, blinding % ORDER]
    points = [*slack_generators(relation.values, packing), blinding_generator()]
    nonces = randomness.scalars(Draw.AUXILIARY_OPEN, 0, 0, len(points), writer.state + context)
    return prove_opening(writer, points, [1] * len(points), secret, weights, nonces, backend)
