"""The policy: one statement's margin model as data, from which anyone can compile the relation (SPEC S7).

A policy holds the columns of the record, the integer risk arrays (normative: the integers *are* the model), and the
expression: an ordered list of definitions and constraints over them,

    abbreviation   name := f(x)                    inlined at each reference
    equity         name := f(x), f concave         inlined likewise
    auxiliary      name >= max(0, f(x)), f convex  one unsigned 64-bit column that the rows bound from below
    constraint     g(x) >= 0, g concave            rows

A policy is of one *kind*, which fixes the definitions that it has: solvency (equity, requirement, and the gap of the
two as a shortfall or a constraint), coverage (debts) or crowding (exposures). It also has, for people and for
recomputation, the inputs of the arrays. The file is canonical JSON (RFC 8785 restricted to integers and strings), and
its tagged hash is the policy digest of the statement manifest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from crossmargin_circuits.amounts import DECIMAL
from crossmargin_circuits.digest import tagged_hash
from crossmargin_circuits.encoding import MAX_JSON_INTEGER, Fields, dump_canonical, load_canonical
from crossmargin_circuits.errors import CurvatureError, LimitError, MalformedError, PolicyError
from crossmargin_circuits.expression import (
    Expression,
    Linear,
    Reference,
    Scale,
    Sum,
    check_curvature,
    children,
    expression_from_json,
    expression_to_json,
    format_expression,
)
from crossmargin_circuits.layout import CURRENCY, MAX_NAME, Column, ColumnKind, RecordLayout

__all__ = ["POLICY_FILE", "Constraint", "Definition", "Policy", "PolicyKind", "RiskArray", "Role", "ValueUnit"]

POLICY_FILE = "policy.json"

POLICY_FORMAT = "crossmargin-policy/3"

EARLIER_FORMATS = ("crossmargin-policy/1", "crossmargin-policy/2")

MAX_EXPANDED_WORK = 2**25
"""Nodes of all expressions with abbreviations written out, times columns and NODE_WORK: bounds the work of compiling a
hostile policy to some seconds (abbreviations that double one another would otherwise grow without limit)."""

NODE_WORK = 255
"""Fixed cost of a node, in coefficients."""

MAX_EXPANDED_DEPTH = 200
"""Deepest nesting with references written out: bounds recursion."""

MAX_EXPANDED_BITS = 1024
"""Bits of a coefficient with factors multiplied in, as if nothing cancelled: bounds memory."""

MAX_TEXT = 1000
"""Characters of a meaning: meanings are repeated in the labels of rows."""

MAX_TITLE = 200
"""Characters of the venue's name and of the title."""

MAX_PART_NAME = 80
"""Characters of the name of an array, a definition or a constraint: words, and the name of a column of at most 40."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]*( [A-Za-z0-9][A-Za-z0-9_./:-]*)*")
"""Name of an array, a definition or a constraint: ASCII words, so no name reads as a formula or as another name."""

RESERVED = frozenset(
    {
        *("account", "accounts", "amounts", "claims", "digests", "fail", "failed", "info", "insurance fund"),
        *("liabilities", "open interest", "owed", "pass", "passed", "proof of reserves", "proof of solvency"),
        *("rejected", "reserves", "result", "totals", "verdict", "verified"),
    }
)
"""Words of the verdict: no definition and no constraint is called so, in whatever case and with whatever marks."""

_KEYS = (
    *("format", "kind", "venue", "title", "as_of", "value_unit"),
    *("columns", "arrays", "definitions", "constraints", "inputs"),
)


class PolicyKind(StrEnum):
    """What a policy states about every account."""

    SOLVENCY = "solvency"
    """Equity covers the requirement, or the shortfall is disclosed."""
    COVERAGE = "coverage"
    """What the account owes in each asset is disclosed."""
    CROWDING = "crowding"
    """The account's exposures are disclosed."""


