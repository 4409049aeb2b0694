"""The marks of one instrument at which an account is liquidated and at which it is bankrupt."""

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["LiquidationPrice"]


@dataclass(frozen=True)
class LiquidationPrice:
    """The liquidation price of one position, with everything else in its account counted and fixed.

    price: the mark at which equity = requirement; bankruptcy_price: the mark at which equity = 0. Each is None where
    no mark on the losing side does that, or where the account is already past it (`is_under_water`, `is_bankrupt`).
    Prices are in the quote of `mark`. They are floats, exact to rounding; no integer in a record depends on them.

    >>> import crossmargin as cm
    >>> cm.load("examples/small").liquidation_price("acct-a", "BTC_USDC-PERPETUAL")
    <LiquidationPrice of BTC_USDC-PERPETUAL in account acct-a: 16066.078, bankruptcy price 14024.531; mark 85422.5>
    """

    account: str
    instrument: str
    mark: Decimal
    price: float | None
    bankruptcy_price: float | None
    is_under_water: bool
    is_bankrupt: bool

    @property
    def distance(self) -> float | None:
        """The relative move of the mark to `price`: -0.2 for a fall by 20 %; None without a price."""
        return None if self.price is None else self.price / float(self.mark) - 1

    def __repr__(self) -> str:
        """Return the prices, to eight digits."""
        price = "passed" if self.is_under_water else _text(self.price)
        bankruptcy = "passed" if self.is_bankrupt else _text(self.bankruptcy_price)
        return (
            f"<LiquidationPrice of {self.instrument} in account {self.account}: {price}, "
            f"bankruptcy price {bankruptcy}; mark {self.mark:f}>"
        )


def _text(price: float | None) -> str:
    return "none" if price is None else f"{price:.8g}"
