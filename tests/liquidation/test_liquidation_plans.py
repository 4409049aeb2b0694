"""Plans: least cost by brute force, exact rows after them, a proof of the record, and the steps of a published rule."""

import itertools
import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crossmargin.engine.evaluate import evaluate, witness
from crossmargin.liquidation.cost import ClosingCost, Quotes
from crossmargin.liquidation.plan import NoPlanError, least_cost_plan, plan_of
from crossmargin.liquidation.pro_rata import ShareRule, close_by_share, close_in_steps
from crossmargin.liquidation.rule import Rule
from crossmargin.liquidation.sets import account_sets, below
from crossmargin.loading import Inputs, load_folder
from crossmargin_circuits.layout import ColumnKind
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.verify import ClaimedStatement, verify_statements

ROOT = Path(__file__).parents[2]
PARADEX = json.loads((ROOT / "tests" / "vectors" / "liquidation_paradex.json").read_text(encoding="utf-8"))

quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def book() -> Inputs:
    return load_folder(ROOT / "examples" / "book")


def maintenance(book: Inputs) -> Rule:
    return Rule("test-venue", book.model, "maintenance")


def costs(generator: np.random.Generator, names: Sequence[str]) -> ClosingCost:
    """Return random costs; half of them with a depth of two steps on the first instrument."""
    depth = {}
    if generator.random() < 0.5:
        first, second = sorted(generator.integers(0, 300, 2).tolist())
        depth[names[0]] = [
            {"slippage": str(Decimal(first) / 10_000), "lots": int(generator.integers(1, 4))},
            {"slippage": str(Decimal(second) / 10_000)},
        ]
    return ClosingCost.model_validate(
        {
            "fee_rate": str(Decimal(int(generator.integers(0, 60))) / 10_000),
            "slippage": str(Decimal(int(generator.integers(0, 100))) / 10_000),
            "automation": str(int(generator.choice([0, 0, 1, 5, 20]))),
            "fees": {names[1]: "0.0075"},
            "depth": depth,
        }
    )


@pytest.mark.parametrize("seed", range(40))
def test_no_plan_is_cheaper(seed: int, desk: SimpleNamespace) -> None:
    """All ways to close three small positions are tried."""
    generator = np.random.default_rng(seed)
    names = ["AUSDT", "BUSDT", "CUSDT"]
    environment = desk.perpetuals({"A": "100.5", "B": "61.3", "C": "17.9"}, dict.fromkeys("ABC", "1"))
    rule = desk.tiered(
        {
            "AUSDT": [("0.05", "0"), ("0.1", "10"), ("0.25", "70")],
            "BUSDT": [("0.08", "0"), ("0.2", "20")],
            "CUSDT": [("0.15", "0")],
        }
    )
    lots = dict(zip(names, generator.choice([-6, -5, -3, -1, 2, 4, 5, 6], 3).tolist(), strict=True))
    record = desk.record(environment, balance_USDT=0, **lots)
    excess = int(evaluate(rule.compiled(environment), desk.matrix([record])).excess[0])
    # Equity between nothing and nine tenths of what is needed: money quanta are a hundredth of the asset's unit.
    record[1] = -excess // 100 - int(generator.uniform(0.1, 1) * 60 * 10**6)
    buffer = Decimal(str(generator.choice(["0", "0.1", "0.3"])))
    cost = costs(generator, names)
    compiled = rule.buffered(buffer).strict.compiled(environment)
    quotes = Quotes(environment, cost)
    tried = [
        plan_of(compiled, quotes, record, dict(zip(names, closed, strict=True)))
        for closed in itertools.product(*(range(abs(held) + 1) for held in lots.values()))
    ]
    enough = [plan for plan in tried if plan.restores]
    if not enough:
        with pytest.raises(NoPlanError):
            least_cost_plan(rule, environment, record, cost, buffer)
        return
    plan = least_cost_plan(rule, environment, record, cost, buffer)
    assert plan.restores
    assert plan.least
    assert plan.cost == min(each.cost for each in enough)
    assert plan.cost > 0


def test_an_account_beyond_help_and_one_without_need(desk: SimpleNamespace) -> None:
    """An account with debts only has no plan; one with its buffer needs none."""
    environment = desk.perpetuals({"A": "100"}, {"A": "1"})
    rule = desk.tiered({"AUSDT": [("0.05", "0")]})
    bankrupt = desk.record(environment, balance_USDT=0, entry_USDT=-1001, AUSDT=10)
    with pytest.raises(NoPlanError):
        least_cost_plan(rule, environment, bankrupt, ClosingCost())
    sound = desk.record(environment, balance_USDT=60, entry_USDT=-1000, AUSDT=10)
    plan = least_cost_plan(rule, environment, sound, ClosingCost(), Decimal("0.1"))
    assert (plan.closed, plan.cost, list(plan.record)) == ({}, 0, sound)


