"""Equity of an account: collateral at haircut, pooled with the value of the positions settled in each asset.

For a settlement asset a with price p and haircut h let V_a(x) be the value of everything denominated in it: balance,
entry value, and the mark value of the positions settled in it. Its contribution is

    V_a                         for h = 0
    min(V_a, (1 - h) V_a)       for h > 0: a positive value is cut, a negative one (a debt) counts in full

which is concave, as a collateral value must be, and costs one auxiliary per asset with a haircut.
"""

import numpy as np

from crossmargin.instruments import Catalogue
from crossmargin.market import Market
from crossmargin.model_config import ModelConfig
from crossmargin.risk_arrays import check_resolution, risk_array
from crossmargin.valuation import unit_values
from crossmargin_circuits.expression import Expression, Linear, Min, Sum
from crossmargin_circuits.policy import Definition, RiskArray, Role

__all__ = ["equity"]


def equity(catalogue: Catalogue, market: Market, model: ModelConfig) -> tuple[list[RiskArray], Definition]:
    """Return the arrays of equity and its definition, an abbreviation called `equity`."""
    layout = catalogue.layout()
    quantum = model.value_unit.quantum
    values = unit_values(catalogue, market)
    check_resolution(values, quantum, catalogue)
    settled = np.array(catalogue.settlement_of_columns())
    plain = np.zeros(len(layout))
    arrays: list[RiskArray] = []
    terms: list[Expression] = []
    for asset in catalogue.assets:
        mine = np.where(settled == asset.name, values, 0.0)
        if asset.haircut == 0:
            plain += mine
            continue
        full = risk_array(f"value {asset.name}", f"value in {asset.name}, in full", mine, quantum, layout)
        weight = float(1 - asset.haircut)
        cut = risk_array(
            f"collateral {asset.name}",
            f"value in {asset.name}, {float(asset.haircut):.4g} haircut",
            mine * weight,
            quantum,
            layout,
        )
        arrays += [full, cut]
        terms.append(Min((Linear(cut.name), Linear(full.name))))
    if plain.any():
        cash = risk_array("value cash", "value in assets without haircut", plain, quantum, layout)
        arrays.insert(0, cash)
        terms.insert(0, Linear(cash.name))
    return arrays, Definition("equity", "collateral and positions at haircut", Role.ABBREVIATION, Sum(tuple(terms)))
