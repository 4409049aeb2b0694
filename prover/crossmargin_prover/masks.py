"""Masks of a shard proof: uniform vectors that hide the sum-check, and their commitment C_M (SPEC P1, section 5).

o_M = (a, g_{1,1..4}, g_{2,1}, g_{2,2}, ..., g_{n,2}); bounded mode appends g'_{d,1}, g'_{d,2} for the account rounds
and y_0 .. y_127, uniform in [0, 2^Y).
"""

from dataclasses import dataclass

from crossmargin_prover.backend import Backend, finite
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_verifier.protocol.generators import blinding_generator, mask_generators
from crossmargin_verifier.protocol.group import Affine
from crossmargin_verifier.protocol.shape import PROJECTIONS, Shape

__all__ = ["Masks"]


@dataclass(frozen=True, repr=False)
class Masks:
    """The entries of o_M and the blinding r_M; never used for a second proof."""

    cube: int
    """a, the mask of the multilinear extension of the bits."""
    rounds: tuple[tuple[int, ...], ...]
    """g_{d,1..D_d} for every round."""
    projection_rounds: tuple[tuple[int, int], ...]
    """g'_{d,1}, g'_{d,2} for the account rounds of bounded mode."""
    projections: tuple[int, ...]
    """y_l of bounded mode."""
    blinding: int
    """r_M."""

    def __repr__(self) -> str:
        """Return a text without the masks."""
        return f"Masks({len(self.rounds)} rounds, redacted)"

    @classmethod
    def draw(cls, shape: Shape, shard: int, randomness: Randomness, context: bytes) -> "Masks":
        """Draw the masks of a shard, bound to the context."""
        projected = PROJECTIONS if shape.bounded else 0
        uniform = shape.masks - projected
        entries = iter(randomness.scalars(Draw.MASK, shard, 0, uniform, context))
        cube = next(entries)
        rounds = tuple(tuple(next(entries) for _ in range(degree)) for degree in shape.degrees)
        accounts = shape.account_bits if shape.bounded else 0
        projection_rounds = tuple((next(entries), next(entries)) for _ in range(accounts))
        offsets = randomness.integers(Draw.MASK, shard, uniform, projected, shape.mask_bits, context)
        (blinding,) = randomness.scalars(Draw.MASK_BLINDING, shard, 0, 1, context)
        return cls(cube, rounds, projection_rounds, tuple(offsets), blinding)

    @property
    def vector(self) -> list[int]:
        """o_M, in the order of the generators M_e."""
        entries = [self.cube]
        for coefficients in (*self.rounds, *self.projection_rounds):
            entries += coefficients
        return [*entries, *self.projections]

    def commit(self, backend: Backend) -> Affine:
        """Return C_M = Com_M(o_M) + r_M H."""
        vector = self.vector
        return finite(backend.msm([*vector, self.blinding], [*mask_generators(len(vector)), blinding_generator()]))