def test_depth_limits_a_plan(desk: SimpleNamespace) -> None:
    """Equity 30 against 5 a lot, 50 in all: four lots are needed, and more where they slip."""
    environment = desk.perpetuals({"A": "100"}, {"A": "1"})
    rule = desk.tiered({"AUSDT": [("0.05", "0")]})
    record = desk.record(environment, balance_USDT=30, entry_USDT=-1000, AUSDT=10)

    def lots(**depth: object) -> int:
        cost = ClosingCost.model_validate({"depth": {"AUSDT": [depth]}})
        return least_cost_plan(rule, environment, record, cost).closed["AUSDT"]

    assert lots(slippage="0") == 4
    assert lots(slippage="0.01") == 5  # 30 - c >= 5 (10 - c)
    with pytest.raises(NoPlanError):
        lots(slippage="0", lots=3)


@pytest.mark.parametrize("model", ["scenario_portfolio_margin", "sum_of_underlyings"])
def test_plans_of_a_book(book: Inputs, model: str, desk: SimpleNamespace) -> None:
    """Real relations with options and inverse contracts: exact rows afterwards, positions only shrink."""
    data = {**book.model.model_dump(mode="json"), "model": model}
    rule = Rule("test-venue", type(book.model).model_validate(data), "maintenance")
    environment, records = book.environment, book.book.records
    cost = ClosingCost.model_validate({"fee_rate": "0.0005", "slippage": "0.001", "automation": "2"})
    buffer = Decimal("0.1")
    accounts, _ = below(rule.buffered(buffer), environment, records)
    equity = evaluate(rule.compiled(environment), records).equity
    compiled = rule.buffered(buffer).compiled(environment)
    first = len(environment.catalogue.layout()) - len(environment.catalogue.instruments)
    seen = 0
    for account in accounts[equity[accounts] > 0][:6].tolist():
        before = records[[account], :].toarray()[0]
        try:
            plan = least_cost_plan(rule, environment, before.tolist(), cost, buffer, gap=1e-3, seconds=20)
        except NoPlanError:
            _, closed = close_by_share(environment, before.tolist(), Fraction(1), cost)
            assert evaluate(compiled, desk.matrix([closed])).excess[0] < 0
            continue
        seen += 1
        after = np.array(plan.record)
        assert evaluate(compiled, desk.matrix([after])).excess[0] >= 0
        was, now = before[first:], after[first:]
        assert np.all(was * now >= 0)
        assert np.all(np.abs(now) <= np.abs(was))
        assert {name: int(n) for name, n in plan.closed.items()} == {
            item.name: int(n) for item, n in zip(environment.catalogue.instruments, np.abs(was - now), strict=True) if n
        }
        # What the account gives up is the cost but for automation and rounding, in dollars.
        lost = Fraction(
            int(evaluate(compiled, records[[account], :]).equity[0])
            - int(evaluate(compiled, desk.matrix([after])).equity[0]),
            10**8,
        )
        paid = plan.cost - 2 * len(plan.closed)
        assert abs(lost - paid) <= Fraction(1, 100) + paid / 5  # haircuts weigh what is paid in coins
    assert seen >= 3


@quiet
@given(seed=st.integers(0, 2**32 - 1))
def test_venue_rules_only_reduce(seed: int, desk: SimpleNamespace) -> None:
    generator = np.random.default_rng(seed)
    environment = desk.perpetuals({"A": "100.5", "B": "61.3"}, {"A": "1", "B": "1"})
    held = {"AUSDT": int(generator.integers(-50, 50)), "BUSDT": int(generator.integers(-50, 50))}
    record = desk.record(environment, balance_USDT=100, **held)
    share = Fraction(int(generator.integers(1, 101)), 100)
    trades, after = close_by_share(environment, record, share)
    for name, lots in held.items():
        column = environment.catalogue.layout().index(ColumnKind.POSITION, name)
        left = abs(after[column])
        assert after[column] * lots >= 0
        # Never less than the share, and less than a lot more.
        assert 0 <= (1 - share) * abs(lots) - left < 1
    if share == 1:
        assert after[-2:] == [0, 0]
    assert sum(abs(trade.lots) for trade in trades) == sum(
        abs(a - b) for a, b in zip(record[-2:], after[-2:], strict=True)
    )


def paradex(desk: SimpleNamespace) -> tuple[Rule, object, list[int]]:
    case = PARADEX["partial_liquidation"]
    held = {each["market"].partition("-")[0]: each for each in case["positions"]}
    environment = desk.perpetuals(
        {name: str(each["mark"]) for name, each in held.items()}, dict.fromkeys(held, "0.001")
    )
    rule = desk.tiered({f"{name}USDT": [(str(each["mmf"]), "0")] for name, each in held.items()})
    entry = -sum(Decimal(str(each["size"])) * each["entry"] for each in held.values())
    lots = {f"{name}USDT": round(each["size"] * 1000) for name, each in held.items()}
    return rule, environment, desk.record(environment, balance_USDT=case["collateral"], entry_USDT=entry, **lots)


