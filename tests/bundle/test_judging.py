"""What the verdict says of verified statements: judged on books made by hand, beside the proofs.

Each policy here compiles and would be proven about a suitable book. The class of each fault that a hostile venue found
in the first version has a test: what it stated then, and what it states now.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from crossmargin_circuits.compile import compile_policy
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
)
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout, columns_digest
from crossmargin_circuits.policy import Constraint, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit
from crossmargin_verifier.bundle.claim import Claim, Result, Topic
from crossmargin_verifier.bundle.declarations import BundleManifest, DeclaredReserves, Totals
from crossmargin_verifier.bundle.judged_statement import JudgedStatement
from crossmargin_verifier.bundle.verdict import Outcome, Verdict, judge
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest
from crossmargin_verifier.protocol.verify import VerifiedBook, VerifiedStatement

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.BALANCE, "XVT", "0.01 XVT", 10**9),
        Column(ColumnKind.ENTRY, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.POSITION, "BTC-PERP", "1 contract of 0.001 BTC", 10**6, "USD"),
        Column(ColumnKind.POSITION, "BTC-EARN", "1 lot of 0.001 BTC", 10**6, "XVT"),
    )
)
# Values in 0.0001 USD: 1 USD of USD is 100 a unit, XVT 2 USD, the perpetual 60 USD, the other 60 USD in XVT.
VALUE = (100, 200, 100, 600_000, 600_000)
ACCOUNTS = 1000
TOTALS = (50_000_00, 10_00, -100_00, 0, 0)
KEY = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")

ARRAYS = {
    "value": VALUE,
    "held": (100, 200, 100, 0, 0),
    "loss": (0, 0, 0, -60_000, -60_000),
    "gain": (0, 0, 0, 60_000, 60_000),
    "coin": (0, 200, 0, 0, 0),
    "none": (0, 0, 0, 0, 0),
    "cash": (100, 0, 100, 0, 0),
    "net cash": (100, -200, 100, 0, 0),
    "uneven": (100, 200, 90, 600_000, 600_000),
    "claim USD": (1, 0, 1, 6000, 0),
    "claim XVT": (0, 1, 0, 0, 3000),
    "claim USD without positions": (1, 0, 1, 0, 0),
    "claim XVT without positions": (0, 1, 0, 0, 0),
    "claim XVT with all positions": (0, 1, 0, 3000, 3000),
    "charge": (10**9, 0, 10**9, 0, 0),
    "rarely less": (100, 0, 100, 600_000, 600_000),
    "small lots": (100, 200, 100, 600_000, 90),
    "small lots less": (100, 100, 100, 600_000, 40),
    "haircut": (100, 200, 100, 540_000, 600_000),
    "both": (1, 1, 1, 6000, 0),
    "half": (1, 0, 1, 3000, 0),
}
LOSS = PositivePart(Max((Linear("loss"), Linear("gain"))))


def arrays(*expressions: Expression) -> tuple[RiskArray, ...]:
    """Return the arrays that expressions name."""
    text = repr(expressions)
    return tuple(RiskArray(name, name, each) for name, each in ARRAYS.items() if f"array={name!r}" in text)


VALUED = Linear("value")


def solvency(
    equity: Expression = VALUED,
    requirement: Expression = LOSS,
    *,
    strict: bool = False,
    layout: RecordLayout = LAYOUT,
) -> Policy:
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    definitions = [
        Definition("equity", "equity", Role.EQUITY, equity),
        Definition("requirement", "requirement covers it", Role.REQUIREMENT, requirement),
    ]
    constraints: tuple[Constraint, ...] = ()
    if strict:
        constraints = (Constraint("solvency", "equity - requirement >= 0", Scale(-1, gap)),)
    else:
        definitions.append(Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap))
    unit = ValueUnit("USD", "0.0001")
    given = arrays(equity, requirement)
    return Policy(PolicyKind.SOLVENCY, "v", "t", 0, unit, layout, given, tuple(definitions), constraints)


def coverage(**claims: Expression) -> Policy:
    """Return a policy of debts: subject -> minus the claim."""
    definitions = [Definition(f"debt {name}", "debt", Role.DEBT, each, name) for name, each in claims.items()]
    unit = ValueUnit("USD", "0.0001")
    given = arrays(*claims.values())
    return Policy(PolicyKind.COVERAGE, "v", "t", 0, unit, LAYOUT, given, tuple(definitions), ())


def crowding() -> Policy:
    gross = Definition("gross long", "gross", Role.EXPOSURE, Abs(Linear("gain")))
    unit = ValueUnit("USD", "0.0001")
    return Policy(PolicyKind.CROWDING, "v", "t", 0, unit, LAYOUT, arrays(gross.expression), (gross,), ())


FULL = coverage(USD=Scale(-1, Linear("claim USD")), XVT=Scale(-1, Linear("claim XVT")))


def verdict(
    policies: Mapping[str, Policy],
    opened: Mapping[str, Sequence[int]] | None = None,
    totals: tuple[int, ...] | None = TOTALS,
    assets: Mapping[str, str] | None = None,
    fund: str = "100",
    currency: str = "USD",
    accounts: int = ACCOUNTS,
) -> Verdict:
    """Judge policies over a book with these totals; opened: totals of disclosed auxiliaries, 0 by default."""
    compiled = {name: compile_policy(policy) for name, policy in policies.items()}
    first = next(iter(policies.values()))
    snapshot = SnapshotManifest("v/1970", 0, columns_digest(first.layout.labels), 1, accounts, bytes(32))
    statements = {}
    for name, each in compiled.items():
        disclosed = len(each.relation.disclosed)
        manifest = StatementManifest(snapshot.digest, each.relation.digest, each.policy.digest, bytes(32), 0, bytes(32))
        found = None if totals is None else tuple((opened or {}).get(name, [0] * disclosed))
        statements[name] = VerifiedStatement(manifest, each.relation, found)
    book = VerifiedBook(snapshot, totals, statements)
    shown = Totals.NONE if totals is None else Totals.OPENED
    manifest = BundleManifest("v", snapshot.digest, tuple(policies), KEY, shown, accounts, 0)
    declared = {"USD": "50000", "XVT": "10"} if assets is None else assets
    reserves = DeclaredReserves(snapshot.digest, "test", declared, currency, fund)
    judged = [
        JudgedStatement(number, name, each, statements[name]) for number, (name, each) in enumerate(compiled.items(), 1)
    ]
    return judge(manifest, reserves, book, judged)


def about(found: Verdict, topic: Topic, statement: int | None = None, subject: str | None = None) -> list[Claim]:
    return [
        claim
        for claim in found.claims
        if claim.topic is topic
        and (statement is None or claim.statement == statement)
        and (subject is None or claim.subject == subject)
    ]


def only(found: Verdict, topic: Topic, statement: int | None = None, subject: str | None = None) -> Claim:
    (claim,) = about(found, topic, statement, subject)
    return claim


HONEST = {"maintenance": solvency(), "coverage": FULL}


def test_honest_book_is_verified() -> None:
    found = verdict(HONEST)
    assert found.outcome is Outcome.VERIFIED
    assert found.headline == (
        "Each of the 1,000 committed accounts, checked by its holder or not, has equity that covers its requirement "
        "under every statement about solvency."
    )
    assert found.text.endswith("\n\nVERIFIED\n")
    assert {claim.result for claim in found.claims} == {Result.PASS, Result.INFO}


def test_shortfall_stands_in_the_headline_and_within_the_fund() -> None:
    found = verdict(HONEST, {"maintenance": (7, 1_000_000), "coverage": (0, 0)})
    assert found.outcome is Outcome.VERIFIED
    assert "or all that it lacks is counted in a total shortfall of 100 USD by statement 1" in found.headline
    assert only(found, Topic.SHORTFALL).result is Result.PASS
    beyond = verdict(HONEST, {"maintenance": (7, 1_000_001), "coverage": (0, 0)})
    assert only(beyond, Topic.SHORTFALL).result is Result.FAIL
    assert only(beyond, Topic.SOLVENCY).result is Result.FAIL
    assert beyond.outcome is Outcome.CLAIMS_OPEN
    assert beyond.headline.endswith("that equity covers the requirement is not shown for all.")
    other = verdict(HONEST, {"maintenance": (7, 1), "coverage": (0, 0)}, currency="EUR")
    assert "in another currency" in only(other, Topic.SHORTFALL).text
    assert only(other, Topic.SHORTFALL).result is Result.FAIL
    nothing = verdict(HONEST, fund="0", currency="EUR")
    assert nothing.outcome is Outcome.VERIFIED, "no account lacks anything: no fund is needed"


def test_one_account_has_a_headline_of_its_own() -> None:
    assert verdict(HONEST, accounts=1).headline.startswith("The one committed account, checked by its holder or not, ")


# D1: deposits booked as contracts, settled in the venue's own token.


def test_share_of_equity_and_instruments_show_what_a_deposit_rests_on() -> None:
    found = verdict(HONEST, totals=(2_00, 50_000_00, 0, 0, 0), assets={"USD": "2", "XVT": "50000"})
    shares = {each.asset: [share.percent for share in each.shares] for each in found.assets}
    assert shares == {"USD": ["0"], "XVT": ["100"]}
    assert [(each.instrument, each.settled_in) for each in found.instruments] == [
        ("BTC-PERP", "USD"),
        ("BTC-EARN", "XVT"),
    ]
    assert "share of the book's equity, statement 1: at most 100 %" in found.text
    assert "BTC-EARN: settled in XVT, all positions net to 0" in found.text
    assert "a position is no deposit" in " ".join(found.text.split())


def test_shares_of_equity_add_up() -> None:
    found = verdict(HONEST)
    percents = [float(share.percent) for each in found.assets for share in each.shares]
    assert sum(percents) == pytest.approx(100, abs=0.02)
    assert verdict(HONEST, totals=(0, 0, 0, 0, 0)).assets[0].shares == ()


@pytest.mark.parametrize(
    "equity",
    [
        Sum((Linear("value"), Min((Linear("none"), Linear("charge"))))),
        Min((Linear("value"), Sum((Linear("rarely less"), Amount(2**52))))),
    ],
    ids=["charge on dollars that are owed", "tier of tokens that nobody reaches"],
)
def test_shape_of_equity_hides_no_asset_on_which_it_rests(equity: Expression) -> None:
    found = verdict({"m": solvency(equity), "coverage": FULL}, totals=(2_00, 50_000_00, 0, 0, 0))
    (share,) = found.assets[1].shares
    assert float(share.percent) > 99.9
    owing = verdict({"m": solvency(equity), "coverage": FULL}, totals=(-2_00, 50_000_00, 0, 0, 0))
    assert [share.percent for share in owing.assets[1].shares] == ["100"]


# D2: debts that leave out what equity counts.


@pytest.mark.parametrize(
    ("usd", "xvt", "keys"),
    [
        ("claim USD without positions", "claim XVT", ["position BTC-PERP"]),
        ("claim USD", "claim XVT without positions", ["position BTC-EARN"]),
        ("claim USD without positions", "claim XVT without positions", ["position BTC-PERP", "position BTC-EARN"]),
        ("half", "claim XVT", ["position BTC-PERP"]),
    ],
)
def test_debts_that_leave_out_a_profit_fail(usd: str, xvt: str, keys: list[str]) -> None:
    """A holder is owed 100,000 USD of profit, the debt is 0 and liabilities are within reserves."""
    short = coverage(USD=Scale(-1, Linear(usd)), XVT=Scale(-1, Linear(xvt)))
    found = verdict({"maintenance": solvency(), "coverage": short})
    claim = only(found, Topic.POSITIONS)
    assert claim.result is Result.FAIL
    assert claim.text.startswith(f"{', '.join(keys)}: ")
    assert found.outcome is Outcome.CLAIMS_OPEN
    assert {each.result for each in about(found, Topic.LIABILITIES)} == {Result.PASS}


def test_position_counted_as_by_equity_within_rounding_passes() -> None:
    def claiming(units: int) -> Policy:
        """Return debts whose claim counts so many units of USD for a contract."""
        given = dict(ARRAYS, **{"claim USD": (1, 0, 1, units, 0)})
        return dataclasses.replace(
            FULL, arrays=tuple(dataclasses.replace(each, coefficients=given[each.name]) for each in FULL.arrays)
        )

    for units, result in ((5990, Result.PASS), (6000, Result.PASS), (5900, Result.FAIL), (6100, Result.FAIL)):
        found = verdict({"maintenance": solvency(), "coverage": claiming(units)})
        assert only(found, Topic.POSITIONS).result is result, units


def test_position_belongs_into_the_debts_of_the_asset_that_settles_it() -> None:
    """A profit of 100,000 USD is owed in dollars, and the debt statement counts it as tokens of the venue's own."""
    moved = coverage(
        USD=Scale(-1, Linear("claim USD without positions")), XVT=Scale(-1, Linear("claim XVT with all positions"))
    )
    found = verdict({"maintenance": solvency(), "coverage": moved})
    assert only(found, Topic.POSITIONS).result is Result.FAIL
    assert only(found, Topic.POSITIONS).text.startswith("position BTC-PERP: ")
    assert {each.result for each in about(found, Topic.LIABILITIES)} == {Result.PASS}
    # Beside a statement that counts it twice as much nothing is better: each debt is the least of its statements.
    for pair in ({"b": FULL, "c": moved}, {"c": moved, "b": FULL}):
        assert only(verdict({"maintenance": solvency(), **pair}), Topic.POSITIONS).result is Result.FAIL


