"""Price history: closing prices of underlyings and assets at common times, from which volatilities and moves come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from crossmargin.fields import Frozen, Instant, Listed, Name, Positive, refuse

__all__ = ["HistoryNeed", "PriceHistory"]


@dataclass(frozen=True)
class HistoryNeed:
    """The part of a history that a model reads: `rows` daily rows of `names`; field: the parameter that requires it."""

    names: tuple[str, ...]
    rows: int
    field: str


def _columns(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: tuple(each) if isinstance(each, list) else each for name, each in value.items()}


class PriceHistory(Frozen):
    """The contents of `history.csv`: prices[name][t], USD, at times[t], oldest first."""

    times: Annotated[tuple[Instant, ...], Listed, Field(min_length=2)]
    prices: Annotated[dict[Name, tuple[Positive, ...]], BeforeValidator(_columns), Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> "PriceHistory":
        for number, (earlier, later) in enumerate(zip(self.times, self.times[1:], strict=False), start=1):
            if later <= earlier:
                raise refuse("not later than the time before", "sort by time, one row a time", f"times[{number}]")
        for name, prices in self.prices.items():
            if len(prices) != len(self.times):
                raise refuse(f"{len(prices)} prices at {len(self.times)} times", "give one a time", f"prices.{name}")
        return self

    def __len__(self) -> int:
        """Return the number of times."""
        return len(self.times)

    def __repr__(self) -> str:
        """Return the sizes and the ends: a history has years of prices."""
        ends = f"{self.times[0]:%Y-%m-%d} to {self.times[-1]:%Y-%m-%d}"
        return f"<PriceHistory: {len(self)} rows of {len(self.prices)} names, {ends}>"

    __str__ = __repr__

    def until(self, moment: datetime) -> "PriceHistory":
        """Return the history up to and including a moment, of which at least two times must be there."""
        count = sum(time <= moment for time in self.times)
        return self.model_copy(
            update={
                "times": self.times[:count],
                "prices": {name: prices[:count] for name, prices in self.prices.items()},
            }
        )

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of the names have no prices here."""
        return tuple(name for name in names if name not in self.prices)
