"""The sum-check that the committed values are bits, and beside it the one over the projections (SPEC P3, P4, V4).

Round d sends t_{d,1} .. t_{d,D_d}; t_{d,0} = f_{d-1} - tau_d sum_e t_{d,e} and f_d = t_d(rho_d), from f_0 = 0. In
bounded mode the account rounds also send p_1, p_2 with p_0 = (f' - p_1 - p_2) / 2 and f' <- p(rho_d).
"""

from dataclasses import dataclass

from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.messages import ShardProof
from crossmargin_verifier.protocol.polynomial import evaluate
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.transcript import RHO, ROUND, TAU, Transcript

__all__ = ["EvaluationClaim", "verify_sumcheck"]

_HALF = pow(2, -1, ORDER)


@dataclass(frozen=True)
class EvaluationClaim:
    """What is left to show: Phi(rho) = value, and in bounded mode the projected summand at rho_acc = projection_value.

    Every prover's messages lead to such a claim; the opening decides whether it is true.
    """

    tau: tuple[int, ...]
    rho: tuple[int, ...]
    value: int
    projection_value: int | None


def verify_sumcheck(
    transcript: Transcript, shape: Shape, proof: ShardProof, projection_claim: int | None
) -> EvaluationClaim:
    """Reduce the sum over the cube to one evaluation; projection_claim is sum_l lambda^l z_l in bounded mode."""
    tau = tuple(transcript.challenge(TAU) for _ in range(shape.variables))
    rho: list[int] = []
    claim = 0
    for variable, coefficients in enumerate(proof.rounds):
        transcript.absorb(ROUND, proof.round_message(variable))
        challenge = transcript.challenge(RHO)
        # In the first round a z_1 (1 - z_1) masks b_hat(rho), and must not vanish.
        while variable == 0 and challenge in (0, 1):
            challenge = transcript.challenge(RHO)
        rho.append(challenge)
        claim = evaluate([claim - tau[variable] * sum(coefficients), *coefficients], challenge)
        if projection_claim is not None and variable >= shape.first_account_variable:
            pair = proof.projection_rounds[variable - shape.first_account_variable]
            projection_claim = evaluate([(projection_claim - sum(pair)) * _HALF, *pair], challenge)
    return EvaluationClaim(tau, tuple(rho), claim, projection_claim)
