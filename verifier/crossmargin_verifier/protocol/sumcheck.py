"""The sum-check that the committed values are bits (SPEC P3, P4, V5).

Round d sends t_{d,1} .. t_{d,D_d}; t_{d,0} = f_{d-1} - tau_d sum_e t_{d,e} and f_d = t_d(rho_d), from f_0 = 0.
"""

from dataclasses import dataclass

from crossmargin_verifier.protocol.polynomial import evaluate
from crossmargin_verifier.protocol.proof_stream import ProofStream
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.transcript import RHO, ROUND, TAU

__all__ = ["EvaluationClaim", "verify_sumcheck"]


@dataclass(frozen=True)
class EvaluationClaim:
    """The remaining claim: Phi(rho) = value. Any messages lead to one; the opening decides whether it holds."""

    tau: tuple[int, ...]
    rho: tuple[int, ...]
    value: int


def verify_sumcheck(stream: ProofStream, shape: Shape) -> EvaluationClaim:
    """Reduce the sum over the cube to one evaluation.

    Raises:
        MalformedError: a coefficient is not canonical.
    """
    tau = tuple(stream.challenge(TAU) for _ in range(shape.variables))
    rho: list[int] = []
    claim = 0
    for variable, degree in enumerate(shape.degrees):
        _, sent = stream.message(ROUND, scalars=[f"round {variable + 1}"] * degree)
        challenge = stream.challenge(RHO)
        # In the first round a z_1 (1 - z_1) masks b_hat(rho), and must not vanish.
        while variable == 0 and challenge in (0, 1):
            challenge = stream.challenge(RHO)
        rho.append(challenge)
        claim = evaluate([claim - tau[variable] * sum(sent), *sent], challenge)
    return EvaluationClaim(tau, tuple(rho), claim)
