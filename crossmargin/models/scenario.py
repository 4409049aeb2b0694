"""Full-revaluation scenario margin: the requirement is the worst loss over joint price and volatility moves.

    scenario_portfolio_margin   scan = max(0, -pnl_1(x), .., -pnl_S(x))
                                one scan over the whole account: positions offset across underlyings, because all
                                underlyings make the same fraction of their own move together
    sum_of_underlyings          scan = sum_u max(0, -pnl_{u,1}(x), .., -pnl_{u,S}(x))
                                each underlying moves alone: no offset across underlyings; one more auxiliary for each
                                but one of them

pnl_s(x) is the change in value of the account in scenario s, rounded once into an integer risk array; of a scenario
with a dampener it is covered * pnl + dampener, a fixed amount. Which scenarios there are: crossmargin/models/grid.py.
Optional parts, each absent unless the file has it:

    offset p          scan = max_s sum_u max(-g_{u,s}(x), -p g_{u,s}(x)): in one scenario a gain g of one underlying
                      counts for the part p against losses of others (OCC TIMS product groups; Deribit's pnl_offset).
                      1 is the joint scan, 0 no offset within a scenario. One auxiliary a scenario and underlying
    volatility_term   volatility moves by time to expiry (Deribit's vega power and minimum volatility)
    minimums          max(scan, short option minimum, contract minimum), of each scan, or their sum
    roll, basis       + roll risk and basis risk of each underlying (crossmargin/models/roll.py)
    delta_shock       + charge on net delta beyond a threshold (crossmargin/models/delta_shock.py)

    requirement = scan or minimum + sum_u roll risk + basis risk + delta shock

With an offset below 1, a dampener D acts on every underlying, and in its scenarios gains do not count: max(-g - D, 0).
As published they do beyond D, -p max(g - D, 0), which leaves a dead zone between two slopes and is not convex; a convex
charge that counts them would have to ask p D of an account without positions. The charge exceeds the published rule by
p max(g - D, 0) for each underlying that gains, and equals it where none gains more than D.

All of it is convex in the record: maxima and sums of maxima of linear forms, on the rows' side. Without dampeners and
delta shock it is positively homogeneous and subadditive; the scan alone is monotone in the scenario PnL. Riskless
collateral moves no term.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, model_validator

from crossmargin.errors import InputError
from crossmargin.fields import ExactDecimal, Name, refuse
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.scenarios import Scenario, VolatilityTerm
from crossmargin.models.delta_shock import DeltaShock, delta_shock
from crossmargin.models.grid import GridModel
from crossmargin.models.minimums import Minimums, with_minimums
from crossmargin.models.policy_builder import PolicyBuilder, added, worst_loss
from crossmargin.models.roll import BasisMove, RollRule, basis_risk, check_dated, roll_risk
from crossmargin_circuits.expression import Expression, Max, PositivePart, Scale

__all__ = ["ScenarioModel"]


def _offset(value: Decimal) -> Decimal:
    if value > 1:
        raise refuse(
            f"gains that count {value} times are the lesser of two charges, which is not convex",
            "write a part from 0 to 1; 1, the joint scan, counts gains as far as a convex rule can",
        )
    if value < 0:
        raise refuse("a gain that is charged", "write a part from 0 (gains of others do not count) to 1")
    return value


class ScenarioModel(GridModel):
    """Full revaluation at scenario points, with optional minimums and charges beside them."""

    COHERENT: ClassVar[frozenset[str]] = frozenset({"subadditive", "monotone", "positively homogeneous", "translation"})

    model: Literal["scenario_portfolio_margin", "sum_of_underlyings"]
    offset: Annotated[ExactDecimal, AfterValidator(_offset)] | None = None
    volatility_term: VolatilityTerm | None = None
    minimums: Minimums | None = None
    roll: dict[Name, RollRule] | None = None
    basis: dict[Name, BasisMove] | None = None
    delta_shock: dict[Name, DeltaShock] | None = None

    @model_validator(mode="after")
    def _check_offset(self) -> "ScenarioModel":
        if self.offset is not None and self.model == "sum_of_underlyings":
            raise refuse(
                "each underlying moves alone here, so no gain meets a loss",
                "remove offset, or use scenario_portfolio_margin",
                "offset",
            )
        return self

    @property
    def coherent(self) -> frozenset[str]:
        """Properties with these parts: a threshold is an amount, and a charge without netted PnL is not monotone."""
        claimed = super().coherent
        if self.minimums is not None or self.roll is not None or self.delta_shock is not None:
            claimed -= {"monotone"}
        return claimed if self.delta_shock is None else claimed - {"subadditive", "positively homogeneous"}

    def check(self, environment: MarketEnvironment) -> list[InputError]:
        """Return the problems of all sections in the environment."""
        problems = [*super().check(environment), *check_dated(environment, self.roll, self.basis)]
        if self.minimums is not None:
            problems += self.minimums.check(environment)
        for name in self.delta_shock or {}:
            if name not in environment.catalogue.underlyings:
                problems.append(
                    InputError(
                        f"{name} is not an underlying",
                        hint="remove it or correct the name",
                        field=f"delta_shock.{name}",
                    )
                )
        return problems

    def points(self, environment: MarketEnvironment) -> tuple[Scenario, ...]:
        """Return the scenarios, with the volatility term."""
        found = super().points(environment)
        if self.volatility_term is None:
            return found
        return tuple(replace(each, volatility_term=self.volatility_term) for each in found)

    def requirement(self, builder: PolicyBuilder) -> Expression:
        """Return scan and minimums, of all underlyings together or of each alone, and the charges beside them."""
        names = tuple(self.ranges(builder.environment))
        points = self.points(builder.environment)
        scans: dict[str, tuple[tuple[str, ...], Expression]]
        if self.model == "sum_of_underlyings":
            scans = {
                f" {name}": (
                    (name,),
                    worst_loss(pnl_forms(builder, f"pnl {name}", [each.only(name) for each in points])),
                )
                for name in names
            }
        elif self.offset is None or self.offset == 1:
            scans = {"": (names, worst_loss(pnl_forms(builder, "pnl", points)))}
        else:
            scans = {"": (names, self._partly_offset(builder, names, points))}
        if all(part is None for part in (self.minimums, self.roll, self.basis, self.delta_shock)):
            return added([scan for _, scan in scans.values()])
        return added([*self._scanned(builder, scans), *self._charges(builder)])

    def _scanned(
        self, builder: PolicyBuilder, scans: Mapping[str, tuple[tuple[str, ...], Expression]]
    ) -> list[Expression]:
        """Return every scan, named, or the greater of it and its minimums."""
        parts: list[Expression] = []
        for of, (names, scan) in scans.items():
            risk: Expression = builder.abbreviate(f"scanning risk{of}", f"worst scenario{of}", scan)
            if self.minimums is not None:
                least = with_minimums(builder, self.minimums, names, risk)
                if least is not risk:
                    risk = builder.abbreviate(f"risk or minimum{of}", f"worst scenario{of} and minimum charges", least)
            parts.append(risk)
        return parts

    def _charges(self, builder: PolicyBuilder) -> list[Expression]:
        """Return the charges beside the scan."""
        rolled = [roll_risk(builder, name, rule) for name, rule in (self.roll or {}).items()]
        return [
            *(each for each in rolled if each is not None),
            *(basis_risk(builder, name, Fraction(move)) for name, move in (self.basis or {}).items()),
            *(delta_shock(builder, name, rule) for name, rule in (self.delta_shock or {}).items()),
        ]

    def _partly_offset(self, builder: PolicyBuilder, names: Sequence[str], points: Sequence[Scenario]) -> Expression:
        """Return max_s sum_u max(-g, -p g), or max(-g - D, 0) with a dampener D."""
        part = float(self.offset or 0)
        losses: list[Expression] = []
        for point in points:
            sides: list[Expression] = []
            for name in names:
                alone = point.only(name)
                values = builder.valuation.scenario_pnl(alone)
                pnl = builder.charge(f"pnl {name} {point.number}", alone.label, values)
                full = Scale(-1, builder.plus_gain(pnl, point.dampener))
                if part == 0 or point.dampener:
                    sides.append(PositivePart(full))
                    continue
                gain = builder.charge(f"gain {name} {point.number}", f"{alone.label}, offset", part * values)
                sides.append(Max((full, Scale(-1, gain))))
            losses.append(added(sides))
        return PositivePart(Max(tuple(losses)))


def pnl_forms(builder: PolicyBuilder, prefix: str, points: Sequence[Scenario]) -> list[Expression]:
    """Add the counted part of each scenario's profit and loss, as "prefix number"; return it with the dampener."""
    pnls = builder.scenarios(prefix, points)
    return [builder.plus_gain(pnl, each.dampener) for pnl, each in zip(pnls, points, strict=True)]
