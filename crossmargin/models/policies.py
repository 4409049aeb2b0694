"""One statement's policy from catalogue, market and model: the claim about every account.

    margin, with shortfall   requirement >= loss in every scenario, shortfall >= requirement - equity; totals disclosed
    margin, strict           requirement >= loss in every scenario, equity - requirement >= 0
    coverage                 debt_a >= -claim_a for every asset, totals disclosed
    crowding                 gross_u >= |exposure_u| and its large parts for every underlying, totals disclosed

The inputs stand in the policy next to the integers computed from them, so that anybody can recompute the integers.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from crossmargin.engine.risk_arrays import ROUNDING
from crossmargin.errors import InputError, InputErrors
from crossmargin.fields import problems_of
from crossmargin.market.crowding import Crowding
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import PriceHistory
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.valuation import check_option_marks
from crossmargin.models.base import COVERAGE, CROWDING, MarginModel
from crossmargin.models.collateral import equity
from crossmargin.models.coverage import debts
from crossmargin.models.crowding import open_exposures
from crossmargin.models.depeg import depeg_charge
from crossmargin.models.oracle import resolve
from crossmargin.models.policy_builder import PolicyBuilder, added
from crossmargin.models.registry import parse_model
from crossmargin_circuits.errors import PolicyError
from crossmargin_circuits.expression import Scale, Sum
from crossmargin_circuits.policy import Constraint, Policy, PolicyKind, Role

__all__ = ["build_policy", "check_environment", "rebuild_policy"]

Part = TypeVar("Part")

JOINT_RULE = (
    "in one scenario every underlying moves by the same fraction of its own price range, and all volatilities move "
    "in the same direction"
)

ONE_UNIT = Decimal(1)
"""Claims on an asset are rounded to its units."""


def build_policy(venue: str, environment: MarketEnvironment, model: MarginModel, statement: str) -> Policy:
    """Return the policy of the statement of that name.

    Raises:
        InputError: no such statement, feeds that give no price, a value that the quantum cannot resolve, or prices of a
        what-if at which the model does not hold (of others `check_environment` tells).
    """
    chosen = model.statement(statement)
    stated, resolution = environment.market.stated, resolve(environment, model.oracle)
    if resolution.problems:
        raise resolution.problems[0]
    environment = resolution.environment
    builder = PolicyBuilder(environment, *_scale(model, chosen.name), chosen.name)
    try:
        title, constraints = _state(builder, model)
    except InputError as error:
        raise model.located(error) from None
    inputs = {
        "statement": chosen.name,
        "instruments": _data(environment.catalogue),
        "market": _data(stated),
        "model": _data(model),
        "rounding": ROUNDING,
        "joint rule": JOINT_RULE,
    }
    if model.oracle is not None:
        inputs["oracle"] = resolution.report
    if environment.history is not None and model.needed_history(environment) is not None:
        inputs["history"] = _data(environment.history)
    if environment.crowding is not None and model.reads_crowding:
        inputs["crowding"] = _data(environment.crowding)
    return Policy(
        kind=_kind(chosen.name),
        venue=venue,
        title=title,
        as_of=int(environment.market.as_of.timestamp()),
        value_unit=model.value_unit.stated,
        layout=builder.layout,
        arrays=tuple(builder.arrays),
        definitions=tuple(builder.definitions),
        constraints=tuple(constraints),
        inputs=inputs,
    )


def rebuild_policy(policy: Policy) -> Policy:
    """Compute a policy again from its own inputs; the result equals the policy if its integers are right.

    Raises:
        InputErrors: everything that is wrong with its inputs; the fields are stated, the file is not.
        PolicyError: the inputs are not those of a policy that this package builds.
    """
    inputs, problems = policy.inputs, list[InputError]()
    catalogue = _given(inputs, "instruments", Catalogue.model_validate, problems)
    market = _given(inputs, "market", Market.model_validate, problems)
    model = _given(inputs, "model", parse_model, problems)
    history = _given(inputs, "history", PriceHistory.model_validate, problems) if "history" in inputs else None
    crowding = _given(inputs, "crowding", Crowding.model_validate, problems) if "crowding" in inputs else None
    if problems or catalogue is None or market is None or model is None:
        raise InputErrors(problems)
    environment = MarketEnvironment(catalogue, market, history, crowding)
    problems = check_environment(environment, model)
    if problems:
        raise InputErrors(problems)
    try:
        return build_policy(policy.venue, environment, model, str(inputs.get("statement")))
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise PolicyError(f"policy: inputs: not those of a policy that can be computed again: {error}") from None


def _given(
    inputs: Mapping[str, Any], name: str, read: Callable[[Any], Part], problems: list[InputError]
) -> Part | None:
    """Return a part of a policy's inputs, or None where it is refused; add its problems to `problems`."""
    try:
        return read(inputs.get(name))
    except ValidationError as error:
        found = problems_of(error)
    except InputError as error:
        found = [error]
    for each in found:
        field = ".".join(part for part in ("inputs", name, each.field) if part)
        problems.append(InputError(each.reason, hint=each.hint, field=field))
    return None


def check_environment(environment: MarketEnvironment, model: MarginModel) -> list[InputError]:
    """Return every reason why a model does not fit an environment; files are stated for fields of the model."""
    resolution = resolve(environment, model.oracle)
    if resolution.problems:
        return list(resolution.problems)
    environment = resolution.environment
    catalogue, market = environment.catalogue, environment.market
    return [
        *market.check(catalogue, model.staleness_limit_seconds),
        *check_option_marks(catalogue, market),
        *map(model.located, model.check(environment)),
    ]


def _kind(statement: str) -> PolicyKind:
    return {COVERAGE: PolicyKind.COVERAGE, CROWDING: PolicyKind.CROWDING}.get(statement, PolicyKind.SOLVENCY)


def _scale(model: MarginModel, statement: str) -> tuple[Decimal, Decimal]:
    """Return the value of the integer 1, and the factor on every charge."""
    return (ONE_UNIT if statement == COVERAGE else model.value_unit.quantum), model.factor_of(statement)


def _state(builder: PolicyBuilder, model: MarginModel) -> tuple[str, list[Constraint]]:
    """Add the definitions of the builder's statement; return its title and its constraints."""
    if builder.statement == COVERAGE:
        debts(builder)
        return "per-asset coverage", []
    if builder.statement == CROWDING:
        open_exposures(builder, model.thresholds)
        return "crowding", []
    for problem in (model.check if builder.environment.is_moved else model.missing)(builder.environment):
        raise problem
    return f"{builder.statement} margin, {model.title}", _margin(builder, model)


def _margin(builder: PolicyBuilder, model: MarginModel) -> list[Constraint]:
    """Add equity, requirement and shortfall to the builder; return the constraints of a strict model."""
    collateral = equity(builder, model.collateral, model.mismatch)
    depegged = [] if model.depeg is None else [depeg_charge(builder, model.depeg)]
    charged = added([model.requirement(builder), *model.add_ons(builder), *depegged])
    needed = builder.define("requirement", "requirement covers the loss", Role.REQUIREMENT, charged)
    gap = Sum((needed, Scale(-1, collateral)))
    if model.strict:
        return [Constraint("solvency", "equity - requirement >= 0", Scale(-1, gap))]
    builder.define("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap)
    return []


def _data(model: BaseModel) -> dict[str, Any]:
    data: dict[str, Any] = model.model_dump(mode="json", exclude_none=True)
    return data
