"""Oracle protection: one index price from several feeds, and the effect of a dislocated feed on the requirement.

Resolution is a pure function of the published market and the published rule, in exact fractions. For each asset or
underlying with `feeds`, with p_i price and e_i confidence (half width of the interval that the source states, USD):

    1. dropped are feeds dated after as_of or older than `staleness_seconds`, then those with e_i > confidence_limit p_i
    2. m_0 = median of the rest; dropped are outliers, |p_i - m_0| > outlier m_0
    3. index price m = median of the used ones; relative confidence c = median of their e_i / p_i
    4. too few sources: fewer than `minimum_sources` are used

The median of an even number of values is the mean of the two middle ones. Whatever a minority of the used feeds states,
m stays within the range of the others; with minimum_sources >= 3 no single source moves it beyond the honest ones.

For each asset or underlying, with feeds or a plain price, the relative distances d = |q / m - 1| of m from the mark q
of every perpetual and future on it (linear: mark times the index price of the settlement asset) and from the stated
moving average are compared with their limits: excess = the greatest max(0, d - limit). The price range is widened by

    w = min(maximum_widening, confidence_multiple c + excess),  rounded up to 6 decimals, and
    w = maximum_widening where there are too few sources

so w is bounded and never falls when a confidence or a distance grows, or when too few sources are left. An asset
without a scan range gets one of width w. With `dislocated: refuse` the market is refused, with sources and figures, for
too few sources, an excess, or a confidence that calls for more than maximum_widening; with `widen` these widen.
Without any usable feed there is no price, and the market is refused either way.

The names of the conditions follow what venues publish: Drift's validity ladder (too volatile, too uncertain, stale,
insufficient data points), Pyth's confidence intervals, Derive's confidence of every feed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Frozen, WholeNumber, between, refuse
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue, Contract, Kind
from crossmargin.market.prices import Feed, Feeds, IndexPrice, Market
from crossmargin.market.scenarios import ScanRange
from crossmargin.units import format_decimal

__all__ = ["DivergenceLimits", "OracleRule", "Resolution", "ResolvedPrice", "resolve", "resolved", "widened"]

DECIMALS = 6
"""Decimals of a widening, rounded up, so that everybody computes the same."""

_EXACT = Context(prec=100, traps=[Inexact])

_Relative = Annotated[ExactDecimal, AfterValidator(between("0", "1", low_in=False, high_in=False))]


class DivergenceLimits(Frozen):
    """Relative distances of the index from marks and from its moving average up to which it is not dislocated."""

    perpetual: _Relative | None = None
    future: _Relative | None = None
    average: _Relative | None = None


class OracleRule(Frozen):
    """The rule that turns feeds into index prices; all limits are relative."""

    staleness_seconds: Annotated[WholeNumber, Field(ge=1)]
    minimum_sources: Annotated[WholeNumber, Field(ge=1, le=100)]
    outlier: _Relative
    confidence_limit: _Relative | None = None
    confidence_multiple: Annotated[ExactDecimal, AfterValidator(between("0", "100"))]
    divergence: DivergenceLimits | None = None
    dislocated: Literal["refuse", "widen"]
    maximum_widening: _Relative | None = None

    @model_validator(mode="after")
    def _check(self) -> "OracleRule":
        if self.widens and self.maximum_widening is None:
            reason = "the widening of ranges has no bound"
            raise refuse(reason, 'write maximum_widening, such as "0.1"', "maximum_widening")
        return self

    @property
    def widens(self) -> bool:
        """Whether price ranges may be widened."""
        return self.dislocated == "widen" or self.confidence_multiple > 0


@dataclass(frozen=True)
class ResolvedPrice:
    """One resolved price: relative confidence and excess, sources used, sources dropped with the reason."""

    name: str
    price: Decimal
    confidence: Fraction
    used: tuple[Feed, ...]
    dropped: tuple[tuple[Feed, str], ...]
    excess: Fraction = Fraction(0)
    widening: Decimal = Decimal(0)


@dataclass(frozen=True)
class Resolution:
    """An environment with plain index prices and widenings, their derivation, and any reason for refusal."""

    environment: MarketEnvironment
    prices: tuple[ResolvedPrice, ...]
    problems: tuple[InputError, ...]

    @property
    def report(self) -> dict[str, Any]:
        """Canonical-JSON data: by name price, relative confidence, widening, sources used and dropped with reason."""
        return {
            each.name: {
                "price": format_decimal(each.price),
                "confidence": str(each.confidence),
                "excess": str(each.excess),
                "widening": format_decimal(each.widening),
                "used": [feed.source for feed in each.used],
                "dropped": [{"source": feed.source, "reason": reason} for feed, reason in each.dropped],
            }
            for each in self.prices
            if each.used or each.widening
        }


def resolve(environment: MarketEnvironment, rule: OracleRule | None) -> Resolution:
    """Return the environment with the index prices of its feeds and the widening of ranges.

    An environment moved after its resolution stays as it is; this rule resolves any other, even one that another rule
    has already resolved.
    """
    market, catalogue = environment.market, environment.catalogue
    feeds = market.feeds or {}
    if rule is None:
        problems = [
            InputError(
                "feeds without a rule", hint="add oracle to model.yaml, or state the price", field=f"feeds.{name}"
            )
            for name in feeds
            if name not in market.index
        ]
        return Resolution(environment, (), tuple(problems))
    if environment.is_moved and environment.widening is not None:
        return Resolution(environment, (), ())
    found: dict[str, ResolvedPrice] = {}
    problems = []
    for name in (*catalogue.priced, *(name for name in feeds if name not in catalogue.priced)):
        if name in feeds:
            each = _median_price(name, feeds[name], market, rule)
            if isinstance(each, InputError):
                problems.append(each)
            else:
                found[name] = each
        elif name in market.index:
            found[name] = ResolvedPrice(name, market.index[name].price, Fraction(0), (), ())
    prices = []
    for each in found.values():
        distances = _distances(each, found, catalogue, market, rule)
        judged, refused = _judged(each, distances, feeds.get(each.name), rule)
        prices.append(judged)
        problems += refused
    index = {**market.index, **{each.name: _index_price(each) for each in prices if each.used}}
    widening = {each.name: each.widening for each in prices if each.widening}
    done = replace(environment, market=market.model_copy(update={"index": index}), widening=widening)
    return Resolution(done, tuple(prices), tuple(problems))


def resolved(environment: MarketEnvironment, rule: OracleRule | None) -> MarketEnvironment:
    """Return the environment resolved, as every computation that moves the market afterwards needs it.

    Raises:
        InputError: the first reason for which it is refused.
    """
    resolution = resolve(environment, rule)
    for problem in resolution.problems:
        raise problem
    return resolution.environment


def widened(
    catalogue: Catalogue, ranges: Mapping[str, ScanRange], widening: Mapping[str, Decimal] | None
) -> dict[str, ScanRange]:
    """Return scan ranges with widened price ranges, in the order of the catalogue; an asset without one gets one.

    Raises:
        InputError: a range that reaches 1.
    """
    result = {}
    for name in catalogue.priced:
        added = (widening or {}).get(name, Decimal(0))
        before = ranges.get(name)
        width = added if before is None else before.price_range + added
        if width >= 1:
            raise InputError(
                f"{name}: a price range of {width:f}, {added:f} of it by the oracle rule, reaches a price of zero",
                hint="lower maximum_widening, or the published range",
                field="oracle.maximum_widening",
            )
        if before is not None:
            result[name] = before if not added else before.model_copy(update={"price_range": width})
        elif added:
            result[name] = ScanRange(price_range=width, volatility_up=Decimal(0), volatility_down=Decimal(0))
    return result


def _median_price(name: str, feeds: Feeds, market: Market, rule: OracleRule) -> ResolvedPrice | InputError:
    """Return the price from the feeds of one name, or that none of them can be used."""
    kept: list[Feed] = []
    dropped: list[tuple[Feed, str]] = []
    for feed in feeds.sources:
        age = (market.as_of - feed.time).total_seconds()
        uncertain = Fraction(feed.confidence) / Fraction(feed.price)
        if age < 0:
            dropped.append((feed, "dated after as_of"))
        elif age > rule.staleness_seconds:
            dropped.append((feed, f"stale: {age:.0f} s old"))
        elif rule.confidence_limit is not None and uncertain > Fraction(rule.confidence_limit):
            dropped.append((feed, f"too uncertain: {_percent(uncertain)} of the price"))
        else:
            kept.append(feed)
    used: list[Feed] = []
    if kept:
        middle = _median([Fraction(feed.price) for feed in kept])
        for feed in kept:
            distance = abs(Fraction(feed.price) / middle - 1)
            if distance > Fraction(rule.outlier):
                dropped.append((feed, f"outlier: {_percent(distance)} from the median"))
            else:
                used.append(feed)
    if not used:
        reason = f"no feed of {name} can be used: {_listed_drops(dropped)}"
        return InputError(reason, hint="take the prices again, or state the index price", field=f"feeds.{name}")
    price = _decimal(_median([Fraction(feed.price) for feed in used]))
    confidence = _median([Fraction(feed.confidence) / Fraction(feed.price) for feed in used])
    return ResolvedPrice(name, price, confidence, tuple(used), tuple(dropped))


def _distances(
    each: ResolvedPrice, found: Mapping[str, ResolvedPrice], catalogue: Catalogue, market: Market, rule: OracleRule
) -> list[tuple[str, Fraction, Decimal]]:
    """Return each reference for the index price, with its relative distance and limit."""
    limits = rule.divergence or DivergenceLimits()
    price = Fraction(each.price)
    distances = []
    by_kind = {Kind.PERPETUAL: limits.perpetual, Kind.FUTURE: limits.future}
    for item in catalogue.instruments:
        limit = by_kind.get(item.kind)
        if item.underlying != each.name or limit is None or item.name not in market.marks or market.expired(item):
            continue
        mark = Fraction(market.marks[item.name].price)
        if item.contract is Contract.LINEAR:
            if item.settlement not in found:
                continue
            mark *= Fraction(found[item.settlement].price)
        distances.append((f"the mark of {item.name}", abs(mark / price - 1), limit))
    feeds = (market.feeds or {}).get(each.name)
    if limits.average is not None and feeds is not None and feeds.average is not None:
        distances.append(("its moving average", abs(Fraction(feeds.average) / price - 1), limits.average))
    return distances


def _judged(
    each: ResolvedPrice, distances: Sequence[tuple[str, Fraction, Decimal]], feeds: Feeds | None, rule: OracleRule
) -> tuple[ResolvedPrice, list[InputError]]:
    """Return a price with its excess and widening, and any reason for refusal."""
    field = f"feeds.{each.name}" if feeds is not None else f"index.{each.name}"
    hint = "take the prices again, or correct the limits of the oracle rule"
    problems = []
    if rule.divergence is not None and rule.divergence.average is not None and feeds and feeds.average is None:
        reason = f"no moving average of {each.name}"
        missing = "state average, or remove oracle.divergence.average"
        problems.append(InputError(reason, hint=missing, field=f"{field}.average"))
    excess = max([Fraction(0), *(distance - Fraction(limit) for _, distance, limit in distances)])
    few = feeds is not None and len(each.used) < rule.minimum_sources
    wanted = Fraction(rule.confidence_multiple) * each.confidence
    bound = rule.maximum_widening
    if rule.dislocated == "refuse":
        if few:
            names = ", ".join(feed.source for feed in each.used)
            drops = f"; dropped {_listed_drops(each.dropped)}" if each.dropped else ""
            reason = f"{each.name} has {len(each.used)} usable sources of {rule.minimum_sources} needed: {names}{drops}"
            problems.append(InputError(reason, hint=hint, field=field))
        for what, distance, limit in distances:
            if distance > Fraction(limit):
                reason = (
                    f"{each.name} is dislocated: its index price {format_decimal(each.price)} USD is "
                    f"{_percent(distance)} from {what}, the limit is {_percent(Fraction(limit))}{_by(each)}"
                )
                problems.append(InputError(reason, hint=hint, field=field))
        if bound is not None and wanted > Fraction(bound):
            reason = (
                f"{each.name} is too uncertain: {rule.confidence_multiple:f} times a confidence of "
                f"{_percent(each.confidence)} is above maximum_widening, {_percent(Fraction(bound))}{_by(each)}"
            )
            problems.append(InputError(reason, hint=hint, field=field))
        return replace(each, excess=excess, widening=_rounded_up(wanted, bound)), problems
    widening = bound if few and bound is not None else _rounded_up(wanted + excess, bound)
    return replace(each, excess=excess, widening=widening), problems


def _index_price(each: ResolvedPrice) -> IndexPrice:
    """Return the price as a plain one: the sources that were used, and the oldest of their times."""
    names = ", ".join(feed.source for feed in each.used)
    source = f"median of {len(each.used)}: {names}"
    source = source if len(source) <= 500 else f"{source[:497]}..."
    return IndexPrice(price=each.price, source=source, time=min(feed.time for feed in each.used))


def _median(values: Sequence[Fraction]) -> Fraction:
    """Return the middle value, or the mean of the two middle ones."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _decimal(value: Fraction) -> Decimal:
    """Return the mean of two decimals as a decimal, exactly."""
    return _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _rounded_up(value: Fraction, bound: Decimal | None) -> Decimal:
    """Return min(value, bound) rounded up to DECIMALS, and not above the bound."""
    steps = -((-value * 10**DECIMALS) // 1)
    exact = Decimal(int(steps)).scaleb(-DECIMALS)
    return exact if bound is None else min(exact, bound)


def _by(each: ResolvedPrice) -> str:
    return f" (used: {', '.join(feed.source for feed in each.used)})" if each.used else ""


def _listed_drops(dropped: Sequence[tuple[Feed, str]]) -> str:
    return ", ".join(f"{feed.source} ({reason})" for feed, reason in dropped)


def _percent(value: Fraction) -> str:
    return f"{float(100 * value):.4g} %"
