"""Integer combinations of base columns and auxiliaries, with a constant: what expressions compile to (SPEC A.5)."""

from dataclasses import dataclass

__all__ = ["Affine"]


@dataclass(frozen=True)
class Affine:
    """Integer combination of base columns (dense) and auxiliaries (by number), and a constant for each account."""

    base: tuple[int, ...]
    auxiliary: tuple[tuple[int, int], ...] = ()
    constant: int = 0

    def plus(self, other: "Affine", factor: int = 1) -> "Affine":
        """Return self + factor * other."""
        auxiliary = dict(self.auxiliary)
        for number, coefficient in other.auxiliary:
            auxiliary[number] = auxiliary.get(number, 0) + factor * coefficient
        return Affine(
            tuple(a + factor * b for a, b in zip(self.base, other.base, strict=True)),
            tuple(sorted((number, c) for number, c in auxiliary.items() if c)),
            self.constant + factor * other.constant,
        )

    def times(self, factor: int) -> "Affine":
        """Return factor * self, of a factor that is not 0."""
        if factor == 1:
            return self
        return Affine(
            tuple(factor * a for a in self.base),
            tuple((number, factor * c) for number, c in self.auxiliary),
            factor * self.constant,
        )

    @property
    def is_zero(self) -> bool:
        """Whether every coefficient and the constant are zero."""
        return not self.auxiliary and not self.constant and not any(self.base)
