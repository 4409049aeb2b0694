"""Hypothesis profiles, and the plainest reading of expressions, which every other one must equal.

Profiles: `ci` is the default, `slow` is chosen with --hypothesis-profile or HYPOTHESIS_PROFILE.
"""

import os
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, settings

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
)
from crossmargin_circuits.policy import Policy

# How long an example takes depends on the machine and its load, so time is no reason to fail (pytest has a limit).
ANY_SPEED = [HealthCheck.too_slow]

settings.register_profile(
    "ci", max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=ANY_SPEED
)
settings.register_profile("slow", max_examples=500, deadline=None, print_blob=True, suppress_health_check=ANY_SPEED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def plain_value(policy: Policy, expression: Expression, record: Sequence[int]) -> int:
    """Evaluate an expression on a record by the words of its definition alone."""

    def of(each: Expression) -> int:
        return plain_value(policy, each, record)

    match expression:
        case Linear(name):
            return sum(a * x for a, x in zip(policy.array(name).coefficients, record, strict=True))
        case Amount(amount):
            return amount
        case Reference(name):
            definition = policy.definition(name)
            value = of(definition.expression)
            return max(0, value) if definition.role.is_auxiliary else value
        case Sum(terms):
            return sum(of(each) for each in terms)
        case Scale(by, inner):
            return by * of(inner)
        case Max(operands):
            return max(of(each) for each in operands)
        case Min(operands):
            return min(of(each) for each in operands)
        case Abs(inner):
            return abs(of(inner))
        case PositivePart(inner):
            return max(0, of(inner))
        case SumLargest(count, operands):
            return sum(sorted((of(each) for each in operands), reverse=True)[:count])


@pytest.fixture(scope="session", name="plain_value")
def the_plain_value() -> Callable[[Policy, Expression, Sequence[int]], int]:
    """Return the plainest evaluator of expressions."""
    return plain_value
