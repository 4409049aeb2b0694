"""Integer combinations of base columns and auxiliaries: the result of compiling expressions (SPEC A.5)."""

from dataclasses import dataclass

__all__ = ["Affine"]


@dataclass(frozen=True)
class Affine:
    """Integer combination of base columns (dense) and auxiliaries (by number)."""

    base: tuple[int, ...]
    auxiliary: tuple[tuple[int, int], ...] = ()

    def plus(self, other: "Affine", factor: int = 1) -> "Affine":
        """Return self + factor * other."""
        auxiliary = dict(self.auxiliary)
        for number, coefficient in other.auxiliary:
            auxiliary[number] = auxiliary.get(number, 0) + factor * coefficient
        return Affine(
            tuple(a + factor * b for a, b in zip(self.base, other.base, strict=True)),
            tuple(sorted((number, c) for number, c in auxiliary.items() if c)),
        )

    @property
    def is_zero(self) -> bool:
        """Whether every coefficient is zero."""
        return not self.auxiliary and not any(self.base)
