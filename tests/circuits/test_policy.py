"""The policy file: one format, kinds with exactly what they need, names that read as nothing else, columns that net."""

import dataclasses
import json
from typing import Any

import pytest

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.effort import Effort
from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.errors import BudgetError, CurvatureError, LimitError, MalformedError, PolicyError
from crossmargin_circuits.expression import Abs, Amount, Expression, Linear, Max, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout, decode_columns, encode_columns
from crossmargin_circuits.policy import Constraint, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit
from crossmargin_circuits.relation import Relation

USD = Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9)
BTC = Column(ColumnKind.BALANCE, "BTC", "0.00000001 BTC", 10**9)
PERPETUAL = Column(ColumnKind.POSITION, "BTC-PERPETUAL", "1 contract", 10**6, "BTC")
LAYOUT = RecordLayout((USD, BTC, PERPETUAL))
CASH, LOTS = Linear("cash"), Linear("lots")
GAP = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))

EQUITY = Definition("equity", "cash", Role.EQUITY, CASH)
REQUIREMENT = Definition("requirement", "requirement covers it", Role.REQUIREMENT, LOTS)
SHORTFALL = Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, GAP)
SOLVENT = Constraint("solvency", "equity - requirement >= 0", Scale(-1, GAP))
DEBT = Definition("debt USD", "claim + debt >= 0", Role.DEBT, Scale(-1, CASH), "USD")
EXPOSURE = Definition("gross", "gross exposure", Role.EXPOSURE, Abs(LOTS))
ABBREVIATION = Definition("twice", "twice the lots", Role.ABBREVIATION, Scale(2, LOTS))
HIDDEN = Definition("size", "size of the lots", Role.HIDDEN, Abs(LOTS))

SOLVENCY, COVERAGE, CROWDING = PolicyKind.SOLVENCY, PolicyKind.COVERAGE, PolicyKind.CROWDING


def policy(kind: PolicyKind, *definitions: Definition, constraints: tuple[Constraint, ...] = ()) -> Policy:
    arrays = (RiskArray("cash", "cash", (1, 0, 0)), RiskArray("lots", "lots", (0, 0, 5)))
    return Policy(kind, "test", "test", 0, ValueUnit("USD", "0.01"), LAYOUT, arrays, definitions, constraints)


def changed(source: Policy, **fields: Any) -> bytes:
    return dump_canonical({**json.loads(source.encoded), **fields})


BASE = policy(SOLVENCY, EQUITY, REQUIREMENT, SHORTFALL)


# Kinds.


@pytest.mark.parametrize(
    ("kind", "definitions", "constraints"),
    [
        (SOLVENCY, (EQUITY, REQUIREMENT, SHORTFALL), ()),
        (SOLVENCY, (ABBREVIATION, HIDDEN, REQUIREMENT, EQUITY, SHORTFALL), ()),
        (SOLVENCY, (EQUITY, REQUIREMENT), (SOLVENT,)),
        (COVERAGE, (ABBREVIATION, HIDDEN, DEBT), ()),
        (CROWDING, (ABBREVIATION, HIDDEN, EXPOSURE), ()),
    ],
)
def test_policy_of_its_kind(
    kind: PolicyKind, definitions: tuple[Definition, ...], constraints: tuple[Constraint, ...]
) -> None:
    source = policy(kind, *definitions, constraints=constraints)
    again = Policy.decode(source.encoded)
    assert (again, again.encoded, again.digest) == (source, source.encoded, source.digest)
    assert json.loads(source.encoded)["format"] == "crossmargin-policy/3"
    assert json.loads(source.encoded)["kind"] == kind
    assert source.is_strict == bool(constraints)
    assert source.equity == (EQUITY if kind is SOLVENCY else None)
    assert source.requirement == (REQUIREMENT if kind is SOLVENCY else None)
    assert source.shortfall == (SHORTFALL if SHORTFALL in definitions else None)


OTHER_GAP = dataclasses.replace(SHORTFALL, expression=Sum((Scale(-1, Reference("equity")), Reference("requirement"))))
SECOND_EQUITY = dataclasses.replace(EQUITY, name="equity 2")
SECOND_REQUIREMENT = dataclasses.replace(REQUIREMENT, name="requirement 2")
SECOND_SHORTFALL = dataclasses.replace(SHORTFALL, name="shortfall 2")
SECOND_DEBT = dataclasses.replace(DEBT, name="debt USD 2")
OTHER_DEBT = dataclasses.replace(DEBT, subject="ETH")
OTHER_CONSTRAINT = Constraint("solvency", "cash", CASH)
SECOND_CONSTRAINT = dataclasses.replace(SOLVENT, name="solvency 2")


