"""Sums of the largest over a whole book: the engine's figures are those of the plain reading and of the relation."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crossmargin.engine import evaluate as engine
from crossmargin.engine.evaluate import evaluate, forms, value_of, witness
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.evaluate import evaluate_expression
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
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        *(Column(ColumnKind.POSITION, f"P{number}", "1 lot", 10**6, "USD") for number in range(3)),
    )
)
ARRAYS = 8
leaves = st.integers(0, ARRAYS - 1).map(lambda number: Linear(f"s{number}"))
amounts = st.integers(-(10**9), 10**9).filter(bool).map(Amount)
convex = st.recursive(
    leaves | amounts | st.just(Reference("first")) | st.just(Reference("short")),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=5).flatmap(
            lambda of: st.integers(1, len(of)).map(lambda count: SumLargest(count, tuple(of)))
        )
        | st.lists(inner, min_size=2, max_size=3).map(lambda of: Sum(tuple(of)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda of: Max(tuple(of)))
        | inner.map(lambda of: Scale(2, of))
        | inner.map(lambda of: Scale(-1, Min((Scale(-3, of), Linear("s1")))))
        | leaves.map(Abs)
        | st.tuples(leaves, amounts).map(lambda of: Abs(Sum(of)))
        | inner.map(PositivePart)
    ),
    max_leaves=10,
)


def margin(requirement: Expression, seed: int = 3) -> CompiledPolicy:
    """Return a policy with this requirement, and thresholds in other definitions."""
    drawn = np.random.default_rng(seed).integers(-1_000, 1_000, (ARRAYS, len(LAYOUT)))
    arrays = [RiskArray(f"s{number}", f"scenario {number}", tuple(map(int, row))) for number, row in enumerate(drawn)]
    arrays.append(RiskArray("cash", "cash", (1, 0, 0, 0)))
    first = SumLargest(2, (Linear("s0"), Max((Linear("s1"), Sum((Linear("s2"), Amount(-70_000))))), Amount(5_000)))
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    definitions = (
        Definition("equity", "cash", Role.EQUITY, Linear("cash")),
        Definition("first", "worst of three", Role.HIDDEN, first),
        Definition("short", "worst of three", Role.ABBREVIATION, SumLargest(2, (Linear("s4"), Linear("s5"), first))),
        Definition("requirement", "requirement covers the loss", Role.REQUIREMENT, requirement),
        Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap),
    )
    return compile_policy(
        Policy(PolicyKind.SOLVENCY, "v", "t", 0, ValueUnit("USD", "0.01"), LAYOUT, tuple(arrays), definitions, ())
    )


def book(accounts: int, seed: int) -> csr_array:
    generator = np.random.default_rng(seed)
    limits = np.array([column.limit for column in LAYOUT.columns])
    records = (limits * generator.uniform(-1, 1, (accounts, len(limits))) ** 3).astype(np.int64)
    records[generator.random(records.shape) < 0.3] = 0
    return csr_array(records)


@given(convex, st.integers(0, 2**32 - 1))
def test_engine_plain_reading_and_relation_agree(requirement: Expression, seed: int) -> None:
    compiled = margin(requirement)
    policy = compiled.policy
    records = book(7, seed)
    found = evaluate(compiled, records)
    proof = witness(compiled, records)
    values = value_of(policy, requirement, forms(policy, records))
    for account, row in enumerate(records.toarray()):
        record = [int(entry) for entry in row]
        auxiliaries, slacks = compiled.witness(record)
        assert proof.auxiliaries[account].tolist() == auxiliaries
        assert proof.slacks[account].tolist() == slacks
        assert min(slacks) >= 0
        assert values[account] == evaluate_expression(policy, requirement, record)
        for name in ("first", "requirement", "shortfall"):
            expected = evaluate_expression(policy, Reference(name), record)
            assert auxiliaries[compiled.auxiliary_of[name]] == expected
        assert found.requirement[account] == auxiliaries[compiled.auxiliary_of["requirement"]]
        assert found.shortfall[account] == auxiliaries[compiled.auxiliary_of["shortfall"]]


@pytest.mark.parametrize("values", [1, 40, 10**6])
def test_chunks_do_not_show(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = margin(SumLargest(3, tuple(Linear(f"s{number}") for number in range(ARRAYS))))
    records = book(50, 9)
    whole = witness(compiled, records), evaluate(compiled, records)
    monkeypatch.setattr(engine, "CHUNK_VALUES", values)
    cut = witness(compiled, records), evaluate(compiled, records)
    assert np.array_equal(whole[0].auxiliaries, cut[0].auxiliaries)
    assert np.array_equal(whole[0].slacks, cut[0].slacks)
    assert np.array_equal(whole[1].requirement, cut[1].requirement)


def test_expected_shortfall_is_between_the_mean_and_the_worst_of_the_losses() -> None:
    """Over all counts k it falls from the worst loss to the mean, with no step back (Artzner et al.: coherence)."""
    losses = tuple(Linear(f"s{number}") for number in range(ARRAYS))
    records = book(200, 4)
    policy = margin(Max(losses)).policy
    values = forms(policy, records)
    sums = [value_of(policy, SumLargest(count, losses), values) for count in range(1, ARRAYS + 1)]
    for (few, less), (many, more) in pairwise(enumerate(sums, start=1)):
        assert np.all(less * many >= more * few)
    assert np.array_equal(sums[0], value_of(policy, Max(losses), values))
    assert np.array_equal(sums[-1], sum(values[each.array] for each in losses))