class Role(StrEnum):
    """The role of a definition; the last four are auxiliaries with disclosed totals over the book."""

    ABBREVIATION = "abbreviation"
    EQUITY = "equity"
    HIDDEN = "hidden"
    REQUIREMENT = "requirement"
    SHORTFALL = "shortfall"
    DEBT = "debt"
    EXPOSURE = "exposure"

    @property
    def is_auxiliary(self) -> bool:
        """Whether the definition becomes a separate column."""
        return self not in (Role.ABBREVIATION, Role.EQUITY)

    @property
    def is_disclosed(self) -> bool:
        """Whether the column's total over the book is disclosed."""
        return self in (Role.REQUIREMENT, Role.SHORTFALL, Role.DEBT, Role.EXPOSURE)


_ROLES = {
    PolicyKind.SOLVENCY: (Role.EQUITY, Role.REQUIREMENT, Role.SHORTFALL),
    PolicyKind.COVERAGE: (Role.DEBT,),
    PolicyKind.CROWDING: (Role.EXPOSURE,),
}
"""The roles, beside abbreviations and hidden auxiliaries, that a policy of each kind may have."""


_ROLE_WORDS = frozenset({role.value for roles in _ROLES.values() for role in roles})


@dataclass(frozen=True)
class ValueUnit:
    """The unit of all values: `quantum` (a decimal string) of `currency`."""

    currency: str
    quantum: str


@dataclass(frozen=True)
class RiskArray:
    """One integer per base column: value quanta per unit or lot; `meaning` is for people and row labels."""

    name: str
    meaning: str
    coefficients: tuple[int, ...]


@dataclass(frozen=True)
class Definition:
    """A named expression; `subject` names the asset of a debt and is empty otherwise."""

    name: str
    meaning: str
    role: Role
    expression: Expression
    subject: str = ""

    def __str__(self) -> str:
        """Return the formula; for an auxiliary, also state whether its total is disclosed."""
        formula = format_expression(self.expression)
        if not self.role.is_auxiliary:
            return f"{self.name} := {formula}"
        return f"{self.name} >= {formula}  ({f'{self.role}, total opened' if self.role.is_disclosed else 'hidden'})"


@dataclass(frozen=True)
class Constraint:
    """A named expression that must be non-negative."""

    name: str
    meaning: str
    expression: Expression

    def __str__(self) -> str:
        """Return the formula."""
        return f"{format_expression(self.expression)} >= 0"