def test_published_steps_of_a_partial_liquidation(desk: SimpleNamespace) -> None:
    case = PARADEX["partial_liquidation"]
    table, chosen = case["expected"]["table"], case["expected"]["chosen_share"]
    rule, environment, record = paradex(desk)

    def usd(quanta: int) -> float:
        return quanta / 1e8

    margin = evaluate(rule.compiled(environment), desk.matrix([record]))
    assert usd(int(margin.equity[0])) == pytest.approx(case["expected"]["account_value"])
    assert usd(int(margin.requirement[0])) == pytest.approx(case["expected"]["mmr"])
    terms = {"step": Fraction(1, 5), "penalty": Fraction(case["penalty"]), "penalty_asset": "USDT"}
    steps = close_in_steps(rule, environment, record, ShareRule(target=Fraction(9, 10), **terms))
    assert float(steps[-1].share) == chosen
    # A lower target goes on to all rows of the table.
    further = close_in_steps(rule, environment, record, ShareRule(target=Fraction(4, 10), **terms))
    assert len(further) == len(table)
    for step, row in zip(further, table, strict=True):
        assert float(step.share) == pytest.approx(row["share"])
        assert step.penalty / 1e6 == pytest.approx(row["penalty"])
        assert usd(step.equity) == pytest.approx(row["new_value"])
        assert usd(step.requirement) == pytest.approx(row["new_mmr"])
        # One digit, which the page rounds in three rows and cuts off in the last: 39.96 % is printed as 39.9.
        assert 100 * step.requirement / step.equity == pytest.approx(row["ratio_pct"], abs=0.1)
    last = steps[-1]
    kept = (1 - Fraction(2, 5)) * record[1]
    left = last.record[0] + last.record[1] - kept
    assert float(left / 10**6) == pytest.approx(case["expected"]["left_collateral"])
    assert float((record[0] - left) / 10**6) - last.penalty / 1e6 == pytest.approx(case["expected"]["realised_loss"])


def test_record_after_a_plan_is_proven_and_verified(desk: SimpleNamespace) -> None:
    """The buffered statement is strict: before the plan it has no proof, after it the proof verifies."""
    rule, environment, record = paradex(desk)
    buffer = Decimal("0.25")
    cost = ClosingCost.model_validate({"fee_rate": "0.0005", "slippage": "0.0002", "automation": "1"})
    plan = least_cost_plan(rule, environment, record, cost, buffer)
    compiled = rule.buffered(buffer).strict.compiled(environment)
    with pytest.raises(Exception, match="1 accounts do not satisfy"):
        witness(compiled, desk.matrix([record]))
    records = desk.matrix([plan.record])
    values = witness(compiled, records)
    backend, randomness = select_backend("reference"), SystemRandomness()
    layout = compiled.policy.layout
    snapshot = commit_snapshot("test-venue/book/1970", 0, layout.labels, records, ["holder-0"], 1, randomness, backend)
    files = prove_statement(
        snapshot,
        compiled.relation,
        compiled.policy.digest,
        GivenWitness(values.auxiliaries, values.slacks, snapshot.manifest),
        randomness,
        backend,
        packing=0,
    )
    claimed = ClaimedStatement(StatementFiles(files), compiled.relation, compiled.policy.digest)
    shown = verify_statements(SnapshotFiles(snapshot.files), {"maintenance": claimed})
    assert shown.totals == plan.record


def test_sets_and_buffers(desk: SimpleNamespace) -> None:
    """Maintenance 50, initial 100 USD: strictly below is in, on the line is out; buffers move the lines."""
    environment = desk.perpetuals({"A": "100"}, {"A": "1"})
    low = desk.tiered({"AUSDT": [("0.1", "0")]}, factor="0.5")
    high = desk.tiered({"AUSDT": [("0.1", "0")]})
    cash = [49, 50, 52, 54, 99, 100, 104, 200]
    records = desk.matrix([desk.record(environment, balance_USDT=each, entry_USDT=-1000, AUSDT=10) for each in cash])
    sets = account_sets(high, low, environment, records)
    assert sets.liquidated.tolist() == [0]
    assert sets.called.tolist() == [0, 1, 2, 3, 4]
    assert sets.liquidated_shortfall.tolist() == [10**8]
    assert sets.called_shortfall.tolist() == [(100 - each) * 10**8 for each in cash[:5]]
    wider = account_sets(high, low, environment, records, Decimal("0.05"), Decimal("0.05"))
    assert wider.liquidated.tolist() == [0, 1, 2]
    assert wider.called.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert repr(sets) == "AccountSets(5 called, 1 liquidated)"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"depth": {"A": [{"slippage": "0.02", "lots": 1}, {"slippage": "0.01"}]}}, "slippage of A falls with size"),
        ({"depth": {"A": [{"slippage": "0.02"}, {"slippage": "0.03"}]}}, "without lots is not the last"),
        ({"fee_rate": "1"}, "not in 0 <= value < 1"),
        ({"automation": "-1"}, "not in 0 <= value"),
    ],
)
def test_costs_that_are_refused(data: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ClosingCost.model_validate(data)
