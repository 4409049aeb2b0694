"""Liquidation and margin calls: computations on the margin engine over the same policies that are proven.

Nothing here is proven by itself. A plan ends in a record that satisfies the rows of a buffered, strict statement, and
that record can be committed and proven like any other; prices, sets and replays are what a venue shows or acts on.
"""

from crossmargin.liquidation.rule import Rule

__all__ = ["Rule"]