@pytest.mark.parametrize(
    ("kind", "definitions", "constraints", "reason"),
    [
        (SOLVENCY, (REQUIREMENT,), (), "exactly one equity and one requirement"),
        (SOLVENCY, (EQUITY,), (), "exactly one equity and one requirement"),
        (SOLVENCY, (EQUITY, SECOND_EQUITY, REQUIREMENT, SHORTFALL), (), "exactly one equity"),
        (SOLVENCY, (EQUITY, REQUIREMENT, SECOND_REQUIREMENT, SHORTFALL), (), "exactly one equity"),
        (SOLVENCY, (EQUITY, REQUIREMENT), (), "either one shortfall or one constraint"),
        (SOLVENCY, (EQUITY, REQUIREMENT, SHORTFALL, SECOND_SHORTFALL), (), "either one shortfall"),
        (SOLVENCY, (EQUITY, REQUIREMENT, SHORTFALL), (SOLVENT,), "either one shortfall"),
        (SOLVENCY, (EQUITY, REQUIREMENT), (SOLVENT, SECOND_CONSTRAINT), "either one shortfall"),
        (SOLVENCY, (EQUITY, REQUIREMENT, OTHER_GAP), (), "shortfall must be requirement - equity"),
        (SOLVENCY, (EQUITY, REQUIREMENT), (OTHER_CONSTRAINT,), r"solvency must be -\(requirement - equity\)"),
        (SOLVENCY, (EQUITY, REQUIREMENT, SHORTFALL, DEBT), (), "debt USD has the role debt"),
        (SOLVENCY, (EQUITY, REQUIREMENT, SHORTFALL, EXPOSURE), (), "gross has the role exposure"),
        (COVERAGE, (HIDDEN,), (), "one definition at least with the role debt"),
        (COVERAGE, (DEBT, SECOND_DEBT), (), "two definitions are debts of one asset"),
        (COVERAGE, (OTHER_DEBT,), (), "a debt of 'ETH', which has no balance column"),
        (COVERAGE, (DEBT, EQUITY), (), "equity has the role equity"),
        (COVERAGE, (DEBT, EXPOSURE), (), "gross has the role exposure"),
        (COVERAGE, (DEBT,), (OTHER_CONSTRAINT,), "solvency is a constraint"),
        (CROWDING, (HIDDEN,), (), "one definition at least with the role exposure"),
        (CROWDING, (EXPOSURE, DEBT), (), "debt USD has the role debt"),
        (CROWDING, (EXPOSURE, EQUITY, REQUIREMENT, SHORTFALL), (), "equity has the role equity"),
        (CROWDING, (EXPOSURE,), (OTHER_CONSTRAINT,), "solvency is a constraint"),
    ],
)
def test_policy_of_no_kind_is_refused(
    kind: PolicyKind, definitions: tuple[Definition, ...], constraints: tuple[Constraint, ...], reason: str
) -> None:
    with pytest.raises(PolicyError, match=f"not a policy of its kind: {kind}: .*{reason}"):
        policy(kind, *definitions, constraints=constraints)


def test_kind_in_the_file_decides() -> None:
    with pytest.raises(PolicyError, match="not a policy of its kind: coverage"):
        Policy.decode(changed(BASE, kind="coverage"))
    with pytest.raises(MalformedError, match=r"policy\.kind: unknown kind of policy"):
        Policy.decode(changed(BASE, kind="other"))


@pytest.mark.parametrize("version", ["crossmargin-policy/1", "crossmargin-policy/2"])
def test_earlier_formats_are_read_by_the_earlier_release(version: str) -> None:
    """Whatever else is in the file: the sentence comes before any key is missed."""
    root = {key: value for key, value in json.loads(BASE.encoded).items() if key != "kind"}
    for data in (dump_canonical({**root, "format": version}), changed(BASE, format=version)):
        with pytest.raises(MalformedError, match=r"^policy: written by crossmargin/1, which release 0\.1\.0 reads$"):
            Policy.decode(data)


