"""A margin rule: one statement of a model, which becomes a policy in any environment.

Liquidation asks the same rule in many markets (prices that move) and at several heights (a buffer above maintenance):

    buffered(b)   requirement times (1 + b): the statement's factor is raised before the one rounding of its arrays
    strict        equity - requirement >= 0 as a row, without a shortfall column
"""

from dataclasses import dataclass
from decimal import Decimal

from crossmargin.errors import InputError
from crossmargin.market.environment import MarketEnvironment
from crossmargin.models.base import MarginModel, StatementConfig
from crossmargin.models.policies import build_policy
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.expression import Expression, Reference, Scale, Sum
from crossmargin_circuits.policy import Policy

__all__ = ["Rule", "equity_of", "excess_of", "requirement_of"]

MOST_FACTOR = Decimal(100)
"""Largest factor of a statement."""


@dataclass(frozen=True)
class Rule:
    """Statement `statement` of `model`, in the name of a venue; it must have a factor (so not coverage)."""

    venue: str
    model: MarginModel
    statement: str

    def policy(self, environment: MarketEnvironment) -> Policy:
        """Return the policy in an environment.

        Raises:
            InputError: no such statement, or a value that the quantum cannot resolve.
        """
        return build_policy(self.venue, environment, self.model, self.statement)

    def compiled(self, environment: MarketEnvironment) -> CompiledPolicy:
        """Return the compiled policy in an environment.

        Raises:
            InputError: as `policy`. BudgetError: a row that can exceed 63 bits.
        """
        return compile_policy(self.policy(environment))

    def buffered(self, buffer: Decimal) -> "Rule":
        """Return the rule with its requirement times 1 + buffer.

        Raises:
            InputError: no such statement, or a buffer that leaves no factor in 0 < factor <= 100.
        """
        if buffer == 0:
            return self
        factor = self.model.factor_of(self.statement) * (1 + buffer)
        if not 0 < factor <= MOST_FACTOR:
            problem = InputError(
                f"a buffer of {buffer:f} on statement {self.statement} makes a factor of {factor:f}",
                field="statements",
                hint=f"choose a buffer that leaves a factor above 0 and up to {MOST_FACTOR}",
            )
            raise self.model.located(problem)
        return self._with(factor=factor, strict=self.model.strict)

    @property
    def strict(self) -> "Rule":
        """The rule as a strict statement."""
        return self._with(factor=self.model.factor_of(self.statement), strict=True)

    def _with(self, factor: Decimal, strict: bool) -> "Rule":
        statements = tuple(
            StatementConfig(name=each.name, factor=factor) if each.name == self.statement else each
            for each in self.model.statements
        )
        model = self.model.model_copy(update={"statements": statements, "strict": strict})
        return Rule(self.venue, model, self.statement)


def equity_of(policy: Policy) -> Expression:
    """Return equity as an expression.

    Raises:
        ValueError: the policy has none (coverage).
    """
    if policy.equity is None:
        raise ValueError(f"policy {policy.title!r} has no equity")
    return Reference(policy.equity.name)


def requirement_of(policy: Policy) -> Expression:
    """Return the requirement as an expression.

    Raises:
        ValueError: the policy has none (coverage).
    """
    if policy.requirement is None:
        raise ValueError(f"policy {policy.title!r} has no requirement")
    return Reference(policy.requirement.name)


def excess_of(policy: Policy) -> Expression:
    """Return equity - requirement as an expression, concave in the record.

    Raises:
        ValueError: as `requirement_of`.
    """
    return Sum((equity_of(policy), Scale(-1, requirement_of(policy))))
