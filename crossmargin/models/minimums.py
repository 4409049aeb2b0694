"""Minimum charges that no scenario sees: for short options far out of the money, and for every contract held.

    short option minimum  M_u = sum over options of u: rate * notional per lot * (-x)+
                          notional = contract size * index. SPAN's short option minimum; NSE's parameters: 3 % of the
                          notional for index options, 7.5 % for those on shares
    contract minimum      C_u = sum over contracts of u: amount * units of the underlying per lot * |x|
                          OCC TIMS (customer portfolio margin): 0.375 USD times the contract's multiplier for every
                          contract, long or short

`floor` takes the greatest of the requirement and each minimum (both as published); `added` adds them. Both are convex:
sums of positive parts and absolute values, with one auxiliary for each contract. No netting, so neither is monotone in
the scenario PnL: an option that gains everywhere may still raise a minimum.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Frozen, Name, Positive, between, refuse
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Contract, Instrument, Kind
from crossmargin.models.policy_builder import PolicyBuilder, added
from crossmargin_circuits.expression import Abs, Expression, Linear, Max, PositivePart, Scale

__all__ = ["Minimums", "contract_minimum", "short_option_minimum", "with_minimums"]


class Minimums(Frozen):
    """Minimum charges by underlying: short_option is a rate of notional, contract USD per unit of the underlying."""

    short_option: dict[Name, Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]] | None = None
    contract: dict[Name, Positive] | None = None
    rule: Literal["floor", "added"] = "floor"

    @model_validator(mode="after")
    def _check(self) -> "Minimums":
        if not self.short_option and not self.contract:
            raise refuse("no minimum", "add short_option or contract, or remove the section")
        return self

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return the names that are no underlying; the field is stated."""
        sections: tuple[tuple[str, Mapping[str, object]], ...] = (
            ("short_option", self.short_option or {}),
            ("contract", self.contract or {}),
        )
        return [
            InputError(
                f"{name} is not an underlying", hint="remove it or correct the name", field=f"minimums.{section}.{name}"
            )
            for section, charges in sections
            for name in charges
            if name not in environment.catalogue.underlyings
        ]


def with_minimums(builder: PolicyBuilder, rule: Minimums, underlyings: Sequence[str], risk: Expression) -> Expression:
    """Return the greatest, or the sum, of a risk and the minimums of what it is the risk of."""
    shorts = [
        each
        for name in underlyings
        if name in (rule.short_option or {})
        for each in short_option_minimum(builder, name, float((rule.short_option or {})[name]))
    ]
    contracts = [
        each
        for name in underlyings
        if name in (rule.contract or {})
        for each in contract_minimum(builder, name, float((rule.contract or {})[name]))
    ]
    charges = [added(each) for each in (shorts, contracts) if each]
    if not charges:
        return risk
    return added([risk, *charges]) if rule.rule == "added" else Max((risk, *charges))


def short_option_minimum(builder: PolicyBuilder, underlying: str, rate: float) -> list[Expression]:
    """Return rate * notional * (-x)+ of every option of an underlying that has not expired."""
    index = float(builder.market.index[underlying].price)
    return [
        PositivePart(Scale(-1, _single(builder, f"short {item.name}", number, rate * index * _units(builder, item))))
        for number, item in _columns(builder, underlying)
        if item.kind is Kind.OPTION and not builder.market.expired(item)
    ]


def contract_minimum(builder: PolicyBuilder, underlying: str, amount: float) -> list[Expression]:
    """Return amount (USD per unit of the underlying) * |x| of every contract of an underlying that has not expired."""
    return [
        Abs(_single(builder, f"contract {item.name}", number, amount * _units(builder, item)))
        for number, item in _columns(builder, underlying)
        if not builder.market.expired(item)
    ]


def _columns(builder: PolicyBuilder, underlying: str) -> Iterator[tuple[int, Instrument]]:
    first = len(builder.layout) - len(builder.catalogue.instruments)
    for number, item in enumerate(builder.catalogue.instruments, start=first):
        if item.underlying == underlying:
            yield number, item


def _units(builder: PolicyBuilder, item: Instrument) -> float:
    """Return the units of the underlying that one lot is about; an inverse contract's USD at the index."""
    per_lot = float(item.lot * item.contract_size)
    if item.kind is not Kind.OPTION and item.contract is Contract.INVERSE:
        return per_lot / float(builder.market.index[item.underlying].price)
    return per_lot


def _single(builder: PolicyBuilder, name: str, column: int, amount: float) -> Linear:
    values = np.zeros(len(builder.layout))
    values[column] = amount
    return builder.charge(name, f"minimum, {name}", values)
