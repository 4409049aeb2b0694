"""Cascades against a replay written out in fractions, one account at a time, and by hand where that is possible."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate
from crossmargin.liquidation.cascade import CascadeConfig, replay_cascade
from crossmargin.liquidation.rule import Rule
from crossmargin.loading import load_folder
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.scenarios import Scenario
from crossmargin_circuits.layout import ColumnKind

BOOK = Path(__file__).parents[2] / "examples" / "book"

PRICES = {"A": Fraction(100), "B": Fraction(50)}
RATE = Fraction(1, 20)


def config(**data: Any) -> CascadeConfig:
    return CascadeConfig.model_validate(data)


def shock(**moves: str) -> Scenario:
    return Scenario(1, "shock", {name: Fraction(move) for name, move in moves.items()}, {})


def venue(
    desk: SimpleNamespace, cash_and_lots: list[tuple[int, int, int]]
) -> tuple[Rule, MarketEnvironment, csr_array]:
    """Return a 5 % rule and accounts of (USD, lots of A, lots of B), entered at the marks 100 and 50."""
    environment = desk.perpetuals({"A": "100", "B": "50"}, {"A": "1", "B": "1"})
    rule = desk.tiered({"AUSDT": [("0.05", "0")], "BUSDT": [("0.05", "0")]})
    records = [
        desk.record(environment, balance_USDT=cash, entry_USDT=-100 * a - 50 * b, AUSDT=a, BUSDT=b)
        for cash, a, b in cash_and_lots
    ]
    return rule, environment, desk.matrix(records)


def test_one_liquidation_pushes_the_next_one(desk: SimpleNamespace) -> None:
    """10 lots each at 100. At 95 the first (50 of cash) is closed: 950 USD into 19,000 of depth take 5 %, to 90.25.

    The second (140) has 42.5 there and needs 45.125: its 902.5 USD take another 4.75 %, to 85.963125. The third (300)
    has 159.6 and needs 43.
    """
    rule, environment, records = venue(desk, [(50, 10, 0), (140, 10, 0), (300, 10, 0)])
    before = records.copy()
    result = replay_cascade(rule, environment, records, shock(A="-0.05"), config(depth={"A": "19000"}))
    assert [step.liquidated.tolist() for step in result.steps] == [[0], [1]]
    assert [step.prices["A"] for step in result.steps] == [Decimal(95), Decimal("90.25")]
    assert [step.moves for step in result.steps] == [{"A": Fraction(-5, 100)}, {"A": Fraction(-475, 10_000)}]
    assert result.environment.market.marks["AUSDT"].price == Decimal("85.963125")
    assert [step.sold["A"] for step in result.steps] == pytest.approx([950, 902.5])
    assert result.quiet
    assert result.uncovered == result.stuck == 0
    left = result.records.toarray()
    assert left[:, -2:].tolist() == [[0, 0], [0, 0], [10, 0]]
    # What the first one keeps: 50 - 50 of loss; balance and entry value together.
    assert (left[:, 0] + left[:, 1]).tolist()[:2] == [0, 140 * 10**6 - 975 * 10**5]
    assert np.array_equal(records.toarray(), before.toarray())


def test_depth_bounds_the_cascade(desk: SimpleNamespace) -> None:
    """Without impact only those go whom the shock reaches; in a long book less depth never spares anybody."""
    rule, environment, records = venue(desk, [(40 + 12 * number, 10, 0) for number in range(20)])
    reached = []
    for depth in (None, "1000000", "30000", "10000"):
        depths = {} if depth is None else {"A": depth}
        reached.append(
            set(replay_cascade(rule, environment, records, shock(A="-0.1"), config(depth=depths)).liquidated)
        )
    alone = evaluate(rule.compiled(environment.moved(shock(A="-0.1"))), records)
    assert reached[0] == set(np.flatnonzero(alone.excess < 0))
    assert all(first <= second for first, second in pairwise(reached))
    assert len(reached[0]) < len(reached[-1])


def test_fund_then_uncovered(desk: SimpleNamespace) -> None:
    """At 80 both lost 200: deficits 150 and 80 against a fund of 170 and fees of 0.1 % of 1,600."""
    rule, environment, records = venue(desk, [(50, 10, 0), (120, 10, 0)])
    terms = config(fund="170", fee_rate="0.001", share="0.25")
    result = replay_cascade(rule, environment, records, shock(A="-0.2"), terms)
    (step,) = result.steps
    assert step.liquidated.tolist() == step.bankrupt.tolist() == [0, 1]
    assert step.fees == 160_000_000
    assert step.deficits == 23_000_000_000 + 160_000_000
    assert step.fund_pays == 17_000_000_000 + 160_000_000
    assert (result.fund, result.uncovered) == (0, 6_000_000_000)
    assert result.records.toarray().tolist() == [[0, 0, 0, 0]] * 2


def test_account_without_positions_is_stuck(desk: SimpleNamespace) -> None:
    rule, environment, records = venue(desk, [(-5, 0, 0), (500, 1, 0)])
    result = replay_cascade(rule, environment, records, shock(A="-0.01"), config())
    assert (result.steps, result.quiet, result.stuck) == ((), True, 1)


def test_rounds_are_bounded(desk: SimpleNamespace) -> None:
    rule, environment, records = venue(desk, [(50, 10, 0), (140, 10, 0), (300, 10, 0)])
    result = replay_cascade(rule, environment, records, shock(A="-0.05"), config(depth={"A": "19000"}, rounds="1"))
    assert len(result.steps) == 1
    assert not result.quiet


@dataclass
class Plain:
    """One account in fractions: worth = cash + entry value + lots * price."""

    cash: Fraction
    lots: dict[str, int]

    def equity(self, prices: dict[str, Fraction]) -> Fraction:
        return self.cash + sum(count * prices[name] for name, count in self.lots.items())

    def needed(self, prices: dict[str, Fraction]) -> Fraction:
        return RATE * sum(abs(count) * prices[name] for name, count in self.lots.items())


def plain_replay(
    accounts: list[Plain], prices: dict[str, Fraction], depth: dict[str, Fraction], share: Fraction, fee: Fraction
) -> tuple[list[list[int]], dict[str, Fraction], Fraction]:
    """Return rows liquidated by round, last prices, and deficits less fees (a fund that may go below zero)."""
    rounds: list[list[int]] = []
    lost = Fraction(0)
    while len(rounds) < 60:
        rows = [
            n
            for n, each in enumerate(accounts)
            if any(each.lots.values()) and each.equity(prices) < each.needed(prices)
        ]
        if not rows:
            break
        sold = dict.fromkeys(prices, Fraction(0))
        for row in rows:
            account = accounts[row]
            broke = account.equity(prices) <= 0
            for name, count in account.lots.items():
                closed = abs(count) if broke else -((-share * abs(count)).__floor__())
                signed = closed if count > 0 else -closed
                account.lots[name] -= signed
                account.cash += signed * prices[name] - fee * closed * prices[name]
                lost -= fee * closed * prices[name]
                sold[name] += signed * prices[name]
            if not any(account.lots.values()) and account.cash < 0:
                lost -= account.cash
                account.cash = Fraction(0)
        rounds.append(rows)
        for name in prices:
            move = Fraction(round(-sold[name] / depth[name] * 10**9), 10**9)
            prices[name] *= 1 + min(max(move, Fraction(-1, 2)), Fraction(1, 2))
    return rounds, prices, lost


@pytest.mark.parametrize("seed", range(12))
def test_replay_in_fractions_agrees(seed: int, desk: SimpleNamespace) -> None:
    generator = np.random.default_rng(seed)
    book = []
    for _ in range(40):
        a, b = (int(n) for n in generator.integers(-30, 31, 2))
        book.append((int((abs(a) * 100 + abs(b) * 50) * generator.uniform(0.06, 0.25)) + 1, a, b))
    rule, environment, records = venue(desk, book)
    share, fee = Decimal(str(generator.choice(["0.2", "0.5", "1"]))), Decimal("0.0005")
    depth = {"A": str(int(generator.integers(20_000, 200_000))), "B": str(int(generator.integers(10_000, 90_000)))}
    terms = config(share=str(share), fee_rate=str(fee), depth=depth, fund="1000000", rounds="60")
    moves = {"A": "-0.08", "B": "0.05"} if seed % 2 else {"A": "0.1"}
    result = replay_cascade(rule, environment, records, shock(**moves), terms)
    accounts = [Plain(Fraction(cash - 100 * a - 50 * b), {"A": a, "B": b}) for cash, a, b in book]
    prices = {name: price * (1 + Fraction(moves.get(name, "0"))) for name, price in PRICES.items()}
    rounds, prices, lost = plain_replay(
        accounts, prices, {name: Fraction(usd) for name, usd in depth.items()}, Fraction(share), Fraction(fee)
    )
    assert [step.liquidated.tolist() for step in result.steps] == rounds
    assert rounds
    for name, price in prices.items():
        assert float(result.environment.market.marks[f"{name}USDT"].price) == pytest.approx(float(price), rel=1e-9)
    assert (10**6 * 10**8 - result.fund) / 1e8 == pytest.approx(float(lost), abs=1e-3)
    dense = result.records.toarray()
    for row, account in enumerate(accounts):
        assert dense[row, -2:].tolist() == [account.lots["A"], account.lots["B"]]
        # A micro-dollar of rounding, against the account, for every trade and fee.
        off = float(account.cash) - float(dense[row, 0] + dense[row, 1]) / 1e6
        assert -1e-6 <= off <= 4e-6 * (len(rounds) + 1)


def test_exposure_of_inverse_contracts_and_options() -> None:
    """Closing 100 long inverse contracts of 10 USD sells 1,000 USD of BTC; a call sells by its delta, less than one."""
    book = load_folder(BOOK)
    layout = book.environment.catalogue.layout()
    rule = Rule("test-venue", book.model, "maintenance")

    def sold(name: str, lots: int) -> float:
        record = np.zeros(len(layout), dtype=np.int64)
        record[layout.index(ColumnKind.BALANCE, "USDC")] = -(10**11)
        record[layout.index(ColumnKind.POSITION, name)] = lots
        records = csr_array(record[None, :])
        terms = config(depth={"BTC": "1000000000"})
        (step,) = replay_cascade(rule, book.environment, records, shock(), terms).steps
        assert step.bankrupt.tolist() == [0]
        return step.sold["BTC"]

    assert sold("BTC-PERPETUAL", 100) == pytest.approx(1000, rel=1e-3)
    assert sold("BTC-PERPETUAL", -100) == pytest.approx(-1000, rel=1e-3)
    spot = float(book.environment.market.index["BTC"].price)
    size = float(book.environment.catalogue.instrument("BTC-27JUN25-85000-C").lot)
    call, put = sold("BTC-27JUN25-85000-C", 10), sold("BTC-27JUN25-85000-P", 10)
    assert 0 < call < 10 * size * spot
    assert -10 * size * spot < put < 0


def test_cascade_of_the_example_book_is_repeatable() -> None:
    book = load_folder(BOOK)
    rule = Rule("test-venue", book.model, "maintenance")
    terms = config(share="0.2", depth={"BTC": "20000000", "ETH": "5000000", "SOL": "1000000"}, fee_rate="0.0005")
    first, second = (
        replay_cascade(rule, book.environment, book.book.records, shock(BTC="-0.1", ETH="-0.12"), terms)
        for _ in range(2)
    )
    assert len(first.steps) > 3
    assert first.quiet
    assert [step.moves for step in first.steps] == [step.moves for step in second.steps]
    assert (first.records != second.records).nnz == 0
    last = evaluate(rule.compiled(first.environment), first.records)
    assert int((last.excess < 0).sum()) == first.stuck
    with pytest.raises(ValueError, match="depth of DOGE"):
        replay_cascade(rule, book.environment, book.book.records, shock(), config(depth={"DOGE": "1"}))
