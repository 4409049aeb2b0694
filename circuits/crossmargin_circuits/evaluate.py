"""Read an expression on one record: plain integers, the reading a holder needs to see his own margin.

The margin core reads the same expression over a whole book at once. Both name the worst scenario by one rule: the risk
array with the greatest linear form among those in the requirement (the first of them on a tie).
"""

from collections.abc import Iterator, Sequence

from crossmargin_circuits.expression import (
    Abs,
    Expression,
    Linear,
    Max,
    Min,
    PositivePart,
    Reference,
    Scale,
    Sum,
    SumLargest,
)
from crossmargin_circuits.policy import Policy

__all__ = ["evaluate_expression", "scenario_leaves", "worst_scenario"]


def evaluate_expression(policy: Policy, expression: Expression, record: Sequence[int]) -> int:
    """Return the value of an expression on a record of V integers; an auxiliary takes its tight value max(0, f)."""
    match expression:
        case Linear(name):
            coefficients = policy.array(name).coefficients
            return sum(a * x for a, x in zip(coefficients, record, strict=True) if x)
        case Reference(name):
            definition = policy.definition(name)
            inner = evaluate_expression(policy, definition.expression, record)
            return max(0, inner) if definition.role.is_auxiliary else inner
        case Scale(by, of):
            return by * evaluate_expression(policy, of, record)
        case Sum(of):
            return sum(evaluate_expression(policy, child, record) for child in of)
        case Max(of):
            return max(evaluate_expression(policy, child, record) for child in of)
        case Min(of):
            return min(evaluate_expression(policy, child, record) for child in of)
        case SumLargest(count, of):
            return sum(sorted(evaluate_expression(policy, child, record) for child in of)[-count:])
        case Abs(of):
            return abs(evaluate_expression(policy, of, record))
        case PositivePart(of):
            return max(0, evaluate_expression(policy, of, record))


def scenario_leaves(policy: Policy, expression: Expression, factor: int = 1) -> Iterator[tuple[str, int]]:
    """Yield the risk arrays in an expression, each with the scaling above it; both signs inside an absolute value."""
    match expression:
        case Linear(name):
            yield name, factor
        case Reference(name):
            yield from scenario_leaves(policy, policy.definition(name).expression, factor)
        case Scale(by, of):
            yield from scenario_leaves(policy, of, factor * by)
        case Sum(of) | Max(of) | Min(of) | SumLargest(_, of):
            for child in of:
                yield from scenario_leaves(policy, child, factor)
        case PositivePart(of):
            yield from scenario_leaves(policy, of, factor)
        case Abs(of):
            yield from scenario_leaves(policy, of, factor)
            yield from scenario_leaves(policy, of, -factor)


def worst_scenario(policy: Policy, expression: Expression, record: Sequence[int]) -> str | None:
    """Return the name of the risk array that decides a requirement, or None where the requirement is zero."""
    best, greatest = None, 0
    for name, factor in scenario_leaves(policy, expression):
        value = factor * evaluate_expression(policy, Linear(name), record)
        if value > greatest:
            best, greatest = name, value
    return best
