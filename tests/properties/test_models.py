"""Every architecture: the engine is the compiled relation, and what a model claims of itself is true.

The models are the files of examples/models, on the instruments and the market of examples/book.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crossmargin.book.book import Book
from crossmargin.engine.evaluate import Bound, Vectors, evaluate, forms, witness
from crossmargin.engine.explain import explain
from crossmargin.loading import Parameters, load_margin_model, load_parameters
from crossmargin.models import ARCHITECTURES, MarginModel, build_policy, rebuild_policy
from crossmargin.models.base import PROPERTIES
from crossmargin.models.policies import check_environment
from crossmargin_circuits.compile import BUDGET_BITS, CompiledPolicy, compile_policy
from crossmargin_circuits.evaluate import evaluate_expression, scenario_leaves
from crossmargin_circuits.expression import Abs, Expression, Reference, children
from crossmargin_circuits.full_form import check_full_form
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy, PolicyKind, Role
from crossmargin_circuits.reading import Reading

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path.stem for path in (EXAMPLES / "models").glob("*.yaml"))

Records = list[list[int]]
Plain = Callable[[Policy, Expression, Sequence[int]], int]

every_model = pytest.mark.parametrize("name", FILES)


@cache
def parameters() -> Parameters:
    return load_parameters(EXAMPLES / "book")


@cache
def model_of(name: str) -> MarginModel:
    return load_margin_model(EXAMPLES / "models" / f"{name}.yaml")


@cache
def compiled_of(name: str, statement: str = "initial") -> CompiledPolicy:
    return compile_policy(build_policy("test", parameters().environment, model_of(name), statement))


def policy_of(name: str) -> Policy:
    return compiled_of(name).policy


def record(data: st.DataObject, part: int = 1) -> list[int]:
    """Draw a record within 1/part of the limits, mostly empty, amounts of every size."""
    layout = parameters().catalogue.layout()
    drawn = [0] * len(layout)
    for number in data.draw(st.lists(st.integers(0, len(layout) - 1), max_size=8, unique=True)):
        limit = layout.columns[number].limit // part
        size = limit // 10 ** data.draw(st.integers(0, 6))
        drawn[number] = data.draw(st.integers(-size, size))
    return drawn


def requirement(policy: Policy, vector: list[int]) -> int:
    return evaluate_expression(policy, Reference("requirement"), vector)


def equity(policy: Policy, vector: list[int]) -> int:
    return evaluate_expression(policy, Reference("equity"), vector)


def claims(name: str, claim: str) -> None:
    if claim not in model_of(name).coherent:
        pytest.skip(f"{name} does not claim to be {claim}")


def test_every_architecture_has_an_example() -> None:
    assert {model_of(name).model for name in FILES} == set(ARCHITECTURES)


@every_model
def test_model_fits_the_example_book(name: str) -> None:
    assert check_environment(parameters().environment, model_of(name)) == []
    assert model_of(name).coherent <= PROPERTIES


@every_model
def test_policy_is_computed_again_from_itself(name: str) -> None:
    policy = policy_of(name)
    again = Policy.decode(policy.encoded)
    assert again == policy
    assert rebuild_policy(again) == policy


@every_model
def test_rows_fit_the_budget(name: str) -> None:
    for statement in model_of(name).statements:
        compiled = compiled_of(name, statement.name)
        assert max(compiled.row_bounds) < 2**BUDGET_BITS


@every_model
def test_equity_has_a_full_form(name: str) -> None:
    """In every statement: no number of made-up accounts owes more cheaply than one account."""
    model = model_of(name)
    policies = [compiled_of(name, statement.name).policy for statement in model.statements]
    judged = [policy for policy in policies if policy.kind is PolicyKind.SOLVENCY]
    assert [policy.inputs["statement"] for policy in judged] == list(model.margin_statements)
    for policy in judged:
        assert check_full_form(policy).constant <= 0


@every_model
@given(data=st.data())
@settings(max_examples=8)
def test_splitting_what_is_owed_gains_nothing(name: str, data: st.DataObject) -> None:
    """Balances and entry values alone, all owed: two accounts have together at most the equity of one."""
    policy = policy_of(name)
    kinds = [column.kind for column in policy.layout.columns]
    first, second = (
        [0 if kind is ColumnKind.POSITION else -abs(entry) for kind, entry in zip(kinds, record(data, 2), strict=True)]
        for _ in range(2)
    )
    pooled = [a + b for a, b in zip(first, second, strict=True)]
    assert equity(policy, first) + equity(policy, second) <= equity(policy, pooled)


@every_model
@given(data=st.data())
@settings(max_examples=4)
def test_every_reading_is_the_plain_one(name: str, plain_value: Plain, data: st.DataObject) -> None:
    """Exact values, vectors and bounds of every definition of every statement."""
    records = [record(data) for _ in range(2)]
    book = csr_array(np.array(records, dtype=np.int64))
    for statement in model_of(name).statements:
        policy = compiled_of(name, statement.name).policy
        vectors = Reading(policy, Vectors(forms(policy, book)))
        bounds = Reading(policy, Bound(policy, np.array([array.coefficients for array in policy.arrays])))
        for definition in policy.definitions:
            reference = Reference(definition.name)
            expected = [plain_value(policy, reference, each) for each in records]
            assert [evaluate_expression(policy, reference, each) for each in records] == expected
            assert vectors.of(reference).tolist() == expected
            assert max(map(abs, expected)) <= bounds.of(reference)


@every_model
@given(data=st.data())
@settings(max_examples=8)
def test_engine_is_the_relation(name: str, data: st.DataObject) -> None:
    compiled = compiled_of(name)
    policy = compiled.policy
    records = [record(data) for _ in range(4)]
    book = csr_array(np.array(records, dtype=np.int64))
    margin = evaluate(compiled, book)
    proof = witness(compiled, book)
    needed = compiled.auxiliary_of["requirement"]
    missing = compiled.auxiliary_of["shortfall"]
    for number, each in enumerate(records):
        assert margin.equity[number] == equity(policy, each)
        assert margin.requirement[number] == requirement(policy, each)
        auxiliaries, slacks = compiled.witness(each)
        assert proof.auxiliaries[number].tolist() == auxiliaries
        assert proof.slacks[number].tolist() == slacks
        assert min(slacks) >= 0
        assert auxiliaries[needed] == margin.requirement[number]
        assert auxiliaries[missing] == margin.shortfall[number]


@every_model
@given(data=st.data())
@settings(max_examples=8)
def test_requirement_is_convex_and_equity_concave(name: str, data: st.DataObject) -> None:
    """Of two records that differ by 2d, the one between them needs at most, and is worth at least, the mean."""
    policy = policy_of(name)
    middle, move = record(data, 2), record(data, 2)
    upper = [a + b for a, b in zip(middle, move, strict=True)]
    lower = [a - b for a, b in zip(middle, move, strict=True)]
    assert requirement(policy, upper) + requirement(policy, lower) >= 2 * requirement(policy, middle)
    assert equity(policy, upper) + equity(policy, lower) <= 2 * equity(policy, middle)


@every_model
@given(data=st.data())
@settings(max_examples=8)
def test_subadditive(name: str, data: st.DataObject) -> None:
    claims(name, "subadditive")
    policy = policy_of(name)
    first, second = record(data, 2), record(data, 2)
    pooled = [a + b for a, b in zip(first, second, strict=True)]
    assert requirement(policy, pooled) <= requirement(policy, first) + requirement(policy, second)


@every_model
@given(data=st.data())
@settings(max_examples=8)
def test_positively_homogeneous(name: str, data: st.DataObject) -> None:
    claims(name, "positively homogeneous")
    policy = policy_of(name)
    one, times = record(data, 8), data.draw(st.integers(0, 8))
    assert requirement(policy, [times * value for value in one]) == times * requirement(policy, one)


@every_model
@given(data=st.data())
@settings(max_examples=8)
def test_translation(name: str, data: st.DataObject) -> None:
    """Cash in the asset that neither moves nor is cut adds its value to the excess, exactly."""
    claims(name, "translation")
    policy = policy_of(name)
    before, cash = record(data, 2), data.draw(st.integers(-(10**12), 10**12))
    number = policy.layout.index(ColumnKind.BALANCE, "USDC")
    after = list(before)
    after[number] += cash
    empty = [0] * len(before)
    empty[number] = cash
    gained = equity(policy, empty)
    assert gained == policy.array("value cash").coefficients[number] * cash
    assert equity(policy, after) - requirement(policy, after) == (
        equity(policy, before) - requirement(policy, before) + gained
    )


@every_model
def test_monotone(name: str) -> None:
    """The requirement falls in every profit and loss: more in every scenario never needs more."""
    claims(name, "monotone")
    policy = policy_of(name)
    expression = policy.with_role(Role.REQUIREMENT)[0].expression
    assert all(factor < 0 for _, factor in scenario_leaves(policy, expression))
    assert not any(isinstance(node, Abs) for node in nodes(policy, expression))


def nodes(policy: Policy, expression: Expression) -> list[Expression]:
    inner = [policy.definition(expression.name).expression] if isinstance(expression, Reference) else []
    below = [*inner, *children(expression)]
    return [expression, *(node for child in below for node in nodes(policy, child))]


@every_model
@given(data=st.data())
@settings(max_examples=8)
def test_more_of_a_balance_never_lowers_equity(name: str, data: st.DataObject) -> None:
    policy = policy_of(name)
    before = record(data, 2)
    balances = [n for n, column in enumerate(policy.layout.columns) if column.kind is ColumnKind.BALANCE]
    number = data.draw(st.sampled_from(balances))
    after = list(before)
    after[number] += data.draw(st.integers(0, policy.layout.columns[number].limit // 2))
    assert equity(policy, after) >= equity(policy, before)


@every_model
@given(data=st.data())
@settings(max_examples=5)
def test_explanation_adds_up(name: str, data: st.DataObject) -> None:
    compiled = compiled_of(name)
    vector = record(data)
    matrix = csr_array(np.array([vector], dtype=np.int64))
    book = Book(compiled.policy.layout, ("a",), matrix, ("",), np.zeros(1, dtype=np.int64), matrix)
    shown = explain(compiled, book, "a")
    worth, needed = equity(compiled.policy, vector), requirement(compiled.policy, vector)
    assert sum(part.equity for part in shown.parts) == shown.equity == worth
    assert sum(part.requirement for part in shown.parts) == shown.requirement == needed
    assert sum(part.amount for part in shown.components) == shown.requirement
    assert bool(shown.worst) == bool(shown.requirement)


@every_model
def test_factor_scales_the_requirement(name: str) -> None:
    """The statement's factor is on every charge: maintenance is 80 % of initial, up to rounding of the arrays."""
    full, part = compiled_of(name, "initial").policy, compiled_of(name, "maintenance").policy
    leaves = {leaf for leaf, _ in scenario_leaves(full, Reference("requirement"))}
    assert leaves
    for leaf in leaves:
        whole, less = full.array(leaf).coefficients, part.array(leaf).coefficients
        assert all(abs(5 * b - 4 * a) <= 5 for a, b in zip(whole, less, strict=True)), leaf