@pytest.mark.parametrize("version", ["crossmargin-policy/4", "crossmargin-policy", 3, None, ["crossmargin-policy/1"]])
def test_other_formats_are_refused(version: object) -> None:
    with pytest.raises(MalformedError, match=r"policy\.format: expected 'crossmargin-policy/3'"):
        Policy.decode(changed(BASE, format=version))


# Names.


@pytest.mark.parametrize(
    "name",
    [
        *(
            "equity",
            "Equity",
            "equity of accounts",
            "equity-2",
            "requirement",
            "shortfall.x",
            "debt USD",
            "EXPOSURE BTC",
        ),
        *("verified", "Verified", "pass", "PASS", "fail", "rejected", "reserves", "proof-of-reserves", "open interest"),
        *("insurance fund", "liabilities", "accounts", "Result", "totals"),
    ],
)
def test_words_of_the_verdict_are_no_names(name: str) -> None:
    definition = dataclasses.replace(ABBREVIATION, name=name)
    with pytest.raises(PolicyError, match="word"):
        policy(CROWDING, definition, EXPOSURE)
    if name != "EXPOSURE BTC":
        with pytest.raises(PolicyError, match="word"):
            policy(CROWDING, dataclasses.replace(EXPOSURE, name=name))
    with pytest.raises((PolicyError, MalformedError), match=r"word|names two"):
        policy(SOLVENCY, EQUITY, REQUIREMENT, constraints=(dataclasses.replace(SOLVENT, name=name),))


@pytest.mark.parametrize("name", ["margin BTC", "expected shortfall", "passage", "large longs BTC", "my equity"])
def test_other_names_are_free(name: str) -> None:
    policy(CROWDING, dataclasses.replace(ABBREVIATION, name=name), EXPOSURE)


@pytest.mark.parametrize(
    "name", ["", " ", "a  b", "1 lot", "a + b", "a\u2800b", "a\nb", "\u202eequity", "a" * 81, "a)", "-a", "a -b"]
)
def test_names_are_ascii_words(name: str) -> None:
    with pytest.raises(MalformedError):
        policy(CROWDING, dataclasses.replace(ABBREVIATION, name=name), EXPOSURE)
    with pytest.raises(MalformedError):
        dataclasses.replace(BASE, arrays=(*BASE.arrays, RiskArray(name, "x", (0, 0, 0))))
    with pytest.raises(MalformedError):
        policy(SOLVENCY, EQUITY, REQUIREMENT, constraints=(dataclasses.replace(SOLVENT, name=name),))


@pytest.mark.parametrize("name", ["gross", "cash", "twice"])
def test_names_are_distinct(name: str) -> None:
    second = dataclasses.replace(HIDDEN, name=name)
    with pytest.raises(MalformedError, match="names two"):
        policy(CROWDING, ABBREVIATION, EXPOSURE, second)


@pytest.mark.parametrize("currency", ["", "1", "12USD", "U SD", "U" * 41, "$", "U\u0053D\u200b", "-USD"])
def test_currency_begins_with_a_letter_and_is_short(currency: str) -> None:
    with pytest.raises(MalformedError, match=r"value_unit\.currency"):
        dataclasses.replace(BASE, value_unit=ValueUnit(currency, "0.01"))


@pytest.mark.parametrize("field", ["venue", "title"])
def test_long_titles_are_refused(field: str) -> None:
    Policy.decode(changed(BASE, **{field: "x" * 200}))
    with pytest.raises(MalformedError, match="more than 200 characters"):
        Policy.decode(changed(BASE, **{field: "x" * 201}))


def test_long_meanings_are_refused() -> None:
    policy(CROWDING, dataclasses.replace(EXPOSURE, meaning="x" * 1000))
    with pytest.raises(MalformedError, match="more than 1000 characters"):
        policy(CROWDING, dataclasses.replace(EXPOSURE, meaning="x" * 1001))


def test_subject_belongs_to_a_debt() -> None:
    with pytest.raises(PolicyError, match="names its asset as subject"):
        policy(CROWDING, dataclasses.replace(EXPOSURE, subject="USD"))
    with pytest.raises(PolicyError, match="names its asset as subject"):
        policy(COVERAGE, dataclasses.replace(DEBT, subject=""))


# Columns.


