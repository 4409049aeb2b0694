"""Margin expressions: a requirement or a collateral value as a tree over named risk arrays.

Grammar (f, g expressions, k a non-zero integer):

    linear "name"    sum_v a_v x_v, the linear form of the risk array `name` on the record x
    amount n         the constant n for each account, in value quanta; not zero
    reference "name" the definition of that name in the same policy
    sum f g ...      scale k f      max f g ...      min f g ...      abs f      positive-part f = max(0, f)
    sum-largest m f g ...   the sum of the m largest of the operands

Expected shortfall at level a over S equally likely scenarios is sum-largest aS of the losses, divided by aS (divide the
arrays beforehand; Rockafellar, Uryasev 2000).

Curvature follows the rules of disciplined convex programming (Grant, Boyd, Ye 2006): a requirement must be *convex*, a
collateral value or a constraint *concave*. With sign +1 for "must be convex" and -1 for "must be concave", max, abs,
positive-part and sum-largest are allowed under +1 alone, min under -1 alone, and scaling by k < 0 turns the sign. An
expression that obeys the rules is a maximum (or minimum) of finitely many linear forms, hence a set of integer rows
(SPEC S7).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crossmargin_circuits.encoding import MAX_JSON_INTEGER
from crossmargin_circuits.errors import CurvatureError, MalformedError

__all__ = [
    "Abs",
    "Amount",
    "Expression",
    "Linear",
    "Max",
    "Min",
    "PositivePart",
    "Reference",
    "Scale",
    "Sum",
    "SumLargest",
    "check_curvature",
    "expression_from_json",
    "expression_to_json",
    "format_expression",
]


@dataclass(frozen=True)
class Linear:
    """The linear form of a risk array, by the array's name."""

    array: str


@dataclass(frozen=True)
class Amount:
    """A constant for each account, in value quanta; not zero, of magnitude at most 2^53 - 1."""

    amount: int

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            MalformedError: zero, beyond 2^53 - 1, or no integer.
        """
        if type(self.amount) is not int or not 0 < abs(self.amount) <= MAX_JSON_INTEGER:
            raise MalformedError("amount: an integer that is not zero, of magnitude at most 2^53 - 1, is needed")


@dataclass(frozen=True)
class Reference:
    """The value of an earlier definition, by its name."""

    name: str


@dataclass(frozen=True)
class Sum:
    """The sum of one or more terms."""

    of: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Scale:
    """A non-zero integer times an expression; a negative factor turns convex into concave."""

    by: int
    of: "Expression"


@dataclass(frozen=True)
class Max:
    """The greatest of one or more convex expressions: convex."""

    of: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Min:
    """The least of one or more concave expressions: concave."""

    of: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Abs:
    """The absolute value of an affine expression: convex."""

    of: "Expression"


@dataclass(frozen=True)
class PositivePart:
    """max(0, f) of a convex expression: convex."""

    of: "Expression"


@dataclass(frozen=True)
class SumLargest:
    """The sum of the `count` largest of its convex operands: convex; 1 <= count <= number of operands."""

    count: int
    of: "tuple[Expression, ...]"

    def __post_init__(self) -> None:
        """Check the count.

        Raises:
            MalformedError: more than there are operands, or less than one.
        """
        if type(self.count) is not int or not 1 <= self.count <= len(self.of):
            raise MalformedError(f"sum-largest: count must be an integer from 1 to {len(self.of)}, its operands")


LISTED = 20
"""Number of operands that a formula lists one by one, even if they are consecutively numbered."""

Expression = Linear | Amount | Reference | Sum | Scale | Max | Min | Abs | PositivePart | SumLargest

_MANY: dict[str, type[Sum] | type[Max] | type[Min]] = {"sum": Sum, "max": Max, "min": Min}
_ONE: dict[str, type[Abs] | type[PositivePart]] = {"abs": Abs, "positive-part": PositivePart}


def operator(expression: Expression) -> str:
    """Return the operator's name in a policy file."""
    match expression:
        case Linear():
            return "linear"
        case Amount():
            return "amount"
        case Reference():
            return "reference"
        case Scale():
            return "scale"
        case SumLargest():
            return "sum-largest"
        case Sum() | Max() | Min():
            return next(name for name, kind in _MANY.items() if isinstance(expression, kind))
        case Abs() | PositivePart():
            return next(name for name, kind in _ONE.items() if isinstance(expression, kind))


