"""Values inside an expression that no row bounds: every reading of a policy gives the same figures all the same."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate, forms, value_of, witness
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.evaluate import evaluate_expression
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
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit

LIMIT = 2**20
HUGE = 2**43
LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", LIMIT),
        Column(ColumnKind.POSITION, "P", "1 lot", LIMIT, "USD"),
    )
)
ARRAYS = (
    RiskArray("cash", "cash", (1, 0)),
    RiskArray("long", "large and a lot", (HUGE, 1)),
    RiskArray("short", "large less a lot", (HUGE, -1)),
    RiskArray("back", "minus large", (-HUGE, 0)),
)
LONG, SHORT, BACK = map(Linear, ("long", "short", "back"))
RECORDS = [(size, lots) for size in (LIMIT, LIMIT - 1, 1, 0, -LIMIT) for lots in (-LIMIT, -5, 0, 5, LIMIT)]


@pytest.mark.parametrize(
    "requirement",
    [
        Sum((Max((LONG, SHORT)), BACK)),
        Sum((BACK, Max((Sum((LONG, LONG)), Scale(2, SHORT), Sum((LONG, SHORT)))), BACK)),
        SumLargest(2, (Sum((Max((LONG, SHORT)), BACK)), Sum((LONG, BACK)), Sum((BACK, SHORT)))),
        Sum((Scale(-1, Min((BACK, Scale(-1, LONG)))), BACK)),
        Abs(Sum((LONG, BACK))),
        PositivePart(Sum((Max((LONG, SHORT)), BACK))),
    ],
    ids=["max", "two of it", "sum-largest", "min", "abs", "positive-part"],
)
def test_large_values_that_cancel_are_read_exactly(requirement: Expression) -> None:
    """2^43 times 2^20 is 2^63: a comparison of such values in int64 would compare what is left of them."""
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    definitions = (
        Definition("equity", "cash", Role.EQUITY, Linear("cash")),
        Definition("requirement", "requirement covers the loss", Role.REQUIREMENT, requirement),
        Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap),
    )
    policy = Policy(PolicyKind.SOLVENCY, "v", "t", 0, ValueUnit("USD", "0.01"), LAYOUT, ARRAYS, definitions, ())
    compiled = compile_policy(policy)
    records = csr_array(np.array(RECORDS, dtype=np.int64))
    found, proof = evaluate(compiled, records), witness(compiled, records)
    values = value_of(policy, requirement, forms(policy, records))
    for account, record in enumerate(RECORDS):
        expected = evaluate_expression(policy, requirement, record)
        auxiliaries, _ = compiled.witness(record)
        assert auxiliaries[compiled.auxiliary_of["requirement"]] == max(0, expected)
        assert proof.auxiliaries[account].tolist() == auxiliaries
        assert values[account] == expected
        assert found.requirement[account] == max(0, expected)
        assert found.excess[account] == record[0] - max(0, expected)
