"""Equity of an account: collateral at haircut, pooled with the value of the positions settled in each asset.

For a settlement asset a with price p and haircut h let V_a(x) be the value of everything denominated in it: balance,
entry value, and the mark value of the positions settled in it. Its contribution is

    V_a                         for h = 0
    min(V_a, (1 - h) V_a)       for h > 0: a positive value is cut, a negative one (a debt) counts in full

which is concave, as a collateral value must be, and costs one auxiliary per asset with a haircut.
"""

import numpy as np

from crossmargin.models.terms import Terms
from crossmargin.risk_arrays import check_resolution
from crossmargin.valuation import unit_values
from crossmargin_circuits.expression import Expression, Min, Reference, Sum

__all__ = ["equity"]


def equity(terms: Terms) -> Reference:
    """Define equity as an abbreviation called `equity`, and return it."""
    catalogue = terms.catalogue
    values = unit_values(catalogue, terms.market)
    check_resolution(values, terms.quantum, catalogue)
    settled = np.array(catalogue.settlement_of_columns())
    plain = np.isin(settled, [asset.name for asset in catalogue.assets if asset.haircut == 0])
    parts: list[Expression] = []
    if np.any(values[plain]):
        parts.append(terms.value("value cash", "value in assets without haircut", np.where(plain, values, 0.0)))
    for asset in catalogue.assets:
        if asset.haircut == 0:
            continue
        mine = np.where(settled == asset.name, values, 0.0)
        full = terms.value(f"value {asset.name}", f"value in {asset.name}, in full", mine)
        cut = terms.value(
            f"collateral {asset.name}",
            f"value in {asset.name}, {float(asset.haircut):.4g} haircut",
            mine * float(1 - asset.haircut),
        )
        parts.append(Min((cut, full)))
    return terms.abbreviate("equity", "collateral and positions at haircut", Sum(tuple(parts)))
