"""The setting of a margin model: everything public that it reads besides its own parameters."""

from dataclasses import dataclass, replace

from crossmargin.crowding import Crowding
from crossmargin.history import PriceHistory
from crossmargin.instruments import Catalogue
from crossmargin.market import Market
from crossmargin.scenarios import Scenario

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """Catalogue and market, and where a model asks for them, price history and opened totals of the book."""

    catalogue: Catalogue
    market: Market
    history: PriceHistory | None = None
    crowding: Crowding | None = None

    def moved(self, scenario: Scenario) -> "Setting":
        """Return the setting with the market moved by a scenario."""
        return replace(self, market=self.market.moved(self.catalogue, scenario))
