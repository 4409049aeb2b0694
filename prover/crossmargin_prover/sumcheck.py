"""The zero-knowledge sum-check over the bits (SPEC P3, P4).

Claim: 0 = sum_z eq(tau, z) Phi(z), Phi = b_hat^2 - b_hat + g. Round d sends the coefficients 1 .. D_d of

    t_d(Z) = sum_{z'} eq(tau_{>d}, z') Phi(rho_{<d}, Z, z');

the mask g adds g_{d,e} to coefficient e and nothing else, since the sum of eq over the cube is one.
"""

from dataclasses import dataclass

from crossmargin_prover.backend import Backend, UInt64Array
from crossmargin_prover.masks import Masks
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.transcript import RHO, ROUND, TAU

__all__ = ["ReducedSumcheck", "prove_sumcheck"]


@dataclass(frozen=True)
class ReducedSumcheck:
    """The points of the challenges, and the value b_hat(rho), not sent yet."""

    tau: list[int]
    rho: list[int]
    beta: int


def prove_sumcheck(
    writer: ProofWriter,
    shape: Shape,
    values: UInt64Array,
    masks: Masks,
    backend: Backend,
) -> ReducedSumcheck:
    """Prove that the bits of values (N, J) are bits."""
    tau = [writer.challenge(TAU) for _ in range(shape.variables)]
    state = backend.bit_sumcheck(values, tau, masks.cube)
    rho: list[int] = []
    for variable, mask in enumerate(masks.rounds):
        message = [(t + g) % ORDER for t, g in zip(state.round(), mask, strict=True)]
        writer.message(ROUND, scalars=message)
        challenge = writer.challenge(RHO)
        while variable == 0 and challenge in (0, 1):
            challenge = writer.challenge(RHO)
        rho.append(challenge)
        state.bind(challenge)
    return ReducedSumcheck(tau, rho, state.value)