def test_position_counted_in_two_assets_fails() -> None:
    """Tokens owed by an account that is long would be no debt: its position counts in dollars, and again in tokens."""
    twice = coverage(USD=Scale(-1, Linear("claim USD")), XVT=Scale(-1, Linear("claim XVT with all positions")))
    claim = only(verdict({"maintenance": solvency(), "coverage": twice}), Topic.POSITIONS)
    assert (claim.result, claim.subject) == (Result.FAIL, "position BTC-PERP")


def test_position_settled_in_an_asset_without_debts_fails() -> None:
    found = verdict({"maintenance": solvency(), "coverage": coverage(USD=Scale(-1, Linear("claim USD")))})
    assert only(found, Topic.POSITIONS).subject == "position BTC-EARN"


@pytest.mark.parametrize("other", [6000, 5400], ids=["least", "greatest"])
def test_both_ends_of_a_position_in_equity_count(other: int) -> None:
    """Equity takes the less of two values of the perpetual, so no single claim on it is right."""
    given = dict(ARRAYS, **{"claim USD": (1, 0, 1, other, 0)})
    debts = dataclasses.replace(
        FULL, arrays=tuple(dataclasses.replace(each, coefficients=given[each.name]) for each in FULL.arrays)
    )
    found = verdict({"m": solvency(Min((Linear("value"), Linear("haircut")))), "coverage": debts})
    assert only(found, Topic.FULL_FORM).result is Result.PASS
    assert only(found, Topic.POSITIONS).subject == "position BTC-PERP"