def test_settlement_is_part_of_the_label() -> None:
    assert LAYOUT.labels == (
        "balance USD [0.01 USD]",
        "balance BTC [0.00000001 BTC]",
        "position BTC-PERPETUAL [1 contract] settled in BTC",
    )
    assert decode_columns(encode_columns(LAYOUT.labels)) == LAYOUT.labels
    assert [column.asset for column in LAYOUT.columns] == ["USD", "BTC", "BTC"]
    assert LAYOUT.index(ColumnKind.POSITION, "BTC-PERPETUAL") == 2
    assert LAYOUT.find(ColumnKind.ENTRY, "BTC") is None


ENTRY = Column(ColumnKind.ENTRY, "BTC", "0.00000001 BTC", 10**9)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ((), "one column at least"),
        ((dataclasses.replace(USD, name=""),), "a name is at most 40"),
        ((dataclasses.replace(USD, name="U" * 41, unit="1 " + "U" * 41),), "a name is at most 40"),
        ((dataclasses.replace(USD, name="1000", unit="1 1000"),), "has a letter"),
        ((dataclasses.replace(USD, name="1.5", unit="1 1.5"),), "has a letter"),
        ((dataclasses.replace(USD, name="U D", unit="1 U D"),), "a name is at most 40"),
        ((USD, USD), "same kind and name"),
        ((dataclasses.replace(USD, settled="USD"),), "only a position is settled"),
        ((BTC, dataclasses.replace(ENTRY, settled="BTC")), "only a position is settled"),
        ((USD, dataclasses.replace(PERPETUAL, settled="")), "settled in '', which has no balance column"),
        ((USD, PERPETUAL), "settled in 'BTC', which has no balance column"),
        ((USD, ENTRY), "entry BTC: BTC has no balance column"),
        ((dataclasses.replace(USD, unit="0.01 EUR"),), "one decimal of USD"),
        ((BTC, dataclasses.replace(ENTRY, unit="1 BTC")), "one decimal of BTC"),
        ((dataclasses.replace(USD, unit="0 USD"),), "decimal above zero"),
        ((BTC, dataclasses.replace(PERPETUAL, unit="1 BTC")), "contract or lot"),
        ((BTC, dataclasses.replace(PERPETUAL, unit="1 contract] settled in [x")), "without brackets"),
        ((BTC, dataclasses.replace(PERPETUAL, unit="1 contract\u2800")), "printable ASCII"),
        ((BTC, dataclasses.replace(PERPETUAL, unit="1 contract\n")), "printable ASCII"),
        ((BTC, dataclasses.replace(PERPETUAL, unit="1 contract " + "x" * 100)), "at most 100 characters"),
        ((dataclasses.replace(USD, limit=0),), "limit must be in"),
        ((dataclasses.replace(USD, limit=2**53),), "limit must be in"),
    ],
)
def test_columns_that_mislead_are_refused(columns: tuple[Column, ...], reason: str) -> None:
    with pytest.raises(MalformedError, match=f"layout: .*{reason}"):
        RecordLayout(columns)


def test_no_column_counts_accounts() -> None:
    root = json.loads(BASE.encoded)
    account = {"kind": "account", "name": "", "unit": "1 account", "limit": 1, "settled": ""}
    with pytest.raises(MalformedError, match=r"policy\.columns\[0\]"):
        Policy.decode(changed(BASE, columns=[account, *root["columns"]]))
    for key in ("settled", "limit"):
        columns = [{name: value for name, value in column.items() if name != key} for column in root["columns"]]
        with pytest.raises(MalformedError, match=r"policy\.columns\[0\]"):
            Policy.decode(changed(BASE, columns=columns))


# Inputs that only the digest remembers.


def test_policy_without_inputs_keeps_its_digest() -> None:
    source = dataclasses.replace(BASE, inputs={"prices": [1, 2, 3]})
    for lean in (source.without_inputs(), Policy.decode(source.encoded, keep_inputs=False)):
        assert lean.digest == source.digest != BASE.digest
        assert lean.inputs == {}
        assert compile_policy(lean).relation.encoded == compile_policy(source).relation.encoded
        with pytest.raises(PolicyError, match="without its inputs"):
            _ = lean.encoded
    assert Policy.decode(source.encoded) == source


# The relation file.


def test_relation_with_hidden_arrays_is_refused() -> None:
    relation = compile_policy(policy(CROWDING, dataclasses.replace(EXPOSURE, expression=Amount(7)))).relation
    data = relation.encoded
    assert Relation.decode(data, LAYOUT.labels) == relation
    assert relation.rows[0].offset == -7
    place = 4 + 2 + 32 + 4 + 4
    assert data[place : place + 4] == bytes(4)
    with pytest.raises(MalformedError, match="number of hidden arrays"):
        Relation.decode(data[:place] + (1).to_bytes(4, "big") + data[place + 4 :], LAYOUT.labels)


