"""Margin models with a given number of rows in their statement (SPEC S7).

    16     one portfolio-wide maximum: all sixteen scenarios, one of which moves nothing and gives no row, and solvency
    64     a sum of 4 maxima, one for each underlying: 16 scenarios each for two of them, 15 for two, where volatility
           never falls and one scenario moves nothing, one row for the maximum that stays expanded, and solvency
    256    the same with 16 underlyings, 16 scenarios for 14 of them

with 1, 4 and 16 auxiliaries: the requirement, and an excess for every further maximum.
"""

from dataclasses import dataclass

__all__ = ["MODELS", "Model"]


@dataclass(frozen=True)
class Model:
    """The sources of a statement's rows.

    falling: underlyings whose volatility also falls; values: 64-bit values of an account, rows and auxiliaries.
    """

    kind: str
    underlyings: int
    falling: int
    values: int


MODELS = {
    16: Model("scenario_portfolio_margin", 4, 0, 17),
    64: Model("sum_of_underlyings", 4, 2, 68),
    256: Model("sum_of_underlyings", 16, 14, 272),
}
"""Models by the rows of their statement."""
