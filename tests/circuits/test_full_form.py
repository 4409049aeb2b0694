"""The full form of equity: the fold finds what the rule finds in words; no accepted equity is cheaper in parts."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import linprog

from crossmargin_circuits.errors import FullFormError, PolicyError
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
from crossmargin_circuits.full_form import check_full_form, reliefs
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Constraint, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**6),
        Column(ColumnKind.BALANCE, "BTC", "0.01 BTC", 10**6),
        Column(ColumnKind.ENTRY, "USD", "0.01 USD", 10**6),
        Column(ColumnKind.POSITION, "P", "1 lot", 10**4, "USD"),
        Column(ColumnKind.POSITION, "Q", "1 lot", 10**4, "BTC"),
    )
)
WIDTH = len(LAYOUT)
GAP = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
HELD = Linear("held")
COIN = Linear("coin")
LOT = Linear("lot")

Form = tuple[tuple[int, ...], int]


def solvency(equity: Expression, *before: Definition, strict: bool = False, needed: Expression = HELD) -> Policy:
    """Return a solvency policy over named arrays of the layout's columns."""
    arrays = {
        "held": (1, 0, 1, 0, 0),
        "coin": (0, 100, 0, 0, 0),
        "few": (0, 98, 0, 0, 0),
        "lot": (0, 0, 0, 100, 0),
        "short": (0, 0, 0, -7, 3),
        "all": (1, 100, 1, 100, -5),
        "cut": (1, 90, 1, 80, -6),
        "none": (0, 0, 0, 0, 0),
        "many coins": (0, 100_000, 0, 0, 0),
    }
    definitions = (
        *before,
        Definition("equity", "equity", Role.EQUITY, equity),
        Definition("requirement", "requirement covers it", Role.REQUIREMENT, needed),
    )
    gap = Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, GAP)
    constraint = Constraint("solvency", "equity - requirement >= 0", Scale(-1, GAP))
    return Policy(
        kind=PolicyKind.SOLVENCY,
        venue="test",
        title="test",
        as_of=0,
        value_unit=ValueUnit("USD", "0.01"),
        layout=LAYOUT,
        arrays=tuple(RiskArray(name, name, coefficients) for name, coefficients in arrays.items()),
        definitions=definitions if strict else (*definitions, gap),
        constraints=(constraint,) if strict else (),
    )


# The rule in its own words: every form is listed, and every node is looked at with its sign.


def forms(policy: Policy, expression: Expression, sign: int) -> list[Form]:
    """List all forms of sign * expression."""

    def added(parts: Sequence[list[Form]]) -> list[Form]:
        return [
            (tuple(map(sum, zip(*(coefficients for coefficients, _ in some), strict=True))), sum(c for _, c in some))
            for some in product(*parts)
        ]

    zero: list[Form] = [((0,) * WIDTH, 0)]
    match expression:
        case Linear(name):
            return [(tuple(sign * c for c in policy.array(name).coefficients), 0)]
        case Amount(amount):
            return [((0,) * WIDTH, sign * amount)]
        case Reference(name):
            definition = policy.definition(name)
            return (zero if definition.role.is_auxiliary else []) + forms(policy, definition.expression, sign)
        case Scale(by, inner):
            turned = forms(policy, inner, sign if by > 0 else -sign)
            return [(tuple(abs(by) * c for c in coefficients), abs(by) * constant) for coefficients, constant in turned]
        case Sum(terms):
            return added([forms(policy, each, sign) for each in terms])
        case Max(operands) | Min(operands):
            return [form for each in operands for form in forms(policy, each, sign)]
        case SumLargest(count, operands):
            each = [forms(policy, operand, sign) for operand in operands]
            return [form for some in combinations(each, count) for form in added(some)]
        case PositivePart(inner):
            return zero + forms(policy, inner, sign)
        case Abs(inner):
            return zero + forms(policy, inner, sign) + forms(policy, inner, -sign)


def ends(found: Sequence[Form]) -> list[tuple[int, int]]:
    """Return the interval of every coefficient over forms."""
    return [(min(column), max(column)) for column in zip(*(coefficients for coefficients, _ in found), strict=True)]


def has_amount(policy: Policy, expression: Expression) -> bool:
    match expression:
        case Amount():
            return True
        case Linear():
            return False
        case Reference(name):
            return has_amount(policy, policy.definition(name).expression)
        case Scale(_, of) | Abs(of) | PositivePart(of):
            return has_amount(policy, of)
        case Sum(of) | Max(of) | Min(of) | SumLargest(_, of):
            return any(has_amount(policy, each) for each in of)


