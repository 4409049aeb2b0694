"""The catalogue: what an asset or instrument must state, and the columns that follow."""

from typing import Any

import pytest
from pydantic import ValidationError

from crossmargin.market.instruments import Asset, Catalogue, Instrument
from crossmargin_circuits.encoding import MAX_JSON_INTEGER

ASSET = {"name": "USDC", "unit": "0.000001", "haircut": "0", "borrowable": "true", "limit": "1000"}
OPTION = {
    "name": "BTC-27JUN25-100000-C",
    "kind": "option",
    "contract": "linear",
    "underlying": "BTC",
    "settlement": "USDC",
    "contract_size": "1",
    "lot": "0.1",
    "limit": "1000",
    "expiry": "2025-06-27T08:00:00Z",
    "strike": "100000",
    "option": "call",
}


def reasons(model: type[Any], value: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return [
        (".".join(str(step) for step in detail["loc"]) or detail["ctx"]["field"], detail["msg"])
        for detail in caught.value.errors()
    ]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("haircut", "-0.05", "haircut"),
        ("haircut", "1", "haircut"),
        ("haircut", 0.1, "not an exact decimal"),
        ("unit", "0", "not positive"),
        ("unit", "0.0000000000000000001", "10^-18"),
        ("unit", True, "not an exact decimal"),
        ("limit", "0.0000001", "limit is not between"),
        ("limit", "9007199254.740992", "limit is not between"),
        ("limit", "NaN", "not a finite decimal"),
        ("borrowable", "yes", "neither true nor false"),
        ("borrowable", 1, "neither true nor false"),
        ("name", "US DC", "not a name"),
        ("name", "", "not a name"),
        ("name", "A" * 41, "a name of 41 characters"),
        ("name", "1000", "a name of digits alone"),
    ],
)
def test_asset_refusals(field: str, value: object, reason: str) -> None:
    [(place, message)] = reasons(Asset, {**ASSET, field: value})
    assert place == field
    assert reason in message


def test_the_largest_limit_is_accepted() -> None:
    asset = Asset.model_validate({**ASSET, "limit": "9007199254.740991"})
    assert asset.limit_units == MAX_JSON_INTEGER


@pytest.mark.parametrize("field", ["expiry", "strike", "option"])
def test_options_state_expiry_strike_and_type(field: str) -> None:
    value = {key: item for key, item in OPTION.items() if key != field}
    assert reasons(Instrument, value)[0][0] == field
    assert "has no" in reasons(Instrument, value)[0][1]


def test_perpetuals_have_no_expiry() -> None:
    value = {**OPTION, "name": "X", "kind": "perpetual"}
    assert "has a field" in reasons(Instrument, value)[0][1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strike", "90000"),
        ("option", "put"),
        ("expiry", "2025-06-28T08:00:00Z"),
        ("underlying", "ETH"),
    ],
)
def test_terms_against_the_name(field: str, value: str) -> None:
    [(place, message)] = reasons(Instrument, {**OPTION, field: value})
    assert place == field
    assert f"says {field}" in message


def test_a_name_may_state_the_settlement() -> None:
    reasons(Instrument, {**OPTION, "name": "BTC_BTC-27JUN25-100000-C"})
    Instrument.model_validate({**OPTION, "name": "BTC_USDC-27JUN25-100000-C"})


def test_a_name_of_no_convention_is_not_compared() -> None:
    Instrument.model_validate({**OPTION, "name": "MY.OPTION.1"})


@pytest.mark.parametrize("expiry", ["2025-06-27", "2025-06-27T08:00:00", "2025-13-27T08:00:00Z", "27JUN25", 1750000000])
def test_expiry_is_an_instant(expiry: object) -> None:
    assert reasons(Instrument, {**OPTION, "expiry": expiry})[0][0] == "expiry"


def test_expiry_in_another_zone_is_the_same_instant() -> None:
    there = Instrument.model_validate({**OPTION, "expiry": "2025-06-27T10:00:00+02:00"})
    assert there.expiry == Instrument.model_validate(OPTION).expiry


def test_unknown_fields_are_refused() -> None:
    assert reasons(Asset, {**ASSET, "hair_cut": "0"})[0][0] == "hair_cut"


def test_duplicates_and_unknown_settlement_are_refused() -> None:
    assert "USDC twice" in reasons(Catalogue, {"assets": [ASSET, ASSET]})[0][1]
    assert "twice" in reasons(Catalogue, {"assets": [ASSET], "instruments": [OPTION, OPTION]})[0][1]
    foreign = {**OPTION, "settlement": "USDT"}
    [(place, message)] = reasons(Catalogue, {"assets": [ASSET], "instruments": [OPTION | {"name": "A"}, foreign]})
    assert place == "instruments[1].settlement"
    assert "not an asset" in message


def test_at_least_one_asset() -> None:
    reasons(Catalogue, {"assets": []})


def test_layout(catalogue: Catalogue) -> None:
    assert catalogue.layout().labels == (
        "balance USDC [0.000001 USDC]",
        "balance BTC [0.00000001 BTC]",
        "balance SOL [0.000001 SOL]",
        "entry USDC [0.000001 USDC]",
        "entry BTC [0.00000001 BTC]",
        "position BTC_USDC-PERPETUAL [1 contract of 0.001 BTC] settled in USDC",
        "position BTC-PERPETUAL [1 contract of 10 USD] settled in BTC",
        "position BTC-27JUN25-100000-C [0.1 contract of 1 BTC] settled in BTC",
    )
    assert [column.limit for column in catalogue.layout().columns] == [
        10**15,
        10**11,
        10**12,
        10**15,
        10**11,
        10**6,
        10**6,
        10**4,
    ]
    assert catalogue.underlying_of_columns() == ("USDC", "BTC", "SOL", "USDC", "BTC", "BTC", "BTC", "BTC")
    assert catalogue.settlement_of_columns() == ("USDC", "BTC", "SOL", "USDC", "BTC", "USDC", "BTC", "BTC")
    assert catalogue.underlyings == ("BTC",)


def test_the_catalogue_is_frozen(catalogue: Catalogue) -> None:
    with pytest.raises(ValidationError):
        catalogue.assets[0].haircut = 0  # type: ignore[misc, assignment]
