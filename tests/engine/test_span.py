"""Published SPAN figures through the expression, the engine and the compiled relation (source named in span.json)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate, witness
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.models import build_policy
from crossmargin.models.span import SpanModel
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.expression import Linear, Max, PositivePart, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit

FIGURES = json.loads((Path(__file__).parents[1] / "vectors" / "span.json").read_text(encoding="utf-8"))
EXPECTED = FIGURES["expected"]


@pytest.fixture(scope="module")
def compiled() -> CompiledPolicy:
    """Return scanning risk over the published risk arrays of a future and a call; cash in units of one dollar."""
    layout = RecordLayout(
        (
            Column(ColumnKind.BALANCE, "USD", "1 USD", 10**9),
            Column(ColumnKind.POSITION, "future", "1 contract", 10**6, "USD"),
            Column(ColumnKind.POSITION, "call-410", "1 contract", 10**6, "USD"),
        )
    )
    arrays = [
        RiskArray(f"pnl {number}", f"scenario {number}: {text}", (0, future, call))
        for number, (text, future, call) in enumerate(
            zip(FIGURES["scenarios"], FIGURES["long_future"], FIGURES["long_call_410"], strict=True), 1
        )
    ]
    scanning_risk = PositivePart(Max(tuple(Scale(-1, Linear(array.name)) for array in arrays)))
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    return compile_policy(
        Policy(
            kind=PolicyKind.SOLVENCY,
            venue="published figures",
            title="SPAN scanning risk",
            as_of=0,
            value_unit=ValueUnit("USD", "1"),
            layout=layout,
            arrays=(RiskArray("cash", "cash", (1, 0, 0)), *arrays),
            definitions=(
                Definition("equity", "cash", Role.EQUITY, Linear("cash")),
                Definition("requirement", "requirement covers the loss", Role.REQUIREMENT, scanning_risk),
                Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap),
            ),
            constraints=(),
        )
    )


@pytest.mark.parametrize(
    ("name", "future", "call", "requirement", "scenario"),
    [
        ("long call", 0, 1, EXPECTED["requirement_long_call"], EXPECTED["requirement_long_call_scenario"]),
        ("covered write", 1, -1, EXPECTED["requirement_covered_write"], EXPECTED["requirement_covered_write_scenario"]),
        ("long future", 1, 0, 10000, 13),
        ("two covered writes", 2, -2, 2 * EXPECTED["requirement_covered_write"], 13),
    ],
)
def test_published_requirement(
    compiled: CompiledPolicy, name: str, future: int, call: int, requirement: int, scenario: int
) -> None:
    for cash in (requirement, requirement - 1):
        record = np.array([[cash, future, call]], dtype=np.int64)
        margin = evaluate(compiled, csr_array(record))
        assert margin.requirement[0] == requirement, name
        assert margin.worst_of(0).startswith(f"scenario {scenario}:")
        assert margin.shortfall[0] == requirement - cash
        proof = witness(compiled, csr_array(record))
        numbers = compiled.auxiliary_of
        assert proof.auxiliaries[0, numbers["requirement"]] == requirement
        assert proof.auxiliaries[0, numbers["shortfall"]] == requirement - cash


AS_OF, EXPIRY = "2025-03-28T08:00:00Z", "2025-12-19T08:00:00Z"


@pytest.fixture(scope="module")
def modelled() -> CompiledPolicy:
    """Return the SPAN-type model over a future and a call, with the published risk arrays in place of its own."""
    contract = {
        "contract": "linear",
        "underlying": "SPX",
        "settlement": "USD",
        "contract_size": "500",
        "lot": "1",
        "limit": "1000",
        "expiry": EXPIRY,
    }
    catalogue = Catalogue.model_validate(
        {
            "assets": [{"name": "USD", "unit": "1", "haircut": "0", "borrowable": True, "limit": "1000000000"}],
            "instruments": [
                {"name": "future", "kind": "future", **contract},
                {"name": "call-410", "kind": "option", "strike": "410", "option": "call", **contract},
            ],
        }
    )
    quote = {"source": "test", "time": AS_OF}
    market = Market.model_validate(
        {
            "as_of": AS_OF,
            "index": {"USD": {"price": "1", **quote}, "SPX": {"price": "410", **quote}},
            "marks": {"future": {"price": "410", **quote}},
            "options": {"call-410": {"iv": "0.15", **quote}},
            "rates": {"USD": "0.05"},
        }
    )
    model = SpanModel.model_validate(
        {
            "model": "span",
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "1"},
            "staleness_limit_seconds": 600,
            "scan": {"SPX": {"price_range": "0.05", "volatility_up": "0.2", "volatility_down": "0.2"}},
            "extreme": {"multiple": "2", "covered": "0.35"},
            "short_option_minimum": {"SPX": "0.0001"},
            "statements": [{"name": "initial", "factor": "1"}],
        }
    )
    policy = build_policy("published figures", MarketEnvironment(catalogue, market), model, "initial")
    width = len(policy.layout)
    published = {
        f"pnl SPX {number}": (*([0] * (width - 2)), future, call)
        for number, (future, call) in enumerate(zip(FIGURES["long_future"], FIGURES["long_call_410"], strict=True), 1)
    }
    assert published.keys() <= {array.name for array in policy.arrays}
    arrays = [replace(array, coefficients=published.get(array.name, array.coefficients)) for array in policy.arrays]
    return compile_policy(replace(policy, arrays=tuple(arrays)))


@pytest.mark.parametrize(
    ("future", "call", "requirement", "scenario"),
    [
        (0, 1, EXPECTED["requirement_long_call"], EXPECTED["requirement_long_call_scenario"]),
        (1, -1, EXPECTED["requirement_covered_write"], EXPECTED["requirement_covered_write_scenario"]),
        (3, -3, 3 * EXPECTED["requirement_covered_write"], EXPECTED["requirement_covered_write_scenario"]),
    ],
)
def test_published_requirement_by_the_model(
    modelled: CompiledPolicy, future: int, call: int, requirement: int, scenario: int
) -> None:
    record = csr_array(np.array([[0, 0, future, call]], dtype=np.int64))
    margin = evaluate(modelled, record)
    assert margin.requirement[0] == requirement
    assert margin.worst_of(0).startswith(f"SPX scenario {scenario}:")
    assert witness(modelled, record).auxiliaries[0, modelled.auxiliary_of["requirement"]] == requirement
