"""Assets, instruments and the catalogue that fixes the columns of a record.

Units: a balance counts multiples of `Asset.unit`; a position counts lots of `Instrument.lot` contracts. The contract
size is units of the underlying per contract for linear contracts and for options, USD per contract for inverse futures
and perpetuals. Limits bound what one account (or sub-account) may hold; the bit budget is computed from them.

An asset may be held on several chains: each holding is an asset of its own (with its own column and reserves), `of` the
asset that it is, on a `chain`. It has that asset's price, and its haircut h and that of the chain g compose to

    1 - (1 - h) (1 - g)

Equity adds up what an account holds on all chains: one pool.
"""

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import (
    AssetName,
    ExactDecimal,
    Flag,
    Frozen,
    Instant,
    Listed,
    Name,
    Positive,
    WholeNumber,
    refuse,
)
from crossmargin.market.names import parse_name
from crossmargin.units import decimal_places, floor_ratio, format_decimal
from crossmargin_circuits.encoding import MAX_JSON_INTEGER
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout

__all__ = ["Asset", "Catalogue", "Chain", "Contract", "Instrument", "Kind", "OptionType"]


class Kind(StrEnum):
    """Kind of an instrument."""

    PERPETUAL = "perpetual"
    FUTURE = "future"
    OPTION = "option"


class Contract(StrEnum):
    """Whether profit is linear in the price (paid in a quote asset) or in its inverse (paid in the underlying)."""

    LINEAR = "linear"
    INVERSE = "inverse"


class OptionType(StrEnum):
    """Right to buy or right to sell."""

    CALL = "call"
    PUT = "put"


