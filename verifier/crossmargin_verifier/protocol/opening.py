"""Opening of a linear form of committed vectors, folded to four scalars (SPEC P7, P8, V6).

Shown: P_0 = <o, bases> and <o, w> = claim for some o. With P = Gamma + eta P_0 + xi (u + eta claim) U the response s
satisfies <s, bases> + xi <s, w> U = P; each fold halves s, bases and w, and P <- E + x P + x^2 E'. The verifier folds
only scalars and obtains one equation between points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmargin_verifier.protocol.field import ORDER, dot
from crossmargin_verifier.protocol.group import Affine
from crossmargin_verifier.protocol.proof_stream import ProofStream
from crossmargin_verifier.protocol.shape import LAST_LENGTH, folds
from crossmargin_verifier.protocol.transcript import ETA, FOLD, FOLD_CHALLENGE, OPEN, XI

__all__ = ["OpeningEquation", "verify_opening"]


@dataclass(frozen=True)
class OpeningEquation:
    """The remaining claim: <base_weights, bases> + value U + committed P_0 + sum coefficient * point = identity."""

    base_weights: Sequence[int]
    value: int
    committed: int
    points: Sequence[tuple[int, Affine]]


def verify_opening(stream: ProofStream, weights: Sequence[int], claim: int) -> OpeningEquation:
    """Read an opening of <o, weights> = claim to the end of the file, and reduce it to one equation between points.

    weights: w, l_0 of them, unpadded. The bases are those of the caller, with the factors of their blocks.

    Raises:
        MalformedError: a point or a scalar is not canonical.
    """
    (nonce,), (nonce_value,) = stream.message(OPEN, points=["Gamma"], scalars=["u"])
    eta = stream.challenge(ETA)
    xi = stream.challenge(XI)
    pairs = []
    for fold in range(1, folds(len(weights)) + 1):
        pair, _ = stream.message(FOLD, points=[f"E of fold {fold}", f"E' of fold {fold}"])
        pairs.append((pair, stream.challenge(FOLD_CHALLENGE)))

    # The coefficient of base i is s_{i mod 4} times x_f for every fold f that found i in the lower half.
    base_weights = stream.last(LAST_LENGTH, "last scalars")
    for _, challenge in reversed(pairs):
        base_weights = [challenge * entry % ORDER for entry in base_weights] + base_weights
    del base_weights[len(weights) :]

    # w is folded as the bases are, so that <s, w folded> is the same combination of w.
    points: list[tuple[int, Affine]] = []
    rest = 1
    for (low, high), challenge in reversed(pairs):
        points.append((-rest % ORDER, low))
        points.append((-rest * challenge * challenge % ORDER, high))
        rest = rest * challenge % ORDER
    points.append((-rest % ORDER, nonce))
    value = xi * (dot(base_weights, weights) - rest * (nonce_value + eta * claim)) % ORDER
    return OpeningEquation(base_weights, value, -rest * eta % ORDER, points)