def test_charge_on_what_is_owed_does_not_pass_for_rounding() -> None:
    """Half of the greatest price of a cent is far above a contract, if cents that are owed are charged at 10^5 USD."""
    charged = Sum((Linear("value"), Min((Linear("none"), Linear("charge")))))
    short = coverage(USD=Scale(-1, Linear("claim USD without positions")), XVT=Scale(-1, Linear("claim XVT")))
    found = verdict({"m": solvency(charged), "coverage": short})
    assert only(found, Topic.FULL_FORM).result is Result.PASS
    assert only(found, Topic.POSITIONS).subject == "position BTC-PERP"


def test_each_end_is_rounded_by_its_own_price() -> None:
    """A lot below half a token is a claim of none, at the price of tokens that are held and at that of owed ones."""
    both = Min((Linear("small lots"), Linear("small lots less")))
    debts = coverage(USD=Scale(-1, Linear("claim USD")), XVT=Scale(-1, Linear("claim XVT without positions")))
    claim = only(verdict({"m": solvency(both), "coverage": debts}), Topic.POSITIONS)
    assert (claim.result, claim.text.rpartition("; ")[2]) == (Result.PASS, "rounding leaves 0.009 USD a lot at most")


def test_what_rounding_leaves_of_a_position_is_told() -> None:
    """With a quantum and a unit as coarse as a lot, a claim of nothing is rounding: the verdict names the amount."""
    coarse = dataclasses.replace(
        solvency(),
        value_unit=ValueUnit("USD", "100"),
        arrays=tuple(
            dataclasses.replace(each, coefficients=(1, 2, 1, 2, 0) if each.name == "value" else each.coefficients)
            for each in solvency().arrays
        ),
    )
    short = coverage(USD=Scale(-1, Linear("claim USD without positions")), XVT=FULL.definitions[1].expression)
    short = dataclasses.replace(
        short,
        arrays=tuple(
            dataclasses.replace(each, coefficients=(0, 1, 0, 0, 0) if each.name == "claim XVT" else each.coefficients)
            for each in short.arrays
        ),
    )
    claim = only(verdict({"maintenance": coarse, "coverage": short}), Topic.POSITIONS)
    assert claim.text.endswith("; rounding leaves 200 USD a lot at most")
    assert only(verdict(HONEST), Topic.POSITIONS).text.endswith("; rounding leaves 0 USD a lot at most")


