"""The margin model of `model.yaml`: which model, what moves how far, which statements are to be proven.

Ranges are relative moves: price_range 0.15 scans prices between -15 % and +15 %, volatility_up 0.4 multiplies an
implied volatility by 1.4, volatility_down 0.25 by 0.75. Underlyings and assets without a scan entry do not move.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Flag, Frozen, Name, WholeNumber, refuse
from crossmargin.instruments import Catalogue

__all__ = ["COVERAGE", "Extreme", "ModelConfig", "ModelKind", "ScanRange", "StatementConfig", "ValueUnit"]

COVERAGE = "coverage"
"""Name of the per-asset coverage statement, the one that has no factor."""

_STATEMENT = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class ModelKind(StrEnum):
    """How the losses of several underlyings are netted."""

    SCENARIO_PORTFOLIO_MARGIN = "scenario_portfolio_margin"
    """The largest loss over scenarios in which all underlyings move together."""
    SUM_OF_UNDERLYINGS = "sum_of_underlyings"
    """The sum of each underlying's own largest loss: no offset between underlyings."""


def _between(low: str, high: str, *, low_in: bool, high_in: bool) -> Callable[[Decimal], Decimal]:
    def check(value: Decimal) -> Decimal:
        bottom, top = Decimal(low), Decimal(high)
        if value < bottom or value > top or (value == bottom and not low_in) or (value == top and not high_in):
            left, right = "<=" if low_in else "<", "<=" if high_in else "<"
            raise refuse(f"not in {low} {left} value {right} {high}", "choose a value in this range")
        return value

    return check


class ValueUnit(Frozen):
    """Currency and quantum of money in a policy; `quantum` is the value of the integer 1."""

    currency: Annotated[str, Field(pattern="^USD$")]
    quantum: Annotated[ExactDecimal, AfterValidator(_between("0", "1", low_in=False, high_in=True))]


class ScanRange(Frozen):
    """How far one underlying moves: relative price range, relative volatility moves up and down."""

    price_range: Annotated[ExactDecimal, AfterValidator(_between("0", "1", low_in=False, high_in=False))]
    volatility_up: Annotated[ExactDecimal, AfterValidator(_between("0", "10", low_in=True, high_in=True))]
    volatility_down: Annotated[ExactDecimal, AfterValidator(_between("0", "1", low_in=True, high_in=False))]


class Extreme(Frozen):
    """The two extreme scenarios: a multiple of the price range, of whose loss the part `covered` counts."""

    multiple: Annotated[ExactDecimal, AfterValidator(_between("1", "20", low_in=True, high_in=True))]
    covered: Annotated[ExactDecimal, AfterValidator(_between("0", "1", low_in=False, high_in=True))]


def _statement_name(value: str) -> str:
    if not _STATEMENT.fullmatch(value):
        raise refuse("not a statement name", "write 1 to 32 of a-z 0-9 _ - with a letter first")
    return value


class StatementConfig(Frozen):
    """One statement: its name and the factor on the scenario loss; `coverage` is per asset and has no factor."""

    name: Annotated[str, AfterValidator(_statement_name)]
    factor: Annotated[ExactDecimal, AfterValidator(_between("0", "100", low_in=False, high_in=True))] | None = None

    @model_validator(mode="after")
    def _check(self) -> "StatementConfig":
        if self.name == COVERAGE and self.factor is not None:
            raise refuse("the coverage statement has a factor", "remove factor", "factor")
        if self.name != COVERAGE and self.factor is None:
            raise refuse(f"statement {self.name} has no factor", 'add a factor such as "1"', "factor")
        return self


def _kind(value: Any) -> Any:
    if isinstance(value, str) and value in {kind.value for kind in ModelKind}:
        return ModelKind(value)
    raise refuse("not one of " + ", ".join(ModelKind), "write one of these words")


def _statements(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class ModelConfig(Frozen):
    """The whole of `model.yaml`; `strict` forbids the shortfall column."""

    model: Annotated[ModelKind, BeforeValidator(_kind)]
    value_unit: ValueUnit
    staleness_limit_seconds: Annotated[WholeNumber, Field(ge=1)]
    scan: dict[Name, ScanRange]
    extreme: Extreme
    statements: Annotated[tuple[StatementConfig, ...], BeforeValidator(_statements), Field(min_length=1)]
    strict: Flag = False

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        for name, scan in self.scan.items():
            if scan.price_range * self.extreme.multiple >= 1:
                raise refuse(
                    f"the extreme move of {name}, price_range times multiple, reaches a price of zero",
                    "lower price_range or multiple so that the product is below 1",
                    f"scan.{name}.price_range",
                )
        names = [statement.name for statement in self.statements]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise refuse(f"a second statement {name}", "rename or remove it", f"statements[{number}].name")
        return self

    def check(self, catalogue: Catalogue) -> list[InputError]:
        """Return what is missing or foreign in `scan` for this catalogue; the field is stated, the file is not."""
        problems = []
        known = {*catalogue.underlyings, *(asset.name for asset in catalogue.assets)}
        for name in catalogue.underlyings:
            if name not in self.scan:
                problems.append(
                    InputError(f"no scan range for underlying {name}", mend=f"add scan.{name}", field="scan")
                )
        for name in self.scan:
            if name not in known:
                problems.append(
                    InputError(
                        f"{name} is neither an asset nor an underlying",
                        mend="remove it or correct the name",
                        field=f"scan.{name}",
                    )
                )
        return problems
