"""Published SPAN figures through the expression, the engine and the compiled relation (source named in span.json)."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin.engine import evaluate, witness
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.expression import Linear, Max, PositivePart, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Policy, RiskArray, Role, ValueUnit

FIGURES = json.loads((Path(__file__).parents[1] / "vectors" / "span.json").read_text(encoding="utf-8"))
EXPECTED = FIGURES["expected"]


@pytest.fixture(scope="module")
def compiled() -> CompiledPolicy:
    """Return scanning risk over the published risk arrays of a future and a call; cash in units of one dollar."""
    layout = RecordLayout(
        (
            Column(ColumnKind.ACCOUNT, "", "1 account", 1),
            Column(ColumnKind.BALANCE, "USD", "1 USD", 10**9),
            Column(ColumnKind.POSITION, "future", "1 contract", 10**6),
            Column(ColumnKind.POSITION, "call-410", "1 contract", 10**6),
        )
    )
    arrays = [
        RiskArray(f"pnl {number}", f"scenario {number}: {text}", (0, 0, future, call))
        for number, (text, future, call) in enumerate(
            zip(FIGURES["scenarios"], FIGURES["long_future"], FIGURES["long_call_410"], strict=True), 1
        )
    ]
    scanning_risk = PositivePart(Max(tuple(Scale(-1, Linear(array.name)) for array in arrays)))
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    return compile_policy(
        Policy(
            venue="published figures",
            title="SPAN scanning risk",
            as_of=0,
            value_unit=ValueUnit("USD", "1"),
            layout=layout,
            arrays=(RiskArray("cash", "cash", (0, 1, 0, 0)), *arrays),
            definitions=(
                Definition("equity", "cash", Role.ABBREVIATION, Linear("cash")),
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
        record = np.array([[1, cash, future, call]], dtype=np.int64)
        margin = evaluate(compiled, csr_array(record))
        assert margin.requirement[0] == requirement, name
        assert margin.worst_of(0).startswith(f"scenario {scenario}:")
        assert margin.shortfall[0] == requirement - cash
        proof = witness(compiled, csr_array(record))
        numbers = compiled.auxiliary_of
        assert proof.auxiliaries[0, numbers["requirement"]] == requirement
        assert proof.auxiliaries[0, numbers["shortfall"]] == requirement - cash