def terms(policy: Policy, expression: Expression, factor: int) -> list[tuple[Expression, int]]:
    """Write out abbreviations and factors; return the terms, each with its factor."""
    match expression:
        case Sum(of):
            return [term for each in of for term in terms(policy, each, factor)]
        case Scale(by, of):
            return terms(policy, of, factor * by)
        case Reference(name) if not policy.definition(name).role.is_auxiliary:
            return terms(policy, policy.definition(name).expression, factor)
    return [(expression, factor)]


def candidate(policy: Policy, expression: Expression, sign: int, wanted: Sequence[int]) -> Form | None:
    """Return the candidate of sign * expression; wanted: 1 for hi, 0 for lo, by column."""

    def of_least(*operands: tuple[Expression, int]) -> Form | None:
        node = ends([form for each, turn in operands for form in forms(policy, each, turn)])
        whole = tuple(end[which] for end, which in zip(node, wanted, strict=True))
        found = [candidate(policy, each, turn, wanted) for each, turn in operands]
        full = [form for form in found if form is not None and form[0] == whole]
        return min(full, key=lambda form: form[1]) if full else None

    match expression:
        case Linear() | Amount():
            return forms(policy, expression, sign)[0]
        case Reference(name):
            definition = policy.definition(name)
            inner = PositivePart(definition.expression) if definition.role.is_auxiliary else definition.expression
            return candidate(policy, inner, sign, wanted)
        case Scale(by, of):
            found = candidate(policy, of, sign if by > 0 else -sign, wanted)
            return None if found is None else (tuple(abs(by) * c for c in found[0]), abs(by) * found[1])
        case Sum(of):
            parts = [each for each in (candidate(policy, each, sign, wanted) for each in of) if each is not None]
            if len(parts) < len(of):
                return None
            return tuple(map(sum, zip(*(c for c, _ in parts), strict=True))), sum(c for _, c in parts)
        case Min(of) if sign > 0:
            return of_least(*((each, 1) for each in of))
        case Max(of) if sign < 0:
            return of_least(*((each, -1) for each in of))
        case PositivePart(of) if sign < 0:
            return of_least((Linear("none"), 1), (of, -1))
        case Abs(of) if sign < 0:
            return of_least((of, 1), (of, -1))
    return None


def full_form(policy: Policy) -> tuple[list[tuple[int, int]], Form] | None:
    """Return the intervals of equity and the full form of its terms with an amount; None if the rule refuses it."""
    equity = policy.definition("equity").expression
    intervals = ends(forms(policy, equity, 1))
    held = [column.kind is not ColumnKind.POSITION for column in LAYOUT.columns]
    if any(each and not (low >= 0 and high > 0) for each, (low, high) in zip(held, intervals, strict=True)):
        return None
    bound = [Scale(by, each) for each, by in terms(policy, equity, 1) if has_amount(policy, each)]
    if not bound:
        return intervals, ((0,) * WIDTH, 0)
    own = ends(forms(policy, Sum(tuple(bound)), 1))
    if any(not each and low < 0 < high for each, (low, high) in zip(held, own, strict=True)):
        return None
    wanted = [1 if each or low >= 0 else 0 for each, (low, _) in zip(held, own, strict=True)]
    found = candidate(policy, Sum(tuple(bound)), 1, wanted)
    whole = tuple(end[which] for end, which in zip(own, wanted, strict=True))
    if found is None or found[0] != whole or found[1] > 0:
        return None
    return intervals, found


# Random equities: concave, most of them with amounts, some over abbreviations and auxiliaries.

names = st.sampled_from(["held", "coin", "few", "lot", "short", "all", "cut", "none"])
leaves: st.SearchStrategy[Expression] = st.one_of(
    names.map(Linear),
    st.sampled_from([-50, -20, -1, 1, 20, 50]).map(Amount),
    st.sampled_from([Reference("sum"), Scale(-1, Reference("charge")), Reference("least")]),
)
affine = st.lists(st.one_of(names.map(Linear), st.sampled_from([-50, 20]).map(Amount)), min_size=1, max_size=2).map(
    lambda of: Sum(tuple(of))
)
ABBREVIATION = Definition("sum", "a sum", Role.ABBREVIATION, Sum((COIN, Amount(-20))))
LEAST = Definition("least", "a least", Role.ABBREVIATION, Min((COIN, Sum((Linear("few"), Amount(20))))))
CHARGE = Definition("charge", "a charge", Role.HIDDEN, Sum((Scale(-2, LOT), Amount(-50))))


