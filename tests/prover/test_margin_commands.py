"""`crossmargin margin`: what the commands print is what the margin core computes, as tables, JSON and plots."""

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from crossmargin.analysis.stress import Shock
from crossmargin.engine.evaluate import evaluate
from crossmargin.loading import Inputs, load_folder, load_margin_model
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_prover.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
BOOK = EXAMPLES / "book"
MODELS = EXAMPLES / "models"
BANKRUPT = "cd092a65252c0f7d79b294d677b303a6"
UNDER_WATER = "1c197158792601c7a99269b71f2e6ada"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["margin", *map(str, arguments)], catch_exceptions=False)


def data(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def book() -> Inputs:
    return load_folder(BOOK)


def requirement(book: Inputs, model: str, statement: str = "maintenance") -> int:
    policy = build_policy("test", book.environment, load_margin_model(MODELS / f"{model}.yaml"), statement)
    return sum(evaluate(compile_policy(policy), book.book.records).requirement.tolist())


def test_compare_puts_models_side_by_side(book: Inputs, tmp_path: Path) -> None:
    names = ("span", "isolated_margin", "expected_shortfall")
    options = [part for name in names for part in ("--model", MODELS / f"{name}.yaml")]
    found = data("compare", "--book", BOOK, *options)["models"]
    assert [each["model"] for each in found] == ["model.yaml", *(f"{name}.yaml" for name in names)]
    for each, name in zip(found[1:], names, strict=True):
        assert int(each["requirement"]) == requirement(book, name)
        assert int(each["equity"]) - int(each["requirement"]) == int(each["excess"])
        assert int(each["segregated requirement"]) >= int(each["requirement"])
        saved = 1 - Decimal(each["requirement"]) / Decimal(each["segregated requirement"])
        assert abs(Decimal(str(each["pooling efficiency"])) - saved) < Decimal("1e-6")
    shown = run("compare", "--book", BOOK, *options, "--plot", tmp_path / "models.svg")
    assert all(f"{name}.yaml" in shown.stdout for name in names)
    assert all(f"{name}.yaml" in (tmp_path / "models.svg").read_text(encoding="utf-8") for name in names)


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "span.yaml").write_bytes((MODELS / "span.yaml").read_bytes())
    result = run("compare", "--book", BOOK, "--model", MODELS / "span.yaml", "--model", tmp_path / "span.yaml")
    assert result.exit_code == 2
    assert "two models are called span.yaml" in result.output


def test_model_that_does_not_fit_names_its_own_file(tmp_path: Path) -> None:
    text = (MODELS / "delta_margin.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("  SOL:", "  DOGE:"), encoding="utf-8")
    result = run("show", "--book", BOOK, "--model", tmp_path / "mine.yaml")
    assert result.exit_code == 1
    assert "mine.yaml, line 7, scan: no scan range for underlying SOL" in result.output


def test_stress_is_the_book_at_the_moved_market(book: Inputs, tmp_path: Path) -> None:
    moves = ("--price", "BTC=-0.3", "--price", "ETH=-0.4", "--volatility", "BTC=0.5")
    before, after = data("stress", "--book", BOOK, *moves)["shocks"]
    shock = Shock.model_validate(
        {"name": "test", "prices": {"BTC": "-0.3", "ETH": "-0.4"}, "volatilities": {"BTC": "0.5"}}
    )
    moved = book.environment.moved(shock.scenario(1))
    margin = evaluate(compile_policy(build_policy("test", moved, book.model, "maintenance")), book.book.records)
    assert int(after["equity"]) == sum(margin.equity.tolist())
    assert int(after["requirement"]) == sum(margin.requirement.tolist())
    assert after["accounts bankrupt"] == np.count_nonzero(margin.equity < 0) > before["accounts bankrupt"]
    assert int(after["deficit"]) == -sum(min(0, each) for each in margin.equity.tolist())
    named = run("stress", "--book", BOOK, "--shocks", EXAMPLES / "shocks.yaml", "--plot", tmp_path / "shocks.png")
    assert "all fall by a third" in named.stdout
    assert (tmp_path / "shocks.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ((), 2, "nothing moves"),
        (("--price", "BTC"), 2, "write NAME=MOVE"),
        (("--price", "BTC=-0.1", "--price", "BTC=0.1"), 2, "each name once"),
        (("--price", "BTC=-1"), 2, "not in -1 < value"),
        (("--price", "BTC=half"), 2, "not a finite decimal"),
        (("--price", "DOGE=-0.1"), 1, "nothing follows DOGE"),
        (("--volatility", "USDC=0.1"), 1, "nothing follows USDC"),
        (("--price", "BTC=-0.1", "--statement", "coverage"), 2, "choose a margin statement"),
        (("--price", "BTC=-0.1", "--statement", "other"), 1, "no statement is called other"),
        (("--price", "BTC=-0.1", "--plot", "plot.pdf"), 1, "ends in .svg or .png"),
    ],
)
def test_what_is_no_shock_is_refused(options: tuple[str, ...], code: int, reason: str) -> None:
    result = run("stress", "--book", BOOK, *options)
    assert result.exit_code == code
    assert reason in " ".join(result.output.split())


