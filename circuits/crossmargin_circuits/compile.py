"""Compile a policy to its integer relation, and to the derivation of every auxiliary from a record (SPEC S7).

A convex expression is the maximum of finitely many affine *pieces* over the columns and earlier auxiliaries, each with
a constant for every account. A definition u >= f becomes one row u - piece >= 0 per piece; a constraint g >= 0 one row
-piece >= 0 per piece of -g. A sum of several maxima keeps the widest one expanded and replaces each other one, max(p_1,
.., p_n), by p_1 + t with a hidden auxiliary t and rows t + p_1 - p_k >= 0: one unsigned column for each maximum inside
a sum. The sum of the k largest of f_1 .. f_S (Rockafellar, Uryasev 2000) is

    min over t of  k t + sum_s max(0, f_s - t),

with the threshold t = t+ - t- and the excesses u_s as hidden auxiliaries and rows u_s + t+ - t- - piece >= 0 for every
piece of f_s: whatever t is, k t + sum_s u_s is at least the sum of any k of the f_s.

The rows alone bound every value from below, so a wrong auxiliary can only hurt the prover. The *tight* value is the
least that the defining rows allow, and for a threshold the k-th largest of the f_s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmargin_circuits.affine import Affine
from crossmargin_circuits.budget import BUDGET_BITS, bounds
from crossmargin_circuits.derivation import Derivation, Least, Selection, Threshold
from crossmargin_circuits.effort import Effort
from crossmargin_circuits.errors import BudgetError, LimitError, PolicyError
from crossmargin_circuits.expression import (
    Abs,
    Amount,
    Expression,
    Linear,
    Max,
    Min,
    PositivePart,
    Reference,
    Scale,
    Sum,
    SumLargest,
    child_path,
)
from crossmargin_circuits.policy import Definition, Policy
from crossmargin_circuits.relation import Auxiliary, Relation, Row

__all__ = ["BUDGET_BITS", "CompiledPolicy", "compile_policy"]

MAX_RELATION_COEFFICIENTS = 2**21
"""Coefficients of a relation, K (V + Q + 1): 2^25 bytes of `relation.cm2`; bounds what a hostile policy allocates."""

MAX_LABEL_CHARACTERS = 2**24
"""Characters of all labels of rows and auxiliaries: a long meaning may stand in as many rows as there are pieces."""

MAX_COMPILE_WORK = 2**25
"""Pieces made on the way, each with its columns, its auxiliaries and PIECE_WORK: bounds the time of a hostile policy to
some two seconds."""

AMOUNT_LABEL = "amount"
"""Label of the piece of a constant (SPEC A.5)."""

PIECE_WORK = 255
"""Fixed cost of a piece, in coefficients."""


@dataclass(frozen=True)
class _Piece:
    affine: Affine
    label: str


@dataclass(frozen=True)
class CompiledPolicy:
    """A relation, the derivation of each auxiliary from a record, and each row's largest magnitude within the limits.

    derivations[u]: the tight value of auxiliary u, from the record and the auxiliaries before it.
    row_bounds[k], auxiliary_bounds[u]: worst magnitude within the column limits.
    auxiliary_of: number of the auxiliary of each auxiliary definition.
    """

    policy: Policy
    relation: Relation
    derivations: tuple[Derivation, ...]
    row_bounds: tuple[int, ...]
    auxiliary_bounds: tuple[int, ...]
    auxiliary_of: dict[str, int]

    def witness(self, record: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the tight auxiliaries (Q) and the slacks (K) of one record (V integers).

        A negative slack means that the record does not satisfy the relation.
        """
        auxiliaries = [0] * len(self.relation.auxiliaries)
        for number, derivation in enumerate(self.derivations):
            match derivation:
                case Least(rows):
                    auxiliaries[number] = max(0, *(-self._row(row, record, auxiliaries) for row in rows))
                case Threshold(groups, rank, sign):
                    values = sorted(max(-self._row(row, record, auxiliaries) for row in rows) for rows in groups)
                    auxiliaries[number] = max(0, sign * values[-rank])
        return auxiliaries, [self._row(row, record, auxiliaries) for row in range(len(self.relation.rows))]

    def _row(self, number: int, record: Sequence[int], auxiliaries: Sequence[int]) -> int:
        row = self.relation.rows[number]
        return (
            sum(a * x for a, x in zip(row.base, record, strict=True))
            + sum(a * u for a, u in zip(row.auxiliary, auxiliaries, strict=True))
            + row.offset
        )


def compile_policy(
    policy: Policy, *, effort: Effort | None = None, coefficients: int = MAX_RELATION_COEFFICIENTS
) -> CompiledPolicy:
    """Compile `policy` to its relation; the same policy always gives the same bytes.

    effort: shared by all policies of a bundle. coefficients: K (V + Q + 1) at most, for a reader who has the relation
    and need not compile a larger one.

    Raises:
        PolicyError: no row results, or too much work. BudgetError: a row can exceed 63 bits within the column limits,
        or the relation has too many coefficients. LimitError: the effort is spent, or labels are too long together.
    """
    return _Compiler(policy, effort, min(coefficients, MAX_RELATION_COEFFICIENTS)).run()


