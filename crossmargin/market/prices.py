"""Market snapshot: index prices, marks, implied volatilities and rates at one moment, each with source and time.

Index prices are USD per unit, stated outright (`index`) or from several sources (`feeds`), from which the oracle rule
of a model makes one (crossmargin/models/oracle.py). A mark is the price of one unit of the underlying in the contract's
quote currency (linear: the settlement asset; inverse: USD); an option's mark_price is USD per unit of the underlying.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import Currency, ExactDecimal, Frozen, Instant, Listed, Name, NotNegative, Text, refuse
from crossmargin.market.instruments import Catalogue, Instrument, Kind
from crossmargin.market.scenarios import Scenario

__all__ = ["RATE_CURRENCY", "Feed", "Feeds", "IndexPrice", "Mark", "Market", "OptionQuote"]

RATE_CURRENCY = "USD"
"""The rate that discounts option prices and carries a forward that is not quoted."""

MOVED = Context(prec=15, rounding=ROUND_HALF_EVEN)
"""Digits of a price that was moved."""


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise refuse("not positive", "write a decimal above zero; leave out a bid or ask that does not exist")
    return value


def _rate(value: Decimal) -> Decimal:
    if not -1 < value < 10:
        raise refuse("not a yearly rate", 'write 4 % a year as "0.04"')
    return value


Price = Annotated[ExactDecimal, AfterValidator(_positive)]


class IndexPrice(Frozen):
    """Price of an asset or underlying in USD."""

    price: Price
    source: Text
    time: Instant


class Feed(Frozen):
    """Price of an asset or underlying by one source, USD; confidence: half width of its interval, 0 if it has none."""

    source: Text
    price: Price
    confidence: NotNegative
    time: Instant


class Feeds(Frozen):
    """Prices by several sources, and the moving average of the index, USD, where the model compares with it."""

    sources: Annotated[tuple[Feed, ...], Listed, Field(min_length=1, max_length=100)]
    average: Price | None = None

    @model_validator(mode="after")
    def _check(self) -> "Feeds":
        names = [feed.source for feed in self.sources]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise refuse(f"{name} twice", "give a source one price", f"sources[{number}].source")
        return self


class _Quoted(Frozen):
    """A quote with an optional bid and ask."""

    bid: Price | None = None
    ask: Price | None = None
    source: Text
    time: Instant

    @model_validator(mode="after")
    def _check(self) -> "_Quoted":
        if self.bid is not None and self.ask is not None and self.bid > self.ask:
            raise refuse("crossed: bid above ask", "take the quotes again at one moment", "bid")
        return self


class Mark(_Quoted):
    """Mark price of a perpetual or future."""

    price: Price


class OptionQuote(_Quoted):
    """Implied volatility of an option (bid and ask are volatilities); forward: USD, at the option's expiry."""

    iv: Price
    forward: Price | None = None
    mark_price: Price | None = None