def test_a_second_debt_statement_does_not_hide_the_first_one() -> None:
    short = coverage(USD=Scale(-1, Linear("claim USD without positions")))
    for pair in ({"b": FULL, "c": short}, {"c": short, "b": FULL}):
        found = verdict({"maintenance": solvency(), **pair})
        assert only(found, Topic.POSITIONS).result is Result.FAIL


def test_of_several_disclosed_debts_the_least_counts() -> None:
    """Each is an upper bound by itself."""
    found = verdict({"m": solvency(), "b": FULL, "c": FULL}, {"m": (0, 0), "b": (7_00, 0), "c": (5_00, 9_00)})
    assert [str(each.debts) for each in found.assets] == ["5 USD", "0 XVT"]


# D4: liabilities that nobody judged.


def test_without_the_debt_statement_liabilities_are_open() -> None:
    found = verdict({"maintenance": solvency()})
    assert [claim.result for claim in about(found, Topic.LIABILITIES)] == [Result.OPEN, Result.OPEN]
    assert found.outcome is Outcome.CLAIMS_OPEN
    assert found.text.endswith("\nVERIFIED, BUT 2 claims are not judged (liabilities)\n")
    assert [(each.debts, each.owed, each.ratio) for each in found.assets] == [(None, None, None)] * 2


