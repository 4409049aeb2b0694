"""The environment of a margin model: everything public that it reads besides its own parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from crossmargin.errors import InputError
from crossmargin.market.crowding import Crowding
from crossmargin.market.history import PriceHistory
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Scenario

if TYPE_CHECKING:
    from crossmargin.market.valuation import Valuation

__all__ = ["MarketEnvironment"]


@dataclass(frozen=True)
class MarketEnvironment:
    """Catalogue and market and, for models that read them, price history and disclosed totals of the book.

    widening: the oracle rule's addition to price ranges, by name; None before the rule is applied. is_moved: whether
    prices are those of a what-if; no source quotes these, so the widening stays as it is.
    """

    catalogue: Catalogue
    market: Market
    history: PriceHistory | None = None
    crowding: Crowding | None = None
    widening: Mapping[str, Decimal] | None = None
    is_moved: bool = False

    @cached_property
    def valuation(self) -> "Valuation":
        """The values of column units in this market, read once for all scenarios of all statements."""
        # Imported here because it needs scipy, and reading public data does not.
        from crossmargin.market.valuation import Valuation

        return Valuation(self.catalogue, self.market)

    @property
    def past(self) -> PriceHistory:
        """The price history up to the date of the market.

        Raises:
            InputError: there is none.
        """
        if self.history is None:
            raise InputError("the model needs a price history", file="history.csv", hint="add history.csv")
        return self.history.until(self.market.as_of)

    def moved(self, scenario: Scenario) -> "MarketEnvironment":
        """Return the environment with the market moved by a scenario."""
        return self.at(self.market.moved(self.catalogue, scenario))

    def at(self, market: Market) -> "MarketEnvironment":
        """Return the environment with the market of a what-if."""
        return replace(self, market=market, is_moved=True)
