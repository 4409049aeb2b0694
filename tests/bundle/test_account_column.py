"""Rows that depend on the account column: a cap or a threshold may, collateral from made-up accounts may not."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.errors import CurvatureError
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
from crossmargin_circuits.policy import POLICY_FILE, Constraint, Definition, Policy, RiskArray, Role, ValueUnit
from crossmargin_prover.backend import select_backend
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_verifier.bundle.account_free import AccountFree
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.verdict import Claim, Result

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.ACCOUNT, "", "1 account", 1),
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.BALANCE, "OWN", "1 OWN", 10**9),
    )
)
# A holder with 100 USD; an account of the venue that owes 100,000 OWN and counts as a thousand accounts, or as none.
RECORDS = [(1, 10_000, 0), (1_000, 0, -100_000)]
ARRAYS = (
    RiskArray("cash", "cash", (0, 1, 0)),
    RiskArray("own", "value of OWN", (0, 0, 2)),
    RiskArray("all", "value of everything", (0, 1, 2)),
    RiskArray("fixed", "an amount for every account", (500, 0, 0)),
    RiskArray("lifted", "value of OWN, and an amount", (900, 0, 2)),
    RiskArray("net", "value of everything, and an amount", (-500, 1, 2)),
    RiskArray("nothing", "nothing", (0, 0, 0)),
)
FIXED, CASH, OWN, ALL, LIFTED, NET = map(Linear, ("fixed", "cash", "own", "all", "lifted", "net"))
GAP = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))


def policy(
    equity: Expression,
    requirement: Expression = OWN,
    *more: Definition,
    constraints: tuple[Constraint, ...] = (),
    shortfall: bool = True,
    arrays: tuple[RiskArray, ...] = ARRAYS,
    layout: RecordLayout = LAYOUT,
) -> Policy:
    definitions = [
        *more,
        Definition("equity", "equity", Role.ABBREVIATION, equity),
        Definition("requirement", "requirement covers the loss", Role.REQUIREMENT, requirement),
    ]
    if shortfall:
        definitions.append(Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, GAP))
    return Policy(
        "test-exchange",
        "forged",
        0,
        ValueUnit("USD", "0.01"),
        layout,
        arrays,
        tuple(definitions),
        constraints,
    )


@pytest.fixture
def claims(workshop: Any, tmp_path: Path) -> Callable[..., dict[str, Claim]]:
    """Return a function that proves a policy about records of accounts, bundles it, and returns the claims."""

    def prove(
        statement: Policy, records: Sequence[tuple[int, ...]] = RECORDS, fund: str = "100000"
    ) -> dict[str, Claim]:
        snapshot = workshop.commit(statement, records)
        compiled = compile_policy(statement)
        leaves = snapshot.manifest.leaves
        # Not by the engine, which refuses an account that counts as many.
        values = [compiled.witness(snapshot.whole().records.row(leaf)) for leaf in range(leaves)]
        auxiliaries, slacks = (np.array(each, dtype=object) for each in zip(*values, strict=True))
        files = prove_statement(
            snapshot,
            compiled.relation,
            statement.digest,
            GivenWitness(auxiliaries, slacks, leaves),
            workshop.randomness,
            select_backend(),
            packing=0,
        )
        proven = {"m": {**files, POLICY_FILE: statement.encoded}}
        made = workshop.write(tmp_path / "made", snapshot, proven, {"USD": "100", "OWN": "1"}, fund, "test-exchange")
        return {claim.name: claim for claim in check_bundle(made).claims}

    return prove


def test_credit_inside_a_minimum_of_nothing_else_fails(claims: Callable[..., dict[str, Claim]]) -> None:
    """Both forms grow with the number of accounts: a thousand made-up ones hide a debt of 200,000."""
    found = claims(policy(Sum((CASH, Min((LIFTED, Sum((OWN, FIXED))))))), fund="0")
    assert found["m: shortfall"].result is Result.PASS
    assert found["m: credit"].result is Result.FAIL
    assert found["m: credit"].figures == "shortfall"
    assert found["m: columns"].result is Result.FAIL
    assert "m: account column" not in found


def test_asset_counted_beside_the_number_of_accounts_alone_fails(claims: Callable[..., dict[str, Claim]]) -> None:
    """Equity is bounded by cash whatever the number is, yet OWN is owed at no cost once the number is large."""
    found = claims(policy(Sum((CASH, Min((LIFTED, Linear("nothing")))))), fund="0")
    assert found["m: shortfall"].result is Result.PASS
    assert "m: credit" not in found
    assert found["m: columns"].result is Result.FAIL
    assert found["m: columns"].figures == "balance OWN"


def test_debt_that_only_the_number_of_accounts_makes_dear_fails(claims: Callable[..., dict[str, Claim]]) -> None:
    """Of one account owing 100,000 OWN costs 200,000 less the amount; a made-up one of a thousand pays 100,000."""
    dust = RiskArray("dust", "value of OWN, at most", (0, 0, 1))
    found = claims(policy(Sum((CASH, Min((Linear("dust"), LIFTED)))), arrays=(*ARRAYS, dust)), fund="1000")
    assert found["m: shortfall"].result is Result.PASS
    assert "m: credit" not in found
    assert "m: columns" not in found
    assert found["m: account column"].result is Result.FAIL
    assert found["m: account column"].figures == "balance OWN"


@pytest.mark.parametrize("side", [1, -1])
def test_position_that_only_the_number_of_accounts_makes_dear_fails(workshop: Any, tmp_path: Path, side: int) -> None:
    """A made-up account sells options for 2,000 USD and owes nothing for them: it counts as a thousand accounts."""
    layout = RecordLayout((*LAYOUT.columns[:2], Column(ColumnKind.POSITION, "CALL", "1 contract", 10**6)))
    given = (
        RiskArray("cash", "cash", (0, 1, 0)),
        RiskArray("options", "value of options, and an amount", (900, 0, 200 * side)),
        RiskArray("nothing", "nothing", (0, 0, 0)),
    )
    equity = Sum((CASH, Min((Linear("options"), Linear("nothing")))))
    forged = policy(equity, CASH, arrays=given, layout=layout)
    compiled = compile_policy(forged)
    auxiliaries, _ = compiled.witness((1_000, 200_000, -1_000 * side))
    assert auxiliaries[compiled.auxiliary_of["shortfall"]] == 0
    plain = dataclasses.replace(given[1], coefficients=(0, 0, 200 * side))
    honest = policy(equity, CASH, arrays=(given[0], plain, given[2]), layout=layout)
    for name, statement in (("forged", forged), ("honest", honest)):
        snapshot = workshop.commit(statement, [(1, 0, 0), (1, 0, 0)])
        proven = {"m": workshop.prove(snapshot, statement)}
        made = workshop.write(tmp_path / name, snapshot, proven, {"USD": "1"}, "0", "test-exchange")
        found = {claim.name: (claim.result, claim.figures) for claim in check_bundle(made).claims}
        failed = (Result.FAIL, "position CALL") if name == "forged" else None
        assert found.get("m: account column") == failed


def test_cap_of_collateral_is_fine(claims: Callable[..., dict[str, Claim]]) -> None:
    """The debt of the made-up account counts in full, however many accounts it counts as."""
    capped = Sum((CASH, Min((OWN, FIXED))))
    found = claims(policy(capped), fund="0")
    assert found["m: shortfall"].result is Result.FAIL
    assert found["m: shortfall"].figures == "total 2,000 USD, insurance fund 0 USD"
    assert "m: credit" not in found
    assert "m: columns" not in found
    assert found["m: account column"].result is Result.INFO
    assert found["m: account column"].figures == "1 of 3 rows depend on the number of accounts"


def test_requirement_above_a_threshold_is_fine(claims: Callable[..., dict[str, Claim]]) -> None:
    convex = PositivePart(Max((OWN, Sum((Scale(3, OWN), Scale(-1, FIXED))))))
    found = claims(policy(ALL, convex))
    assert {claim.result for name, claim in found.items() if name.startswith("m")} == {Result.PASS, Result.INFO}
    assert found["m: account column"].figures == "1 of 3 rows depend on the number of accounts"


def test_statement_of_exposures_needs_no_solvency(claims: Callable[..., dict[str, Claim]]) -> None:
    """Gross and large exposure: |200,000| and what of it is above the threshold of 500 an account."""
    gross = Definition("gross OWN", "gross", Role.EXPOSURE, Abs(OWN))
    large = Definition("shortfall", "large", Role.EXPOSURE, PositivePart(Sum((Abs(OWN), Scale(-1, FIXED)))))
    statement = Policy("test-exchange", "exposures", 0, ValueUnit("USD", "0.01"), LAYOUT, ARRAYS, (gross, large), ())
    found = claims(statement, [(1, 10_000, 400), (1, 0, -100_000)])
    assert found["m: exposure gross OWN"] == Claim(
        "m: exposure gross OWN",
        Result.INFO,
        "total 2,008 USD",
        "at least what checked accounts have of it, and all others together",
    )
    assert found["m: exposure shortfall"].figures == "total 1,998 USD"
    assert "m: shortfall" not in found
    assert "m: solvency" not in found
    # A bundle without any statement about solvency fails all the same.
    assert found["solvency"].result is Result.FAIL


def test_exposures_beside_a_hidden_auxiliary_or_a_constraint_state_nothing(
    claims: Callable[..., dict[str, Claim]],
) -> None:
    gross = Definition("gross OWN", "gross", Role.EXPOSURE, Abs(OWN))
    empty = Constraint("solvency", "nothing", Sum((CASH, Scale(-1, CASH))))
    statement = Policy("test-exchange", "exposures", 0, ValueUnit("USD", "0.01"), LAYOUT, ARRAYS, (gross,), (empty,))
    assert claims(statement)["m: solvency"].result is Result.FAIL


def chained(expression: Expression, length: int = 5) -> tuple[Definition, ...]:
    """Hide an expression behind a chain of abbreviations, the last one called `link`."""
    links = [Definition("link 0", "link", Role.ABBREVIATION, expression)]
    links += [
        Definition(f"link {number}", "link", Role.ABBREVIATION, Sum((Reference(f"link {number - 1}"),)))
        for number in range(1, length)
    ]
    return (*links, Definition("link", "link", Role.ABBREVIATION, Reference(f"link {length - 1}")))


CREDITS: dict[str, tuple[Expression, bool]] = {
    "linear": (FIXED, False),
    "charge": (Scale(-1, FIXED), False),
    "beside cash": (Sum((CASH, FIXED)), False),
    "cap": (Min((ALL, FIXED)), True),
    "negative cap": (Min((ALL, Scale(-1, FIXED))), True),
    "cap of nothing": (Min((FIXED,)), False),
    "two caps and no value": (Min((FIXED, Scale(2, FIXED))), False),
    "cap beside a credit": (Sum((Min((ALL, FIXED)), FIXED)), False),
    "cap of a credit": (Min((Sum((ALL, FIXED)), Scale(2, FIXED))), False),
    "bracket of collateral": (Min((ALL, Sum((OWN, FIXED)), LIFTED)), True),
    "opposite credits": (Min((Sum((ALL, FIXED)), NET)), False),
    "less a charge above zero": (Sum((ALL, Scale(-1, PositivePart(Scale(-1, FIXED))))), True),
    "less an absolute value": (Sum((ALL, Scale(-3, Abs(FIXED)))), True),
    "less the worst of two": (Sum((ALL, Scale(-1, Max((FIXED, CASH))))), True),
    "less the worst of two charges": (Sum((ALL, Scale(-1, Max((FIXED, LIFTED))))), False),
    "less two of three": (Sum((ALL, Scale(-1, SumLargest(2, (FIXED, OWN, CASH))))), True),
    "less two of three charges": (Sum((ALL, Scale(-1, SumLargest(2, (FIXED, OWN, LIFTED))))), False),
}


@pytest.mark.parametrize("name", CREDITS)
@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "chained"])
def test_what_is_bounded_whatever_the_number_of_accounts(name: str, hidden: bool) -> None:
    expression, bounded = CREDITS[name]
    more = chained(expression) if hidden else ()
    source = policy(Reference("link") if hidden else expression, OWN, *more)
    assert (AccountFree(source).charges(GAP, -1).free is not None) == bounded
    strict = policy(
        Reference("link") if hidden else expression,
        OWN,
        *more,
        constraints=(Constraint("solvency", "equity - requirement >= 0", Scale(-1, GAP)),),
        shortfall=False,
    )
    assert (AccountFree(strict).charges(strict.constraints[0].expression, 1).free is not None) == bounded


def test_auxiliary_may_depend_on_the_number_of_accounts_where_it_is_subtracted() -> None:
    """It is unsigned: subtracted from collateral it takes nothing off at best; and it is never added."""
    charge = Definition("charge", "charge", Role.HIDDEN, Sum((OWN, Scale(-1, FIXED))))
    source = policy(Sum((ALL, Scale(-1, Reference("charge")))), OWN, charge)
    assert AccountFree(source, (1, 2)).charges(GAP, -1).free == {1: 1, 2: 2, ~1: -1, ~2: 0}
    with pytest.raises(CurvatureError):
        policy(Sum((ALL, Reference("charge"))), OWN, charge)


# Random models against what an attacker could do.

coefficients = st.tuples(st.integers(-3, 3), st.integers(0, 3), st.integers(0, 3))
concave = st.recursive(
    st.integers(0, 5).map(lambda number: Linear(f"r{number}")),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda of: Min(tuple(of)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda of: Sum(tuple(of)))
        | inner.map(lambda of: Scale(2, of))
        | inner.map(lambda of: Scale(-1, Scale(-2, of)))
        | inner.map(lambda of: Scale(-1, PositivePart(Scale(-1, of))))
        | st.lists(inner, min_size=1, max_size=4).flatmap(
            lambda of: st.integers(1, len(of)).map(
                lambda count: Scale(-1, SumLargest(count, tuple(Scale(-1, each) for each in of)))
            )
        )
    ),
    max_leaves=8,
)


@given(concave, st.lists(coefficients, min_size=6, max_size=6))
def test_made_up_accounts_gain_no_collateral(equity: Expression, drawn: list[tuple[int, int, int]]) -> None:
    """With a form free of the account column, no number of accounts is worth anything, and no debt is free."""
    source = valued(equity, drawn)
    free = AccountFree(source, (1, 2)).charges(Reference("equity"), 1).free
    if free is None:
        assert any(each[0] for each in drawn)
        return
    for number in (-(10**6), -100, -1, 0, 1, 3, 100, 10**6):
        assert evaluate_expression(source, equity, (number, 0, 0)) <= 0
        for column in (1, 2):
            debt = tuple(-int(each == column) for each in (1, 2))
            assert evaluate_expression(source, equity, (number, *debt)) <= -free.get(column, 0)


def valued(equity: Expression, drawn: list[tuple[int, int, int]]) -> Policy:
    """Return a policy with cash, twice what is drawn, and this equity in that."""
    arrays = [RiskArray(f"r{number}", "random", each) for number, each in enumerate(drawn)]
    arrays += [RiskArray("dollars", "dollars", (0, 1, 0)), RiskArray("coin", "what is held", (0, 0, 1))]
    definitions = (
        Definition("equity", "equity", Role.ABBREVIATION, equity),
        Definition("requirement", "requirement covers OWN", Role.REQUIREMENT, Linear("coin")),
        Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, GAP),
    )
    return Policy("v", "t", 0, ValueUnit("USD", "0.01"), LAYOUT, tuple(arrays), definitions, ())


def least_cash(compiled: CompiledPolicy, owed: int, accounts: tuple[int | None, int | None]) -> float | None:
    """Return the least cash with which rows hold for an account that owes so much OWN and is short of nothing.

    accounts: range of the account column. By a linear program over the rows alone: whatever auxiliaries there are.
    """
    rows = compiled.relation.rows
    shortfall = compiled.auxiliary_of["shortfall"]
    auxiliaries = len(compiled.relation.auxiliaries)
    # Variables: account column, cash, auxiliaries; rows say -row <= owed part.
    matrix = [[-row.base[0], -row.base[1], *(-c for c in row.auxiliary)] for row in rows]
    right = [-owed * row.base[2] for row in rows]
    limits = [accounts, (None, None), *((0, 0 if number == shortfall else None) for number in range(auxiliaries))]
    found = linprog([0, 1, *[0] * auxiliaries], matrix, right, bounds=limits, method="highs")
    return None if found.fun is None else float(found.fun)


@given(concave, st.lists(coefficients, min_size=6, max_size=6), st.integers(1, 3))
def test_owing_costs_made_up_accounts_what_it_costs_without_any(
    extra: Expression, drawn: list[tuple[int, int, int]], cash: int
) -> None:
    """Where the check passes, no number of accounts lowers the cash that a debt of OWN needs; by the rows alone."""
    drawn = [(own, 0, coin) for own, _, coin in drawn]
    source = valued(Sum((Scale(cash, Linear("dollars")), extra)), drawn)
    charges = AccountFree(source, (1, 2)).charges(Reference("equity"), 1)
    compiled = compile_policy(source)
    without = least_cash(compiled, 6, (0, 0))
    assert without is not None
    assert without * cash == pytest.approx(6 * max(0, charges.every.get(2, 0)), abs=1e-6)
    made_up = least_cash(compiled, 6, (None, None))
    if charges.free is not None:
        assert made_up is not None
        # Sufficient: forms whose dependence on the account column cancels are not seen.
        assert made_up * cash >= 6 * max(0, charges.free.get(2, 0)) - 1e-6
