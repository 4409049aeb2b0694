"""Opening of a linear form of committed vectors, folded to four scalars (SPEC P7, P8, V6).

Shown: P_0 = <o, bases> and <o, w> = claim for some o. With P = Gamma + eta P_0 + xi (u + eta claim) U the response s
satisfies <s, bases> + xi <s, w> U = P; each fold halves s, bases and w, and P <- E + x P + x^2 E'. The verifier folds
nothing but scalars and is left with one equation between points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmargin_verifier.protocol.field import ORDER, dot, encode_scalar
from crossmargin_verifier.protocol.group import Affine, encode_point
from crossmargin_verifier.protocol.messages import Opening
from crossmargin_verifier.protocol.transcript import ETA, FOLD, FOLD_CHALLENGE, OPEN, XI, Transcript

__all__ = ["OpeningEquation", "verify_opening"]


@dataclass(frozen=True)
class OpeningEquation:
    """What is left to show: <base_weights, bases> + value U + committed P_0 + sum coefficient * point = identity."""

    base_weights: Sequence[int]
    value: int
    committed: int
    points: Sequence[tuple[int, Affine]]


def verify_opening(transcript: Transcript, opening: Opening, weights: Sequence[int], claim: int) -> OpeningEquation:
    """Reduce an opening of <o, weights> = claim to one equation between points.

    weights: w, l_0 of them, unpadded. The bases are those of the caller, with the factors of their blocks.
    """
    transcript.absorb(OPEN, encode_point(opening.nonce) + encode_scalar(opening.value))
    eta = transcript.challenge(ETA)
    xi = transcript.challenge(XI)
    challenges = []
    for low, high in opening.folds:
        transcript.absorb(FOLD, encode_point(low) + encode_point(high))
        challenges.append(transcript.challenge(FOLD_CHALLENGE))

    # The coefficient of base i is s_{i mod 4} times x_f for every fold f that found i in the lower half.
    base_weights = list(opening.scalars)
    for challenge in reversed(challenges):
        base_weights = [challenge * entry % ORDER for entry in base_weights] + base_weights
    del base_weights[len(weights) :]

    # w is folded as the bases are, so that <s, w folded> is the same combination of w.
    points: list[tuple[int, Affine]] = []
    rest = 1
    for (low, high), challenge in zip(reversed(opening.folds), reversed(challenges), strict=True):
        points.append((-rest % ORDER, low))
        points.append((-rest * challenge * challenge % ORDER, high))
        rest = rest * challenge % ORDER
    points.append((-rest % ORDER, opening.nonce))
    value = xi * (dot(base_weights, weights) - rest * (opening.value + eta * claim)) % ORDER
    return OpeningEquation(base_weights, value, -rest * eta % ORDER, points)