def test_replay_ends_at_the_market_of_today(tmp_path: Path) -> None:
    model = MODELS / "dynamic_scenario.yaml"
    plots = [tmp_path / "first.svg", tmp_path / "second.svg"]
    found = data("replay", "--book", BOOK, "--model", model, "--rows", 8, "--plot", plots[0])
    assert [len(each["path"]) for each in found["models"]] == [8, 8]
    for each, options in zip(found["models"], ((), ("--model", model)), strict=True):
        path = [int(step["requirement"]) for step in each["path"]]
        today = sum(int(row["requirement"]) for row in data("show", "--book", BOOK, *options)["accounts"])
        # Underlyings end at the index prices of today, and nothing else of the example moves.
        assert abs(path[-1] - today) <= 1e-6 * today
        assert each["peak to trough"] == pytest.approx(max(path) / min(path))
    one = data("replay", "--book", BOOK, "--rows", 3, "--account", UNDER_WATER)["models"][0]["path"]
    assert 0 < int(one[-1]["requirement"]) < int(found["models"][0]["path"][-1]["requirement"])
    run("replay", "--book", BOOK, "--model", model, "--rows", 8, "--plot", plots[1])
    assert plots[0].read_bytes() == plots[1].read_bytes()


def test_replay_needs_a_path(tmp_path: Path) -> None:
    result = run("replay", "--book", EXAMPLES / "small")
    assert result.exit_code == 1
    assert "no path of prices" in result.output
    (tmp_path / "path.csv").write_text("time,BTC\n2025-01-01T00:00:00Z,1\n2025-01-01T00:00:00Z,2\n", encoding="utf-8")
    result = run("replay", "--book", EXAMPLES / "small", "--history", tmp_path / "path.csv")
    assert result.exit_code == 1
    assert "path.csv, line 3, time: not later than the time before" in result.output


def test_liquidation_lists_sets_and_waterfall() -> None:
    found = data("liquidation", "--book", BOOK)
    accounts = {row["account"]: row for row in data("show", "--book", BOOK)["accounts"]}
    lacking = {account: row["shortfall"] for account, row in accounts.items() if int(row["shortfall"])}
    assert {each["account"]: each["lacks"] for each in found["liquidated"]} == lacking
    assert {each["account"] for each in found["liquidated"]} < {each["account"] for each in found["called"]}
    deficits = -sum(min(0, int(row["equity"])) for row in accounts.values())
    assert int(found["waterfall"]["deficits"]) == deficits == int(found["waterfall"]["fund pays"])
    shown = run("liquidation", "--book", BOOK)
    assert BANKRUPT in shown.stdout and "nobody covers 0.00" in shown.stdout


def test_plan_restores_the_account() -> None:
    found = data("liquidation", "--book", BOOK, "--account", UNDER_WATER, "--costs", EXAMPLES / "closing_costs.yaml")
    assert int(found["excess"]) < 0 <= int(found["plan"]["slack"])
    assert found["plan"]["close lots"] and found["plan"]["least"]
    shown = run("liquidation", "--book", BOOK, "--account", UNDER_WATER, "--buffer", "0.1")
    assert "plan that restores a buffer of 10%" in shown.stdout
    ruined = run("liquidation", "--book", BOOK, "--account", BANKRUPT)
    assert "no plan: no closing of positions restores the buffer" in ruined.stdout


@pytest.mark.parametrize("buffer", ["-0.1", "eleven", "11", "nan"])
def test_buffer_that_is_none_is_refused(buffer: str) -> None:
    assert run("liquidation", "--book", BOOK, "--account", UNDER_WATER, "--buffer", buffer).exit_code == 2


def test_cascade_tells_its_rounds(tmp_path: Path) -> None:
    shock = ("--price", "BTC=-0.2", "--price", "ETH=-0.2", "--price", "SOL=-0.2")
    options = ("--book", BOOK, *shock, "--market", EXAMPLES / "cascade.yaml")
    found = data("cascade", *options, "--plot", tmp_path / "cascade.svg")
    assert found["quiet"] and len(found["rounds"]) > 2
    paid = sum(int(each["fund pays"]) for each in found["rounds"])
    fees = sum(int(each["fees"]) for each in found["rounds"])
    assert int(found["fund"]) == 2_500_000 * 10**8 + fees - paid
    assert f"{found['accounts liquidated']} accounts liquidated" in (tmp_path / "cascade.svg").read_text("utf-8")
    assert f"{found['accounts liquidated']} accounts liquidated" in run("cascade", *options).stdout


def test_depth_of_what_is_no_underlying_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thin.yaml").write_text('depth:\n  BTC: "1000"\n  DOGE: "1"\n', encoding="utf-8")
    result = run("cascade", "--book", BOOK, "--price", "BTC=-0.2", "--market", tmp_path / "thin.yaml")
    assert result.exit_code == 1
    assert "thin.yaml, line 3, depth.DOGE: DOGE is not an underlying" in result.output


