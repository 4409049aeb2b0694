"""One policy, two readings: the engine's figures are exactly those of the compiled relation, on random books."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import LimitError, ViolationError, evaluate, witness
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.models import MarginModel, build_policy, rebuild_policy
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.evaluate import evaluate_expression, worst_scenario
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.policy import Policy

quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def compiled_statement(catalogue: Catalogue, market: Market, model: MarginModel, name: str) -> CompiledPolicy:
    """Return the compiled policy of one statement."""
    return compile_policy(build_policy("test venue", MarketEnvironment(catalogue, market), model, name))


@st.composite
def random_books(draw: st.DrawFn, limits: tuple[int, ...]) -> csr_array:
    """Return records within the limits: sparse, of all magnitudes, with the limits themselves among them."""
    accounts = draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    bounds = np.array(limits, dtype=np.int64)
    size = generator.random((accounts, len(bounds))) ** generator.integers(1, 40, (accounts, 1))
    records = (bounds * np.minimum(size, 1)).astype(np.int64)
    records[generator.random(records.shape) < 0.1] = 0
    extreme = generator.random(records.shape) < 0.05
    records[extreme] = np.broadcast_to(bounds, records.shape)[extreme]
    records *= generator.choice([-1, 1], records.shape)
    return csr_array(records)


@quiet
@given(data=st.data())
def test_margin_equals_the_relation(
    data: st.DataObject, catalogue: Catalogue, market: Market, model: MarginModel
) -> None:
    compiled = compiled_statement(catalogue, market, model, data.draw(st.sampled_from(["maintenance", "initial"])))
    policy = compiled.policy
    records = data.draw(random_books(tuple(column.limit for column in policy.layout.columns)))
    margin = evaluate(compiled, records)
    proof = witness(compiled, records)
    requirement = policy.definition("requirement").expression
    for account, row in enumerate(records.toarray()):
        record = [int(entry) for entry in row]
        auxiliaries, slacks = compiled.witness(record)
        assert proof.auxiliaries[account].tolist() == auxiliaries
        assert proof.slacks[account].tolist() == slacks
        assert margin.requirement[account] == auxiliaries[compiled.auxiliary_of["requirement"]]
        assert margin.shortfall[account] == auxiliaries[compiled.auxiliary_of["shortfall"]]
        assert margin.equity[account] == evaluate_expression(policy, Reference("equity"), record)
        assert margin.requirement[account] == evaluate_expression(policy, Reference("requirement"), record)
        worst = worst_scenario(policy, requirement, record)
        assert margin.worst_of(account) == ("none" if worst is None else policy.array(worst).meaning)


@quiet
@given(data=st.data())
def test_strict_statement_has_a_witness_exactly_when_no_account_is_under_water(
    data: st.DataObject, catalogue: Catalogue, market: Market, model: MarginModel
) -> None:
    strict = compiled_statement(catalogue, market, model.model_copy(update={"strict": True}), "maintenance")
    limits = tuple(column.limit // 1000 + 1 for column in strict.policy.layout.columns)
    records = data.draw(random_books(limits))
    under_water = np.flatnonzero(evaluate(strict, records).excess < 0)
    if not len(under_water):
        assert witness(strict, records).slacks.shape == (records.shape[0], len(strict.relation.rows))
        return
    with pytest.raises(ViolationError) as error:
        witness(strict, records)
    assert error.value.accounts == len(under_water)
    first = error.value.violations[0]
    assert first.account == under_water[0]
    assert first.slack < 0
    assert first.row.endswith("equity - requirement >= 0")


def test_coverage_opens_the_debts(catalogue: Catalogue, market: Market, model: MarginModel) -> None:
    compiled = compiled_statement(catalogue, market, model, "coverage")
    records = np.zeros((3, len(compiled.policy.layout)), dtype=np.int64)
    records[0, 0], records[1, 0], records[2, 1] = -70, 50, -3
    proof = witness(compiled, csr_array(records))
    debts = dict(zip([aux.label for aux in compiled.relation.auxiliaries], proof.auxiliaries.sum(axis=0), strict=True))
    assert debts == {"debt USDC": 70, "debt BTC": 3, "debt ETH": 0}
    assert all(auxiliary.disclosed for auxiliary in compiled.relation.auxiliaries)


def test_record_beyond_its_limit_is_refused_by_column(catalogue: Catalogue, market: Market, model: MarginModel) -> None:
    compiled = compiled_statement(catalogue, market, model, "maintenance")
    records = np.zeros((2, len(compiled.policy.layout)), dtype=np.int64)
    records[1, 3] = compiled.policy.layout.columns[3].limit + 1
    with pytest.raises(LimitError, match="account number 1: entry USDC"):
        evaluate(compiled, csr_array(records))


def test_policy_survives_its_file_and_is_computed_again_from_its_inputs(
    catalogue: Catalogue, market: Market, model: MarginModel
) -> None:
    for name in ("maintenance", "initial", "coverage"):
        policy = build_policy("test venue", MarketEnvironment(catalogue, market), model, name)
        again = Policy.decode(policy.encoded)
        assert again == policy
        assert rebuild_policy(again) == policy


def test_model_without_offsets_never_needs_less(catalogue: Catalogue, market: Market, model: MarginModel) -> None:
    joint = compiled_statement(
        catalogue, market, model.model_copy(update={"model": "scenario_portfolio_margin"}), "initial"
    )
    alone = compiled_statement(catalogue, market, model.model_copy(update={"model": "sum_of_underlyings"}), "initial")
    generator = np.random.default_rng(7)
    records = generator.integers(-(10**5), 10**5, (200, len(joint.policy.layout)))
    book = csr_array(records)
    # Rounding each array alone may differ by half a quantum per unit: 1e-5 of a unit's value is far more than that.
    slack = np.abs(records).sum(axis=1) * 20
    assert np.all(evaluate(alone, book).requirement + slack >= evaluate(joint, book).requirement)
