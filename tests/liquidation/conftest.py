"""Tiered maintenance written down for the tests, and small venues made of a few lines."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin.liquidation.rule import Rule
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue, Contract
from crossmargin.market.prices import Market
from crossmargin.models import MarginModel
from crossmargin.models.policy_builder import PolicyBuilder, added
from crossmargin_circuits.expression import Expression, Max, PositivePart
from crossmargin_circuits.layout import ColumnKind

NOW = "2025-03-28T08:00:00Z"


class TieredModel(MarginModel):
    """requirement = sum over instruments of max over tiers of (rate * notional - amount), plus a flat charge (USD)."""

    model: Literal["tiered_for_tests"] = "tiered_for_tests"
    tiers: Mapping[str, Sequence[tuple[str, str]]]
    flat: str = "0"

    def requirement(self, builder: PolicyBuilder) -> Expression:
        charges: list[Expression] = []
        for name, tiers in self.tiers.items():
            instrument = builder.catalogue.instrument(name)
            mark = float(builder.market.marks[name].price)
            linear = instrument.contract is Contract.LINEAR
            notional = float(instrument.lot * instrument.contract_size) * (mark if linear else 1.0)
            column = builder.layout.index(ColumnKind.POSITION, name)
            pieces: list[Expression] = []
            for number, (rate, amount) in enumerate(tiers):
                for word, sign in (("long", 1), ("short", -1)):
                    values = np.zeros(len(builder.layout))
                    values[column] = sign * float(rate) * notional
                    label = f"tier {number} {word} {name}"
                    pieces.append(builder.plus(builder.charge(label, label, values), -Decimal(amount)))
            charges.append(PositivePart(Max(tuple(pieces))))
        if float(self.flat):
            charges.append(builder.amount(Decimal(self.flat)))
        return added(charges)


def tiered(
    tiers: Mapping[str, Sequence[tuple[str, str]]], quantum: str = "0.00000001", factor: str = "1", **more: Any
) -> Rule:
    model = TieredModel.model_validate(
        {
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": quantum},
            "staleness_limit_seconds": 600,
            "statements": [{"name": "maintenance", "factor": factor}],
            "tiers": tiers,
            **more,
        }
    )
    return Rule("test-venue", model, "maintenance")


def price(value: str) -> dict[str, str]:
    return {"price": value, "source": "test", "time": NOW}


def perpetuals(
    marks: Mapping[str, str],
    lots: Mapping[str, str],
    unit: str = "0.000001",
    limit: str = "1000000000",
    lot_limit: str = "100000",
) -> MarketEnvironment:
    """Return linear perpetuals of one unit of BTC, ETH, .. settled in USDT at one dollar."""
    instruments = [
        {"name": f"{name}USDT", "kind": "perpetual", "contract": "linear", "underlying": name, "settlement": "USDT",
         "contract_size": "1", "lot": lots[name], "limit": lot_limit}
        for name in marks
    ]  # fmt: skip
    asset = {"name": "USDT", "unit": unit, "haircut": "0", "borrowable": True, "limit": limit}
    catalogue = Catalogue.model_validate({"assets": [asset], "instruments": instruments})
    market = Market.model_validate(
        {
            "as_of": NOW,
            "index": {"USDT": price("1"), **{name: price(mark) for name, mark in marks.items()}},
            "marks": {f"{name}USDT": price(mark) for name, mark in marks.items()},
        }
    )
    return MarketEnvironment(catalogue, market)


def record(environment: MarketEnvironment, **amounts: Any) -> list[int]:
    """Return a record: units of assets as balance_X and entry_X, lots of instruments by name."""
    layout = environment.catalogue.layout()
    values = [0] * len(layout)
    for key, amount in amounts.items():
        kind, _, name = key.partition("_")
        if kind in ("balance", "entry"):
            unit = environment.catalogue.asset(name).unit
            values[layout.index(ColumnKind(kind), name)] += int((Decimal(str(amount)) / unit).to_integral_value())
        else:
            values[layout.index(ColumnKind.POSITION, key)] = amount
    return values


def matrix(records: Sequence[Sequence[int]]) -> csr_array:
    return csr_array(np.array(records, dtype=np.int64))


@pytest.fixture(scope="session")
def desk() -> SimpleNamespace:
    """Return what makes the venues of these tests."""
    return SimpleNamespace(tiered=tiered, perpetuals=perpetuals, record=record, matrix=matrix)
