"""The sum-check that the committed values are bits, and beside it the one over the projections (SPEC P3, P4, V4).

Round d sends t_{d,1} .. t_{d,D_d}; t_{d,0} = f_{d-1} - tau_d sum_e t_{d,e} and f_d = t_d(rho_d), from f_0 = 0. In
bounded mode the account rounds also send p_1, p_2 with p_0 = (f' - p_1 - p_2) / 2 and f' <- p(rho_d).
"""

from dataclasses import dataclass

from crossmargin_verifier.protocol.field import HALF
from crossmargin_verifier.protocol.polynomial import evaluate
from crossmargin_verifier.protocol.proof_stream import ProofStream
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.transcript import RHO, ROUND, TAU

__all__ = ["EvaluationClaim", "verify_sumcheck"]


@dataclass(frozen=True)
class EvaluationClaim:
    """The remaining claim: Phi(rho) = value, and in bounded mode the projected summand at rho_acc = projection_value.

    Any prover's messages lead to such a claim; the opening decides whether it is true.
    """

    tau: tuple[int, ...]
    rho: tuple[int, ...]
    value: int
    projection_value: int | None


def verify_sumcheck(stream: ProofStream, shape: Shape, projection_claim: int | None) -> EvaluationClaim:
    """Reduce the sum over the cube to one evaluation; projection_claim is sum_l lambda^l z_l in bounded mode.

    Raises:
        MalformedError: a coefficient is not canonical.
    """
    tau = tuple(stream.challenge(TAU) for _ in range(shape.variables))
    rho: list[int] = []
    claim = 0
    for variable, degree in enumerate(shape.degrees):
        projected = projection_claim is not None and variable >= shape.first_account_variable
        count = degree + 2 if projected else degree
        _, sent = stream.message(ROUND, scalars=[f"round {variable + 1}"] * count)
        challenge = stream.challenge(RHO)
        # In the first round a z_1 (1 - z_1) masks b_hat(rho), and must not vanish.
        while variable == 0 and challenge in (0, 1):
            challenge = stream.challenge(RHO)
        rho.append(challenge)
        coefficients, pair = sent[:degree], sent[degree:]
        claim = evaluate([claim - tau[variable] * sum(coefficients), *coefficients], challenge)
        if projection_claim is not None and projected:
            projection_claim = evaluate([(projection_claim - sum(pair)) * HALF, *pair], challenge)
    return EvaluationClaim(tau, tuple(rho), claim, projection_claim)
