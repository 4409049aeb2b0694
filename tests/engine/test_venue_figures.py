"""Figures that venues publish, from models and expressions of this package: Binance, Deribit, Paradex, Vega, Bybit.

Every requirement is taken twice, from the expression by the engine and from the compiled relation by its witness.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import Margin, evaluate, witness
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.models import build_policy, parse_model
from crossmargin.models.policies import check_environment
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.errors import CurvatureError
from crossmargin_circuits.expression import (
    Abs,
    Amount,
    Expression,
    Linear,
    Max,
    Min,
    PositivePart,
    Reference,
    Scale,
    Sum,
    SumLargest,
)
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = "2025-03-28T08:00:00Z"
CASH = Decimal("0.000001")

Arrays = Mapping[str, Mapping[str, Decimal | int]]


def figures(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def decimal(value: Any) -> Decimal:
    return Decimal(str(value))


# Requirements of one formula, written in the language.


def with_amounts(expression: Expression, amounts: Mapping[str, int]) -> Expression:
    """Return an expression with the fixed amount of each array added to its form."""

    def within(part: Expression) -> Expression:
        match part:
            case Linear(name) if amounts[name]:
                return Sum((part, Amount(amounts[name])))
            case Scale(by, of):
                return Scale(by, within(of))
            case Abs(of) | PositivePart(of):
                return type(part)(within(of))
            case Sum(of) | Max(of) | Min(of):
                return type(part)(tuple(map(within, of)))
            case SumLargest(count, of):
                return SumLargest(count, tuple(map(within, of)))
            case _:
                return part

    return within(expression)


class Sheet:
    """A policy of named integer columns and arrays over them; the requirement is one expression.

    An array may have an amount under "account", which each account has besides what its columns add.
    """

    def __init__(self, columns: Sequence[str], arrays: Arrays, expression: Expression, quantum: str) -> None:
        layout = RecordLayout(
            (
                Column(ColumnKind.BALANCE, "USD", f"{quantum} USD", 10**15),
                *(Column(ColumnKind.POSITION, name, "1 contract", 10**4, "USD") for name in columns),
            )
        )
        self.quantum = Decimal(quantum)
        found = [RiskArray("cash", "cash", (1, *(0 for _ in columns)))]
        amounts: dict[str, int] = {}
        for name, values in arrays.items():
            quanta = [decimal(values.get(column, 0)) / self.quantum for column in ("account", *columns)]
            assert all(each == int(each) for each in quanta), f"{name}: not in whole quanta"
            amounts[name] = int(quanta[0])
            found.append(RiskArray(name, name, (0, *map(int, quanta[1:]))))
        self.compiled = compile_policy(
            Policy(
                kind=PolicyKind.SOLVENCY,
                venue="published figures",
                title="requirement",
                as_of=0,
                value_unit=ValueUnit("USD", quantum),
                layout=layout,
                arrays=tuple(found),
                definitions=(
                    Definition("equity", "cash", Role.EQUITY, Linear("cash")),
                    Definition("requirement", "requirement", Role.REQUIREMENT, with_amounts(expression, amounts)),
                    Definition(
                        "shortfall",
                        "equity - requirement + shortfall >= 0",
                        Role.SHORTFALL,
                        Sum((Reference("requirement"), Scale(-1, Reference("equity")))),
                    ),
                ),
                constraints=(),
            )
        )
        self.columns = columns

    def margin(self, *lots: int) -> Margin:
        return agreed(self.compiled, [0, *lots])

    def requirement(self, *lots: int) -> Decimal:
        return int(self.margin(*lots).requirement[0]) * self.quantum


def agreed(compiled: CompiledPolicy, record: Sequence[int]) -> Margin:
    """Return the margin of one account, after comparing the engine with the relation."""
    records = csr_array(np.array([record], dtype=np.int64))
    margin, proof = evaluate(compiled, records), witness(compiled, records)
    numbers = compiled.auxiliary_of
    assert proof.auxiliaries[0, numbers["requirement"]] == margin.requirement[0]
    assert proof.auxiliaries[0, numbers["shortfall"]] == margin.shortfall[0]
    return margin


# Accounts under the models.


class Desk:
    """A venue of linear perpetuals on assets worth their price in USD, settled in USDC at 1 USD."""

    def __init__(self, contracts: Mapping[str, Mapping[str, Any]], model: Mapping[str, Any]) -> None:
        """contracts: by underlying, mark, index (the mark where left out), lot, limit (in units of the underlying)."""
        stamp = {"source": "published figures", "time": NOW}
        self.lots = {name: decimal(each["lot"]) for name, each in contracts.items()}
        self.catalogue = Catalogue.model_validate(
            {
                "assets": [
                    {"name": "USDC", "unit": str(CASH), "haircut": "0", "borrowable": True, "limit": "1000000000"}
                ],
                "instruments": [
                    {
                        "name": f"{name}_USDC-PERPETUAL",
                        "kind": "perpetual",
                        "contract": "linear",
                        "underlying": name,
                        "settlement": "USDC",
                        "contract_size": "1",
                        "lot": each["lot"],
                        "limit": each["limit"],
                    }
                    for name, each in contracts.items()
                ],
            }
        )
        market = Market.model_validate(
            {
                "as_of": NOW,
                "index": {
                    "USDC": {"price": "1", **stamp},
                    **{
                        name: {"price": str(each.get("index", each["mark"])), **stamp}
                        for name, each in contracts.items()
                    },
                },
                "marks": {
                    f"{name}_USDC-PERPETUAL": {"price": str(each["mark"]), **stamp} for name, each in contracts.items()
                },
            }
        )
        environment = MarketEnvironment(self.catalogue, market)
        chosen = parse_model(
            {
                "version": 1,
                "value_unit": {"currency": "USD", "quantum": "0.00000001"},
                "staleness_limit_seconds": 600,
                "statements": [{"name": "margin", "factor": "1"}],
                **model,
            }
        )
        assert check_environment(environment, chosen) == []
        self.compiled = compile_policy(build_policy("published figures", environment, chosen, "margin"))

    def margin(self, cash: Any, positions: Mapping[str, tuple[Any, Any]]) -> tuple[Decimal, Decimal]:
        """Return equity and requirement in USD; positions: underlying -> quantity, entry price."""
        layout = self.compiled.policy.layout
        record = [0] * len(layout)
        record[layout.index(ColumnKind.BALANCE, "USDC")] = int(decimal(cash) / CASH)
        for name, (quantity, entry) in positions.items():
            record[layout.index(ColumnKind.POSITION, f"{name}_USDC-PERPETUAL")] = int(
                decimal(quantity) / self.lots[name]
            )
            value = -decimal(quantity) * decimal(entry) / CASH
            record[layout.index(ColumnKind.ENTRY, "USDC")] += int(value.to_integral_value())
        margin = agreed(self.compiled, record)
        quantum = Decimal("0.00000001")
        return int(margin.equity[0]) * quantum, int(margin.requirement[0]) * quantum


# Binance.

BINANCE = figures("binance_brackets")
LIQUIDATION = figures("binance_liquidation")["cross_cases"]

ETH_TIERS = [
    # The FAQ publishes the amount of the tier at 10 % alone: these are tiers below it that lead there.
    {"from": "0", "rate": "0.005"},
    {"from": "10000", "rate": "0.0065"},
    {"from": "100000", "rate": "0.01"},
    {"from": "500000", "rate": "0.02"},
    {"from": "1000000", "rate": "0.05"},
    {"from": "2000000", "rate": "0.1", "amount": "135365"},
]


def binance(eth: Any, btc: Any) -> Desk:
    """Return the two contracts of the FAQ, at these marks; the top tiers of BTC are beyond the quantum of 1e-8 USD."""
    return Desk(
        {
            "ETH": {"mark": eth, "lot": "0.001", "limit": "20000"},
            "BTC": {"mark": btc, "lot": "0.001", "limit": "2000"},
        },
        {
            "model": "cross_margin",
            "by": "instrument",
            "futures": {"ETH": {"tiers": ETH_TIERS}, "BTC": {"tiers": BINANCE["tables"]["BTC"][:9]}},
        },
    )


def test_binance_maintenance_of_the_faq() -> None:
    """3,683.979 ETH at 1,335.18 and 109.488 BTC at 31,967.27; the page cuts digits beyond the third and the fifth."""
    desk = binance("1335.18", "31967.27")
    eth, btc = BINANCE["maintenance"]
    assert abs(desk.margin(0, {"ETH": ("3683.979", 0)})[1] - decimal(eth["expected"])) < Decimal("0.001")
    assert abs(desk.margin(0, {"BTC": ("-109.488", 0)})[1] - decimal(btc["expected"])) < Decimal("0.0001")
    both = desk.margin(0, {"ETH": ("3683.979", 0), "BTC": ("109.488", 0)})[1]
    assert abs(both - decimal(eth["expected"]) - decimal(btc["expected"])) < Decimal("0.001")


@pytest.mark.parametrize("case", LIQUIDATION, ids=lambda case: case["name"])
def test_binance_margin_is_used_up_at_the_published_liquidation_price(case: dict[str, Any]) -> None:
    """Prices are published to the cent: equity less maintenance is zero within half a cent of each contract held."""
    contract, others = case["contract"], case["others"]
    held = {"ETH" if each["ep"] < 10000 else "BTC": each for each in (contract, *others)}
    (name,) = (name for name, each in held.items() if each is contract)
    marks = {"ETH": 1335.18, "BTC": 31967.27} | {name: case["expected"]}
    equity, needed = binance(marks["ETH"], marks["BTC"]).margin(
        case["wallet_balance"], {name: (each["q"], each["ep"]) for name, each in held.items()}
    )
    assert abs(equity - needed) <= Decimal("0.005") * decimal(contract["q"])


@pytest.mark.parametrize("case", BINANCE["btcusdt"], ids=lambda case: case["notional"])
def test_binance_tier_of_a_notional(case: dict[str, str]) -> None:
    """The tier of BTCUSDT at 264,000 and at 500,000 USDT, read off the requirement at that size and at one above."""
    desk = binance("1000", "1000")
    quantity = decimal(case["notional"]) / 1000
    here, above = (desk.margin(0, {"BTC": (quantity + more, 0)})[1] for more in (0, 1))
    rate = (above - here) / 1000
    if "rate" in case:
        assert rate == decimal(case["rate"])
    if "amount" in case:
        assert rate * decimal(case["notional"]) - here == decimal(case["amount"])


# Deribit.

DERIBIT = figures("deribit_futures")
KNOTS = {"BTC_USDC": ["25", "100", "200", "350", "500"], "SOL_USDC": ["25", "1000", "3000", "6000", "12000"]}


PUBLISHED = [(case, kind) for case in DERIBIT["cases"] for kind in ("initial", "maintenance") if kind in case]


@pytest.mark.parametrize(("case", "kind"), PUBLISHED, ids=[f"{c['instrument']} {c['size']} {k}" for c, k in PUBLISHED])
def test_deribit_standard_margin_is_exact_at_knots(case: dict[str, str], kind: str) -> None:
    name = case["instrument"].partition("_")[0]
    rates = DERIBIT["rates"][case["instrument"]]
    curve = {"base": rates[f"{kind}_rate"], "slope": rates["increment"], "knots": KNOTS[case["instrument"]]}
    desk = Desk(
        # The mark is not the index: the page multiplies by the index.
        {name: {"mark": "123", "index": case["index"], "lot": "0.1", "limit": KNOTS[case["instrument"]][-1]}},
        {"model": "isolated_margin", "futures": {name: {"linear_in_size": curve}}},
    )
    assert desk.margin(0, {name: (case["size"], 0)})[1] == decimal(case[kind])
    assert desk.margin(0, {name: (-decimal(case["size"]), 0)})[1] == decimal(case[kind])


def test_deribit_overcharge_between_knots() -> None:
    """The chord from 25 to 100 BTC charges 5.9 % more than the quadratic at most, at about 47 BTC."""
    rates = DERIBIT["rates"]["BTC_USDC"]
    base, slope = decimal(rates["initial_rate"]), decimal(rates["increment"])
    curve = {"base": rates["initial_rate"], "slope": rates["increment"], "knots": KNOTS["BTC_USDC"]}
    desk = Desk(
        {"BTC": {"mark": "100000", "lot": "0.1", "limit": "500"}},
        {"model": "isolated_margin", "futures": {"BTC": {"linear_in_size": curve}}},
    )
    over = {}
    for size in range(25, 101):
        exact = size * (base + slope * size) * 100000
        over[size] = desk.margin(0, {"BTC": (size, 0)})[1] / exact - 1
    assert min(over.values()) == over[25] == over[100] == 0
    worst = max(over, key=lambda size: over[size])
    chord = slope * (worst - 25) * (100 - worst) / (base + slope * worst) / worst
    assert over[worst] == pytest.approx(chord, abs=Decimal("1e-12"))
    assert 44 < worst < 50
    assert Decimal("0.05") < over[worst] < Decimal("0.06")


# Paradex.

PARADEX = figures("paradex_margin")


def test_paradex_account_margin() -> None:
    case = PARADEX["account"]
    positions = {each["market"].partition("-")[0]: each for each in case["inputs"]["positions"]}
    desk = Desk(
        {name: {"mark": each["mark"], "lot": "0.01", "limit": "1000"} for name, each in positions.items()},
        {
            "model": "cross_margin",
            "by": "instrument",
            "futures": {name: {"rate": each["mmf"]} for name, each in positions.items()},
        },
    )
    held = {name: (each["size"], each["entry"]) for name, each in positions.items()}
    equity, needed = desk.margin(case["inputs"]["collateral"], held)
    assert equity == decimal(case["expected"]["account_value"])
    assert needed == decimal(case["expected"]["mmr"])
    assert desk.margin(0, held)[0] == decimal(case["expected"]["unrealised_pnl"])


def test_paradex_risk_check() -> None:
    case = PARADEX["risk_check"]
    given = case["inputs"]
    desk = Desk(
        {"SOL": {"mark": given["mark"], "lot": "1", "limit": "1000"}},
        {"model": "cross_margin", "by": "underlying", "futures": {"SOL": {"rate": given["imf"]}}},
    )
    equity, needed = desk.margin(given["collateral"], {"SOL": (given["position"], given["entry"])})
    assert (equity, needed) == (case["expected"]["account_value"], case["expected"]["account_imr"])


def test_paradex_open_size() -> None:
    """Orders are columns of their own: rate mark max(0, buys + position, sells - position)."""
    given, expected = PARADEX["open_size"]["inputs"], PARADEX["open_size"]["expected"]
    unit = decimal(given["imf"]) * decimal(given["mark"])
    sheet = Sheet(
        ["position", "buys", "sells"],
        {"buy": {"buys": unit, "position": unit}, "sell": {"sells": unit, "position": -unit}},
        PositivePart(Max((Linear("buy"), Linear("sell")))),
        "0.01",
    )
    found = sheet.margin(given["position"], given["buy_orders"], given["sell_orders"])
    assert found.requirement[0] * sheet.quantum == decimal(expected["net_imr"])
    assert found.worst_of(0) == "sell"
    # Without orders both sides are the position alone.
    assert sheet.requirement(-1, 0, 0) == sheet.requirement(1, 0, 0) == unit


def minimum_delta(unhedged: Decimal, hedged: Decimal, spot: int, delta: Decimal) -> Sheet:
    """Return (u - h/2) |net| + (h/2) sum |delta_i|, which is u |net| + h (gross - |net|) / 2; perpetual and a call."""
    net, half = (unhedged - hedged / 2) * spot, hedged / 2 * spot
    arrays = {
        "net": {"perpetual": abs(net), "call": abs(net) * delta},
        "perpetual": {"perpetual": half},
        "call": {"call": half * delta},
    }
    outright: Expression = Abs(Linear("net"))
    parts = (outright if net >= 0 else Scale(-1, outright), Abs(Linear("perpetual")), Abs(Linear("call")))
    return Sheet(["perpetual", "call"], arrays, Sum(parts), "0.01")


def test_paradex_minimum_delta() -> None:
    """One perpetual long, five calls of delta 0.3 short: net -0.5, gross 2.5."""
    given, expected = PARADEX["minimum_delta"]["inputs"], PARADEX["minimum_delta"]["expected"]
    rates = decimal(given["unhedged"]), decimal(given["hedged"])
    sheet = minimum_delta(*rates, given["spot"], Decimal("0.3"))
    assert sheet.requirement(1, -5) == decimal(expected["min_delta_risk"])
    assert sheet.requirement(0, -5) == rates[0] * Decimal("1.5") * given["spot"]


def test_minimum_delta_is_refused_where_a_hedge_costs_more_than_it_covers() -> None:
    """At u < h / 2 adding a hedge raises the requirement by more than the position did: not convex."""
    minimum_delta(Decimal("0.01"), Decimal("0.02"), 70000, Decimal("0.3"))
    with pytest.raises(CurvatureError, match="abs"):
        minimum_delta(Decimal("0.009"), Decimal("0.02"), 70000, Decimal("0.3"))


# Vega.

VEGA = figures("vega_margin")


def by_id(section: str) -> Any:
    return pytest.mark.parametrize("case", VEGA[section], ids=lambda case: case["id"])


@by_id("maintenance")
def test_vega_maintenance(case: dict[str, Any]) -> None:
    given = case["inputs"]
    rate = decimal(given["linear_slippage_factor"]) + decimal(given["risk_factor_short"])
    sheet = Sheet(["future"], {"futures": {"future": rate * given["mark"]}}, Abs(Linear("futures")), "0.01")
    assert sheet.requirement(given["position"]) == decimal(case["expected"])


@by_id("funding")
def test_vega_funding_margin(case: dict[str, Any]) -> None:
    """futures margin + f max(0, payment position): a payment that would be received is no collateral."""
    given, expected = case["inputs"], case["expected"]
    payment = decimal(given["margin_funding_factor"]) * decimal(expected["funding_payment"])
    sheet = Sheet(
        ["perpetual"],
        {"futures": {"perpetual": decimal(given["futures_margin"])}, "funding": {"perpetual": payment}},
        Sum((Abs(Linear("futures")), PositivePart(Linear("funding")))),
        "0.01",
    )
    assert sheet.requirement(given["position"]) == decimal(expected["total"])
    assert sheet.requirement(-given["position"]) != sheet.requirement(given["position"])


@by_id("isolated")
def test_vega_isolated_margin(case: dict[str, Any]) -> None:
    """A rate on the entry price, as a model with the mark at the entry price."""
    given = case["inputs"]
    desk = Desk(
        {"ETH": {"mark": given["entry"], "lot": "1", "limit": "100"}},
        {"model": "isolated_margin", "futures": {"ETH": {"rate": given["margin_factor"]}}},
    )
    equity, needed = desk.margin(0, {"ETH": (given["position"], given["entry"])})
    assert (equity, needed) == (0, decimal(case["expected"]))


@by_id("orders")
def test_vega_order_margin(case: dict[str, Any]) -> None:
    """Margin on what an order adds beyond the position it closes: price rate max(0, orders + position)."""
    given = case["inputs"]
    price = max(given["limit_price"], given.get("indicative_price", 0))
    rate = decimal(given.get("margin_factor", given.get("risk_factor_long"))) * price
    sheet = Sheet(
        ["position", "buys"], {"open": {"position": rate, "buys": rate}}, PositivePart(Linear("open")), "0.01"
    )
    size = given.get("size", given.get("buy_size"))
    assert sheet.requirement(-given.get("offsets", 0), size) == decimal(case["expected"])
    assert sheet.requirement(-size - 1, size) == 0


# Bybit.

BYBIT = figures("bybit_portfolio_margin")


def bybit(factor: Decimal = Decimal(1)) -> Sheet:
    """Return max over price scales of -(perpetual + spot hedge) + max over volatilities of -option, plus contingencies.

    One contract of each column is the whole position of the response. factor: on every array.
    """
    arrays: dict[str, dict[str, Decimal]] = {}
    scales: list[Expression] = []
    for number, (perpetual, hedge, option) in enumerate(
        zip(BYBIT["perpetual"], BYBIT["spot_hedge"], BYBIT["option"], strict=True)
    ):
        arrays[f"scale {number}"] = {"perpetual": factor * decimal(perpetual), "hedge": factor * decimal(hedge)}
        names = [f"volatility {number}.{shock}" for shock in range(len(option))]
        arrays.update({name: {"option": factor * decimal(pnl)} for name, pnl in zip(names, option, strict=True)})
        worst = Max(tuple(Scale(-1, Linear(name)) for name in names))
        scales.append(Sum((Scale(-1, Linear(f"scale {number}")), worst)))
    parts = {name: factor * decimal(value) for name, value in BYBIT["contingency"].items()}
    arrays["futures contingency"] = {"perpetual": parts["futureDeltaContingency"] + parts["futureContingency"]}
    loss = PositivePart(Max(tuple(scales)))
    return Sheet(
        ["perpetual", "option", "hedge"], arrays, Sum((loss, Abs(Linear("futures contingency")))), "0.000000001"
    )


def test_bybit_loss_and_contingency() -> None:
    """The loss at the worst of 33 scenarios plus contingencies; the response keeps four decimals of its totals."""
    margin = bybit().margin(1, 1, 1)
    expected = -min(map(decimal, BYBIT["all"])) + decimal(BYBIT["contingency"]["contingencyComponents"])
    assert abs(int(margin.requirement[0]) * Decimal("1e-9") - expected) <= Decimal("0.0001")
    assert margin.worst_of(0) == f"scale {BYBIT['scales'].index(BYBIT['worst_scale'])}"


def test_bybit_initial_margin_is_1_2_maintenance_margins() -> None:
    """Both from one expression, times the index price of USDT that the response leaves out: 0.99991."""
    index = decimal(BYBIT["maintenance_margin"]) / bybit().requirement(1, 1, 1)
    assert index == pytest.approx(Decimal("0.99991"), abs=Decimal("0.000005"))
    initial = bybit(Decimal("1.2")).requirement(1, 1, 1) * index
    assert initial == pytest.approx(decimal(BYBIT["initial_margin"]), abs=Decimal("1e-9"))


@pytest.mark.parametrize("number", range(len(BYBIT["scales"])))
def test_bybit_total_of_every_scale(number: int) -> None:
    """ALL = PERPETUAL + OPTION at its worst volatility + spot hedge, by the expression of one scale."""
    columns = {"perpetual": BYBIT["perpetual"][number], "hedge": BYBIT["spot_hedge"][number]}
    shocks = {f"volatility {n}": {"option": decimal(value)} for n, value in enumerate(BYBIT["option"][number])}
    # A constant keeps gains apart from zero, below which no requirement goes.
    base = {"base": {"account": Decimal(2000)}, "linear": {name: decimal(value) for name, value in columns.items()}}
    worst = SumLargest(1, tuple(Scale(-1, Linear(name)) for name in shocks))
    sheet = Sheet(
        ["perpetual", "option", "hedge"],
        {**base, **shocks},
        Sum((Linear("base"), Scale(-1, Linear("linear")), worst)),
        "0.00000001",
    )
    assert abs(2000 - sheet.requirement(1, 1, 1) - decimal(BYBIT["all"][number])) <= Decimal("0.0001")
