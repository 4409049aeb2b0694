"""Verification of the disclosed totals, up to one equation between points each (SPEC P9, P10, V7, V8)."""

from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.equation import Block, PointEquation, slack_blocks
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import dot
from crossmargin_verifier.protocol.limits import TOTAL_BOUND
from crossmargin_verifier.protocol.linear_form import auxiliary_weights
from crossmargin_verifier.protocol.manifests import AUXILIARY_TOTALS_FILE, TOTALS_FILE
from crossmargin_verifier.protocol.opening import verify_opening
from crossmargin_verifier.protocol.polynomial import powers
from crossmargin_verifier.protocol.proof_stream import AUXILIARY_TOTALS_MAGIC, TOTALS_MAGIC, open_proof
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
)

__all__ = ["verify_auxiliary_totals", "verify_base_totals"]


def verify_base_totals(snapshot_digest: bytes, columns: int, data: bytes) -> tuple[tuple[int, ...], PointEquation]:
    """Return the totals of so many columns, and s H - Gamma - eta (sum_i X_i - sum_v T_v A_v) = identity.

    Raises:
        MalformedError: V1. RejectedError: V7.
    """
    stream = open_proof(TOTALS, TOTALS_FILE, TOTALS_MAGIC, data, "V7", SNAPSHOT, snapshot_digest)
    totals = stream.totals(TOTALS_VALUES, columns)
    for column, total in enumerate(totals):
        if abs(total) >= TOTAL_BOUND:
            raise RejectedError("V7", f"total of column {column}: magnitude not below 2^120")
    (nonce,), _ = stream.message(TOTALS_NONCE, points=["Gamma"])
    eta = stream.challenge(ETA)
    return totals, PointEquation(
        step="V7",
        reason="the totals are not those of the committed positions",
        generators={Block("A"): [eta * total for total in totals], Block("H"): stream.last(1, "s")},
        uniform={Block("X"): -eta},
        points=[(-1, nonce)],
    )


def verify_auxiliary_totals(
    statement_digest: bytes, relation: Relation, shape: Shape, data: bytes
) -> tuple[tuple[int, ...], PointEquation]:
    """Return the totals of the disclosed auxiliaries, and the equation between points that must hold.

    Raises:
        MalformedError: V1. RejectedError: V8.
    """
    file, magic = AUXILIARY_TOTALS_FILE, AUXILIARY_TOTALS_MAGIC
    stream = open_proof(AUXILIARY_TOTALS, file, magic, data, "V8", STATEMENT, statement_digest)
    totals = stream.totals(TOTALS_VALUES, shape.disclosed)
    for number, total in zip(relation.disclosed, totals, strict=True):
        if not 0 <= total < TOTAL_BOUND:
            raise RejectedError("V8", f"total of {relation.auxiliaries[number].label!r}: not in 0 .. 2^120 - 1")
    zeta = stream.challenge(ZETA)
    weights = auxiliary_weights(relation, shape.packing, zeta)
    opened = verify_opening(stream, weights, dot(powers(zeta, len(totals)), totals))
    return totals, PointEquation(
        step="V8",
        reason="the auxiliary totals are not those of the committed slack rows",
        generators={
            **slack_blocks(shape.packing, opened.base_weights[:-1]),
            Block("H"): opened.base_weights[-1:],
            Block("U"): [opened.value],
        },
        uniform={Block("R", statement_digest): opened.committed},
        points=opened.points,
    )
