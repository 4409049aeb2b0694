"""Verification of the proof of one shard, up to one equation between points (SPEC section 3, P1 - P8, V5, V6)."""

from dataclasses import dataclass

from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.equation import Block, PointEquation, slack_blocks
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.linear_form import shard_claim, shard_weights
from crossmargin_verifier.protocol.manifests import shard_file
from crossmargin_verifier.protocol.opening import verify_opening
from crossmargin_verifier.protocol.polynomial import eq_table
from crossmargin_verifier.protocol.proof_stream import SHARD_MAGIC, open_proof
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.sumcheck import verify_sumcheck
from crossmargin_verifier.protocol.transcript import BETA, CHI, MASK, MU, SHARD, STATEMENT

__all__ = ["PublicShard", "verify_shard"]


@dataclass(frozen=True)
class PublicShard:
    """The public data of a shard, known before its proof is read: its number (index) and cnt_j accounts among them."""

    statement_digest: bytes
    relation: Relation
    shape: Shape
    accounts: int
    index: int
    position_root: bytes
    slack_root: bytes


def verify_shard(public: PublicShard, data: bytes) -> PointEquation:
    """Read the proof of a shard, and reduce it to one equation between points.

    Raises:
        MalformedError: V1, a point or a scalar is not canonical.
        RejectedError: V5, the proof is about another statement or shard.
    """
    shape, relation, digest = public.shape, public.relation, public.statement_digest
    roots = public.index.to_bytes(8, "big") + public.position_root + public.slack_root
    stream = open_proof(SHARD, shard_file(public.index), SHARD_MAGIC, data, "V5", STATEMENT, digest, roots)

    # P1, P3, P4
    (mask,), _ = stream.message(MASK, points=["C_M"])
    claim = verify_sumcheck(stream, shape)

    # P5
    _, (beta,) = stream.message(BETA, scalars=["beta"])
    mu = stream.challenge(MU)
    chi = stream.challenge(CHI)

    # P6, V5: the offsets count for the accounts, not for the empty leaves behind them.
    rho_accounts = claim.rho[shape.first_account_variable :]
    accounts = eq_table(rho_accounts)[: public.accounts]
    weights = shard_weights(relation, shape, claim.tau, claim.rho, mu)
    target = shard_claim(relation, mu, beta, claim.value - beta * beta + beta, sum(accounts))

    # P7, P8, V6: bases (A | chi B | chi^2 M | H), P_0 = X* + chi R* + chi^2 C_M.
    opened = verify_opening(stream, weights, target)
    slacks = shape.columns
    masks = slacks + shape.slack_length
    chi_squared = chi * chi % ORDER
    base = opened.base_weights
    return PointEquation(
        step="V6",
        reason="the opening of the shard does not hold: proof, positions and slack rows do not belong together",
        generators={
            Block("A"): base[:slacks],
            **slack_blocks(shape.packing, [chi * entry % ORDER for entry in base[slacks:masks]]),
            Block("M"): [chi_squared * entry % ORDER for entry in base[masks:-1]],
            Block("H"): base[-1:],
            Block("U"): [opened.value],
        },
        committed={
            Block("X"): [opened.committed * entry % ORDER for entry in accounts],
            Block("R", digest): eq_table(rho_accounts[shape.packing :], opened.committed * chi % ORDER),
        },
        points=[*opened.points, (opened.committed * chi_squared % ORDER, mask)],
    )