def test_earlier_files_are_read_by_the_earlier_release() -> None:
    sentence = r"written by crossmargin/1, which release 0\.1\.0 reads$"
    data = compile_policy(BASE).relation.encoded
    with pytest.raises(MalformedError, match=r"^relation\.cm2: " + sentence):
        Relation.decode(b"CM1L\0\1" + data[6:], LAYOUT.labels)
    with pytest.raises(MalformedError, match=r"^columns\.cm2: " + sentence):
        decode_columns(b"CM1C\0\1" + encode_columns(LAYOUT.labels)[6:])
    with pytest.raises(MalformedError, match="version"):
        Relation.decode(data[:4] + b"\0\1" + data[6:], LAYOUT.labels)


# The budget of bits counts constants.


def test_amount_beyond_the_budget_is_refused() -> None:
    def scaled(by: int) -> Policy:
        return policy(CROWDING, dataclasses.replace(EXPOSURE, expression=Scale(by, Amount(2**52))))

    # The row adds the amount and the auxiliary that is as large.
    compiled = compile_policy(scaled(1023))
    assert compiled.row_bounds == (2 * 1023 * 2**52,)
    with pytest.raises(BudgetError, match="needs 64 bits"):
        compile_policy(scaled(1024))


# Work.


def doubled(levels: int) -> Policy:
    """Return a policy of few bytes with 2^levels maxima."""
    chain = [Definition("x 0", "x", Role.ABBREVIATION, Max((LOTS, CASH)))]
    for level in range(1, levels):
        both: Expression = Max((Reference(f"x {level - 1}"), Scale(2, Reference(f"x {level - 1}"))))
        chain.append(Definition(f"x {level}", "x", Role.ABBREVIATION, both))
    last = dataclasses.replace(EXPOSURE, expression=Reference(f"x {levels - 1}"))
    return policy(CROWDING, *chain, last)


def test_policies_of_one_bundle_share_their_effort() -> None:
    source = doubled(10)
    effort = Effort()
    compile_policy(source, effort=effort)
    with pytest.raises(LimitError, match="too much work to compile for a bundle of this size"):
        for _ in range(200):
            compile_policy(source, effort=effort)
    effort.allow(10**6)
    compile_policy(source, effort=effort)
    compile_policy(source)


def test_long_labels_of_many_rows_are_refused() -> None:
    """A piece is a few bytes of a policy, and a row with two meanings in its label."""
    many = Max(tuple(Scale(by, LOTS) for by in range(1, 3_000)))
    source = policy(CROWDING, *(Definition(f"gross {n}", "x" * 1000, Role.EXPOSURE, many) for n in range(3)))
    compile_policy(source)
    long = tuple(dataclasses.replace(each, meaning="y" * 1000) for each in source.arrays)
    with pytest.raises(LimitError, match="labels of more than"):
        compile_policy(dataclasses.replace(source, arrays=long))


def test_no_more_is_compiled_than_a_known_relation_has() -> None:
    relation = compile_policy(BASE).relation
    size = len(relation.rows) * (len(LAYOUT) + len(relation.auxiliaries) + 1)
    assert compile_policy(BASE, coefficients=size).relation == relation
    with pytest.raises(BudgetError, match=f"needs more than {size - 1} coefficients"):
        compile_policy(BASE, coefficients=size - 1)


def test_coefficients_of_many_bits_are_refused() -> None:
    expression: Expression = LOTS
    for _ in range(20):
        expression = Scale(2**52, expression)
    with pytest.raises(LimitError, match="more than 1024 bits"):
        policy(CROWDING, dataclasses.replace(ABBREVIATION, expression=expression), EXPOSURE)


def test_curvature_is_checked_once_for_each_abbreviation_and_sign() -> None:
    convex = dataclasses.replace(ABBREVIATION, expression=Max((LOTS, CASH)))
    first = dataclasses.replace(EXPOSURE, expression=Reference("twice"))
    policy(CROWDING, convex, first, dataclasses.replace(first, name="second"))
    with pytest.raises(CurvatureError, match="second > scale > twice: max"):
        policy(CROWDING, convex, first, Definition("second", "x", Role.EXPOSURE, Scale(-1, Reference("twice"))))