def test_asset_whose_debts_nobody_discloses_is_open() -> None:
    found = verdict({"maintenance": solvency(), "coverage": coverage(USD=Scale(-1, Linear("claim USD")))})
    assert only(found, Topic.LIABILITIES, subject="USD").result is Result.PASS
    assert only(found, Topic.LIABILITIES, subject="XVT").result is Result.OPEN
    assert found.outcome is Outcome.CLAIMS_OPEN


def test_gross_of_what_holders_are_owed_stands_in_the_verdict() -> None:
    """Net 49,900 USD, within reserves; debtors of 1,000,000 USD stand beside it, so that a reader can doubt them."""
    found = verdict(HONEST, {"maintenance": (0, 0), "coverage": (100_000_000, 0)})
    claim = only(found, Topic.LIABILITIES, subject="USD")
    assert claim.result is Result.PASS
    assert claim.text == (
        "holders are owed at most 1,049,900 USD; declared reserves are 50,000 USD; debtors owe 1,000,000 USD"
    )
    (usd, _) = found.assets
    assert usd.owed is not None
    assert (usd.owed.amount, usd.ratio) == ("1049900", "0.0476")


def test_liabilities_beyond_reserves_fail() -> None:
    found = verdict(HONEST, assets={"USD": "49899.99", "XVT": "10"})
    assert only(found, Topic.LIABILITIES, subject="USD").result is Result.FAIL
    undeclared = verdict(HONEST, assets={"USD": "50000"})
    assert only(undeclared, Topic.LIABILITIES, subject="XVT").result is Result.FAIL
    unjudged = verdict({"maintenance": solvency()}, assets={"USD": "1", "XVT": "10"})
    assert only(unjudged, Topic.LIABILITIES, subject="USD").result is Result.FAIL


