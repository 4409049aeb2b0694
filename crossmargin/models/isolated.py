"""Isolated margin: every position carries its own requirement, and nothing nets. The baseline of segregation.

    requirement = sum over futures i of table_i(|notional_i|) + sum over options i of max(mark_i x_i, -short_i x_i)

with the charges of position_charges.py, by instrument or by underlying. Long and short contracts of one underlying are
charged both: what an account pays here above a netting model is what that model's offsets are worth.

The collateral of a record is one pool in every model. A venue that also keeps collateral apart for each position has an
account, or a sub-account that is margined as an account, for each of them; a gain on one then pays for no other.

Convex: a sum of maxima of linear forms. Properties: cash changes the requirement by nothing (translation).
With flat rates alone it is subadditive and positively homogeneous as well; with tiers neither, since a larger position
pays a higher rate, on purpose. It is not monotone in the value of a record: a hedge adds to the requirement.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from crossmargin.market.instruments import Catalogue, Instrument, Kind
from crossmargin.models.position_charges import PositionModel

__all__ = ["IsolatedModel"]


class IsolatedModel(PositionModel):
    """Each instrument is a group of its own."""

    model: Literal["isolated_margin"]

    def groups(self, catalogue: Catalogue) -> Mapping[str, Sequence[Instrument]]:
        """Return every future by its name."""
        return {item.name: (item,) for item in catalogue.instruments if item.kind is not Kind.OPTION}