def grow(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Return concave expressions over concave ones."""
    many = st.lists(inner, min_size=1, max_size=3).map(tuple)
    turned = many.map(lambda of: tuple(Scale(-1, each) for each in of))
    return st.one_of(
        many.map(Sum),
        many.map(Min),
        st.builds(Scale, st.sampled_from([1, 2]), inner),
        turned.map(lambda of: Scale(-1, Max(of))),
        inner.map(lambda of: Scale(-2, PositivePart(Scale(-1, of)))),
        affine.map(lambda of: Scale(-1, Abs(of))),
        turned.flatmap(lambda of: st.integers(1, len(of)).map(lambda count: Scale(-1, SumLargest(count, of)))),
    )


concave: st.SearchStrategy[Expression] = st.recursive(leaves, grow, max_leaves=6)


def random_policy(expression: Expression) -> Policy | None:
    source = solvency(Sum((Linear("all"), expression)), ABBREVIATION, LEAST, CHARGE)
    return source if len(forms(source, source.definition("equity").expression, 1)) < 2_000 else None


@given(concave)
def test_the_fold_is_the_rule(expression: Expression) -> None:
    source = random_policy(expression)
    assume(source is not None)
    assert source is not None
    expected = full_form(source)
    try:
        found = check_full_form(source)
    except FullFormError:
        assert expected is None
        return
    assert expected == (list(zip(found.lowest, found.greatest, strict=True)), (found.form, found.constant))


@given(concave)
def test_accepted_equity_is_no_cheaper_in_parts(expression: Expression) -> None:
    """No number of accounts has more equity than one large account with all that they owe, by a linear programme.

    n accounts that share x have n e(x / n) at best, e concave: the least of a_k x + n c_k over all forms k. It must not
    exceed any a_k x, for every x that is owed: below zero on balances and entry values, and on a position of e1 of the
    sign that the full form charges.
    """
    source = random_policy(expression)
    assume(source is not None)
    assert source is not None
    try:
        found = check_full_form(source)
    except FullFormError:
        return
    listed = list(dict.fromkeys(forms(source, source.definition("equity").expression, 1)))
    bounds = [
        (-1, 0) if column.kind is not ColumnKind.POSITION or end > 0 else (0, 1) if end < 0 else (-1, 1)
        for column, end in zip(LAYOUT.columns, found.form, strict=True)
    ]
    # Unknowns: x, n and the equity z that the accounts have together.
    rows = np.array([[*(-c for c in coefficients), -constant, 1] for coefficients, constant in listed], dtype=float)
    for coefficients, _ in listed:
        best = linprog(
            [*coefficients, 0, -1], A_ub=rows, b_ub=np.zeros(len(listed)), bounds=[*bounds, (0, None), (None, None)]
        )
        assert best.status == 0, "unbounded"
        assert -best.fun <= 1e-6


CREDIT = Sum((HELD, COIN, Amount(50)))
TOLERANCE = Sum((HELD, Min((Sum((COIN, Amount(50))), Linear("none")))))
JOINT = Sum((HELD, Min((COIN, LOT, Sum((COIN, LOT, Amount(50)))))))
THOUSANDFOLD = Sum((HELD, Min((COIN, Sum((Linear("many coins"), Amount(50)))))))
SHORTS = Sum((HELD, COIN, LOT, Scale(-2, PositivePart(Sum((Abs(LOT), Amount(-50)))))))


@pytest.mark.parametrize(
    ("equity", "column", "reason"),
    [
        (CREDIT, None, "adds 50 value quanta for each account"),
        (TOLERANCE, None, "adds 50 value quanta for each account"),
        (JOINT, None, "adds 50 value quanta for each account"),
        (Sum((HELD, Min((COIN, LOT, Amount(-1))))), None, "no single form"),
        (THOUSANDFOLD, None, "adds 50 value quanta for each account"),
        (HELD, "balance BTC", "not counted"),
        (Sum((HELD, Scale(-1, COIN))), "balance BTC", "negative coefficient, -100"),
        (Sum((HELD, Min((COIN, Scale(-1, COIN))))), "balance BTC", "negative coefficient, -100"),
        (SHORTS, "position P", "many small accounts"),
        (Sum((HELD, COIN, LOT, Scale(-1, SumLargest(2, (Amount(5), LOT, COIN))))), None, "no single form"),
    ],
    ids=[
        *("credit", "tolerance", "joint tolerance", "joint tolerance without a form", "thousandfold charge"),
        *("uncounted asset", "negative asset", "asset negative in one form", "shorts in small parts", "sum-largest"),
    ],
)
def test_equity_that_is_cheaper_in_parts_is_refused(equity: Expression, column: str | None, reason: str) -> None:
    source = solvency(equity)
    assert full_form(source) is None
    with pytest.raises(FullFormError, match=reason) as refused:
        check_full_form(source)
    assert refused.value.column == column
    assert str(refused.value).startswith(f"equity: {column}: " if column else "equity: ")


CONCENTRATED = Min((COIN, Sum((Linear("few"), Amount(50)))))
OTHERWISE = Sum((COIN, Scale(-1, PositivePart(Sum((COIN, Scale(-1, Linear("few")), Amount(-50)))))))


@pytest.mark.parametrize(
    "equity",
    [
        Sum((HELD, COIN)),
        Sum((HELD, CONCENTRATED)),
        Sum((HELD, OTHERWISE)),
        Sum((HELD, COIN, Amount(-5))),
        Sum((HELD, COIN, Scale(-1, PositivePart(Scale(-1, LOT))))),
        Min((Linear("all"), Linear("cut"))),
        Sum((HELD, Min((COIN, Linear("few"))))),
        Sum((Linear("all"), Min((Linear("none"), LOT, Linear("short"))))),
        Sum((Linear("all"), Scale(-1, SumLargest(2, (LOT, Linear("short"), Linear("none")))))),
        Sum((HELD, COIN, LOT, Scale(-2, Abs(LOT)))),
        Sum((HELD, COIN, Min((LOT, Sum((Scale(2, LOT), Amount(-1))))))),
    ],
    ids=[
        *("plain", "concentration haircut as a least", "concentration haircut as a charge", "fee of an account"),
        *("currency mismatch", "joint depeg", "two price sources", "worst scenario", "sum-largest of haircuts"),
        *("charge of both directions without amount", "lots that one side charges"),
    ],
)
def test_honest_equity_is_accepted(equity: Expression) -> None:
    source = solvency(equity)
    found = check_full_form(source)
    assert full_form(source) == (
        list(zip(found.lowest, found.greatest, strict=True)),
        (found.form, found.constant),
    )


def test_position_that_equity_owes_when_long() -> None:
    """Coefficients of one sign below zero: the least end is what a long position owes."""
    charged = Min((Linear("short"), Sum((Scale(2, Linear("short")), Amount(-4)))))
    found = check_full_form(solvency(Sum((HELD, COIN, Sum((Linear("cut"),)), charged))))
    assert (found.form, found.constant) == ((0, 0, 0, -14, 6), -4)


def test_other_kinds_have_no_equity() -> None:
    source = solvency(Sum((HELD, COIN)))
    exposure = Definition("gross", "gross", Role.EXPOSURE, Abs(LOT))
    crowding = Policy(PolicyKind.CROWDING, "test", "test", 0, source.value_unit, LAYOUT, source.arrays, (exposure,), ())
    with pytest.raises(PolicyError, match="crowding has no equity"):
        check_full_form(crowding)


# What amounts take from a requirement.

FREE = PositivePart(Sum((Scale(10, Abs(LOT)), Amount(-20))))


@pytest.mark.parametrize("strict", [False, True])
def test_reliefs_are_named_with_their_amounts(strict: bool) -> None:
    source = solvency(Sum((HELD, COIN)), needed=FREE, strict=strict)
    assert reliefs(source) == {"requirement": 20, "solvency" if strict else "shortfall": 20}
    assert reliefs(solvency(Sum((HELD, COIN)), strict=strict)) == {}
    floor = Max((LOT, Amount(75)))
    assert reliefs(solvency(Sum((HELD, COIN)), needed=floor, strict=strict))["requirement"] == 0


@given(concave)
def test_relief_is_minus_the_least_constant_of_any_form(expression: Expression) -> None:
    needed = Scale(-1, expression)
    source = solvency(Sum((HELD, COIN)), ABBREVIATION, LEAST, CHARGE, needed=needed)
    listed = forms(source, needed, 1)
    found = reliefs(source)
    assert ("requirement" in found) == has_amount(source, needed)
    assert found.get("requirement", 0) == max(0, -min(constant for _, constant in listed))
    assert found["charge"] == 50
