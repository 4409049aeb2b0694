"""Scenario portfolio margin: the requirement is the worst loss over a grid of joint price and volatility moves.

    scenario_portfolio_margin   requirement = max(0, -pnl_1(x), .., -pnl_S(x))
                                one scan over the whole account: positions offset across underlyings, because all
                                underlyings make the same fraction of their own move together
    sum_of_underlyings          requirement = sum_u max(0, -pnl_{u,1}(x), .., -pnl_{u,S}(x))
                                each underlying moves alone: no offset across underlyings; one more auxiliary for each
                                but one of them

pnl_s(x) is the change in value of the account in scenario s, times the statement's factor (such as maintenance margin
as a fraction of initial margin), rounded once into an integer risk array. The requirement is convex in the record.
"""

from collections.abc import Sequence

from crossmargin.instruments import Catalogue
from crossmargin.market import Market
from crossmargin.model_config import ModelConfig, ModelKind, StatementConfig
from crossmargin.risk_arrays import risk_array
from crossmargin.scenarios import Scenario, span_grid
from crossmargin.valuation import scenario_pnl
from crossmargin_circuits.expression import Expression, Linear, Max, PositivePart, Scale, Sum
from crossmargin_circuits.policy import Definition, RiskArray, Role

__all__ = ["requirement"]


def requirement(
    catalogue: Catalogue, market: Market, model: ModelConfig, statement: StatementConfig
) -> tuple[list[RiskArray], Definition]:
    """Return the risk arrays of the scenarios and the definition of `requirement` over them."""

    def arrays_of(prefix: str, scenarios: Sequence[Scenario]) -> list[RiskArray]:
        return [
            risk_array(
                f"{prefix} {scenario.number}",
                scenario.label,
                float(statement.factor or 0) * scenario_pnl(catalogue, market, scenario),
                model.value_unit.quantum,
                catalogue.layout(),
            )
            for scenario in scenarios
        ]

    grid = span_grid(model)
    if model.model is ModelKind.SCENARIO_PORTFOLIO_MARGIN:
        arrays = arrays_of("pnl", grid)
        expression = _worst_loss(arrays)
    else:
        alone = [arrays_of(f"pnl {name}", [scenario.only(name) for scenario in grid]) for name in model.scan]
        arrays = [array for each in alone for array in each]
        expression = Sum(tuple(_worst_loss(each) for each in alone))
    return arrays, Definition("requirement", "requirement covers the loss", Role.REQUIREMENT, expression)


def _worst_loss(arrays: Sequence[RiskArray]) -> Expression:
    return PositivePart(Max(tuple(Scale(-1, Linear(array.name)) for array in arrays)))
