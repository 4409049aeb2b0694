"""Fixed amounts for each account: built against the account, evaluated exactly, shown as money."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crossmargin.cli.policy import policy as policy_command
from crossmargin.engine.evaluate import evaluate, witness
from crossmargin.errors import InputError
from crossmargin.loading import Parameters, load_folder
from crossmargin.loading.folder import load_margin_model
from crossmargin.models import build_policy
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.evaluate import Leaf, deciding_leaves
from crossmargin_circuits.expression import Amount, Linear, Max, PositivePart, Scale, Sum
from crossmargin_circuits.policy import Policy, PolicyKind, Role

EXAMPLES = Path(__file__).parents[2] / "examples"


def builder(parameters: Parameters, quantum: str = "0.01", factor: str = "1") -> PolicyBuilder:
    return PolicyBuilder(parameters.environment, Decimal(quantum), Decimal(factor), "initial")


@pytest.fixture(scope="module")
def tiered() -> Policy:
    book = load_folder(EXAMPLES / "book")
    model = load_margin_model(EXAMPLES / "models" / "contagion_scenario.yaml")
    return build_policy("test", book.environment, model, "maintenance")


# Building.


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    money=st.fractions(-1000, 1000, max_denominator=997),
    factor=st.sampled_from(["1", "0.8", "3"]),
)
def test_amounts_are_rounded_against_the_account(parameters: Parameters, money: Fraction, factor: str) -> None:
    """By less than a quantum, a charge is never less and a relief never more than stated."""
    made, quantum = builder(parameters, factor=factor), Fraction(1, 100)
    form = Linear("form")

    def found(expression: Any) -> int:
        return expression.of[1].amount if isinstance(expression, Sum) else 0

    charged, counted = found(made.plus(form, money)), found(made.plus_counted(form, money))
    gained = found(made.plus_gain(form, money))
    assert 0 <= charged * quantum - money * Fraction(factor) < quantum
    assert 0 <= money - counted * quantum < quantum
    assert 0 <= money * Fraction(factor) - gained * quantum < quantum


def test_a_float_is_the_decimal_that_names_it(parameters: Parameters) -> None:
    assert builder(parameters).amount(0.07) == builder(parameters).amount(Decimal("0.07")) == Amount(7)
    assert builder(parameters).amount(np.float64(0.07)) == Amount(7)
    assert builder(parameters, factor="0.8").amount(100) == Amount(8000)
    assert builder(parameters, factor="0.8").counted_amount(100) == Amount(10000)


@pytest.mark.parametrize("money", [0, 0.0, float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity"), 10**14])
def test_amounts_that_no_policy_holds_are_refused(parameters: Parameters, money: float | Decimal) -> None:
    with pytest.raises(InputError) as caught:
        builder(parameters).amount(money)
    assert caught.value.field == "value_unit.quantum"
    assert caught.value.hint


def test_a_name_that_is_too_long_for_a_policy_is_refused_early(parameters: Parameters) -> None:
    with pytest.raises(InputError, match="a name of 85 characters"):
        builder(parameters).value("value " + "A" * 79, "value", np.zeros(8))


# Evaluating.


def test_empty_accounts_have_the_constants(parameters: Parameters) -> None:
    """A charge of 20 for everybody, a relief up to which nothing is charged."""
    made = builder(parameters, quantum="0.00000001")
    cash = made.value("cash", "cash", made.valuation.unit_values())
    equity = made.define("equity", "cash", Role.EQUITY, cash)
    loss = made.plus(Scale(-1, cash), -30)
    needed = made.define("requirement", "loss", Role.REQUIREMENT, Sum((PositivePart(loss), made.amount(20))))
    made.define("shortfall", "gap", Role.SHORTFALL, Sum((needed, Scale(-1, equity))))
    policy = Policy(
        kind=PolicyKind.SOLVENCY,
        venue="test",
        title="test",
        as_of=0,
        value_unit=parameters.model.value_unit.stated,
        layout=made.layout,
        arrays=tuple(made.arrays),
        definitions=tuple(made.definitions),
        constraints=(),
    )
    compiled = compile_policy(policy)
    records = np.zeros((3, len(made.layout)), dtype=np.int64)
    records[1, 2], records[2, 2] = -100_000_000, 1  # 100 SOL owed at 130 USD, next to nothing
    margin, proof = evaluate(compiled, csr_array(records)), witness(compiled, csr_array(records))
    number = compiled.auxiliary_of["requirement"]
    assert margin.requirement.tolist() == [usd * 10**8 for usd in (20, 13_000 - 30 + 20, 20)]
    assert proof.auxiliaries[:, number].tolist() == margin.requirement.tolist()


def test_amounts_of_a_tier_go_with_its_array() -> None:
    """So that the tier which decides is named, not the one with the highest rate."""
    low, high = Linear("low"), Sum((Linear("high"), Amount(-50)))
    tiers = Scale(2, Max((low, high)))
    source = load_folder(EXAMPLES / "small")
    policy = build_policy("test", source.environment, source.model, "maintenance")
    arrays = tuple(replace(policy.arrays[0], name=name) for name in ("low", "high"))
    policy = replace(policy, arrays=(*policy.arrays, *arrays))
    assert deciding_leaves(policy, tiers) == (Leaf("low", 2, 0), Leaf("high", 2, -100))
    both = Sum((Max((low, Linear("high"))), Amount(7)))
    assert deciding_leaves(policy, both) == (Leaf("low", 1, 7), Leaf("high", 1, 7))
    # An amount beside two terms that add up belongs to neither.
    assert deciding_leaves(policy, Sum((low, Linear("high"), Amount(7)))) == (Leaf("low", 1, 0), Leaf("high", 1, 0))


# Showing.


def run(*arguments: str) -> Any:
    return CliRunner().invoke(policy_command, arguments, catch_exceptions=False)


def test_policy_show_prints_kind_roles_and_amounts_as_money(tiered: Policy, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_bytes(tiered.encoded)
    text = run("show", str(file)).output
    assert "a policy of the kind solvency" in text
    assert "equity: collateral and positions at haircut" in text
    assert "relief of 11,601.89 USD for each account" in text
    assert "account column" not in text
    data = json.loads(run("show", str(file), "--json").output)
    assert data["kind"] == "solvency"
    assert data["roles"]["requirement"] == "requirement"
    assert data["amounts"]["crowding charge BTC"] == ["-1160189681378"] * 2


def test_policy_check_compares_amounts(tiered: Policy, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_bytes(tiered.encoded)
    assert run("check", str(file)).output.startswith("equal: ")
    definitions = tuple(
        replace(each, expression=PositivePart(Max((_more(each.expression.of.of[0]), each.expression.of.of[1]))))
        if each.name == "crowding charge BTC"
        else each
        for each in tiered.definitions
    )
    file.write_bytes(replace(tiered, definitions=definitions).encoded)
    found = run("check", str(file))
    assert found.exit_code == 1
    assert "an amount of 1160189681388 quanta in the policy, 1160189681378 computed" in found.output
    assert run("check", str(file), "--tolerance", "10").exit_code == 0


def _more(form: Any) -> Sum:
    return Sum((form.of[0], Amount(form.of[1].amount - 10)))
