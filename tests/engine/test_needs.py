"""A model declares what it reads; that alone has it checked, refused and published."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from crossmargin.errors import InputError
from crossmargin.loading import load_parameters
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import HistoryNeed
from crossmargin.models import MarginModel, build_policy
from crossmargin.models.policies import check_environment
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.expression import Expression

BOOK = Path(__file__).parents[2] / "examples" / "book"


class Reader(MarginModel):
    """Charges 100 USD, and says that it reads prices of BTC."""

    model: Literal["reader"]
    days: int

    def needed_history(self, environment: MarketEnvironment) -> HistoryNeed:
        return HistoryNeed(("BTC",), self.days, "days")

    def requirement(self, builder: PolicyBuilder) -> Expression:
        return builder.amount(100)


@pytest.fixture(scope="module")
def environment() -> MarketEnvironment:
    return load_parameters(BOOK).environment


def reader(days: int) -> Reader:
    """Return the model with so many days."""
    return Reader(
        model="reader",
        version=1,
        value_unit={"currency": "USD", "quantum": "0.00000001"},
        staleness_limit_seconds=600,
        statements=[{"name": "initial", "factor": "1"}],
        days=days,
    )


def refusal(environment: MarketEnvironment, days: int) -> InputError:
    """Return the one reason why the model does not fit, which the policy is refused for too."""
    (problem,) = check_environment(environment, reader(days))
    with pytest.raises(InputError) as refused:
        build_policy("test", environment, reader(days), "initial")
    assert str(refused.value) == str(problem)
    return problem


def test_a_history_that_is_not_there(environment: MarketEnvironment) -> None:
    problem = refusal(replace(environment, history=None), 30)
    assert (problem.field, problem.reason) == ("days", "the model needs a price history of BTC")


def test_a_history_that_is_too_short(environment: MarketEnvironment) -> None:
    assert environment.history is not None
    rows = len(environment.history)
    assert f"the model needs {rows + 1}" in refusal(environment, rows + 1).reason


def test_what_is_read_stands_in_the_policy(environment: MarketEnvironment) -> None:
    assert environment.history is not None
    policy = build_policy("test", environment, reader(30), "initial")
    assert policy.inputs["history"] == environment.history.model_dump(mode="json", exclude_none=True)
