"""The bit budget: the worst magnitude of every row and auxiliary within the column limits (SPEC A.6).

    bound of a row        |constant| + sum over columns of |coefficient| limit + the auxiliaries' part
    bound of an auxiliary greatest bound of its own rows over the columns and earlier auxiliaries, at least 1
    auxiliaries' part     sum of |coefficient| bound; of the auxiliaries of one sum of the k largest, only the greater
                          of the two thresholds' parts and the k - 1 greatest of the excesses' parts

The last line keeps expected shortfall over hundreds of scenarios within the budget: however many excesses there are,
only those of operands above the threshold are nonzero. An auxiliary that is zero for every record still bounds its
coefficients in the files of a statement.
"""

from collections.abc import Mapping, Sequence

from crossmargin_circuits.affine import Affine
from crossmargin_circuits.derivation import Derivation, Least, Selection
from crossmargin_circuits.errors import BudgetError

__all__ = ["BUDGET_BITS", "bounds"]

BUDGET_BITS = 63
"""Within the column limits every row and partial sum stays below 2^63 in magnitude: one bit inside the relation's 64,
so that signed 64-bit arithmetic evaluates every row exactly."""


def bounds(
    rows: Sequence[tuple[str, Affine]],
    derivations: Sequence[Derivation],
    selections: Mapping[int, Selection],
    limits: Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the worst magnitude of every row (K) and of every auxiliary (Q).

    rows: label, coefficients and constant. selections: of each auxiliary that belongs to a sum of the largest. limits:
    V, the largest magnitude of each column.

    Raises:
        BudgetError: a row that can reach 2^63, by its label.
    """
    bases = [
        abs(row.constant) + sum(abs(c) * limit for c, limit in zip(row.base, limits, strict=True)) for _, row in rows
    ]
    worst: list[int] = []
    for number, derivation in enumerate(derivations):
        if isinstance(derivation, Least):
            defining, before = derivation.rows, number
        else:
            defining = tuple(row for group in derivation.groups for row in group)
            before = selections[number].above
        worst.append(max(1, *(bases[k] + _weigh(rows[k][1], worst, before, selections) for k in defining)))
    found = tuple(base + _weigh(row, worst, len(worst), selections) for base, (_, row) in zip(bases, rows, strict=True))
    for (label, _), bound in zip(rows, found, strict=True):
        if bound >> BUDGET_BITS:
            raise BudgetError(
                f"row {label!r} needs {bound.bit_length()} bits within the column limits, and {BUDGET_BITS} are "
                "there: lower the limits of the largest columns, or choose a coarser value quantum"
            )
    return found, tuple(worst)


def _weigh(row: Affine, worst: Sequence[int], before: int, selections: Mapping[int, Selection]) -> int:
    """Return the greatest sum of magnitudes of the auxiliaries numbered below `before` in a row."""
    total = 0
    thresholds: dict[Selection, int] = {}
    excesses: dict[Selection, list[int]] = {}
    for number, coefficient in row.auxiliary:
        if number >= before:
            continue
        part = abs(coefficient) * worst[number]
        selection = selections.get(number)
        if selection is None:
            total += part
        elif number < selection.above + 2:
            thresholds[selection] = max(part, thresholds.get(selection, 0))
        else:
            excesses.setdefault(selection, []).append(part)
    for selection, parts in excesses.items():
        total += sum(sorted(parts)[1 - selection.count :])
    return total + sum(thresholds.values())