def test_crowding_is_the_file_of_the_example_book() -> None:
    result = run("crowding", "--book", BOOK, "--model", MODELS / "contagion_scenario.yaml")
    totals = yaml.safe_load(result.stdout)
    stated = yaml.load((BOOK / "crowding.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506
    assert totals["exposures"].keys() == stated["exposures"].keys()
    for name, each in totals["exposures"].items():
        assert Decimal(each["large_longs"]) + Decimal(each["large_shorts"]) <= Decimal(each["gross"]), name
    assert run("crowding", "--book", BOOK).exit_code == 1


def test_models_lists_what_each_costs_to_prove() -> None:
    rows = {(each["model"], each["statement"]): each for each in data("models", "--book", BOOK)}
    assert set(rows) == {("model.yaml", name) for name in ("maintenance", "initial", "coverage")}
    assert rows["model.yaml", "coverage"]["rows"] == 5
    assert all(each["bits"] <= 63 for each in rows.values())
    assert "coverage" in run("models", "--book", BOOK).stdout


def test_plots_say_what_they_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("show", "--book", EXAMPLES / "small", "--plot", tmp_path / "small.svg")
    assert result.exit_code == 1
    assert "install crossmargin[plots]" in result.output


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_show_and_explain_draw(kind: str, tmp_path: Path) -> None:
    small = EXAMPLES / "small"
    for name, arguments in (("show", ()), ("explain", ("--account", "acct-a"))):
        file = tmp_path / f"{name}.{kind}"
        assert run(name, "--book", small, *arguments, "--plot", file).exit_code == 0
        assert file.stat().st_size > 1000


@pytest.mark.parametrize("statement", ["coverage", "crowding"])
@pytest.mark.parametrize(
    ("command", "option"),
    [("show", "statement"), ("stress", "statement"), ("liquidation", "initial"), ("liquidation", "maintenance")],
)
def test_a_statement_without_a_requirement_is_refused(command: str, option: str, statement: str) -> None:
    move = ("--price", "BTC=-0.1") if command == "stress" else ()
    model = MODELS / "contagion_scenario.yaml"
    result = run(command, "--book", BOOK, "--model", model, *move, f"--{option}", statement)
    assert result.exit_code == 2
    assert f"{statement} has no requirement; choose a margin statement" in result.stderr


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("fee_rate: '0.1'\nfees: {BTC-PERPETUAL: '0.1', BTC-PERP: '0.2'}\n", 2, "fees.BTC-PERP"),
        ("depth:\n  BTC-PERP: [{slippage: '0.1'}]\n", 2, "depth.BTC-PERP"),
    ],
)
def test_costs_of_what_is_no_instrument_are_refused(tmp_path: Path, text: str, line: int, field: str) -> None:
    """They would apply to nothing, and the plan would be taken for one at these costs."""
    costs = tmp_path / "costs.yaml"
    costs.write_text(text, encoding="utf-8")
    result = run("liquidation", "--book", BOOK, "--account", BANKRUPT, "--costs", costs)
    assert result.exit_code == 1
    assert f"costs.yaml, line {line}, {field}: BTC-PERP is not an instrument" in result.stderr


def test_a_shock_of_nothing_is_refused_where_it_stands(tmp_path: Path) -> None:
    shocks = tmp_path / "shocks.yaml"
    shocks.write_text("shocks:\n- {name: a, prices: {BTC: '-0.1'}}\n- {name: b, prices: {XYZ: '-0.1'}}\n", "utf-8")
    result = run("stress", "--book", BOOK, "--shocks", shocks, "--price", "QQQ=0.1")
    assert result.exit_code == 1
    assert "shocks.yaml, line 3, shocks[1].prices.XYZ: nothing follows XYZ" in result.stderr
    assert "command line, prices.QQQ: nothing follows QQQ" in result.stderr


def test_a_path_of_other_names_is_refused(tmp_path: Path) -> None:
    """Nothing would move, and margin that never moves would be shown."""
    path = tmp_path / "path.csv"
    path.write_text("time,XBT\n2025-03-27T08:00:00Z,85000\n2025-03-28T08:00:00Z,86000\n", "utf-8")
    result = run("replay", "--book", BOOK, "--history", path)
    assert result.exit_code == 1
    assert "the path has no prices of BTC, ETH, SOL: nothing would move" in result.stderr


def test_a_book_of_empty_accounts_is_drawn(tmp_path: Path) -> None:
    plot = tmp_path / "empty.svg"
    assert run("show", "--book", EXAMPLES / "edges" / "all-accounts-empty", "--plot", plot).exit_code == 0
    assert plot.stat().st_size > 0


def test_a_buffer_beyond_every_factor_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "high.yaml"
    text = (MODELS / "scenario_portfolio_margin.yaml").read_text(encoding="utf-8")
    model.write_text(text.replace('factor: "0.8"', 'factor: "60"'), encoding="utf-8")
    options = ("--account", BANKRUPT, "--model", model, "--buffer", "1")
    result = run("liquidation", "--book", BOOK, *options)
    assert (result.exit_code, "makes a factor of 120" in result.stderr) == (1, True)
