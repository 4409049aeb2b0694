"""Masks of the proofs of a shard: vectors that hide a sum-check, and their commitment C_M (SPEC P1, B1).

Shard proof: o_M = (a, g_{1,1..4}, g_{2,1}, g_{2,2}, .., g_{n,2}), all uniform. Record proof: o_M = (g_{1,1}, g_{1,2},
.., g_{nu,2}, y_0, .., y_{P-1}) with uniform g and y_l = 2^B + a uniform integer in [0, 2^Y).
"""

from dataclasses import dataclass
from itertools import chain

from crossmargin_prover.backend import Backend, finite
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_verifier.protocol.generators import blinding_generator, mask_generators
from crossmargin_verifier.protocol.group import Affine
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.shape import Shape

__all__ = ["Masks", "RecordMasks"]


@dataclass(frozen=True, repr=False)
class Masks:
    """The entries of o_M and the blinding r_M; never used for a second proof."""

    cube: int
    """a, the mask of the multilinear extension of the bits."""
    rounds: tuple[tuple[int, ...], ...]
    """g_{d,1..D_d} for every round."""
    blinding: int
    """r_M."""

    def __repr__(self) -> str:
        """Return a text without the masks."""
        return f"Masks({len(self.rounds)} rounds, redacted)"

    @classmethod
    def draw(cls, shape: Shape, shard: int, randomness: Randomness, context: bytes) -> "Masks":
        """Draw the masks of a shard, bound to the context."""
        entries = iter(randomness.scalars(Draw.MASK, shard, 0, shape.masks, context))
        cube = next(entries)
        rounds = tuple(tuple(next(entries) for _ in range(degree)) for degree in shape.degrees)
        (blinding,) = randomness.scalars(Draw.MASK_BLINDING, shard, 0, 1, context)
        return cls(cube, rounds, blinding)

    @property
    def vector(self) -> list[int]:
        """o_M, in the order of the generators M_e."""
        return [self.cube, *chain.from_iterable(self.rounds)]

    def commit(self, backend: Backend) -> Affine:
        """Return C_M = Com_M(o_M) + r_M H."""
        return _commit(self.vector, self.blinding, backend)


@dataclass(frozen=True, repr=False)
class RecordMasks:
    """The entries of o_M and the blinding r_M of a record proof; never used for a second proof."""

    rounds: tuple[tuple[int, int], ...]
    """g_{d,1}, g_{d,2} for every round."""
    projections: tuple[int, ...]
    """y_l, integers."""
    blinding: int
    """r_M."""

    def __repr__(self) -> str:
        """Return a text without the masks."""
        return f"RecordMasks({len(self.rounds)} rounds, redacted)"

    @classmethod
    def draw(cls, shape: RecordShape, shard: int, attempt: Randomness, context: bytes) -> "RecordMasks":
        """Draw the masks of a shard from the source of this attempt, bound to the context."""
        uniform = 2 * shape.account_bits
        entries = attempt.scalars(Draw.RECORD_MASK, shard, 0, uniform, context)
        offsets = attempt.integers(Draw.RECORD_MASK, shard, uniform, shape.projections, shape.mask_bits, context)
        (blinding,) = attempt.scalars(Draw.RECORD_MASK_BLINDING, shard, 0, 1, context)
        # |<R_l, x>| < 2^B keeps z_l positive.
        least = 1 << shape.magnitude_bits
        return cls(
            rounds=tuple(zip(entries[0::2], entries[1::2], strict=True)),
            projections=tuple(least + offset for offset in offsets),
            blinding=blinding,
        )

    @property
    def vector(self) -> list[int]:
        """o_M, in the order of the generators M_e."""
        return [*chain.from_iterable(self.rounds), *self.projections]

    def commit(self, backend: Backend) -> Affine:
        """Return C_M = Com_M(o_M) + r_M H."""
        return _commit(self.vector, self.blinding, backend)


def _commit(vector: list[int], blinding: int, backend: Backend) -> Affine:
    return finite(backend.msm([*vector, blinding], [*mask_generators(len(vector)), blinding_generator()]))
