"""Scan ranges by underlying: the moves of prices and volatilities in models that shock them.

price_range 0.15 scans prices between -15 % and +15 %, volatility_up 0.4 multiplies an implied volatility by 1.4,
volatility_down 0.25 by 0.75. Assets without a range do not move; their haircut is then all that is charged.

The ranges of an environment may be wider than the published ones. First they follow volatility (`dynamic`,
crossmargin/models/dynamic.py), then they grow with crowding (`contagion`, crossmargin/models/contagion.py), and last
with faults of prices (`oracle`, crossmargin/models/oracle.py).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

from crossmargin.errors import InputError
from crossmargin.fields import Name
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import HistoryNeed
from crossmargin.market.scenarios import ScanRange
from crossmargin.models.base import MarginModel
from crossmargin.models.contagion import ContagionRule
from crossmargin.models.dynamic import DynamicRule
from crossmargin.models.oracle import widened
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.expression import Expression

__all__ = ["ScanModel"]

FINE = 100
"""Rounding may change the move of an asset's unit over the whole price range by one part in this many."""


class ScanModel(MarginModel):
    """A model with scan ranges; every underlying needs one, an asset may have one."""

    WIDENS: ClassVar[bool] = True

    scan: dict[Name, ScanRange]
    dynamic: DynamicRule | None = None
    contagion: ContagionRule | None = None

    @property
    def coherent(self) -> frozenset[str]:
        """As without a concentration charge, which has an absolute threshold for every account and charges deltas."""
        charged = self.contagion is not None and any(self.contagion.rates.values())
        return super().coherent - {"subadditive", "monotone", "positively homogeneous"} if charged else super().coherent

    def needed_history(self, environment: MarketEnvironment) -> HistoryNeed | None:
        """Return the history read by ranges that follow volatility."""
        return None if self.dynamic is None else self.dynamic.needed_history(self.scan)

    @property
    def reads_crowding(self) -> bool:
        """Whether ranges grow with crowding."""
        return self.contagion is not None

    @property
    def thresholds(self) -> Mapping[str, Decimal]:
        """USD of net exposure by underlying beyond which an account is large."""
        return self.contagion.thresholds if self.contagion is not None else {}

    @property
    def reach(self) -> Decimal:
        """The largest multiple of a price range that a scenario moves a price by."""
        return Decimal(1)

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return missing and foreign names for this catalogue, and ranges that reach a price of zero."""
        problems = super().check(environment)
        catalogue = environment.catalogue
        known = set(catalogue.priced)
        for name in catalogue.underlyings:
            if name not in self.scan:
                problems.append(
                    InputError(f"no scan range for underlying {name}", hint=f"add scan.{name}", field="scan")
                )
        for name in self.scan:
            if name not in known:
                problems.append(
                    InputError(
                        f"{name} is neither an asset nor an underlying",
                        hint="remove it or correct the name",
                        field=f"scan.{name}",
                    )
                )
        problems += self._coarse(environment)
        if not problems:
            try:
                self.ranges(environment)
            except InputError as error:
                problems.append(error)
        return problems

    def _coarse(self, environment: MarketEnvironment) -> list[InputError]:
        """Return the published ranges that rounding changes: a stable coin's small unit may lose nothing in quanta."""
        problems = []
        for name, each in self.scan.items():
            price = environment.market.index.get(name)
            if price is None:
                continue
            for asset in environment.catalogue.holdings(name):
                quanta = asset.unit * price.price * each.price_range / self.value_unit.quantum
                if quanta * 2 < FINE:
                    reason = (
                        f"a price range of {each.price_range:f} moves one unit of {asset.name} by {quanta:.4g} quanta: "
                        f"rounding may change that by more than one part in {FINE}"
                    )
                    hint = "choose a finer value_unit.quantum or a coarser unit, or charge the asset by depeg"
                    problems.append(InputError(reason, hint=hint, field=f"scan.{name}.price_range"))
        return problems

    def ranges(self, environment: MarketEnvironment) -> Mapping[str, ScanRange]:
        """Return the ranges that hold in an environment.

        Raises:
            InputError: an input of a rule is missing (no rule is skipped silently), or a range times `reach` is 1 or
            more.
        """
        ranges: Mapping[str, ScanRange] = self.scan
        if self.dynamic is not None:
            ranges = self.dynamic.ranges(ranges, environment.past)
        if self.contagion is not None:
            ranges = self.contagion.ranges(ranges, environment.crowding)
        ranges = widened(environment.catalogue, ranges, environment.widening if self.oracle is not None else None)
        for name, each in ranges.items():
            if each.price_range * self.reach >= 1:
                raise InputError(
                    f"{name}: a price range of {each.price_range:f} times the extreme multiple {self.reach:f} reaches "
                    "a price of zero",
                    hint="lower the multiple, the published range, or what widens it (dynamic, contagion, oracle)",
                    field=f"scan.{name}",
                )
        return ranges

    def missing(self, environment: MarketEnvironment) -> list[InputError]:
        """Return the inputs that the rules for ranges lack in an environment."""
        problems = super().missing(environment)
        return problems if self.contagion is None else [*problems, *self.contagion.check(environment)]

    def add_ons(self, builder: PolicyBuilder) -> list[Expression]:
        """Write the concentration charges of crowded underlyings."""
        charges = super().add_ons(builder)
        if self.contagion is not None:
            charges += self.contagion.charges(builder, builder.environment.crowding)
        return charges
