"""Opening of a linear form of committed vectors, folded to four scalars (SPEC P7, P8).

Shown: o with <o, bases> = P_0 and <o, w> = claim. With a nonce q, s = q + eta o is a Schnorr response; instead of s
the prover sends log2(l) - 2 pairs of points, each fold halving s, w and the bases:

    s <- s_lo + x s_hi,   bases <- x bases_lo + bases_hi,   w <- x w_lo + w_hi.
"""

from collections.abc import Sequence

from crossmargin_prover.backend import Backend, finite
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_verifier.protocol.field import ORDER, dot
from crossmargin_verifier.protocol.generators import value_generator
from crossmargin_verifier.protocol.group import Affine, Point
from crossmargin_verifier.protocol.shape import LAST_LENGTH, folds
from crossmargin_verifier.protocol.transcript import ETA, FOLD, FOLD_CHALLENGE, OPEN, XI

__all__ = ["fold_response", "prove_opening"]

FOLDS_BEFORE_MERGE = 4
"""Folds done by multiplying scalars, before the bases are multiplied out once: a fold on the original bases costs as
much at every length, while multiplying them out costs about 70 additions for each base and 256 for each sum."""

FOLDS_AFTER_MERGE = 3
"""Least number of remaining folds for which multiplying the bases out pays."""


class _Bases:
    """Folded bases, multiplied out only if that pays: base p is the sum of c_k points_k over k = p modulo length."""

    def __init__(self, points: Sequence[Point], coefficients: Sequence[int], length: int, backend: Backend) -> None:
        self._points = list(points)
        self._coefficients = list(coefficients)
        self._length = length
        self._backend = backend

    def cross_terms(self, s: list[int], values: tuple[int, int]) -> tuple[Affine, Affine]:
        """Return <s_lo, bases_hi> and <s_hi, bases_lo>, plus a multiple of U each."""
        half = self._length // 2
        scalars = ([values[0]], [values[1]])
        points: tuple[list[Point], list[Point]] = ([value_generator()], [value_generator()])
        for index, (point, coefficient) in enumerate(zip(self._points, self._coefficients, strict=True)):
            position = index & (self._length - 1)
            low = position < half
            scalars[low].append(s[position ^ half] * coefficient % ORDER)
            points[low].append(point)
        return finite(self._backend.msm(scalars[0], points[0])), finite(self._backend.msm(scalars[1], points[1]))

    def fold(self, challenge: int) -> None:
        """Replace the bases by x bases_lo + bases_hi."""
        half = self._length // 2
        for index in range(len(self._coefficients)):
            if index & half == 0:
                self._coefficients[index] = self._coefficients[index] * challenge % ORDER
        self._length = half

    def merge(self) -> None:
        """Multiply the bases out, so that every position has one point again."""
        rows: dict[tuple[int, int], list[Point]] = {}
        for index, (point, coefficient) in enumerate(zip(self._points, self._coefficients, strict=True)):
            row = rows.setdefault((index // self._length, coefficient), [None] * self._length)
            row[index % self._length] = point
        self._points = self._backend.fold_points(list(rows.values()), [coefficient for _, coefficient in rows])
        self._coefficients = [1] * self._length


def prove_opening(
    writer: ProofWriter,
    points: Sequence[Affine],
    factors: Sequence[int],
    secret: Sequence[int],
    weights: Sequence[int],
    nonces: Sequence[int],
    backend: Backend,
) -> bytes:
    """Write the opening of <o, w> for o = secret committed over the bases factors_i points_i; return the whole file.

    All sequences have one length l_0.

    Precondition: nonces (q) are uniform, secret and never used again.
    """
    # P7: the response s = q + eta o is folded and never sent.
    scalars = [q * factor % ORDER for q, factor in zip(nonces, factors, strict=True)]
    commitment = finite(backend.msm(scalars, points))
    value = dot(nonces, weights)
    writer.message(OPEN, points=[commitment], scalars=[value])
    eta = writer.challenge(ETA)
    response = [(q + eta * entry) % ORDER for q, entry in zip(nonces, secret, strict=True)]
    return fold_response(writer, points, factors, response, weights, backend)


def fold_response(
    writer: ProofWriter,
    points: Sequence[Affine],
    factors: Sequence[int],
    response: Sequence[int],
    weights: Sequence[int],
    backend: Backend,
) -> bytes:
    """Fold the response s to the sent pairs and scalars, a public function of s (SPEC P8); return the whole file."""
    xi = writer.challenge(XI)
    rounds = folds(len(points))
    length = LAST_LENGTH << rounds
    padding = [0] * (length - len(points))
    s = [*response, *padding]
    w = [*weights, *padding]
    bases = _Bases(points, factors, length, backend)
    for fold in range(rounds):
        if fold == FOLDS_BEFORE_MERGE and rounds - fold >= FOLDS_AFTER_MERGE:
            bases.merge()
        half = length >> (fold + 1)
        s_low, s_high, w_low, w_high = s[:half], s[half:], w[:half], w[half:]
        pair = bases.cross_terms(s, (xi * dot(s_low, w_high), xi * dot(s_high, w_low)))
        writer.message(FOLD, points=pair)
        x = writer.challenge(FOLD_CHALLENGE)
        s = [(a + x * b) % ORDER for a, b in zip(s_low, s_high, strict=True)]
        w = [(x * a + b) % ORDER for a, b in zip(w_low, w_high, strict=True)]
        bases.fold(x)
    return writer.last(s)