class Market(Frozen):
    """The contents of `market.yaml`."""

    as_of: Instant
    index: dict[Name, IndexPrice]
    marks: dict[Name, Mark] = Field(default_factory=dict)
    options: dict[Name, OptionQuote] = Field(default_factory=dict)
    rates: dict[Currency, Annotated[ExactDecimal, AfterValidator(_rate)]] = Field(default_factory=dict)
    feeds: dict[Name, Feeds] | None = None

    @model_validator(mode="after")
    def _check(self) -> "Market":
        for name in self.feeds or {}:
            if name in self.index:
                raise refuse(f"{name} has a price and feeds", "keep one of them", f"feeds.{name}")
        return self

    @property
    def stated(self) -> "Market":
        """The market as its file states it: without the index prices that come from feeds."""
        index = {name: each for name, each in self.index.items() if name not in (self.feeds or {})}
        return self.model_copy(update={"index": index})

    def __repr__(self) -> str:
        """Return the moment and the sizes: a market has hundreds of prices."""
        quotes = len(self.marks) + len(self.options)
        return f"<Market as of {self.as_of:%Y-%m-%dT%H:%M:%SZ}: {len(self.index)} index prices, {quotes} quotes>"

    __str__ = __repr__

    def expired(self, instrument: Instrument) -> bool:
        """Return whether the instrument expires at or before as_of; an expired option is worth its intrinsic value."""
        return instrument.expiry is not None and instrument.expiry <= self.as_of

    def years(self, instrument: Instrument) -> float:
        """Return the time to expiry in years of 365 days, zero or more."""
        if instrument.expiry is None:
            return 0.0
        return max((instrument.expiry - self.as_of) / timedelta(days=365), 0.0)

    def moved(self, catalogue: Catalogue, scenario: Scenario) -> "Market":
        """Return the market after a scenario: index prices, marks, forwards and volatilities, to 15 digits.

        Quotes beside them (bid, ask, option prices), which the scenario says nothing about, are left out, and so are
        feeds: index prices that came from them move as they are.
        """
        prices, volatilities = scenario.price_moves, scenario.volatility_moves
        underlying = {item.name: item.underlying for item in catalogue.instruments}
        options = {}
        for name, option in self.options.items():
            followed = underlying.get(name, "")
            update = {"iv": _moved(option.iv, volatilities, followed), "bid": None, "ask": None, "mark_price": None}
            if option.forward is not None:
                update["forward"] = _moved(option.forward, prices, followed)
            options[name] = option.model_copy(update=update)
        return self.model_copy(
            update={
                "index": {
                    name: each.model_copy(update={"price": _moved(each.price, prices, name)})
                    for name, each in self.index.items()
                },
                "marks": {
                    name: each.model_copy(
                        update={"price": _moved(each.price, prices, underlying.get(name, "")), "bid": None, "ask": None}
                    )
                    for name, each in self.marks.items()
                },
                "options": options,
                "feeds": None,
            }
        )

    def check(self, catalogue: Catalogue, staleness_limit_seconds: int) -> list[InputError]:
        """Return everything missing, foreign, stale or dated after as_of; the field is stated, the file is not."""
        return [*self._missing(catalogue), *self._foreign(catalogue), *self._ages(staleness_limit_seconds)]

    def _missing(self, catalogue: Catalogue) -> list[InputError]:
        problems = []
        for name in catalogue.priced:
            if name not in self.index:
                problems.append(_missing(f"index price for {name}", f"index.{name}"))
        for instrument in catalogue.instruments:
            name = instrument.name
            if instrument.kind is not Kind.OPTION:
                if name not in self.marks:
                    problems.append(_missing(f"mark price for {name}", f"marks.{name}"))
            elif not self.expired(instrument):
                if name not in self.options:
                    problems.append(_missing(f"implied volatility for {name}", f"options.{name}"))
                if RATE_CURRENCY not in self.rates:
                    problems.append(_missing(f"{RATE_CURRENCY} rate for options", f"rates.{RATE_CURRENCY}"))
        return list({problem.field: problem for problem in problems}.values())

    def _foreign(self, catalogue: Catalogue) -> list[InputError]:
        linear = {item.name for item in catalogue.instruments if item.kind is not Kind.OPTION}
        options = {item.name for item in catalogue.instruments if item.kind is Kind.OPTION}
        indexed = set(catalogue.priced)
        sections = (
            ("index", self.index, indexed, "an asset or underlying with a price of its own"),
            ("marks", self.marks, linear, "a perpetual or future"),
            ("options", self.options, options, "an option"),
            ("rates", self.rates, {RATE_CURRENCY}, f"{RATE_CURRENCY}, the only rate that is used"),
            ("feeds", self.feeds or {}, indexed, "an asset or underlying with a price of its own"),
        )
        return [
            InputError(
                f"{name} is not {what}",
                hint="remove it, or add it to the instruments file",
                field=f"{section}.{name}",
            )
            for section, quotes, known, what in sections
            for name in quotes
            if name not in known
        ]

    def _ages(self, limit: int) -> list[InputError]:
        problems = []
        sections = (("index", self.index), ("marks", self.marks), ("options", self.options))
        for section, quotes in sections:
            for name, quote in quotes.items():
                age = (self.as_of - quote.time).total_seconds()
                field = f"{section}.{name}.time"
                if age > limit:
                    reason = f"{name} is stale: {age:.0f} s older than as_of, the limit is {limit} s"
                    hint = "take the price again, or raise staleness_limit_seconds"
                    problems.append(InputError(reason, hint=hint, field=field))
                elif age < 0:
                    reason = f"{name} is dated {-age:.0f} s after as_of"
                    hint = "take a price from as_of or before, or correct the time"
                    problems.append(InputError(reason, hint=hint, field=field))
        return problems


def _moved(price: Decimal, moves: Mapping[str, Fraction], name: str) -> Decimal:
    move = moves.get(name)
    if not move:
        return price
    exact = Fraction(price) * (1 + move)
    return MOVED.divide(Decimal(exact.numerator), Decimal(exact.denominator))


def _missing(what: str, field: str) -> InputError:
    return InputError(f"no {what}", hint=f"add {field}", field=field)