class _Compiler:
    def __init__(self, policy: Policy, effort: Effort | None, coefficients: int) -> None:
        self._policy = policy
        self._effort = effort
        self._coefficients = coefficients
        self._auxiliaries: list[Auxiliary] = []
        self._defining: list[list[int]] = []
        self._selections: dict[int, Selection] = {}
        self._rows: list[tuple[str, Affine]] = []
        self._numbers: dict[str, int] = {}
        self._auxiliary_labels: dict[str, int] = {}
        self._row_labels: dict[str, int] = {}
        self._work = 0
        self._characters = 0
        self._zero = Affine((0,) * len(policy.layout))

    def run(self) -> CompiledPolicy:
        for definition in self._policy.definitions:
            if definition.role.is_auxiliary:
                self._define(definition)
        for constraint in self._policy.constraints:
            pieces = self._pieces(constraint.expression, -1, constraint.name)
            for piece in pieces:
                self._row(_label(pieces, piece, constraint.meaning), piece.affine.times(-1))
        if not self._rows:
            raise PolicyError("policy: no definition or constraint gives a row")
        count = len(self._auxiliaries)
        relation = Relation(
            columns=self._policy.layout.labels,
            auxiliaries=tuple(self._auxiliaries),
            rows=tuple(
                Row(label, affine.base, _dense(affine.auxiliary, count), affine.constant)
                for label, affine in self._rows
            ),
        )
        derivations = self._derivations()
        limits = [column.limit for column in self._policy.layout.columns]
        row_bounds, auxiliary_bounds = bounds(self._rows, derivations, self._selections, limits)
        return CompiledPolicy(
            self._policy,
            relation,
            derivations,
            row_bounds,
            auxiliary_bounds,
            self._numbers,
        )

    def _define(self, definition: Definition) -> None:
        """Add the auxiliary u of a definition u >= f and one row u - piece >= 0 per piece of f."""
        pieces = self._pieces(definition.expression, 1, definition.name)
        number = self._auxiliary(definition.name, definition.role.is_disclosed)
        self._numbers[definition.name] = number
        for piece in pieces:
            if not piece.affine.is_zero:
                self._bound(number, piece.affine, _label(pieces, piece, definition.meaning))
        if not self._defining[number]:
            raise PolicyError(f"policy: {definition.name} is zero for every record")

    def _auxiliary(self, label: str, disclosed: bool) -> int:
        self._auxiliaries.append(Auxiliary(self._labelled(label, self._auxiliary_labels), disclosed))
        self._defining.append([])
        return len(self._auxiliaries) - 1

    def _bound(self, number: int, least: Affine, label: str) -> None:
        """Add the row: auxiliary `number` - least >= 0."""
        self._defining[number].append(len(self._rows))
        self._row(label, Affine(self._zero.base, ((number, 1),)).plus(least, -1))

    def _row(self, label: str, affine: Affine) -> None:
        width = len(self._policy.layout) + len(self._auxiliaries) + 1
        if (len(self._rows) + 1) * width > self._coefficients:
            raise BudgetError(f"row {label!r}: the relation needs more than {self._coefficients} coefficients")
        self._rows.append((self._labelled(label, self._row_labels), affine))

    def _labelled(self, label: str, taken: dict[str, int]) -> str:
        """Return a label that nothing else has, and count its characters."""
        distinct = _distinct(label, taken)
        self._characters += len(distinct)
        if self._characters > MAX_LABEL_CHARACTERS:
            raise LimitError(f"policy: {label[:40]!r}: labels of more than {MAX_LABEL_CHARACTERS} characters together")
        return distinct

    def _pieces(self, expression: Expression, sign: int, path: str) -> list[_Piece]:
        """Return pieces whose maximum is sign * expression; the policy has checked the curvature.

        Raises:
            PolicyError: more pieces in all than MAX_COMPILE_WORK allows.
        """
        pieces = self._expand(expression, sign, path)
        work = len(pieces) * (len(self._policy.layout) + PIECE_WORK)
        work += sum(len(piece.affine.auxiliary) for piece in pieces)
        self._work += work
        if self._effort is not None:
            self._effort.spend(work, path)
        if self._work > MAX_COMPILE_WORK:
            raise PolicyError(f"policy: {path}: too much work to compile: fewer nested maxima are needed")
        return pieces

    def _expand(self, expression: Expression, sign: int, path: str) -> list[_Piece]:
        match expression:
            case Linear(name):
                array = self._policy.array(name)
                return [_Piece(Affine(array.coefficients).times(sign), array.meaning)]
            case Amount(amount):
                return [_Piece(Affine(self._zero.base, (), sign * amount), AMOUNT_LABEL)]
            case Reference(name):
                definition = self._policy.definition(name)
                if definition.role.is_auxiliary:
                    return [_Piece(Affine(self._zero.base, ((self._numbers[name], sign),)), name)]
                return self._pieces(definition.expression, sign, name)
            case Scale(by, of):
                inner = self._pieces(of, sign if by > 0 else -sign, child_path(path, expression, 0))
                return [_Piece(piece.affine.times(abs(by)), piece.label) for piece in inner]
            case Sum(of):
                return self._sum(expression, of, sign, path)
            case SumLargest(count, of) if count == len(of):
                return self._sum(expression, of, sign, path)
            case SumLargest(count, of) if count > 1:
                return [self._sum_largest(expression, of, count, path)]
            case Max(of) | Min(of) | SumLargest(_, of):
                found: list[_Piece] = []
                for number, child in enumerate(of):
                    found += self._pieces(child, sign, child_path(path, expression, number))
                return _without_repeats(found)
            case Abs(of):
                inside = child_path(path, expression, 0)
                return _without_repeats(self._pieces(of, 1, inside) + self._pieces(of, -1, inside))
            case PositivePart(of):
                inner = self._pieces(of, sign, child_path(path, expression, 0))
                return _without_repeats([_Piece(self._zero, "zero"), *inner])

    def _sum(self, expression: Expression, of: Sequence[Expression], sign: int, path: str) -> list[_Piece]:
        """Keep the first of the widest terms expanded and replace each other maximum by one affine form."""
        paths = [child_path(path, expression, number) for number in range(len(of))]
        terms = [self._pieces(child, sign, where) for child, where in zip(of, paths, strict=True)]
        widest = max(range(len(terms)), key=lambda number: len(terms[number]))
        rest = self._zero
        for number, pieces in enumerate(terms):
            if number != widest:
                rest = rest.plus(self._reduce(pieces, paths[number]))
        return [_Piece(piece.affine.plus(rest), piece.label) for piece in terms[widest]]

    def _reduce(self, pieces: list[_Piece], path: str) -> Affine:
        """Return a tight affine form that the rows force to be at least every piece."""
        if len(pieces) == 1:
            return pieces[0].affine
        base = next((piece for piece in pieces if piece.affine.is_zero), pieces[0])
        number = self._auxiliary(f"excess of {path}", False)
        for piece in pieces:
            if piece is not base:
                self._bound(number, piece.affine.plus(base.affine, -1), f"{path}: {piece.label}")
        return base.affine.plus(Affine(self._zero.base, ((number, 1),)))

    def _sum_largest(self, expression: Expression, of: Sequence[Expression], count: int, path: str) -> _Piece:
        """Return count * threshold + excesses, which the rows force to be at least the sum of any `count` operands."""
        paths = [child_path(path, expression, number) for number in range(len(of))]
        operands = [self._pieces(child, 1, where) for child, where in zip(of, paths, strict=True)]
        above = self._auxiliary(f"threshold of {path}, above zero", False)
        below = self._auxiliary(f"threshold of {path}, below zero", False)
        threshold = Affine(self._zero.base, ((above, 1), (below, -1)))
        last = below
        for pieces, where in zip(operands, paths, strict=True):
            last = self._auxiliary(f"excess of {where}", False)
            # A zero piece needs its row too: the threshold may be below zero.
            for piece in pieces:
                self._bound(last, piece.affine.plus(threshold, -1), f"{where}: {piece.label}")
        self._selections.update(dict.fromkeys(range(above, last + 1), Selection(above, last, count)))
        excesses = tuple((each, 1) for each in range(below + 1, last + 1))
        value = Affine(self._zero.base, ((above, count), (below, -count), *excesses))
        return _Piece(value, f"sum of the {count} largest")

    def _derivations(self) -> tuple[Derivation, ...]:
        found: list[Derivation] = [Least(tuple(rows)) for rows in self._defining]
        for selection in set(self._selections.values()):
            groups = tuple(tuple(self._defining[u]) for u in range(selection.above + 2, selection.last + 1))
            found[selection.above] = Threshold(groups, selection.count, 1)
            found[selection.above + 1] = Threshold(groups, selection.count, -1)
        return tuple(found)


def _dense(sparse: tuple[tuple[int, int], ...], length: int) -> tuple[int, ...]:
    dense = [0] * length
    for number, coefficient in sparse:
        dense[number] = coefficient
    return tuple(dense)


def _label(pieces: list[_Piece], piece: _Piece, meaning: str) -> str:
    """Label a row by its piece and the meaning of the bounded value; a single piece needs only the meaning."""
    return meaning if len(pieces) == 1 else f"{piece.label}: {meaning}"


def _distinct(label: str, taken: dict[str, int]) -> str:
    """Return the label, or "label (n)" if it is in use, and reserve it; `taken` counts the uses of each label."""
    number = taken.get(label, 0) + 1
    fresh = label if number == 1 else f"{label} ({number})"
    while fresh in taken and number > 1:
        number += 1
        fresh = f"{label} ({number})"
    taken[label] = number
    taken.setdefault(fresh, 1)
    return fresh


def _without_repeats(pieces: list[_Piece]) -> list[_Piece]:
    seen: set[Affine] = set()
    kept = []
    for piece in pieces:
        if piece.affine not in seen:
            seen.add(piece.affine)
            kept.append(piece)
    return kept
