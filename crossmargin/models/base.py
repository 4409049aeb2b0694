"""The base of every margin model: unit of value, statements, and the requirement as an expression.

A model is a strict, versioned file (`model.yaml`) read into one class per architecture. The class holds the parameters
and writes the requirement as a convex expression over risk arrays; nothing else differs between models.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Flag, Frozen, Listed, Name, WholeNumber, between, refuse
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import HistoryNeed
from crossmargin.market.returns import check_history
from crossmargin.models.collateral import CollateralRule, MismatchRule, check_collateral
from crossmargin.models.depeg import DepegScenarios, check_depeg
from crossmargin.models.oracle import OracleRule
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin.origin import Origin
from crossmargin.units import format_decimal
from crossmargin_circuits import policy
from crossmargin_circuits.expression import Expression

__all__ = ["COVERAGE", "CROWDING", "PROPERTIES", "MarginModel", "StatementConfig", "ValueUnit"]

COVERAGE = "coverage"
"""Name of the per-asset coverage statement, which has no factor."""

CROWDING = "crowding"
"""Name of the statement that discloses exposures by underlying, which has no factor."""

VERSION = 1
"""Version of the format of `model.yaml`."""

PROPERTIES = frozenset({"subadditive", "monotone", "positively homogeneous", "translation"})
"""Properties that a model may claim of its requirement R and of excess = equity - R, all exactly and in integers.

