"""Equity of an account: collateral at haircut, pooled with the value of the positions settled in each asset.

For an asset a let V_a(x) be the value in USD of everything denominated in it: balance, entry value, and the mark value
of the positions settled in it, and w_a = 1 - haircut its weight (times that of its chain). It contributes

    S_a = min(V_a, w_a V_a)       a positive value is cut, a negative one (a debt) counts in full

to equity. An asset with a rule in `collateral` contributes, together with all its holdings on chains,

    T(S), S = sum of their S_a    T(s) = (1 + borrow) s for s < 0
                                  T(s) = sum_k weight_k (part of s between up_to_{k-1} and up_to_k) for s >= 0
                                  and no more than T(cap)

    T(s) = min( (1 + borrow) s,  weight_k s + c_k for every tier k,  T(cap) )
    c_k = c_{k-1} + (weight_{k-1} - weight_k) up_to_{k-1},   c_1 = 0

with `up_to` and `cap` in units of the asset (at its index price), after haircuts. The constants c_k and T(cap) are
fixed amounts of each account, rounded down to whole quanta. Weights do not increase, so T is concave, and it never
falls: more collateral never lowers equity. Among its forms is one without a constant that counts a unit as much as any
other, (1 + borrow) s or V itself: the full form of equity, so no number of made-up accounts adds collateral or owes for
less. Tiers and caps hold per account, so merging two accounts may lower equity.

Currency mismatch: with V_c the value of everything in currency c (assets that stand for the same money), equity is less

    mismatch = rate * sum_c max(0, -V_c)

A debt in one currency covered in another is the lesser of the debt and the holdings in other currencies; charging it
would be concave, which no rows state. The debt itself is an upper bound, exact for every account whose other values
cover its debts, and so for every solvent one. Source of the form and of the usual rate of 8 %: margin requirements for
non-centrally cleared derivatives (BCBS and IOSCO, d499, 2020), appendix B, the additive haircut for collateral in
another currency.

None of these has the statement's factor. Amounts and weights become integers at the quantum, to the nearest. A quantum
is refused if this changes the counted value of a unit by more than one part in a thousand of its value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from crossmargin.engine.risk_arrays import check_resolution
from crossmargin.errors import InputError
from crossmargin.fields import Currency, ExactDecimal, Frozen, Listed, Name, Positive, between, refuse
from crossmargin.market.instruments import Asset, Catalogue
from crossmargin.models.policy_builder import PolicyBuilder, added
from crossmargin_circuits.expression import Expression, Min, PositivePart, Reference, Scale, Sum
from crossmargin_circuits.policy import Role

__all__ = ["CollateralRule", "MismatchRule", "Tier", "check_collateral", "equity"]

Floats = NDArray[np.float64]

_Part = Annotated[ExactDecimal, AfterValidator(between("0", "1"))]


class Tier(Frozen):
    """Weight of the part of a collateral value up to an amount; the last tier has no end."""

    weight: _Part
    up_to: Positive | None = None


class CollateralRule(Frozen):
    """Rule of an asset; up_to and cap are amounts of the asset, borrow is a surcharge on debt."""

    tiers: Annotated[tuple[Tier, ...], Listed, Field(min_length=1)] | None = None
    cap: Positive | None = None
    borrow: Annotated[ExactDecimal, AfterValidator(between("0", "10"))] | None = None

    @model_validator(mode="after")
    def _check(self) -> "CollateralRule":
        if self.tiers is None and self.cap is None and self.borrow is None:
            raise refuse("an empty rule", "write tiers, cap or borrow, or remove it")
        tiers = self.tiers or ()
        for number, (tier, following) in enumerate(pairwise(tiers)):
            if tier.up_to is None:
                hint = "write the amount up to which this tier reaches"
                raise refuse("a tier without an end before another one", hint, f"tiers[{number}].up_to")
            if following.up_to is not None and following.up_to <= tier.up_to:
                reason = f"tier {number + 2} ends at {following.up_to:f}, tier {number + 1} at {tier.up_to:f}"
                raise refuse(reason, "write tiers with increasing amounts", f"tiers[{number + 1}].up_to")
            if following.weight > tier.weight:
                raise refuse(
                    f"the weight of tier {number + 2}, {following.weight:f}, is above that of tier {number + 1}, "
                    f"{tier.weight:f}: the better of two weights is not concave",
                    f"write at most {tier.weight:f}, the safe bound",
                    f"tiers[{number + 1}].weight",
                )
        if tiers and tiers[-1].up_to is not None:
            hint = "remove up_to of the last tier, and write cap if no more than that counts"
            raise refuse("the last tier ends", hint, f"tiers[{len(tiers) - 1}].up_to")
        if self.cap is not None and len(tiers) > 1 and self.cap <= (tiers[-2].up_to or 0):
            raise refuse(
                f"the cap {self.cap:f} is not above the beginning of the last tier, {tiers[-2].up_to:f}",
                "raise the cap, or remove the tiers beyond it",
                "cap",
            )
        return self

    def pieces(self) -> "tuple[_Piece, ...]":
        """Return the forms slope * s + constant whose minimum is T, constants in the asset, but for the form s."""
        owed = 1 + Fraction(self.borrow or 0)
        pieces = [] if owed == 1 else [_Piece("owed", owed, Fraction(0))]
        begin, weight, constant = Fraction(0), Fraction(1), Fraction(0)
        for number, tier in enumerate(self.tiers or (), start=1):
            if number > 1:
                constant += (weight - Fraction(tier.weight)) * begin
            weight, begin = Fraction(tier.weight), Fraction(tier.up_to or 0)
            pieces.append(_Piece(f"tier {number}", weight, constant))
        if self.cap is not None:
            pieces.append(_Piece("cap", Fraction(0), weight * Fraction(self.cap) + constant))
        return tuple(pieces)


@dataclass(frozen=True)
class _Piece:
    label: str
    slope: Fraction
    constant: Fraction


class MismatchRule(Frozen):
    """Charge on debt in a currency; an asset that no currency lists is a currency by itself."""

    rate: Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False))]
    currencies: dict[Currency, Annotated[tuple[Name, ...], Listed, Field(min_length=1)]] | None = None

    @model_validator(mode="after")
    def _check(self) -> "MismatchRule":
        seen: dict[str, str] = {}
        for currency, assets in (self.currencies or {}).items():
            for number, asset in enumerate(assets):
                if asset in seen:
                    reason = f"{asset} stands under {seen[asset]} already"
                    raise refuse(reason, "list an asset once", f"currencies.{currency}[{number}]")
                seen[asset] = currency
        return self

    def groups(self, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
        """Return the assets of each currency, by the order of the assets; one that is not listed stands alone."""
        currency = {asset: name for name, assets in (self.currencies or {}).items() for asset in assets}
        groups: dict[str, tuple[str, ...]] = {}
        for asset in catalogue.whole_assets:
            # A currency may have the name of an asset that is not of it.
            alone = asset.name if asset.name not in (self.currencies or {}) else f"{asset.name} alone"
            name = currency.get(asset.name, alone)
            groups[name] = (*groups.get(name, ()), asset.name)
        return groups


def check_collateral(
    catalogue: Catalogue, rules: Mapping[str, CollateralRule] | None, mismatch: MismatchRule | None
) -> list[InputError]:
    """Return the names in rules that are no assets; the field is stated, the file is not."""
    whole = {asset.name for asset in catalogue.whole_assets}
    named = [(f"collateral.{name}", name) for name in rules or {}]
    if mismatch is not None:
        for currency, assets in (mismatch.currencies or {}).items():
            named += [(f"mismatch.currencies.{currency}[{n}]", asset) for n, asset in enumerate(assets)]
    return [foreign_asset(catalogue, name, field) for field, name in named if name not in whole]


def foreign_asset(catalogue: Catalogue, name: str, field: str) -> InputError:
    """Return the problem of a rule for an unknown asset, or for an asset on a chain, which follows its whole asset."""
    held = next((asset.of for asset in catalogue.assets if asset.name == name), None)
    if held is None:
        return InputError(f"{name} is not an asset", hint="remove it or correct the name", field=field)
    return InputError(f"{name} is held on a chain", hint=f"write {held}, which it follows", field=field)


def equity(
    builder: PolicyBuilder, rules: Mapping[str, CollateralRule] | None = None, mismatch: MismatchRule | None = None
) -> Reference:
    """Define equity, and return it."""
    catalogue = builder.catalogue
    values = builder.valuation.unit_values()
    check_resolution(values, builder.quantum, catalogue)
    settled = np.array(catalogue.settlement_of_columns())
    ruled = rules or {}
    parts: list[Expression] = []
    free = [asset for asset in catalogue.assets if asset.priced_as not in ruled]
    plain = np.isin(settled, [asset.name for asset in free if catalogue.weight(asset.name) == 1])
    if np.any(values[plain]):
        parts.append(builder.value("value cash", "value in assets without haircut", np.where(plain, values, 0.0)))
    for asset in free:
        weight = catalogue.weight(asset.name)
        if weight == 1:
            continue
        mine = np.where(settled == asset.name, values, 0.0)
        if asset.chain is not None:
            check_resolution(mine * float(weight), builder.quantum, catalogue, values)
        full = builder.value(f"value {asset.name}", f"value in {asset.name}, in full", mine)
        cut = builder.value(
            f"collateral {asset.name}",
            f"value in {asset.name}, {float(1 - weight):.4g} haircut",
            mine * float(weight),
        )
        parts.append(Min((cut, full)))
    # By the order of the assets: a policy file keeps that of a list, not of a mapping.
    for name in (asset.name for asset in catalogue.whole_assets if asset.name in ruled):
        parts.append(_tiered(builder, name, ruled[name], values, settled))
    if mismatch is not None:
        parts += [_mismatched(builder, mismatch, *group, values) for group in mismatch.groups(catalogue).items()]
    return builder.define("equity", "collateral and positions at haircut", Role.EQUITY, Sum(tuple(parts)))


def _tiered(
    builder: PolicyBuilder, name: str, rule: CollateralRule, values: Floats, settled: NDArray[np.str_]
) -> Expression:
    """Return T(S) of an asset with a rule and of its holdings on chains."""
    holdings = builder.catalogue.holdings(name)
    price = Fraction(builder.market.index[name].price)
    mine = np.where(np.isin(settled, [each.name for each in holdings]), values, 0.0)
    forms = [_piece(builder, name, piece, price, holdings, values, settled) for piece in rule.pieces()]
    if any(builder.catalogue.weight(each.name) < 1 for each in holdings):
        forms.append(_piece(builder, name, _Piece("cut", Fraction(1), Fraction(0)), price, holdings, values, settled))
    return Min((*forms, builder.value(f"value {name}", f"value in {name}, in full", mine)))


def _piece(
    builder: PolicyBuilder,
    name: str,
    piece: _Piece,
    price: Fraction,
    holdings: Sequence[Asset],
    values: Floats,
    settled: NDArray[np.str_],
) -> Expression:
    """Return slope * S + constant: one form for uncut values, the lesser of two for each of the rest."""
    catalogue = builder.catalogue
    label = f"{name} {piece.label}"
    constant = piece.constant * price
    if not piece.slope:
        return builder.counted_amount(constant)
    whole = np.isin(settled, [each.name for each in holdings if catalogue.weight(each.name) == 1])
    kept = np.where(whole, values * float(piece.slope), 0.0)
    meaning = f"value in {name}, {piece.label}: {float(piece.slope):.4g} of it"
    cut = [each for each in holdings if catalogue.weight(each.name) < 1]
    parts: list[Expression] = []
    if kept.any() or not cut:
        parts.append(builder.value(f"collateral {label}", meaning, kept))
    check_resolution(kept, builder.quantum, catalogue, values)
    for each in cut:
        slope = np.where(settled == each.name, values * float(piece.slope), 0.0)
        weight = float(catalogue.weight(each.name))
        check_resolution(weight * slope, builder.quantum, catalogue, values)
        check_resolution(slope, builder.quantum, catalogue, values)
        forms: list[Expression] = [
            builder.value(f"cut {each.name} {label}", f"{meaning} after the haircut", weight * slope),
            builder.value(f"full {each.name} {label}", f"{meaning} before the haircut", slope),
        ]
        parts.append(Min(tuple(forms)))
    return builder.plus_counted(added(parts), constant)


def _mismatched(
    builder: PolicyBuilder, rule: MismatchRule, currency: str, assets: Sequence[str], values: Floats
) -> Expression:
    """Return minus the rate times the debt in a currency."""
    priced = {each.name: each.priced_as for each in builder.catalogue.assets}
    settled = [priced.get(name, "") for name in builder.catalogue.settlement_of_columns()]
    part = np.where(np.isin(settled, list(assets)), values * float(rule.rate), 0.0)
    check_resolution(part, builder.quantum, builder.catalogue, values)
    held = builder.value(f"mismatch {currency}", f"{float(rule.rate):.4g} of the value in {currency}", part)
    return Scale(-1, PositivePart(Scale(-1, held)))
