"""Verification of the opened totals, up to one equation between points each (SPEC P9, P10, V7, V8)."""

from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.equation import Block, PointEquation
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import dot
from crossmargin_verifier.protocol.group import encode_point
from crossmargin_verifier.protocol.limits import TOTAL_BOUND
from crossmargin_verifier.protocol.linear_form import auxiliary_weights
from crossmargin_verifier.protocol.messages import AuxiliaryTotals, BaseTotals, encode_total_list
from crossmargin_verifier.protocol.opening import verify_opening
from crossmargin_verifier.protocol.polynomial import powers
from crossmargin_verifier.protocol.shape import Shape
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

__all__ = ["verify_auxiliary_totals", "verify_base_totals"]


def verify_base_totals(snapshot_digest: bytes, proof: BaseTotals) -> PointEquation:
    """Reduce the base totals to s H - Gamma - eta (sum_i X_i - sum_v T_v A_v) = identity.

    Raises:
        RejectedError: V7.
    """
    if proof.snapshot_digest != snapshot_digest:
        raise RejectedError("V7", "the totals are about another snapshot")
    for column, total in enumerate(proof.totals):
        if abs(total) >= TOTAL_BOUND:
            raise RejectedError("V7", f"total of column {column}: magnitude not below 2^120")
    transcript = Transcript(TOTALS)
    transcript.absorb(SNAPSHOT, snapshot_digest)
    transcript.absorb(TOTALS_VALUES, encode_total_list(proof.totals))
    transcript.absorb(TOTALS_NONCE, encode_point(proof.nonce))
    eta = transcript.challenge(ETA)
    return PointEquation(
        step="V7",
        reason="the totals are not those of the committed positions",
        shard=None,
        generators={Block.A: [eta * total for total in proof.totals], Block.H: [proof.response]},
        uniform={Block.X: -eta},
        points=[(-1, proof.nonce)],
    )


def verify_auxiliary_totals(
    statement_digest: bytes, relation: Relation, shape: Shape, proof: AuxiliaryTotals
) -> PointEquation:
    """Reduce the totals of the disclosed auxiliaries to one equation between points.

    Raises:
        RejectedError: V8.
    """
    if proof.statement_digest != statement_digest:
        raise RejectedError("V8", "the auxiliary totals are about another statement")
    for number, total in zip(relation.disclosed, proof.totals, strict=True):
        if not 0 <= total < TOTAL_BOUND:
            label = relation.auxiliaries[number].label
            raise RejectedError("V8", f"total of auxiliary {label!r}: not in 0 .. 2^120 - 1")
    transcript = Transcript(AUXILIARY_TOTALS)
    transcript.absorb(STATEMENT, statement_digest)
    transcript.absorb(TOTALS_VALUES, encode_total_list(proof.totals))
    zeta = transcript.challenge(ZETA)
    weights = auxiliary_weights(relation, shape.packing, zeta)
    claim = dot(powers(zeta, len(proof.totals)), proof.totals)
    opened = verify_opening(transcript, proof.opening, weights, claim)
    return PointEquation(
        step="V8",
        reason="the auxiliary totals are not those of the committed slack rows",
        shard=None,
        generators={
            Block.B: opened.base_weights[:-1],
            Block.H: opened.base_weights[-1:],
            Block.U: [opened.value],
        },
        uniform={Block.R: opened.committed},
        points=opened.points,
    )