def _member(of: type[StrEnum]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if isinstance(value, str) and value in {member.value for member in of}:
            return of(value)
        raise refuse("not one of " + ", ".join(of), "write one of these words")

    return read


def _fraction(value: Decimal) -> Decimal:
    if not 0 <= value < 1:
        raise refuse("not in 0 <= haircut < 1", "write the part of the value that does not count, such as 0.05")
    return value


def _step(value: Decimal) -> Decimal:
    mantissa, places = decimal_places(value)
    if mantissa >= 10**18 or places > 18:
        raise refuse("not between 10^-18 and 10^18", "choose a step of at most 18 digits")
    return value


_Haircut = Annotated[ExactDecimal, AfterValidator(_fraction)]

_Step = Annotated[Positive, AfterValidator(_step)]
"""The smallest amount or quantity: what a column counts."""


def _check_limit(limit: Decimal, unit: Decimal, what: str) -> None:
    if not 1 <= floor_ratio(Fraction(limit), unit) <= MAX_JSON_INTEGER:
        raise refuse(
            f"the limit is not between 1 and 2^53 - 1 {what}",
            f"choose another limit, or a coarser {what[:-1]}",
            "limit",
        )


class Chain(Frozen):
    """A chain on which assets are held; what arrived in a block above `finalized` is no collateral yet."""

    name: Name
    haircut: _Haircut
    finalized: Annotated[WholeNumber, Field(le=MAX_JSON_INTEGER)]


class Asset(Frozen):
    """A currency or coin that accounts hold; `haircut` is the part of a positive balance that does not count.

    An asset `of` another one is that asset held on a `chain`.
    """

    name: AssetName
    unit: _Step
    haircut: _Haircut
    borrowable: Flag
    limit: Positive
    of: Name | None = None
    chain: Name | None = None

    @model_validator(mode="after")
    def _check(self) -> "Asset":
        _check_limit(self.limit, self.unit, "units")
        if self.of is not None and self.chain is None:
            raise refuse(f"{self.name} is {self.of} on no chain", "add chain, or remove of", "chain")
        if self.chain is not None and self.of is None:
            raise refuse(f"{self.name} on {self.chain} is of no asset", "add of: the asset that it is", "of")
        return self

    @property
    def priced_as(self) -> str:
        """The asset whose price it has: the one that it is `of`, or itself."""
        return self.of or self.name

    @property
    def limit_units(self) -> int:
        """Largest magnitude of one account's balance, and of its entry value, in units."""
        return floor_ratio(Fraction(self.limit), self.unit)


class Instrument(Frozen):
    """A derivative contract; `expiry` for futures and options, `strike` (USD) and `option` for options."""

    name: Name
    kind: Annotated[Kind, BeforeValidator(_member(Kind))]
    contract: Annotated[Contract, BeforeValidator(_member(Contract))]
    underlying: Name
    settlement: Name
    contract_size: Positive
    lot: _Step
    limit: Positive
    expiry: Instant | None = None
    strike: Positive | None = None
    option: Annotated[OptionType, BeforeValidator(_member(OptionType))] | None = None

    @model_validator(mode="after")
    def _check(self) -> "Instrument":
        _check_limit(self.limit, self.lot, "lots")
        needs = {
            "expiry": self.kind is not Kind.PERPETUAL,
            "strike": self.kind is Kind.OPTION,
            "option": self.kind is Kind.OPTION,
        }
        for name, needed in needs.items():
            if needed and getattr(self, name) is None:
                raise refuse(f"{self.kind} {self.name} has no {name}", f"add {name}", name)
            if not needed and getattr(self, name) is not None:
                raise refuse(f"{self.kind} {self.name} has a field {name}", f"remove {name}, or correct the kind", name)
        self._check_name()
        return self

    def _check_name(self) -> None:
        """Compare the name with the stated terms where it follows a convention."""
        try:
            said = parse_name(self.name)
        except InputError as error:
            raise refuse(error.reason, error.hint, "name") from None
        if said is None:
            return
        stated = {
            "kind": (said.kind, str(self.kind)),
            "underlying": (said.underlying, self.underlying),
            "settlement": (said.settlement, self.settlement),
            "expiry": (said.expiry, self.expiry and self.expiry.date()),
            "strike": (said.strike, self.strike),
            "option": (said.option, self.option and str(self.option)),
        }
        for field, (by_name, by_field) in stated.items():
            if by_name is not None and by_name != by_field:
                raise refuse(
                    f"the name {self.name} says {field} {by_name}, the field says {by_field}",
                    "correct the name or the field",
                    field,
                )

    @property
    def limit_lots(self) -> int:
        """Largest magnitude of one account's position, in lots."""
        return floor_ratio(Fraction(self.limit), self.lot)

    @property
    def unit(self) -> str:
        """One column unit in words: "1 contract of 0.001 BTC", "0.1 contract of 1 ETH"."""
        inverse = self.contract is Contract.INVERSE and self.kind is not Kind.OPTION
        size = f"{format_decimal(self.contract_size)} {'USD' if inverse else self.underlying}"
        return f"{format_decimal(self.lot)} contract of {size}"


def _distinct(items: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: set[str] = set()
    for number, item in enumerate(items):
        if item.name in seen:
            raise refuse(f"{item.name} twice", "keep one entry for it", f"[{number}].name")
        seen.add(item.name)
    return items


class Catalogue(Frozen):
    """All assets and instruments of a venue, in the order of the columns."""

    assets: Annotated[tuple[Asset, ...], Listed, AfterValidator(_distinct), Field(min_length=1)]
    instruments: Annotated[tuple[Instrument, ...], Listed, AfterValidator(_distinct)] = ()
    chains: Annotated[tuple[Chain, ...], Listed, AfterValidator(_distinct)] | None = None

    @model_validator(mode="after")
    def _check(self) -> "Catalogue":
        whole = {asset.name for asset in self.assets if asset.of is None}
        self._check_chains(whole)
        names = {asset.name for asset in self.assets}
        for number, instrument in enumerate(self.instruments):
            field = f"instruments[{number}].settlement"
            if instrument.settlement not in names:
                raise refuse(
                    f"{instrument.name} settles in {instrument.settlement}, which is not an asset",
                    "add it to assets or correct the settlement",
                    field,
                )
            if instrument.settlement not in whole:
                raise refuse(
                    f"{instrument.name} settles in {instrument.settlement}, which is held on a chain",
                    f"settle in {self.asset(instrument.settlement).of}",
                    field,
                )
            if instrument.underlying in names - whole:
                raise refuse(
                    f"{instrument.name} is written on {instrument.underlying}, which is held on a chain",
                    f"write it on {self.asset(instrument.underlying).of}",
                    f"instruments[{number}].underlying",
                )
        return self

    def _check_chains(self, whole: set[str]) -> None:
        """Check that an asset on a chain is of a whole asset, and the chain a stated one that holds it once."""
        chains = {chain.name for chain in self.chains or ()}
        held: dict[tuple[str, str], str] = {}
        for number, asset in enumerate(self.assets):
            if asset.of is None or asset.chain is None:
                continue
            if asset.of not in whole:
                raise refuse(
                    f"{asset.name} is of {asset.of}, which is not an asset by itself",
                    "write the asset that it is, and add that one to assets",
                    f"assets[{number}].of",
                )
            if asset.chain not in chains:
                hint = "add it to chains, or correct the chain"
                raise refuse(f"{asset.chain} is not a stated chain", hint, f"assets[{number}].chain")
            if (asset.of, asset.chain) in held:
                reason = f"{asset.name} and {held[asset.of, asset.chain]} are both {asset.of} on {asset.chain}"
                raise refuse(reason, "keep one of them", f"assets[{number}].chain")
            held[asset.of, asset.chain] = asset.name

    def __repr__(self) -> str:
        """Return the sizes: a venue has thousands of instruments."""
        return f"<Catalogue: {len(self.assets)} assets, {len(self.instruments)} instruments>"

    __str__ = __repr__

    @cached_property
    def _assets(self) -> dict[str, Asset]:
        return {asset.name: asset for asset in self.assets}

    @cached_property
    def _instruments(self) -> dict[str, Instrument]:
        return {instrument.name: instrument for instrument in self.instruments}

    def asset(self, name: str) -> Asset:
        """Return the asset of that name; raises KeyError."""
        return self._assets[name]

    def instrument(self, name: str) -> Instrument:
        """Return the instrument of that name; raises KeyError."""
        return self._instruments[name]

    def chain_of(self, asset: str) -> Chain | None:
        """Return the chain that an asset is held on, if any; raises KeyError for what is no asset."""
        name = self.asset(asset).chain
        return None if name is None else self._chains[name]

    @cached_property
    def _chains(self) -> dict[str, Chain]:
        return {chain.name: chain for chain in self.chains or ()}

    def weight(self, asset: str) -> Fraction:
        """Return the part of a positive value that counts: 1 less the haircut, times 1 less that of its chain."""
        chain = self.chain_of(asset)
        kept = 1 - Fraction(self.asset(asset).haircut)
        return kept if chain is None else kept * (1 - Fraction(chain.haircut))

    @cached_property
    def whole_assets(self) -> tuple[Asset, ...]:
        """The assets that have a price of their own: all but those held on a chain."""
        return tuple(asset for asset in self.assets if asset.of is None)

    @cached_property
    def priced(self) -> tuple[str, ...]:
        """Everything that has a price: assets, then underlyings that are none."""
        return tuple(dict.fromkeys([*(asset.name for asset in self.whole_assets), *self.underlyings]))

    def holdings(self, asset: str) -> tuple[Asset, ...]:
        """Return the assets that have an asset's price: itself, and it on every chain."""
        return tuple(each for each in self.assets if each.priced_as == asset)

    @cached_property
    def underlyings(self) -> tuple[str, ...]:
        """Underlyings of the instruments, in order of first appearance."""
        return tuple(dict.fromkeys(instrument.underlying for instrument in self.instruments))

    @cached_property
    def settlements(self) -> tuple[str, ...]:
        """Assets in which perpetuals or futures settle, in the order of the assets: those with an entry column."""
        settling = {item.settlement for item in self.instruments if item.kind is not Kind.OPTION}
        return tuple(asset.name for asset in self.assets if asset.name in settling)

    def underlying_of_columns(self) -> tuple[str, ...]:
        """Return, per column, the asset or underlying whose price it follows.

        A linear contract also follows its settlement asset where that one moves; to move exactly one underlying use
        `Scenario.only`.
        """
        followed = {asset.name: asset.priced_as for asset in self.assets}
        underlying = {item.name: item.underlying for item in self.instruments}
        return tuple(
            underlying[column.name] if column.kind is ColumnKind.POSITION else followed.get(column.name, "")
            for column in self._layout.columns
        )

    def settlement_of_columns(self) -> tuple[str, ...]:
        """Return, per column, the asset that its value is paid in."""
        return tuple(column.asset for column in self._layout.columns)

    def layout(self) -> RecordLayout:
        """Return the columns: balances, entry values, positions, each in the order of the catalogue."""
        return self._layout

    @cached_property
    def _layout(self) -> RecordLayout:
        columns = []
        for asset in self.assets:
            unit = f"{format_decimal(asset.unit)} {asset.name}"
            columns.append(Column(ColumnKind.BALANCE, asset.name, unit, asset.limit_units))
        for name in self.settlements:
            asset = self.asset(name)
            unit = f"{format_decimal(asset.unit)} {asset.name}"
            columns.append(Column(ColumnKind.ENTRY, name, unit, asset.limit_units))
        for instrument in self.instruments:
            columns.append(
                Column(
                    ColumnKind.POSITION, instrument.name, instrument.unit, instrument.limit_lots, instrument.settlement
                )
            )
        return RecordLayout(tuple(columns))