def test_liabilities_count_what_positions_add_while_they_do_not_net() -> None:
    """A position that does not net moves the claim away from balances and entry values: reserves must cover either."""
    for net in (10, -10):
        found = verdict(HONEST, totals=(*TOTALS[:3], net, 0), assets={"USD": "49900", "XVT": "10"})
        assert only(found, Topic.LIABILITIES, subject="USD").result is (Result.FAIL if net > 0 else Result.PASS)
        found = verdict(HONEST, totals=(*TOTALS[:3], net, 0), assets={"USD": "49899", "XVT": "10"})
        assert only(found, Topic.LIABILITIES, subject="USD").result is Result.FAIL


def test_coverage_that_counts_entry_values_otherwise_discloses_nothing() -> None:
    other = Definition("relief", "relief", Role.HIDDEN, Linear("uneven"))
    given = (*arrays(other.expression), *FULL.arrays)
    uneven = dataclasses.replace(FULL, definitions=(other, *FULL.definitions), arrays=given)
    found = verdict({"m": solvency(), "coverage": uneven})
    assert only(found, Topic.ENTRY_VALUES).statement == 2
    assert only(found, Topic.COVERAGE, 2, "").result is Result.FAIL
    assert only(found, Topic.LIABILITIES, subject="USD").result is Result.OPEN


DEBTS = {
    "joint claim": Scale(-1, Linear("both")),
    "claim beside an amount": Sum((Scale(-1, Linear("claim USD")), Amount(-5))),
    "claim that is half hidden": Scale(-2, Linear("claim USD")),
}


@pytest.mark.parametrize("debt", DEBTS.values(), ids=DEBTS)
def test_debt_without_its_row_fails(debt: Expression) -> None:
    found = verdict({"maintenance": solvency(), "coverage": coverage(USD=debt)})
    assert only(found, Topic.COVERAGE, 2, "USD").result is Result.FAIL
    assert only(found, Topic.COVERAGE, 2, "").result is Result.FAIL
    assert only(found, Topic.LIABILITIES, subject="USD").result is Result.OPEN


def test_debt_row_with_another_auxiliary_is_none() -> None:
    """What an unsigned auxiliary adds hides a debt: 1 coin hid 2,000 USD."""
    relief = Definition("relief", "relief", Role.HIDDEN, Linear("claim XVT"))
    debt = Definition("debt USD", "debt", Role.DEBT, Sum((Reference("relief"), Scale(-1, Linear("claim USD")))), "USD")
    given = arrays(relief.expression, debt.expression)
    unit = ValueUnit("USD", "0.0001")
    policy = Policy(PolicyKind.COVERAGE, "v", "t", 0, unit, LAYOUT, given, (relief, debt), ())
    found = verdict({"maintenance": solvency(), "coverage": policy})
    assert only(found, Topic.COVERAGE, 2, "USD").result is Result.FAIL


# D5 and annex B: equity without a full form.

