"""One statement's policy from catalogue, market and model: what is claimed of every account.

    margin, with shortfall   requirement >= loss in every scenario, shortfall >= requirement - equity; both totals
    opened margin, strict           requirement >= loss in every scenario, equity - requirement >= 0
    coverage                 debt_a >= -claim_a for every asset, totals opened

The inputs stand in the policy next to the integers computed from them, so that anybody can compute them again.
"""

from typing import Any

from crossmargin.errors import InputError
from crossmargin.instruments import Catalogue
from crossmargin.market import Market
from crossmargin.model_config import ModelConfig, StatementConfig
from crossmargin.models.collateral import equity
from crossmargin.models.coverage import debts
from crossmargin.models.portfolio import requirement
from crossmargin.risk_arrays import ROUNDING
from crossmargin.units import format_decimal
from crossmargin.valuation import check_option_marks
from crossmargin_circuits.errors import PolicyError
from crossmargin_circuits.expression import Reference, Scale, Sum
from crossmargin_circuits.policy import Constraint, Definition, Policy, RiskArray, Role, ValueUnit

__all__ = ["build_policy", "rebuild_policy"]

JOINT_RULE = (
    "in one scenario every underlying moves by the same fraction of its own price range, and all volatilities move "
    "in the same direction"
)


def build_policy(venue: str, catalogue: Catalogue, market: Market, model: ModelConfig, statement: str) -> Policy:
    """Return the policy of the statement of that name.

    Raises:
        InputError: no such statement, or a value that the quantum cannot resolve.
    """
    chosen = next((each for each in model.statements if each.name == statement), None)
    if chosen is None:
        names = ", ".join(each.name for each in model.statements)
        raise InputError(
            f"no statement is called {statement}", file="model.yaml", field="statements", mend=f"use {names}"
        )
    arrays, definitions, constraints = (
        _coverage(catalogue, market) if chosen.factor is None else _margin(catalogue, market, model, chosen)
    )
    return Policy(
        venue=venue,
        title=_title(chosen, model),
        as_of=int(market.as_of.timestamp()),
        value_unit=ValueUnit(model.value_unit.currency, format_decimal(model.value_unit.quantum)),
        layout=catalogue.layout(),
        arrays=tuple(arrays),
        definitions=tuple(definitions),
        constraints=tuple(constraints),
        inputs={
            "statement": chosen.name,
            "instruments": _data(catalogue),
            "market": _data(market),
            "model": _data(model),
            "rounding": ROUNDING,
            "joint rule": JOINT_RULE,
        },
    )


def rebuild_policy(policy: Policy) -> Policy:
    """Compute a policy again from its own inputs; the result equals the policy if its integers are what it says.

    Raises:
        PolicyError: the inputs are not those of a policy that this package builds.
    """
    inputs = policy.inputs
    try:
        catalogue = Catalogue.model_validate(inputs["instruments"])
        market = Market.model_validate(inputs["market"])
        model = ModelConfig.model_validate(inputs["model"])
        problems = [
            *market.check(catalogue, model.staleness_limit_seconds),
            *check_option_marks(catalogue, market),
            *model.check(catalogue),
        ]
        if problems:
            raise problems[0]
        return build_policy(policy.venue, catalogue, market, model, str(inputs["statement"]))
    except (KeyError, ValueError, InputError) as error:
        raise PolicyError(f"policy: inputs: not those of a policy that can be computed again: {error}") from None


def _margin(
    catalogue: Catalogue, market: Market, model: ModelConfig, statement: StatementConfig
) -> tuple[list[RiskArray], list[Definition], list[Constraint]]:
    collateral_arrays, collateral = equity(catalogue, market, model)
    scenario_arrays, needed = requirement(catalogue, market, model, statement)
    arrays = collateral_arrays + scenario_arrays
    gap = Sum((Reference(needed.name), Scale(-1, Reference(collateral.name))))
    if model.strict:
        solvency = Constraint("solvency", "equity - requirement >= 0", Scale(-1, gap))
        return arrays, [collateral, needed], [solvency]
    shortfall = Definition("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap)
    return arrays, [collateral, needed, shortfall], []


def _coverage(catalogue: Catalogue, market: Market) -> tuple[list[RiskArray], list[Definition], list[Constraint]]:
    arrays, definitions = debts(catalogue, market)
    return arrays, definitions, []


def _title(statement: StatementConfig, model: ModelConfig) -> str:
    if statement.factor is None:
        return "per-asset coverage"
    return f"{statement.name} margin, {str(model.model).replace('_', ' ')}"


def _data(model: Catalogue | Market | ModelConfig) -> dict[str, Any]:
    data: dict[str, Any] = model.model_dump(mode="json", exclude_none=True)
    return data