def children(expression: Expression) -> "tuple[Expression, ...]":
    """Return the direct subexpressions, in order."""
    match expression:
        case Linear() | Amount() | Reference():
            return ()
        case Sum(of) | Max(of) | Min(of) | SumLargest(_, of):
            return of
        case Scale(_, of) | Abs(of) | PositivePart(of):
            return (of,)


def child_path(path: str, expression: Expression, number: int) -> str:
    """Return the path of child `number`, such as "requirement > sum[2]"."""
    index = f"[{number + 1}]" if len(children(expression)) > 1 else ""
    return f"{path} > {operator(expression)}{index}"


def check_curvature(expression: Expression, sign: int, path: str, resolve: "Callable[[str, str, int], None]") -> None:
    """Check that `expression` is convex (sign +1) or concave (sign -1).

    path: where the expression stands, for the error; resolve(name, path, sign): checks a reference.

    Raises:
        CurvatureError: names the path of the first node in the wrong place, and the convex alternative.
    """
    match expression:
        case Linear() | Amount():
            return
        case Reference(name):
            resolve(name, path, sign)
            return
        case Scale(by, of):
            check_curvature(of, sign if by > 0 else -sign, child_path(path, expression, 0), resolve)
            return
        case Max() | Abs() | PositivePart() if sign < 0:
            raise CurvatureError(
                f"{path}: {operator(expression)} is convex, but a concave expression is needed here (collateral, or "
                "what is subtracted from a requirement). The better of two values is a disjunction, which no set of "
                "rows states: use min(...) of the values, or one of them alone, as the safe bound from below"
            )
        case SumLargest() if sign < 0:
            raise CurvatureError(
                f"{path}: sum-largest is convex, but a concave expression is needed here (collateral, or what is "
                "subtracted from a requirement). The better ones of several values are a disjunction, which no set of "
                "rows states: use -1 times sum-largest of the negated values, that is the sum of the least of them, "
                "as the safe bound from below"
            )
        case Min() if sign > 0:
            raise CurvatureError(
                f"{path}: min is concave, but a convex expression is needed here (a requirement, or what is "
                "subtracted from collateral). The lesser of two charges is a disjunction, which no set of rows "
                "states: use max(...) of the charges, or one of them alone, as the safe bound from above"
            )
        case Abs(of):
            for each in (1, -1):
                check_curvature(of, each, child_path(path, expression, 0), resolve)
            return
    for number, child in enumerate(children(expression)):
        check_curvature(child, sign, child_path(path, expression, number), resolve)


def format_expression(expression: Expression) -> str:
    """Return the expression as a formula for people: `max(0, pnl 1) + 3 * |net delta|`."""
    match expression:
        case Linear(name) | Reference(name):
            return name
        case Amount(amount):
            return str(amount)
        case Sum(of):
            text = format_expression(of[0])
            for term in of[1:]:
                shown = format_expression(term)
                text += f" - {shown[1:]}" if shown.startswith("-") else f" + {shown}"
            return text
        case Scale(by, of):
            inner = format_expression(of)
            if isinstance(of, Sum | Scale) or inner.startswith("-"):
                inner = f"({inner})"
            return f"-{inner}" if by == -1 else f"{by} * {inner}" if by != 1 else inner
        case Max(of) | Min(of):
            return f"{operator(expression)}({_listed(of)})"
        case SumLargest(count, of):
            return f"sum of the {count} largest of ({_listed(of)})"
        case Abs(of):
            return f"|{format_expression(of)}|"
        case PositivePart(Max(of)):
            return f"max(0, {_listed(of)})"
        case PositivePart(of):
            return f"max(0, {format_expression(of)})"