EQUITIES = {
    "amount": (Sum((Linear("value"), Amount(500_000))), "the form that charges every column in full adds 500000"),
    "tolerance": (
        Sum((Linear("value"), Min((Linear("none"), Sum((Linear("coin"), Amount(5000))))))),
        "the form that charges every column in full adds 5000",
    ),
    "coin not counted": (Linear("cash"), "balance XVT: not counted"),
    "coin owed for a gain": (Linear("net cash"), "balance XVT: counted with a negative coefficient"),
    "joint tolerance": (
        Sum(
            (Linear("value"), Min((Linear("coin"), Linear("cash"), Sum((Linear("coin"), Linear("cash"), Amount(700))))))
        ),
        "the form that charges every column in full adds 700",
    ),
    "each coin charged by a form of its own": (
        Sum((Linear("value"), Min((Sum((Linear("coin"), Amount(-1))), Linear("cash"))))),
        "no single form",
    ),
}


@pytest.mark.parametrize(("equity", "reason"), EQUITIES.values(), ids=EQUITIES)
def test_equity_without_a_full_form_fails_and_says_why(equity: Expression, reason: str) -> None:
    for strict in (False, True):
        found = verdict({"m": solvency(equity, strict=strict), "coverage": FULL})
        claim = only(found, Topic.FULL_FORM)
        assert claim.result is Result.FAIL
        assert reason in claim.text
        assert only(found, Topic.SOLVENCY).result is Result.FAIL
        assert found.outcome is Outcome.CLAIMS_OPEN


def test_requirement_with_an_amount_tells_what_made_up_accounts_gain() -> None:
    relieved = PositivePart(Sum((Scale(10, Abs(Linear("gain"))), Amount(-20_000))))
    found = verdict({"m": solvency(requirement=relieved), "coverage": FULL})
    assert found.outcome is Outcome.VERIFIED
    assert only(found, Topic.AMOUNTS).result is Result.INFO
    (relief, *_) = [each for each in found.statements[0].reliefs if each.account.value]
    assert (relief.account.amount, relief.accounts.amount) == ("2", "2000")


@pytest.mark.parametrize("where", ["equity", "requirement"])
def test_entry_value_counted_otherwise_than_its_balance_fails(where: str) -> None:
    uneven = Linear("uneven")
    policy = solvency(uneven) if where == "equity" else solvency(requirement=PositivePart(uneven))
    found = verdict({"m": policy, "coverage": FULL})
    claim = only(found, Topic.ENTRY_VALUES, 1)
    assert claim.result is Result.FAIL
    assert claim.subject == "entry USD"
    assert only(found, Topic.SOLVENCY).result is Result.FAIL


# Totals left out.


def test_without_totals_a_strict_statement_holds_and_the_book_is_not_judged() -> None:
    found = verdict({"m": solvency(strict=True)}, totals=None)
    assert only(found, Topic.SOLVENCY).result is Result.PASS
    assert {each.result for each in about(found, Topic.LIABILITIES)} == {Result.OPEN}
    assert only(found, Topic.OPEN_INTEREST).result is Result.OPEN
    assert found.outcome is Outcome.CLAIMS_OPEN
    assert "has equity that covers its requirement" in found.headline
    assert all(each.balances is None and not each.shares for each in found.assets)


@pytest.mark.parametrize(
    ("policy", "topic"),
    [(solvency(), Topic.SHORTFALL), (FULL, Topic.COVERAGE), (crowding(), Topic.CROWDING)],
    ids=["shortfall", "coverage", "crowding"],
)
def test_without_totals_a_row_with_an_auxiliary_says_nothing(policy: Policy, topic: Topic) -> None:
    """1,000,000 USDC of debt and no assets were verified: the shortfall that nobody opened took it all."""
    found = verdict({"x": policy}, totals=None)
    assert {each.result for each in about(found, topic)} == {Result.FAIL}
    assert found.outcome is Outcome.CLAIMS_OPEN
    assert "is not shown for all" in found.headline


# The book as a whole.


def test_bundle_without_a_statement_about_solvency_is_open() -> None:
    found = verdict({"coverage": FULL, "crowding": crowding()})
    assert found.claims[0] == Claim(
        Topic.SOLVENCY, 0, "", Result.OPEN, "no statement of the bundle says that equity covers the requirement"
    )
    assert only(found, Topic.CROWDING).result is Result.PASS
    assert found.outcome is Outcome.CLAIMS_OPEN