subadditive: R(x + y) <= R(x) + R(y); monotone: more profit in every scenario never needs more; positively homogeneous:
R(kx) = k R(x); translation: cash that neither moves nor is cut adds its value to the excess.
"""

_STATEMENT = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class ValueUnit(Frozen):
    """Currency and quantum of money in a policy; `quantum` is the value of the integer 1."""

    currency: Annotated[str, Field(pattern="^USD$")]
    quantum: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]

    @property
    def stated(self) -> policy.ValueUnit:
        """The unit as a policy states it."""
        return policy.ValueUnit(self.currency, format_decimal(self.quantum))


def _statement_name(value: str) -> str:
    if not _STATEMENT.fullmatch(value):
        raise refuse("not a statement name", "write 1 to 32 of a-z 0-9 _ - with a letter first")
    return value


class StatementConfig(Frozen):
    """One statement: its name and the factor on the requirement; `coverage` and `crowding` charge nothing, so none."""

    name: Annotated[str, AfterValidator(_statement_name)]
    factor: Annotated[ExactDecimal, AfterValidator(between("0", "100", low_in=False))] | None = None

    @model_validator(mode="after")
    def _check(self) -> "StatementConfig":
        if self.name in (COVERAGE, CROWDING) and self.factor is not None:
            raise refuse(f"the {self.name} statement has a factor", "remove factor", "factor")
        if self.name not in (COVERAGE, CROWDING) and self.factor is None:
            raise refuse(f"statement {self.name} has no factor", 'add a factor such as "1"', "factor")
        return self


def _version(value: int) -> int:
    if value != VERSION:
        raise refuse(f"not version {VERSION}", f"write version: {VERSION} and follow its format")
    return value


class MarginModel(Frozen):
    """The fields of every `model.yaml`; `strict` forbids the shortfall column.

    Each architecture derives a class: the word of its files stands in `model: Literal["word"]`, its parameters are
    fields, and `requirement` writes the formula: a convex expression over risk arrays, which the `PolicyBuilder` makes
    from USD values of one unit of each column. Everything else has a default. A class may further

        check             refuse instruments or prices that it cannot handle, after `super().check`
        needed_history    declare the daily prices that it reads: they are checked here, and stand in the policy
        reads_crowding    declare that it reads disclosed totals of the book
        add_ons           charge more on top
        thresholds        state the exposure beyond which an account is large in a crowding statement
        COHERENT, WIDENS  claim properties of the requirement; have scan ranges that an oracle rule can widen
    """

    COHERENT: ClassVar[frozenset[str]] = frozenset()
    WIDENS: ClassVar[bool] = False
    """Whether the architecture has scan ranges, which an oracle rule can widen."""

    model: str
    version: Annotated[WholeNumber, AfterValidator(_version)]
    value_unit: ValueUnit
    staleness_limit_seconds: Annotated[WholeNumber, Field(ge=1)]
    statements: Annotated[tuple[StatementConfig, ...], Listed, Field(min_length=1)]
    strict: Flag = False
    collateral: dict[Name, CollateralRule] | None = None
    mismatch: MismatchRule | None = None
    depeg: DepegScenarios | None = None
    oracle: OracleRule | None = None

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @model_validator(mode="after")
    def _check_statements(self) -> "MarginModel":
        names = [statement.name for statement in self.statements]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise refuse(f"a second statement {name}", "rename or remove it", f"statements[{number}].name")
        return self

    @property
    def coherent(self) -> frozenset[str]:
        """Which of PROPERTIES the requirement has with these parameters (Artzner, Delbaen, Eber, Heath 1999)."""
        cash = self.collateral is None and self.mismatch is None and self.depeg is None
        return self.COHERENT if cash else self.COHERENT - {"translation"}

    @property
    def title(self) -> str:
        """The architecture in words."""
        return self.model.replace("_", " ")

    @property
    def margin_statements(self) -> tuple[str, ...]:
        """Names of the statements with a requirement."""
        return tuple(each.name for each in self.statements if each.factor is not None)

    def __repr__(self) -> str:
        """Return the architecture and the statements: parameters may fill pages."""
        return f"<{type(self).__name__}: {self.title}; {', '.join(each.name for each in self.statements)}>"

    __str__ = __repr__

    def statement(self, name: str) -> StatementConfig:
        """Return the statement of that name.

        Raises:
            InputError: there is none.
        """
        for each in self.statements:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.statements)
        raise self.located(InputError(f"no statement is called {name}", field="statements", hint=f"use {known}"))

    def read_from(self, origin: Origin) -> Self:
        """Return the model with an origin, so that a problem of a field names its file and line."""
        model = self.model_copy()
        model._origin = origin
        return model

    def located(self, problem: InputError) -> InputError:
        """Return a problem of one of the model's fields, with the file and line of that field."""
        return self._origin.located(problem)

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return the problems in an environment: missing or foreign names; the field is stated, the file is not."""
        problems = [
            *self.missing(environment),
            *check_collateral(environment.catalogue, self.collateral, self.mismatch),
            *check_depeg(environment.catalogue, self.depeg or ()),
        ]
        if self.oracle is not None and self.oracle.widens and not self.WIDENS:
            problems.append(
                InputError(
                    f"{self.title} has no scan ranges that could be widened",
                    hint='write dislocated: refuse and confidence_multiple: "0"',
                    field="oracle",
                )
            )
        return problems

    def missing(self, environment: MarketEnvironment) -> list[InputError]:
        """Return the declared inputs that the environment lacks."""
        need = self.needed_history(environment)
        if need is None:
            return []
        return check_history(environment.history, need.names, need.rows, environment.market.as_of, need.field)

    def requirement(self, builder: PolicyBuilder) -> Expression:
        """Write the requirement, times the statement's factor, as a convex expression; add its arrays to `builder`."""
        raise NotImplementedError(f"{type(self).__name__} states no requirement")

    def add_ons(self, builder: PolicyBuilder) -> list[Expression]:
        """Write the charges on top of the requirement, each a convex expression that names itself."""
        return []

    def needed_history(self, environment: MarketEnvironment) -> HistoryNeed | None:
        """Return the part of the price history that the requirement reads and the policy then holds; None: nothing."""
        return None

    @property
    def reads_crowding(self) -> bool:
        """Whether the requirement depends on disclosed totals of the book, which then stand in the policy."""
        return False

    @property
    def thresholds(self) -> Mapping[str, Decimal]:
        """USD of net exposure by underlying beyond which the crowding statement counts an account as large."""
        return {}

    def factor_of(self, name: str) -> Decimal:
        """Return the factor of a statement; coverage and crowding charge nothing and have factor 1."""
        return self.statement(name).factor or Decimal(1)