@dataclass(frozen=True)
class Policy:
    """A margin model with its integers; see the module's docstring.

    inputs: canonical-JSON data. stated_digest: the digest of a policy whose inputs were left out.
    """

    kind: PolicyKind
    venue: str
    title: str
    as_of: int
    value_unit: ValueUnit
    layout: RecordLayout
    arrays: tuple[RiskArray, ...]
    definitions: tuple[Definition, ...]
    constraints: tuple[Constraint, ...]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    stated_digest: bytes | None = None

    def __post_init__(self) -> None:
        """Check names, shapes, references and curvature.

        Raises:
            MalformedError: shapes or names. CurvatureError: an expression of the wrong curvature.
            PolicyError: the rest.
        """
        self._check_texts()
        names = [array.name for array in self.arrays] + [each.name for each in self.definitions]
        _check_distinct(names + [each.name for each in self.constraints])
        for definition in self.definitions:
            _check_words(definition.name, definition.role)
        for constraint in self.constraints:
            _check_words(constraint.name, None)
        for array in self.arrays:
            if len(array.coefficients) != len(self.layout):
                raise MalformedError(f"policy: array {array.name!r}: one coefficient per column is needed")
            if any(abs(c) > MAX_JSON_INTEGER for c in array.coefficients):
                raise MalformedError(f"policy: array {array.name!r}: a coefficient is beyond 2^53 - 1")
        known: set[str] = set()
        sizes: dict[str, _Size] = {}
        nodes = 0
        for definition in self.definitions:
            self._check_names(definition.expression, definition.name, known)
            sizes[definition.name] = self._check_size(definition.expression, definition.name, sizes, nodes)
            nodes += sizes[definition.name].nodes
            if definition.role.is_auxiliary:
                check_curvature(definition.expression, 1, definition.name, self._check_reference)
            if definition.role is Role.EQUITY:
                check_curvature(definition.expression, -1, definition.name, self._check_reference)
            if (definition.role is Role.DEBT) != bool(definition.subject):
                raise PolicyError(f"policy: {definition.name}: a debt, and only a debt, names its asset as subject")
            known.add(definition.name)
        for constraint in self.constraints:
            self._check_names(constraint.expression, constraint.name, known)
            nodes += self._check_size(constraint.expression, constraint.name, sizes, nodes).nodes
            check_curvature(constraint.expression, -1, constraint.name, self._check_reference)
        self._check_kind()

    def array(self, name: str) -> RiskArray:
        """Return a risk array by name."""
        return self._arrays[name]

    def definition(self, name: str) -> Definition:
        """Return a definition by name."""
        return self._definitions[name]

    def with_role(self, role: Role) -> tuple[Definition, ...]:
        """Return the definitions of one role, in order."""
        return tuple(definition for definition in self.definitions if definition.role is role)

    @property
    def equity(self) -> Definition | None:
        """The equity of a solvency policy, or None."""
        return next(iter(self.with_role(Role.EQUITY)), None)

    @property
    def requirement(self) -> Definition | None:
        """The requirement of a solvency policy, or None."""
        return next(iter(self.with_role(Role.REQUIREMENT)), None)

    @property
    def shortfall(self) -> Definition | None:
        """The shortfall of a solvency policy that is not strict, or None."""
        return next(iter(self.with_role(Role.SHORTFALL)), None)

    @property
    def is_strict(self) -> bool:
        """Whether every account must cover its requirement: a solvency policy with a constraint, not a shortfall."""
        return self.kind is PolicyKind.SOLVENCY and bool(self.constraints)

    @cached_property
    def _curved(self) -> set[tuple[str, int]]:
        """Abbreviations that are convex (1) or concave (-1): each is looked at once, however often it is used."""
        return set()

    @cached_property
    def _arrays(self) -> dict[str, RiskArray]:
        return {array.name: array for array in self.arrays}

    @cached_property
    def _definitions(self) -> dict[str, Definition]:
        return {definition.name: definition for definition in self.definitions}

    def _check_texts(self) -> None:
        """Check lengths, and that the currency is a name and the quantum a number."""
        named: tuple[RiskArray | Definition | Constraint, ...] = (*self.arrays, *self.definitions, *self.constraints)
        for limit, texts in (
            (MAX_TITLE, [self.venue, self.title]),
            (MAX_PART_NAME, [each.name for each in named]),
            (MAX_TEXT, [each.meaning for each in named]),
        ):
            if max(map(len, texts), default=0) > limit:
                raise MalformedError(f"policy: a text of more than {limit} characters where {limit} are allowed")
        currency = self.value_unit.currency
        if not CURRENCY.fullmatch(currency) or len(currency) > MAX_NAME:
            raise MalformedError(
                "policy: value_unit.currency: a name such as USD is needed, a letter first, at most "
                f"{MAX_NAME} characters"
            )
        if not DECIMAL.fullmatch(self.value_unit.quantum) or not self.value_unit.quantum.strip("0."):
            raise MalformedError('policy: value_unit.quantum: a decimal above zero such as "0.01" is needed')

    def _check_kind(self) -> None:
        """Check that the policy has what its kind needs, and nothing else.

        Raises:
            PolicyError: names the kind and what is wrong.
        """

        def refuse(reason: str) -> PolicyError:
            return PolicyError(f"policy: not a policy of its kind: {self.kind}: {reason}")

        allowed = {Role.ABBREVIATION, Role.HIDDEN, *_ROLES[self.kind]}
        for definition in self.definitions:
            if definition.role not in allowed:
                raise refuse(f"{definition.name} has the role {definition.role}")
        count = {role: len(self.with_role(role)) for role in Role}
        if self.kind is not PolicyKind.SOLVENCY:
            (role,) = _ROLES[self.kind]
            if not count[role]:
                raise refuse(f"one definition at least with the role {role} is needed")
            if self.constraints:
                raise refuse(f"{self.constraints[0].name} is a constraint")
            subjects = [definition.subject for definition in self.with_role(Role.DEBT)]
            if len(set(subjects)) != len(subjects):
                raise refuse("two definitions are debts of one asset")
            for subject in subjects:
                if self.layout.find(ColumnKind.BALANCE, subject) is None:
                    raise refuse(f"a debt of {subject!r}, which has no balance column")
            return
        equity, requirement, shortfall = self.equity, self.requirement, self.shortfall
        if equity is None or requirement is None or count[Role.EQUITY] > 1 or count[Role.REQUIREMENT] > 1:
            raise refuse("exactly one equity and one requirement are needed")
        if count[Role.SHORTFALL] + len(self.constraints) != 1:
            raise refuse("either one shortfall or one constraint is needed")
        gap = Sum((Reference(requirement.name), Scale(-1, Reference(equity.name))))
        if shortfall is not None and shortfall.expression != gap:
            raise refuse(f"{shortfall.name} must be {format_expression(gap)}")
        if self.constraints and self.constraints[0].expression != Scale(-1, gap):
            raise refuse(f"{self.constraints[0].name} must be {format_expression(Scale(-1, gap))}")

    def _check_names(self, expression: Expression, path: str, known: set[str]) -> None:
        match expression:
            case Linear(array):
                if array not in self._arrays:
                    raise PolicyError(f"policy: {path}: no risk array is called {array!r}")
            case Reference(name):
                if name not in known:
                    raise PolicyError(f"policy: {path}: {name!r} is not defined before it is used")
        for child in children(expression):
            self._check_names(child, path, known)

    def _check_size(self, expression: Expression, path: str, sizes: Mapping[str, "_Size"], before: int) -> "_Size":
        """Return the size of an expression with references written out, after `before` other nodes."""
        if isinstance(expression, Reference):
            size = sizes[expression.name]
        else:
            inner = [self._check_size(child, path, sizes, before) for child in children(expression)]
            size = _Size(
                sum(each.nodes for each in inner),
                max((each.depth for each in inner), default=0),
                max((each.bits for each in inner), default=MAX_JSON_INTEGER.bit_length()) + _bits(expression),
            )
        width = len(self.layout) + NODE_WORK
        if (before + size.nodes + 1) * width > MAX_EXPANDED_WORK or size.depth >= MAX_EXPANDED_DEPTH:
            raise PolicyError(
                f"policy: {path}: too large with abbreviations written out: at most {MAX_EXPANDED_WORK // width} nodes "
                f"in all and {MAX_EXPANDED_DEPTH} levels"
            )
        if size.bits > MAX_EXPANDED_BITS:
            raise LimitError(f"policy: {path}: coefficients of more than {MAX_EXPANDED_BITS} bits")
        return _Size(size.nodes + 1, size.depth + 1, size.bits)

    def _check_reference(self, name: str, path: str, sign: int) -> None:
        definition = self.definition(name)
        if not definition.role.is_auxiliary:
            if (name, sign) not in self._curved:
                check_curvature(definition.expression, sign, f"{path} > {name}", self._check_reference)
                self._curved.add((name, sign))
        elif sign < 0:
            raise CurvatureError(
                f"{path}: {name} is only bounded from below, so it may be added to a requirement or subtracted from "
                "collateral, never the other way round"
            )

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `policy.json`.

        Raises:
            PolicyError: its inputs were left out.
        """
        if self.stated_digest is not None:
            raise PolicyError("policy: without its inputs it has no file")
        return dump_canonical(
            {
                "format": POLICY_FORMAT,
                "kind": str(self.kind),
                "venue": self.venue,
                "title": self.title,
                "as_of": self.as_of,
                "value_unit": {"currency": self.value_unit.currency, "quantum": self.value_unit.quantum},
                "columns": [
                    {"kind": str(c.kind), "name": c.name, "unit": c.unit, "limit": c.limit, "settled": c.settled}
                    for c in self.layout.columns
                ],
                "arrays": [
                    {"name": a.name, "meaning": a.meaning, "coefficients": list(a.coefficients)} for a in self.arrays
                ],
                "definitions": [
                    {
                        "name": d.name,
                        "meaning": d.meaning,
                        "role": str(d.role),
                        "subject": d.subject,
                        "expression": expression_to_json(d.expression),
                    }
                    for d in self.definitions
                ],
                "constraints": [
                    {"name": c.name, "meaning": c.meaning, "expression": expression_to_json(c.expression)}
                    for c in self.constraints
                ],
                "inputs": dict(self.inputs),
            }
        )

    @cached_property
    def digest(self) -> bytes:
        """H_policy of the policy file, inputs included."""
        return tagged_hash("policy", self.encoded) if self.stated_digest is None else self.stated_digest

    def without_inputs(self) -> "Policy":
        """Return the policy without its inputs, for a reader who only needs its digest and its integers."""
        return replace(self, inputs={}, stated_digest=self.digest)

    @classmethod
    def decode(cls, data: bytes, keep_inputs: bool = True) -> "Policy":
        """Parse `policy.json`: canonical bytes, known keys, right types.

        keep_inputs: whether the inputs stay in memory; without them only the digest remembers the file.

        Raises:
            MalformedError: with the path of the field.
            PolicyError, CurvatureError: the policy describes no relation.
        """
        root = Fields(load_canonical(data, POLICY_FILE), "policy.", *_KEYS, earlier=EARLIER_FORMATS)
        root.format(POLICY_FORMAT)
        unit = root.inner("value_unit", "currency", "quantum")
        return cls(
            kind=root.word("kind", PolicyKind, "kind of policy"),
            venue=root.text("venue"),
            title=root.text("title"),
            as_of=root.integer("as_of"),
            value_unit=ValueUnit(unit.text("currency"), unit.text("quantum")),
            layout=RecordLayout(tuple(map(_column, root.each("columns", "kind", "name", "unit", "limit", "settled")))),
            arrays=tuple(map(_array, root.each("arrays", "name", "meaning", "coefficients"))),
            definitions=tuple(
                map(_definition, root.each("definitions", "name", "meaning", "role", "subject", "expression"))
            ),
            constraints=tuple(map(_constraint, root.each("constraints", "name", "meaning", "expression"))),
            inputs=root.mapping("inputs") if keep_inputs else {},
            # The bytes are canonical, so they are those that the policy with its inputs would encode to.
            stated_digest=None if keep_inputs else tagged_hash("policy", data),
        )


class _Size(NamedTuple):
    """Nodes, depth and bits of coefficients of an expression with references written out."""

    nodes: int
    depth: int
    bits: int


def _bits(expression: Expression) -> int:
    """Return by how many bits the coefficients of a node may exceed those of its operands."""
    if isinstance(expression, Scale):
        return abs(expression.by).bit_length()
    return len(children(expression)).bit_length()


def _check_distinct(names: list[str]) -> None:
    """Check that arrays, definitions and constraints have distinct names, which formulas show unchanged."""
    seen = set()
    for name in names:
        if not NAME.fullmatch(name):
            raise MalformedError(f"policy: {name!r}: a name is words of letters, digits and _ . / : - , a letter first")
        if name in seen:
            raise MalformedError(f"policy: {name!r} names two arrays, definitions or constraints")
        seen.add(name)


def _check_words(name: str, role: Role | None) -> None:
    """Refuse a name that reads as a line of the verdict: its words, or the word of another role in front."""
    words = re.findall("[a-z0-9]+", name.lower())
    if " ".join(words) in RESERVED:
        raise PolicyError(f"policy: {name!r} is a word of the verdict: choose another name")
    if words[0] in _ROLE_WORDS and words[0] != role:
        raise PolicyError(f"policy: {name!r}: only the {words[0]} may have a name that begins with this word")


def _column(item: Fields) -> Column:
    kind = item.word("kind", ColumnKind, "kind of column")
    return Column(kind, item.text("name"), item.text("unit"), item.integer("limit"), item.string("settled"))


def _array(item: Fields) -> RiskArray:
    return RiskArray(item.text("name"), item.text("meaning"), item.integers("coefficients"))


def _definition(item: Fields) -> Definition:
    return Definition(
        item.text("name"),
        item.text("meaning"),
        item.word("role", Role, "role"),
        expression_from_json(item.any("expression"), item.path("expression")),
        item.string("subject"),
    )


def _constraint(item: Fields) -> Constraint:
    return Constraint(
        item.text("name"),
        item.text("meaning"),
        expression_from_json(item.any("expression"), item.path("expression")),
    )
