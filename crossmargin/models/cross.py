"""Cross margin with maintenance brackets: one pool of collateral for all positions, tiers on the size of each.

    requirement = sum over groups g of table_g(|sum over futures i of g of notional_i|) + options, each alone

    by: instrument    a group is one contract in one-way mode (Binance, Bybit, Hyperliquid): no offset between contracts
    by: underlying    a group is all linear and inverse futures of an underlying, any expiry: their *net* notional is
                      charged, so a calendar or a linear-inverse spread costs nothing but what is left of it; venues
                      that charge such spreads need delta margin or a scenario model

    equity - factor × requirement >= 0

A statement's factor says which margin it is: 1 for maintenance rates as they stand, 1.05 for a buffer such as the
uniMMR of 105 % at which Binance's portfolio margin calls. Notionals are at mark prices; of inverse contracts the size.

Source: Binance, FAQ b3c689c1f50a44cabb3a84e663b81d93; Hyperliquid, margin tiers. Convex: a table is convex in the size
of a notional, and increases. Properties: cash changes the requirement by nothing (translation). Tiers are neither
subadditive nor homogeneous, since two accounts together reach higher tiers than each alone; flat rates are both.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from crossmargin.market.instruments import Catalogue, Instrument, Kind
from crossmargin.models.position_charges import PositionModel

__all__ = ["CrossModel"]


class CrossModel(PositionModel):
    """Futures are charged by instrument, or net by underlying."""

    model: Literal["cross_margin"]
    by: Literal["instrument", "underlying"]

    def groups(self, catalogue: Catalogue) -> Mapping[str, Sequence[Instrument]]:
        """Return the futures by instrument or by underlying."""
        found: dict[str, list[Instrument]] = {}
        for item in catalogue.instruments:
            if item.kind is not Kind.OPTION:
                found.setdefault(item.name if self.by == "instrument" else item.underlying, []).append(item)
        return found
