"""Collateral tiers, caps and debts, currency mismatch and depeg scenarios, against their formulas in fractions."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading import Parameters, load_margin_model, load_parameters
from crossmargin.market.environment import MarketEnvironment
from crossmargin.models import MarginModel, build_policy, parse_model, rebuild_policy
from crossmargin.models.collateral import CollateralRule
from crossmargin.models.depeg import depeg_scenarios
from crossmargin.models.policies import check_environment
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.evaluate import evaluate_expression
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.full_form import check_full_form, reliefs
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy

WriteFolder = Callable[..., Path]
Files = Mapping[str, str]

QUANTA = 10**8
"""Of the test model in 1 USD."""

PRICES = {"USDC": Fraction(1), "BTC": Fraction(85000), "SOL": Fraction(130)}
UNITS = {"USDC": 10**6, "BTC": 10**8, "SOL": 10**6}

TIERS = {
    "tiers": [{"up_to": "10", "weight": "0.97"}, {"up_to": "25", "weight": "0.9"}, {"weight": "0.5"}],
    "cap": "40",
    "borrow": "0.1",
}

quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def with_rules(parameters: Parameters, **rules: Any) -> MarginModel:
    data = parameters.model.model_dump(mode="json", exclude_none=True)
    return parse_model({**data, **rules})


def plain(parameters: Parameters, **haircuts: str) -> MarketEnvironment:
    """Return the environment without haircuts but these."""
    data = parameters.catalogue.model_dump(mode="json", exclude_none=True)
    for asset in data["assets"]:
        asset["haircut"] = haircuts.get(asset["name"], "0")
    return MarketEnvironment(type(parameters.catalogue).model_validate(data), parameters.market)


def policy_of(environment: MarketEnvironment, model: MarginModel) -> Policy:
    assert check_environment(environment, model) == []
    return build_policy("test", environment, model, "initial")


def record(policy: Policy, **balances: int) -> list[int]:
    vector = [0] * len(policy.layout)
    for name, units in balances.items():
        vector[policy.layout.index(ColumnKind.BALANCE, name)] = units
    return vector


def equity(policy: Policy, vector: Sequence[int]) -> int:
    return evaluate_expression(policy, Reference("equity"), list(vector))


def charge(policy: Policy, vector: Sequence[int]) -> int:
    return evaluate_expression(policy, Reference("depeg charge"), list(vector))


def counted(amount: Fraction) -> Fraction:
    """T of TIERS by its definition, in the asset: each part of the amount at the weight of its tier."""
    if amount < 0:
        return Fraction(11, 10) * amount
    amount = min(amount, Fraction(40))
    first, second = min(amount, Fraction(10)), min(max(amount - 10, Fraction(0)), Fraction(15))
    return first * Fraction(97, 100) + second * Fraction(9, 10) + max(amount - 25, Fraction(0)) / 2


amounts = st.integers(-60 * 10**8, 60 * 10**8) | st.sampled_from(
    [0, 1, -1, 10**9, 25 * 10**8, 4 * 10**9, 4 * 10**9 + 1]
)


@quiet
@given(units=amounts)
def test_tiers_count_each_part_at_its_weight(parameters: Parameters, units: int) -> None:
    policy = policy_of(plain(parameters), with_rules(parameters, collateral={"BTC": TIERS}))
    wanted = counted(Fraction(units, 10**8)) * PRICES["BTC"] * QUANTA
    assert equity(policy, record(policy, BTC=units)) == wanted


@quiet
@given(units=amounts)
def test_tiers_count_what_is_left_after_the_haircut(parameters: Parameters, units: int) -> None:
    policy = policy_of(plain(parameters, BTC="0.2"), with_rules(parameters, collateral={"BTC": TIERS}))
    amount = Fraction(units, 10**8)
    wanted = counted(amount * Fraction(8, 10) if amount > 0 else amount) * PRICES["BTC"] * QUANTA
    assert equity(policy, record(policy, BTC=units)) == wanted


def test_positions_settled_in_the_asset_share_its_tiers(parameters: Parameters) -> None:
    """A gain of 60 BTC on an inverse contract fills the tiers as a balance of 60 BTC does."""
    policy = policy_of(plain(parameters), with_rules(parameters, collateral={"BTC": TIERS}))
    vector = record(policy)
    vector[policy.layout.index(ColumnKind.ENTRY, "BTC")] = 60 * 10**8
    assert equity(policy, vector) == counted(Fraction(60)) * PRICES["BTC"] * QUANTA


def test_cap_alone_and_borrow_alone(parameters: Parameters) -> None:
    rules = {"SOL": {"cap": "100"}, "BTC": {"borrow": "0.25"}}
    policy = policy_of(plain(parameters), with_rules(parameters, collateral=rules))
    for sol, counts in ((5, 5), (100, 100), (7000, 100), (-3, -3)):
        assert equity(policy, record(policy, SOL=sol * 10**6)) == counts * 130 * QUANTA
    for btc, counts in ((3, Fraction(3)), (-2, Fraction(-5, 2))):
        assert equity(policy, record(policy, BTC=btc * 10**8)) == counts * 85000 * QUANTA


CHAINED = {
    "chains": [
        {"name": "one", "haircut": "0.1", "finalized": 5},
        {"name": "two", "haircut": "0", "finalized": 5},
    ]
}


@quiet
@given(whole=amounts, first=amounts, second=amounts)
def test_holdings_on_chains_fill_the_same_tiers(parameters: Parameters, whole: int, first: int, second: int) -> None:
    data = plain(parameters).catalogue.model_dump(mode="json", exclude_none=True) | CHAINED
    asset = {"of": "BTC", "unit": "0.00000001", "haircut": "0", "borrowable": True, "limit": "1000"}
    data["assets"] += [{**asset, "name": f"BTC.{name}", "chain": name} for name in ("one", "two")]
    environment = MarketEnvironment(type(parameters.catalogue).model_validate(data), parameters.market)
    policy = policy_of(environment, with_rules(parameters, collateral={"BTC": TIERS}))
    held = {"BTC": whole, "BTC.one": first, "BTC.two": second}
    amount = Fraction(whole + second, 10**8)
    amount += Fraction(first, 10**8) * (Fraction(9, 10) if first > 0 else 1)
    assert equity(policy, record(policy, **held)) == counted(amount) * PRICES["BTC"] * QUANTA


RULES: dict[str, Any] = {
    "collateral": {"BTC": TIERS, "SOL": {"cap": "500", "borrow": "0.02"}},
    "mismatch": {"rate": "0.08", "currencies": {"coins": ["BTC", "SOL"]}},
    "depeg": [{"USDC": "0.05"}, {"USDC": "0.02", "SOL": "0.5"}],
}

balances = st.fixed_dictionaries(
    {"USDC": st.integers(-(10**12), 10**12), "BTC": amounts, "SOL": st.integers(-(10**9), 10**9)}
)


@quiet
@given(held=balances, more=st.sampled_from(["USDC", "BTC", "SOL"]), by=st.integers(0, 10**10))
def test_more_collateral_never_lowers_equity(parameters: Parameters, held: dict[str, int], more: str, by: int) -> None:
    policy = policy_of(plain(parameters, BTC="0.05"), with_rules(parameters, **RULES))
    assert equity(policy, record(policy, **(held | {more: held[more] + by}))) >= equity(policy, record(policy, **held))


@quiet
@given(first=balances, second=balances)
def test_made_up_accounts_owe_no_less_than_one(
    parameters: Parameters, first: dict[str, int], second: dict[str, int]
) -> None:
    """The full form of equity: however a debt is split over accounts, they owe at least as much as one account."""
    policy = policy_of(plain(parameters, BTC="0.05"), with_rules(parameters, **RULES))
    assert check_full_form(policy).constant == 0
    vectors = [record(policy, **{name: -abs(units) for name, units in held.items()}) for held in (first, second)]
    both = [a + b for a, b in zip(*vectors, strict=True)]
    assert equity(policy, vectors[0]) + equity(policy, vectors[1]) <= equity(policy, both)
    # The worst depeg is a maximum of linear forms, so pooling never adds to it whatever is held.
    vectors = [record(policy, **held) for held in (first, second)]
    both = [a + b for a, b in zip(*vectors, strict=True)]
    assert charge(policy, both) <= charge(policy, vectors[0]) + charge(policy, vectors[1])


def test_tiers_are_of_an_account(parameters: Parameters) -> None:
    """Two accounts of 40 BTC count twice what one of 80 BTC does: merging accounts may lower equity."""
    policy = policy_of(plain(parameters), with_rules(parameters, collateral={"BTC": TIERS}))
    one = equity(policy, record(policy, BTC=4 * 10**9))
    assert equity(policy, record(policy, BTC=8 * 10**9)) == one
    assert reliefs(policy)["shortfall"] == equity(policy, record(policy, BTC=4 * 10**9))


@quiet
@given(held=balances)
def test_mismatch_is_a_part_of_what_is_owed_in_a_currency(parameters: Parameters, held: dict[str, int]) -> None:
    rule = {"rate": "0.08", "currencies": {"coins": ["BTC", "SOL"]}}
    environment = plain(parameters)
    policy, without = (
        policy_of(environment, with_rules(parameters, mismatch=rule)),
        policy_of(environment, parameters.model),
    )
    value = {name: Fraction(units, UNITS[name]) * PRICES[name] for name, units in held.items()}
    currencies = (value["USDC"], value["BTC"] + value["SOL"])
    owed = sum(max(-each, Fraction(0)) for each in currencies)
    vector = record(policy, **held)
    taken = equity(without, vector) - equity(policy, vector)
    assert taken == Fraction(8, 100) * owed * QUANTA
    # The bound over-charges nobody whose values cover the debts: mismatched is the lesser of owed and held.
    covering = sum(max(each, Fraction(0)) for each in currencies)
    if covering >= owed:
        assert taken == Fraction(8, 100) * min(owed, covering) * QUANTA


def test_assets_of_no_listed_currency_stand_alone(parameters: Parameters) -> None:
    rules = {"mismatch": {"rate": "0.08", "currencies": {"BTC": ["USDC", "SOL"]}}}
    policy = policy_of(plain(parameters), with_rules(parameters, **rules))
    assert [array.name for array in policy.arrays if "mismatch" in array.name] == [
        "mismatch BTC",
        "mismatch BTC alone",
    ]


def depegged(parameters: Parameters, price: str, *scenarios: dict[str, str]) -> Policy:
    quotes = {name: each.model_dump(mode="json") for name, each in parameters.market.index.items()}
    quotes["USDC"]["price"] = price
    data = parameters.market.model_dump(mode="json", exclude_none=True) | {"index": quotes}
    environment = MarketEnvironment(plain(parameters).catalogue, type(parameters.market).model_validate(data))
    return policy_of(environment, with_rules(parameters, depeg=list(scenarios)))


def test_depeg_charges_the_worst_fall(parameters: Parameters) -> None:
    policy = depegged(parameters, "1", {"USDC": "0.05"}, {"USDC": "0.02", "SOL": "0.5"})
    thousand = record(policy, USDC=1000 * 10**6)
    assert charge(policy, thousand) == 50 * QUANTA
    assert charge(policy, record(policy, USDC=1000 * 10**6, SOL=10 * 10**6)) == (20 + 650) * QUANTA
    assert charge(policy, record(policy, USDC=-1000 * 10**6)) == 0
    assert charge(policy, record(policy, BTC=10**8)) == 0
    none = evaluate_expression(policy, Reference("requirement"), record(policy))
    assert evaluate_expression(policy, Reference("requirement"), thousand) == none + 50 * QUANTA


def test_depeg_charges_profit_that_is_paid_in_the_asset(parameters: Parameters) -> None:
    policy = depegged(parameters, "1", {"USDC": "0.05"})
    vector = record(policy)
    vector[policy.layout.index(ColumnKind.ENTRY, "USDC")] = 1000 * 10**6
    assert charge(policy, vector) == 50 * QUANTA
    lots = policy.layout.index(ColumnKind.POSITION, "BTC_USDC-PERPETUAL")
    vector[lots] = 1
    assert charge(policy, vector) == 50 * QUANTA + Fraction("4.2505") * QUANTA


def test_a_fallen_coin_may_rise_again_against_those_who_owe_it(parameters: Parameters) -> None:
    policy = depegged(parameters, "0.9", {"USDC": "0.1"})
    assert charge(policy, record(policy, USDC=-1000 * 10**6)) == 100 * QUANTA
    assert charge(policy, record(policy, USDC=1000 * 10**6)) == 90 * QUANTA
    assert [array.meaning for array in policy.arrays if array.name.startswith("depeg")] == [
        "depeg: USDC -10 %",
        "USDC back at 1 USD",
    ]


def test_coins_at_their_peg_do_not_rise() -> None:
    falls = [{"USDT": Fraction(1, 20), "USDC": Fraction(1, 100)}]
    prices = {"USDT": Fraction(999, 1000), "USDC": Fraction(1001, 1000)}
    [scenario] = depeg_scenarios(prices, falls)  # type: ignore[arg-type]
    assert scenario.price_moves == {"USDT": Fraction(-1, 20), "USDC": Fraction(-1, 100)}
    low = depeg_scenarios(prices | {"USDT": Fraction(998, 1000)}, falls)  # type: ignore[arg-type]
    assert [dict(each.price_moves) for each in low[1:]] == [{"USDT": Fraction(1000, 998) - 1}]


def test_the_factor_of_a_statement_is_on_the_depeg_charge(parameters: Parameters) -> None:
    model = with_rules(parameters, depeg=[{"USDC": "0.05"}])
    policy = build_policy("test", plain(parameters), model, "maintenance")
    assert charge(policy, record(policy, USDC=1000 * 10**6)) == 40 * QUANTA


@pytest.mark.parametrize("statement", ["initial", "coverage"])
def test_policy_is_computed_again_whatever_the_order_in_the_file(parameters: Parameters, statement: str) -> None:
    rules = {
        "collateral": dict(reversed(RULES["collateral"].items())),
        "mismatch": {"rate": "0.08", "currencies": {"z": ["SOL"], "a": ["BTC", "USDC"]}},
        "depeg": [{"USDC": "0.02", "SOL": "0.5"}, {"SOL": "0.5", "BTC": "0.5"}],
    }
    policy = build_policy("test", parameters.environment, with_rules(parameters, **rules), statement)
    again = Policy.decode(policy.encoded)
    assert rebuild_policy(again) == again == policy


def test_engine_agrees_with_the_relation(parameters: Parameters) -> None:
    policy = policy_of(parameters.environment, with_rules(parameters, **RULES))
    compiled = compile_policy(policy)
    generator = np.random.default_rng(5)
    limits = np.array([column.limit for column in policy.layout.columns])
    records = (generator.uniform(-1, 1, (60, len(limits))) ** 9 * limits).astype(np.int64)
    records[:, 0] = 1
    margin = evaluate(compiled, csr_array(records))
    for number, row in enumerate(records.tolist()):
        auxiliaries, slacks = compiled.witness(row)
        assert margin.equity[number] == equity(policy, row)
        assert margin.requirement[number] == auxiliaries[compiled.auxiliary_of["requirement"]]
        assert margin.shortfall[number] == auxiliaries[compiled.auxiliary_of["shortfall"]]
        assert min(slacks) >= 0


def test_without_rules_the_policy_is_what_it_was(parameters: Parameters) -> None:
    policy = build_policy("test", parameters.environment, parameters.model, "initial")
    assert set(policy.inputs["model"]) == {
        "model", "version", "value_unit", "staleness_limit_seconds", "statements", "strict", "scan", "extreme"
    }  # fmt: skip
    assert "chains" not in policy.inputs["instruments"]
    assert "feeds" not in policy.inputs["market"]


@pytest.mark.parametrize(
    ("rules", "field", "reason", "hint"),
    [
        ({"collateral": {"BTC": {"tiers": [{"up_to": "1", "weight": "0.9"}, {"weight": "0.95"}]}}},
         "collateral.BTC.tiers[1].weight", "the weight of tier 2, 0.95, is above that of tier 1, 0.9", "at most 0.9"),
        ({"collateral": {"BTC": {"tiers": [{"up_to": "2", "weight": "0.9"}, {"up_to": "2", "weight": "0.8"}]}}},
         "collateral.BTC.tiers[1].up_to", "tier 2 ends at 2, tier 1 at 2", "increasing"),
        ({"collateral": {"BTC": {"tiers": [{"weight": "0.9"}, {"weight": "0.8"}]}}},
         "collateral.BTC.tiers[0].up_to", "without an end", "write the amount"),
        ({"collateral": {"BTC": {"tiers": [{"up_to": "2", "weight": "0.9"}]}}},
         "collateral.BTC.tiers[0].up_to", "the last tier ends", "cap"),
        ({"collateral": {"BTC": {"tiers": [{"up_to": "2", "weight": "0.9"}, {"weight": "0.8"}], "cap": "2"}}},
         "collateral.BTC.cap", "not above the beginning of the last tier", "raise the cap"),
        ({"collateral": {"BTC": {"tiers": [{"weight": "1.1"}]}}},
         "collateral.BTC.tiers[0].weight", "not in 0 <= value <= 1", "choose"),
        ({"collateral": {"BTC": {}}}, "collateral.BTC", "an empty rule", "write tiers"),
        ({"collateral": {"BTC": {"borrow": "-0.1"}}}, "collateral.BTC.borrow", "not in 0 <= value <= 10", "choose"),
        ({"collateral": {"BTC": {"cap": "0"}}}, "collateral.BTC.cap", "not positive", "above zero"),
        ({"collateral": {"DOGE": {"cap": "1"}}}, "collateral.DOGE", "DOGE is not an asset", "remove it"),
        ({"mismatch": {"rate": "0"}}, "mismatch.rate", "not in 0 < value <= 1", "choose"),
        ({"mismatch": {"rate": "0.08", "currencies": {"USD": ["USDC"], "EUR": ["USDC"]}}},
         "mismatch.currencies.EUR[0]", "USDC stands under USD already", "once"),
        ({"mismatch": {"rate": "0.08", "currencies": {"USD": ["DOGE"]}}},
         "mismatch.currencies.USD[0]", "DOGE is not an asset", "remove it"),
        ({"depeg": [{"USDC": "1"}]}, "depeg[0].USDC", "not in 0 < value < 1", "choose"),
        ({"depeg": [{"USDC": "0.05"}, {"DOGE": "0.05"}]}, "depeg[1].DOGE", "DOGE is not an asset", "remove it"),
    ],
)  # fmt: skip
def test_refusals(
    write_folder: WriteFolder, files: Files, rules: dict[str, Any], field: str, reason: str, hint: str
) -> None:
    """Every refusal names file, line, field and hint; the rules stand as JSON on the last line."""
    [(name, value)] = rules.items()
    text = files["model.yaml"] + f"{name}: {value!r}\n".replace("'", '"')
    with pytest.raises(InputErrors) as caught:
        load_parameters(write_folder({"model.yaml": text}))
    [problem] = caught.value.problems
    assert (problem.file, problem.line, problem.field) == ("model.yaml", 13, field)
    assert reason in problem.reason
    assert hint in problem.hint


def test_quantum_that_cannot_show_a_weight_is_refused(parameters: Parameters) -> None:
    """A unit of 10^-6 USDC is 100 quanta: a surcharge of 0.4 % would be none at all."""
    for rules in ({"collateral": {"USDC": {"borrow": "0.004"}}}, {"depeg": [{"USDC": "0.004"}]}):
        with pytest.raises(InputError, match="balance USDC") as caught:
            build_policy("test", parameters.environment, with_rules(parameters, **rules), "initial")
        assert caught.value.field == "value_unit.quantum"
    build_policy(
        "test", parameters.environment, with_rules(parameters, collateral={"USDC": {"borrow": "0.01"}}), "initial"
    )


def test_rules_are_frozen_and_strict() -> None:
    with pytest.raises(ValidationError):
        CollateralRule.model_validate({"cap": 1.5})
    with pytest.raises(ValidationError):
        CollateralRule.model_validate({"cap": "1"}).cap = None  # type: ignore[misc]


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", sorted(path.stem for path in (EXAMPLES / "models").glob("*.yaml")))
def test_every_architecture_takes_the_rules(name: str) -> None:
    """Equity becomes that of the rules, and the depeg charge is one more term; the model's own arrays stay."""
    book = load_parameters(EXAMPLES / "book")
    rules = load_margin_model(EXAMPLES / "models" / "collateral_tiers.yaml")
    none = {"collateral": None, "mismatch": None, "depeg": None}
    plain = load_margin_model(EXAMPLES / "models" / f"{name}.yaml").model_copy(update=none)
    model = plain.model_copy(update={field: getattr(rules, field) for field in none})
    assert check_environment(book.environment, model) == []
    policy, before = (build_policy("test", book.environment, each, "initial") for each in (model, plain))
    assert rebuild_policy(Policy.decode(policy.encoded)) == policy
    own = {array.name for array in before.arrays} - {array.name for array in policy.arrays}
    assert own <= {"value cash", *(f"collateral {asset}" for asset in ("USDT", "BTC", "ETH", "SOL"))}
    assert {array.name for array in policy.arrays} >= {"depeg 1", "depeg 2", "depeg 3", "mismatch USD", "mismatch BTC"}
    assert "collateral BTC tier 3" not in {array.name for array in before.arrays}