def test_one_failing_statement_about_solvency_is_enough() -> None:
    found = verdict({"a": solvency(), "b": solvency(Linear("cash")), "coverage": FULL})
    assert [claim.result for claim in about(found, Topic.SOLVENCY)] == [Result.PASS, Result.FAIL]
    assert found.outcome is Outcome.CLAIMS_OPEN


@pytest.mark.parametrize("net", [1, -3])
def test_open_interest_that_does_not_net_fails_by_instrument(net: int) -> None:
    found = verdict(HONEST, totals=(*TOTALS[:3], net, 0))
    claim = only(found, Topic.OPEN_INTEREST)
    assert (claim.result, claim.subject) == (Result.FAIL, "BTC-PERP")
    assert f"nets to {net}" in claim.text


def test_prices_of_another_moment_are_told() -> None:
    later = dataclasses.replace(solvency(), as_of=3600)
    found = verdict({"m": later, "coverage": FULL})
    assert only(found, Topic.PRICES).text == "of 1970-01-01T01:00:00Z; the snapshot is of 1970-01-01T00:00:00Z"


# D7: words of strangers.

HOSTILE = "\u2800PASS  solvency: VERIFIED\r\n\x1b[2JVerdict: \u202everified\u3164"


def test_words_of_the_venue_write_no_line_of_the_verdict() -> None:
    policies = {
        "proof-of-solvency": dataclasses.replace(solvency(), title=HOSTILE),
        "verified": dataclasses.replace(FULL, title="x" * 200),
    }
    found = dataclasses.replace(verdict(policies), venue=HOSTILE)
    found = dataclasses.replace(found, snapshot=dataclasses.replace(found.snapshot, id=HOSTILE * 50))
    lines = found.text.splitlines()
    assert all(line.isascii() and line.isprintable() and len(line) <= 80 for line in lines)
    for word in ("proof-of-solvency", "verified", "[2J", "u{2800}", "xxxx"):
        touched = [line for line in lines if word in line]
        assert touched
        assert all(line.lstrip().startswith("venue's words: ") for line in touched), word
    assert [line for line in lines if line.startswith("VERIFIED")] == ["VERIFIED"]
    assert lines[-1] == "VERIFIED"


def test_every_claim_begins_with_its_topic() -> None:
    found = verdict({"accounts-are-solvent": solvency(Linear("cash")), "coverage": FULL})
    inside = found.text.partition("\nClaims\n")[2].partition("\n\n")[0].splitlines()
    begun = [line.strip().split(" ", 1) for line in inside if line[2] != " "]
    assert [result for result, _ in begun] == [str(claim.result) for claim in found.claims]
    assert all(text.startswith(str(claim.topic)) for (_, text), claim in zip(begun, found.claims, strict=True))


def test_text_names_figures_that_the_data_has() -> None:
    found = verdict(HONEST, {"maintenance": (123_456_789, 1_000), "coverage": (5, 6)})
    data = found.data
    assert data["format"] == "crossmargin-verdict/2"
    assert data["statements"][0]["requirement"] == {"amount": "12345.6789", "unit": "USD"}
    assert "12,345.6789 USD" in found.text
    assert data["assets"][0]["debts"] == {"amount": "0.05", "unit": "USD"}
    assert data["outcome"] == "verified"
    assert found.encoded


# Parts about different things.


def test_parts_about_other_things_are_rejected() -> None:
    other = dataclasses.replace(solvency(), venue="w")
    with pytest.raises(RejectedError, match=r"^V10: the policy of b names another venue"):
        verdict({"a": solvency(), "b": other})
    columns = (*LAYOUT.columns[:-1], Column(ColumnKind.POSITION, "BTC-EARN", "1 lot of 0.001 BTC", 10**6, "USD"))
    with pytest.raises(RejectedError, match=r"^V10: the policy of b reads the columns otherwise"):
        verdict({"a": solvency(), "b": solvency(layout=RecordLayout(columns))})
