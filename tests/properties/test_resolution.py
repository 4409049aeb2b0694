"""A quantum that is coarse against a unit is refused: the rounded integers would be another model."""

from decimal import Decimal

import pytest

from crossmargin.errors import InputError
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.models import MarginModel, build_policy


def with_quantum(model: MarginModel, quantum: str) -> MarginModel:
    unit = model.value_unit.model_copy(update={"quantum": Decimal(quantum)})
    return model.model_copy(update={"value_unit": unit})


def test_coarse_quantum_is_refused(catalogue: Catalogue, market: Market, model: MarginModel) -> None:
    """At one cent, a satoshi of less than a tenth of a cent would be worth nothing."""
    with pytest.raises(InputError, match=r"balance (USDC|BTC).*one part in 1000") as error:
        build_policy("test", MarketEnvironment(catalogue, market), with_quantum(model, "0.01"), "maintenance")
    assert error.value.field == "value_unit.quantum"
    assert "finer quantum" in error.value.hint


def test_price_that_the_quantum_cannot_show_is_refused(
    catalogue: Catalogue, market: Market, model: MarginModel
) -> None:
    """A stable coin at 0.9975 is 99.75 quanta a unit, and 100 when rounded."""
    lower = market.index["USDC"].model_copy(update={"price": Decimal("0.9975")})
    moved = market.model_copy(update={"index": {**market.index, "USDC": lower}})
    with pytest.raises(InputError, match="balance USDC"):
        build_policy("test", MarketEnvironment(catalogue, moved), model, "maintenance")
    build_policy("test", MarketEnvironment(catalogue, moved), with_quantum(model, "0.000000001"), "maintenance")


def test_options_that_rounding_would_hide_are_refused(catalogue: Catalogue, market: Market, model: MarginModel) -> None:
    """An option worth less than half a quantum a lot counts nothing, which a great position would make something."""
    data = catalogue.model_dump(mode="json", exclude_none=True)
    data["instruments"][-1] |= {"limit": "100000000000000", "strike": "20000", "name": "far"}
    great = Catalogue.model_validate(data)
    quotes = dict(market.options)
    cheap = quotes.pop("BTC-27JUN25-70000-P")
    for volatility, hidden in (("0.45", True), ("0.3", False)):
        put = cheap.model_copy(update={"iv": Decimal(volatility)})
        environment = MarketEnvironment(great, market.model_copy(update={"options": {**quotes, "far": put}}))
        if not hidden:
            build_policy("test", environment, model, "maintenance")
            continue
        with pytest.raises(InputError, match=r"hides .* USD in position far at its limit") as error:
            build_policy("test", environment, model, "maintenance")
        assert error.value.field == "value_unit.quantum"
