"""Policies and declarations that print an honest model and mean another: refused before anything is judged."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import MalformedError, PolicyError
from crossmargin_circuits.expression import Expression, Linear, Max, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Constraint, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit
from crossmargin_prover.signing import SigningKey
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.declarations import BundleManifest, DeclaredReserves, Totals
from crossmargin_verifier.bundle.verdict import MAX_FORMULAS
from crossmargin_verifier.protocol.errors import RejectedError

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.BALANCE, "OWN", "1 OWN", 10**9),
    )
)
GAP = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))


def define(name: str, role: Role, expression: Expression, subject: str = "") -> Definition:
    return Definition(name, f"{name} covers it", role, expression, subject)


EQUITY = define("equity", Role.EQUITY, Linear("worth"))
REQUIREMENT = define("requirement", Role.REQUIREMENT, Linear("loss"))
SHORTFALL = define("shortfall", Role.SHORTFALL, GAP)


def policy(
    *definitions: Definition,
    arrays: tuple[RiskArray, ...] = (),
    kind: PolicyKind = PolicyKind.SOLVENCY,
    constraints: tuple[Constraint, ...] = (),
) -> Policy:
    given = (RiskArray("worth", "worth", (1, 1)), RiskArray("loss", "loss", (0, 1)))
    unit = ValueUnit("USD", "0.01")
    return Policy(kind, "v", "forged", 0, unit, LAYOUT, (*arrays, *given), definitions, constraints)


HONEST = (EQUITY, REQUIREMENT, SHORTFALL)


def test_honest_policy_of_this_form_is_accepted() -> None:
    assert compile_policy(policy(*HONEST)).relation.rows


HOLLOW: dict[str, tuple[tuple[Definition, ...], tuple[Constraint, ...]]] = {
    "shortfall of nothing": (
        (EQUITY, REQUIREMENT, define("shortfall", Role.SHORTFALL, Sum((Linear("loss"), Scale(-9, Linear("loss")))))),
        (),
    ),
    "hidden shortfall": ((EQUITY, REQUIREMENT, define("gap", Role.HIDDEN, GAP)), ()),
    "requirement alone": ((EQUITY, REQUIREMENT), ()),
    "empty constraint": (
        (EQUITY, REQUIREMENT),
        (Constraint("covered", "x", Sum((Linear("worth"), Scale(-1, Linear("worth"))))),),
    ),
    "constraint beside a shortfall": (HONEST, (Constraint("covered", "x", Scale(-1, GAP)),)),
    "two requirements": ((*HONEST, define("more", Role.REQUIREMENT, Linear("loss"))), ()),
    "debt beside them": ((*HONEST, define("debt USD", Role.DEBT, Linear("loss"), "USD")), ()),
    "exposure beside them": ((*HONEST, define("gross", Role.EXPOSURE, Linear("loss"))), ()),
    "equity by its name alone": (
        (define("equity", Role.ABBREVIATION, Linear("worth")), REQUIREMENT, SHORTFALL),
        (),
    ),
}


@pytest.mark.parametrize(("definitions", "constraints"), HOLLOW.values(), ids=HOLLOW)
def test_policy_that_is_not_of_its_kind_is_refused(
    definitions: tuple[Definition, ...], constraints: tuple[Constraint, ...]
) -> None:
    """What the first version judged by names is a matter of form."""
    with pytest.raises(PolicyError):
        policy(*definitions, constraints=constraints)


@pytest.mark.parametrize("kind", [PolicyKind.COVERAGE, PolicyKind.CROWDING])
def test_statement_about_solvency_is_of_no_other_kind(kind: PolicyKind) -> None:
    with pytest.raises(PolicyError):
        policy(*HONEST, kind=kind)


def test_two_debts_of_one_asset_are_refused() -> None:
    twice = [define(name, Role.DEBT, Scale(-1, Linear("worth")), "USD") for name in ("a", "b")]
    with pytest.raises(PolicyError, match="one asset"):
        policy(*twice, kind=PolicyKind.COVERAGE)


def test_deposit_does_not_pass_as_a_position() -> None:
    with pytest.raises(MalformedError, match="contract"):
        RecordLayout((LAYOUT.columns[0], Column(ColumnKind.POSITION, "balance:USD", "0.01 USD", 10, "USD")))


def manifest(name: str) -> BundleManifest:
    return BundleManifest("v", bytes(32), (name,), SigningKey.generate().public, Totals.OPENED, 1, 0)


@pytest.mark.parametrize("name", ["reserves", "accounts", "solvency", "liabilities", "snapshot"])
def test_statement_is_not_called_as_a_claim_of_the_verdict(name: str) -> None:
    assert BundleManifest.decode(manifest("maintenance").encoded).statements == ("maintenance",)
    with pytest.raises(MalformedError, match="word of the verdict"):
        BundleManifest.decode(manifest(name).encoded)


@pytest.mark.parametrize("currency", ["1", "100", "1USD", "U", "USD" * 6, "U D", "\u0405D"])
def test_currency_begins_with_a_letter(currency: str) -> None:
    """A fund of "100 100" would read as more."""
    with pytest.raises(MalformedError, match="currency"):
        DeclaredReserves.decode(DeclaredReserves(bytes(32), "x", {}, currency, "1").encoded)


@pytest.mark.parametrize(
    "name",
    [
        "requirement - equity",
        "excess of a > sum[2]",
        "max(0",
        "",
        "1 x",
        "a  b",
        " a",
        "a ",
        "réquirement",
        "[x]",
        "a*b",
    ],
)
def test_name_that_reads_as_a_formula_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        policy(define(name, Role.HIDDEN, Linear("loss")))
    with pytest.raises(MalformedError):
        policy(EQUITY, arrays=(RiskArray(name, "x", (0, 0)),))


def test_array_and_definition_do_not_share_a_name() -> None:
    with pytest.raises(MalformedError, match="names two"):
        policy(REQUIREMENT, arrays=(RiskArray("requirement", "x", (-1, 0)),))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("BTC [0.0000000000000001 BTC]", "0.00000001 BTC"),
        ("BTC", "0.0000000000000001 BTC] [0.00000001 BTC"),
        ("BTС", "0.00000001 BTC"),
        ("", "0.00000001 BTC"),
        ("BTC", ""),
        ("BTC", "0.00000001 thousand BTC"),
        ("BTC", "0 BTC"),
        ("BTC", "1e-8 BTC"),
    ],
)
def test_column_label_has_one_reading(name: str, unit: str) -> None:
    with pytest.raises(MalformedError):
        RecordLayout((Column(ColumnKind.BALANCE, name, unit, 10),))


def test_statements_that_read_the_columns_differently_are_rejected(
    workshop: Any, tmp_path: Path, anchor: Callable[[Path], None]
) -> None:
    """Kinds and units are part of the label, so only limits can differ; a statement about other columns is refused."""
    first = policy(*HONEST)
    coarse = dataclasses.replace(LAYOUT.columns[0], unit="1 USD")
    other = dataclasses.replace(first, layout=RecordLayout((coarse, LAYOUT.columns[1])))
    snapshot = workshop.commit(first, [(10_000, 0), (5, 5)])
    statements = {"a": workshop.prove(snapshot, first)}
    made = workshop.write(tmp_path / "made", snapshot, statements, {"USD": "1"}, "0", "v")
    assert check_bundle(made).failed
    (made / "statements" / "a" / "policy.json").write_bytes(other.encoded)
    anchor(made)
    with pytest.raises(RejectedError, match="V2"):
        check_bundle(made)


@pytest.mark.timeout(60)
def test_formulas_of_many_megabytes_are_left_to_the_policy(workshop: Any, tmp_path: Path) -> None:
    """Words of one letter: wrapping 20 MB of them takes half a minute."""
    name = "n" + 35 * " a"
    many = Sum(tuple(Linear(name) for _ in range(2_000)))
    long = policy(
        EQUITY, define("requirement", Role.REQUIREMENT, many), SHORTFALL, arrays=(RiskArray(name, "x", (0, 1)),)
    )
    snapshot = workshop.commit(long, [(10_000, 0), (5, 5)])
    made = workshop.write(tmp_path / "made", snapshot, {"a": workshop.prove(snapshot, long)}, {}, "0", "v")
    started = process_time()
    verdict = check_bundle(made)
    assert len(str(long.definitions[1])) > MAX_FORMULAS
    assert verdict.statements[0].formulas == ()
    assert "  formulas: in policy.json\n" in verdict.text
    assert process_time() - started < 15


def test_nested_scaling_is_refused_before_it_takes_long() -> None:
    expression: Expression = Max(tuple(Scale(by, Linear("loss")) for by in range(1, 2000)))
    chain = [define("d0", Role.ABBREVIATION, expression)]
    for level in range(1, 60):
        chain.append(define(f"d{level}", Role.ABBREVIATION, Scale(1, Reference(f"d{level - 1}"))))
    with pytest.raises(PolicyError, match=r"too large|too much work"):
        compile_policy(policy(*chain, *HONEST, define("u", Role.HIDDEN, Reference("d59"))))
