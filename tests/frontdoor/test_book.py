"""A loaded book answers in money: the same figures as the engine, exactly, and refusals that help."""

import json
import shutil
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import crossmargin as cm
from crossmargin.cli.margin.show import show
from crossmargin_circuits.errors import CrossmarginError

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "examples" / "small"
PERPETUAL = "BTC_USDC-PERPETUAL"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a copy of the small book."""
    return Path(shutil.copytree(SMALL, tmp_path / "book"))


def replace_line(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("statement", ["maintenance", "initial"])
def test_margin_is_what_the_command_prints(book: cm.Book, statement: str) -> None:
    done = CliRunner().invoke(show, ["--book", str(SMALL), "--statement", statement, "--json"])
    said = json.loads(done.stdout)
    quantum = Fraction(said["value_unit"]["quantum"])
    rows = book.margin(statement).frame().rows(named=True)
    assert [row["account"] for row in rows] == [each["account"] for each in said["accounts"]]
    for row, each in zip(rows, said["accounts"], strict=True):
        for name in ("equity", "requirement", "excess", "shortfall"):
            assert Fraction(row[name]) == quantum * int(each[name])
        assert (row["worst_scenario"] or "none") == each["worst scenario"]


def test_totals_add_up_and_choices_are_margins(book: cm.Book) -> None:
    margin = book.margin()
    frame = margin.frame()
    for name in ("equity", "requirement", "excess", "shortfall"):
        assert getattr(margin, name) == frame[name].sum()
    sunk = frame.filter(pl.col("excess") < 0)
    assert margin.under_water.accounts == tuple(sunk["account"])
    assert margin.under_water.shortfall == -sunk["excess"].sum()
    assert margin.least(3).accounts == tuple(frame.sort("excess")["account"][:3])
    assert len(margin.bankrupt) == 0
    assert margin.bankrupt.ratio is None
    assert margin.bankrupt.frame().schema == frame.schema
    assert margin.of("acct-d").frame().rows() == frame.filter(account="acct-d").rows()


def test_deficit_is_the_negative_equity_of_a_shock(book: cm.Book) -> None:
    after = book.stress({"BTC": "-0.2"}).after
    sunk = after.frame().filter(pl.col("equity") < 0)
    assert len(sunk) == len(after.bankrupt) == 1
    assert after.deficit == -sunk["equity"].sum() == after.bankrupt.deficit > 0


def test_what_if_is_the_book_that_holds_the_trade(book: cm.Book, copied: Path) -> None:
    """Account acct-b has no inverse perpetual: a trade at the mark is a line with the mark as its entry price."""
    mark = book.market.marks["BTC-PERPETUAL"].price
    with (copied / "positions.csv").open("a", encoding="utf-8") as file:
        file.write(f"acct-b,,BTC-PERPETUAL,-700,{mark}\n")
    replace_line(copied / "balances.csv", "acct-b,,USDC,65000\n", "acct-b,,USDC,64000.5\n")
    change = book.what_if("acct-b", {"BTC-PERPETUAL": -700}, {"USDC": Decimal("-999.5")})
    assert change.before.frame().rows() == book.margin().of("acct-b").frame().rows()
    assert change.after.frame().rows() == cm.load(copied).margin().of("acct-b").frame().rows()


def test_stress_is_the_book_at_the_moved_prices(book: cm.Book) -> None:
    """A fall by a half and a rise that makes up for it are no shock at all: 0.5 * 2 = 1, to 15 digits."""
    half = book.stress({"BTC": -0.5})
    assert half.before.frame().rows() == book.margin().frame().rows()
    inputs = book.inputs
    market = inputs.market
    moved = market.model_copy(
        update={
            "index": {**market.index, "BTC": _halved(market.index["BTC"])},
            "marks": {name: _halved(each) for name, each in market.marks.items()},
            "options": {
                name: each.model_copy(update={"forward": each.forward / 2, "bid": None, "ask": None})
                for name, each in market.options.items()
                if each.forward is not None
            },
        }
    )
    assert len(moved.options) == len(market.options)
    assert all(each.underlying == "BTC" for each in inputs.catalogue.instruments)
    there = cm.Book(replace(inputs, market=moved)).margin()
    assert half.after.frame().rows() == there.frame().rows()


def _halved(quote: object) -> object:
    price = quote.price  # type: ignore[attr-defined]
    update = {"price": price / 2} | ({"bid": None, "ask": None} if hasattr(quote, "bid") else {})
    return quote.model_copy(update=update)  # type: ignore[attr-defined]


def test_scenarios_decide_the_requirement(book: cm.Book) -> None:
    """This model charges the worst of its scenarios and nothing else."""
    for account in book.accounts:
        found = book.scenarios(account)
        margin = book.margin().of(account)
        assert max(Decimal(0), -found["pnl"].min()) == margin.requirement
        worst = margin.frame()["worst_scenario"][0]
        if worst is not None:
            assert found.filter(scenario=worst)["pnl"].to_list() == [-margin.requirement]


def test_charges_by_size_are_no_scenarios() -> None:
    book = cm.load(ROOT / "examples" / "book")
    account = book.accounts[0]
    charged = book.with_model(ROOT / "examples" / "models" / "cross_margin.yaml")
    assert charged.margin().of(account).requirement > 0
    assert charged.scenarios(account).rows() == []
    assert charged.scenarios(account).schema == book.scenarios(account).schema


def test_explanation_adds_up(book: cm.Book) -> None:
    for account in book.accounts:
        explanation, margin = book.explain(account, "initial"), book.margin("initial").of(account)
        assert (explanation.equity, explanation.requirement) == (margin.equity, margin.requirement)
        assert explanation.frame()["equity"].sum() == margin.equity
        assert explanation.frame()["requirement"].sum() == margin.requirement
        assert explanation.value - explanation.haircut == explanation.equity
        components = explanation.components()
        assert components.filter(~pl.col("component").str.contains(" / "))["amount"].sum() == margin.requirement
    alone = book.explain("acct-a").sub_accounts()
    assert alone["sub_account"].to_list() == ["", "hedge"]
    assert alone["requirement"].sum() - book.margin().of("acct-a").requirement == book.explain("acct-a").pooling_saves


def test_at_its_liquidation_price_an_account_has_what_it_needs(book: cm.Book) -> None:
    found = book.liquidation_price("acct-a", PERPETUAL)
    assert found.price is not None
    assert found.distance == pytest.approx(found.price / 85422.5 - 1)
    inputs = book.inputs
    mark = inputs.market.marks[PERPETUAL].model_copy(
        update={"price": Decimal(repr(found.price)), "bid": None, "ask": None}
    )
    market = inputs.market.model_copy(update={"marks": {**inputs.market.marks, PERPETUAL: mark}})
    there = cm.Book(replace(inputs, market=market)).margin().of("acct-a")
    assert abs(there.excess) < Decimal("0.01")


def test_a_passed_price_is_none_and_said_to_be_passed(book: cm.Book) -> None:
    found = book.liquidation_price("acct-d", "BTC-PERPETUAL")
    assert (found.price, found.is_under_water, found.is_bankrupt) == (None, True, False)
    assert "passed" in repr(found)
    assert found.bankruptcy_price is not None


def test_another_model_leaves_the_book_as_it_is(book: cm.Book) -> None:
    before = book.margin().requirement
    data = book.model.model_dump(mode="json", exclude_none=True)
    data["scan"]["BTC"]["price_range"] = "0.3"
    other = book.with_model(data)
    assert other.margin().of("acct-c").requirement > book.margin().of("acct-c").requirement
    assert book.margin().requirement == before
    assert book.with_model(cm.load_model(data)).margin().frame().rows() == other.margin().frame().rows()


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda book: book.margin("coverage"), "coverage has no requirement; choose a margin statement: maintenance"),
        (lambda book: book.margin("bankruptcy"), "no statement is called bankruptcy"),
        (lambda book: book.explain("acct-z"), "no account 'acct-z'"),
        (lambda book: book.margin().of("acct-z"), "no account 'acct-z'"),
        (lambda book: book.scenarios("acct-z"), "no account 'acct-z'"),
        (lambda book: book.what_if("acct-z", {}), "no account 'acct-z'"),
        (lambda book: book.what_if("acct-a", {"DOGE-PERPETUAL": 1}), "DOGE-PERPETUAL is not an instrument"),
        (lambda book: book.what_if("acct-a", {}, {"DOGE": 1}), "DOGE is not an asset"),
        (
            lambda book: book.what_if("acct-a", {PERPETUAL: 0.5}),
            f"^finer than the lot of {PERPETUAL}; write a multiple of 1",
        ),
        (
            lambda book: book.what_if("acct-a", {PERPETUAL: 10**9}),
            "entry USDC is beyond its limit; trade or deposit less",
        ),
        (lambda book: book.what_if("acct-a", {}, {"USDC": -(10**12)}), "balance USDC is beyond its limit"),
        (lambda book: book.what_if("acct-d", {}, {"SOL": -3}), "negative balance of SOL, which cannot be borrowed"),
        (lambda book: book.stress({"DOGE": -0.1}), "nothing follows DOGE"),
        (lambda book: book.stress({"BTC": -1}), "not in -1 < value"),
        (lambda book: book.stress({"BTC": float("nan")}), "BTC: not a finite number"),
        (lambda book: book.stress({}), "nothing moves"),
        (lambda book: book.liquidation_price("acct-a", "BTC-PERPETUAL"), "holds no perpetual or future BTC-PERPETUAL"),
        (lambda book: book.with_model({"model": "by_feel"}), "model: not one of cross_margin"),
        (lambda book: book.with_model({**book.model.model_dump(), "strict": 0.5}), "strict: neither true nor false"),
        (lambda book: book.with_model(ROOT / "examples/models/span.yaml"), "span.yaml, .*ETH"),
        (lambda book: cm.load("no such folder"), "no such folder: "),
    ],
)
def test_refusals_say_what_is_wrong(book: cm.Book, ask: object, reason: str) -> None:
    with pytest.raises(CrossmarginError, match=reason) as caught:
        ask(book)  # type: ignore[operator]
    assert isinstance(caught.value, cm.InputError | cm.InputErrors)


def test_bad_accounts_are_listed_where_asked_for(copied: Path) -> None:
    replace_line(copied / "balances.csv", "acct-d,,SOL,2.5\n", "acct-d,,SOL,-2.5\n")
    with pytest.raises(cm.InputErrors, match=r"balances\.csv, line 10, amount"):
        cm.load(copied)
    book = cm.load(copied, reject_bad_accounts=True)
    assert {each.account for each in book.rejected} == {"acct-d"}
    assert "acct-d" not in book.accounts
    assert len(book) == 4


def test_reprs_hold_totals_and_never_a_book() -> None:
    book = cm.load(ROOT / "examples" / "book")
    margin = book.margin()
    sunk = margin.under_water.accounts
    change = book.stress({"BTC": "-0.3"})
    for value in (book.market, book.catalogue, book.model, book.inputs.history):
        assert len(repr(value)) < 120
        assert str(value) == repr(value)
    for value in (book, margin, change):
        assert len(repr(value)) < 400
        assert not any(account in text for text in [repr(value)] for account in book.accounts)
    assert "1,000 accounts" in repr(margin)
    assert f"{len(sunk)} under water" in repr(margin)
    for page in (margin._repr_html_(), change._repr_html_()):
        assert sum(account[:16] in page for account in book.accounts) == 10


def test_money_in_reprs_is_rounded_down(book: cm.Book) -> None:
    excess = book.margin().of("acct-d").excess
    assert excess == Decimal("-2062.54444485")
    assert "excess -2,062.55 USD; under water" in repr(book.margin().of("acct-d"))


def test_worst_scenarios_of_chosen_accounts_are_theirs(book: cm.Book) -> None:
    frame = book.margin().frame()
    chosen = book.margin().least(5).frame()
    assert chosen.sort("account").rows() == frame.sort("account").rows()
    assert np.array_equal(np.sort(chosen["excess"].to_numpy()), chosen["excess"].to_numpy())


def test_names_of_strangers_are_text_in_notebooks(copied: Path) -> None:
    for file in copied.glob("*.csv"):
        file.write_text(file.read_text(encoding="utf-8").replace("acct-d", "<img src=x>"), encoding="utf-8")
    book = cm.load(copied)
    change, explanation = book.stress({"BTC": "-0.1"}), book.explain("<img src=x>")
    for shown in (book.margin(), book.margin().of("<img src=x>"), change, explanation):
        assert "&lt;img" in shown._repr_html_()
        assert "<img" not in shown._repr_html_()