def _listed(of: "tuple[Expression, ...]") -> str:
    """Return operands with commas; many consecutively numbered ones as "pnl 1, .., pnl 250"."""
    shown = [format_expression(child) for child in of]
    stem, _, number = shown[0].rpartition(" ")
    numbered = number.isascii() and number.isdecimal()
    # One by one: in an untrusted policy the first operand may be long, and the others many.
    if len(of) > LISTED and numbered and all(t == f"{stem} {n}" for n, t in enumerate(shown, int(number))):
        return f"{shown[0]}, .., {shown[-1]}"
    return ", ".join(shown)


def expression_to_json(expression: Expression) -> dict[str, Any]:
    """Return the tree as canonical-JSON data."""
    match expression:
        case Linear(array):
            return {"op": "linear", "array": array}
        case Amount(amount):
            return {"op": "amount", "amount": amount}
        case Reference(name):
            return {"op": "reference", "name": name}
        case Scale(by, of):
            return {"op": "scale", "by": by, "of": expression_to_json(of)}
        case Sum(of) | Max(of) | Min(of):
            return {"op": operator(expression), "of": [expression_to_json(child) for child in of]}
        case SumLargest(count, of):
            return {"op": "sum-largest", "count": count, "of": [expression_to_json(child) for child in of]}
        case Abs(of) | PositivePart(of):
            return {"op": operator(expression), "of": expression_to_json(of)}


def expression_from_json(value: Any, path: str) -> Expression:
    """Parse the output of `expression_to_json`; refuse anything else.

    Raises:
        MalformedError: with the path of the node.
    """
    if not isinstance(value, dict) or not isinstance(value.get("op"), str):
        raise MalformedError(f'{path}: an expression is an object with "op"')
    name = value["op"]
    if name == "linear" or name == "reference":
        key = "array" if name == "linear" else "name"
        text = _only(value, path, key)
        if not isinstance(text, str) or not text:
            raise MalformedError(f"{path}: {key} must be a non-empty string")
        return Linear(text) if name == "linear" else Reference(text)
    if name == "amount":
        amount = _only(value, path, "amount")
        if type(amount) is not int or not 0 < abs(amount) <= MAX_JSON_INTEGER:
            raise MalformedError(f"{path}: amount must be a non-zero integer of magnitude below 2^53")
        return Amount(amount)
    if name == "scale":
        of = _only(value, path, "of", "by")
        by = value["by"]
        if not isinstance(by, int) or isinstance(by, bool) or by == 0 or abs(by) > MAX_JSON_INTEGER:
            raise MalformedError(f"{path}: scale by must be a non-zero integer of magnitude below 2^53")
        return Scale(by, expression_from_json(of, f"{path} > scale"))
    if name in _MANY or name == "sum-largest":
        of = _only(value, path, "of") if name in _MANY else _only(value, path, "of", "count")
        if not isinstance(of, list) or not of:
            raise MalformedError(f"{path}: {name} needs a non-empty list")
        operands = tuple(expression_from_json(child, f"{path} > {name}[{i + 1}]") for i, child in enumerate(of))
        if name in _MANY:
            return _MANY[name](operands)
        count = value["count"]
        if type(count) is not int or not 1 <= count <= len(operands):
            raise MalformedError(f"{path}: sum-largest count must be an integer from 1 to {len(operands)}")
        return SumLargest(count, operands)
    if name in _ONE:
        return _ONE[name](expression_from_json(_only(value, path, "of"), f"{path} > {name}"))
    raise MalformedError(f"{path}: unknown operator {name[:40]!r}")


def _only(value: dict[str, Any], path: str, key: str, *more: str) -> Any:
    if set(value) != {"op", key, *more}:
        raise MalformedError(f"{path}: {value['op']} takes exactly {', '.join((key, *more))}")
    return value[key]
