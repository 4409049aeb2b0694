"""A backend that computes no points, for proofs of which the scalars alone are looked at."""

from collections.abc import Sequence

from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_verifier.protocol.generators import blinding_generator
from crossmargin_verifier.protocol.group import Point


class NoPoints(ReferenceBackend):
    """Answers every multi-scalar multiplication with one point."""

    def msm(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        return blinding_generator()

    def fold_points(self, rows: Sequence[Sequence[Point]], weights: Sequence[int]) -> list[Point]:
        return list(rows[0])
