"""`crossmargin margin liquidation`: margin calls, liquidations, their prices, and plans that restore an account."""

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import numpy as np

from crossmargin.book.exact_sum import total_of
from crossmargin.cli.margin.options import json_option, load_with, margin_statement, model_option
from crossmargin.cli.output import (
    book_option,
    console,
    money,
    plain,
    print_json,
    reject_option,
    reporting,
    table,
)
from crossmargin.engine.evaluate import evaluate
from crossmargin.errors import InputError, InputErrors
from crossmargin.liquidation.cost import ClosingCost
from crossmargin.liquidation.plan import NoPlanError, Plan, least_cost_plan
from crossmargin.liquidation.price import bankruptcy_prices, liquidation_prices
from crossmargin.liquidation.rule import Rule
from crossmargin.liquidation.sets import AccountSets, account_sets
from crossmargin.liquidation.waterfall import Waterfall, run_waterfall
from crossmargin.loading import Inputs
from crossmargin.loading.yaml import load_model
from crossmargin.units import parse_decimal
from crossmargin_circuits.amounts import format_units
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import ValueUnit

__all__ = ["liquidation"]


@click.command(short_help="Show margin calls, liquidation prices and partial plans.")
@book_option
@click.option("--account", help="Show this account's liquidation prices, and the plan that restores it.")
@click.option(
    "--initial",
    default="initial",
    show_default=True,
    callback=margin_statement,
    help="Statement whose requirement triggers a margin call.",
)
@click.option(
    "--maintenance",
    default="maintenance",
    show_default=True,
    callback=margin_statement,
    help="Statement whose requirement triggers liquidation.",
)
@click.option("--buffer", default="0", show_default=True, help="Fraction of the requirement to restore in addition.")
@click.option(
    "--costs",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with the cost of closing: fees, slippage, depth, automation. [default: free]",
)
@click.option("--top", default=10, show_default=True, type=click.IntRange(0), help="Number of accounts to list.")
@model_option
@json_option
@reject_option
@reporting
def liquidation(
    book: str,
    account: str | None,
    initial: str,
    maintenance: str,
    buffer: str,
    costs: Path | None,
    top: int,
    model: Path | None,
    as_json: bool,
    reject_bad_accounts: bool,
) -> None:
    """List margin calls, liquidations and the bearers of deficits; or inspect one account.

    A liquidation price is the mark of one instrument at which equity equals the requirement, with everything else in
    the account fixed. A plan closes whole lots at least cost so that every row holds again, with the buffer.

    \b
    Examples:
      crossmargin margin liquidation --book examples/book
      crossmargin margin liquidation --book examples/book --account e383c1cf5fb6e39f8c0b71eb402202da
        --buffer 0.1
    """
    try:
        share = parse_decimal(buffer)
    except InputError as error:
        raise click.BadParameter(str(error), param_hint="--buffer") from None
    if not 0 <= share <= 10:
        raise click.BadParameter("not between 0 and 10", param_hint="--buffer")
    inputs = load_with(book, reject_bad_accounts, model).inputs
    called = Rule(inputs.venue.venue, inputs.model, initial)
    liquidated = Rule(inputs.venue.venue, inputs.model, maintenance)
    unit = inputs.model.value_unit.stated
    if account is None:
        _show_book(inputs, called, liquidated, unit, top, as_json)
        return
    cost = ClosingCost() if costs is None else _cost(costs, inputs)
    _show_account(inputs, liquidated, account, share, cost, unit, as_json)


def _cost(file: Path, inputs: Inputs) -> ClosingCost:
    cost, document = load_model(file, ClosingCost)
    problems = cost.check(inputs.catalogue)
    if problems:
        raise InputErrors([each.at(file=document.file, line=document.line(each.field)) for each in problems])
    return cost


def _show_book(inputs: Inputs, called: Rule, liquidated: Rule, unit: ValueUnit, top: int, as_json: bool) -> None:
    sets = account_sets(called, liquidated, inputs.environment, inputs.book.records)
    fund = inputs.reserves.insurance_fund_quanta(inputs.model.value_unit.quantum)
    borne = run_waterfall(sets.equity, fund)
    names = inputs.book.accounts
    if as_json:
        print_json(
            {
                "called": _members(names, sets.called, sets.called_shortfall),
                "liquidated": _members(names, sets.liquidated, sets.liquidated_shortfall),
                "waterfall": _waterfall_data(borne),
            }
        )
        return
    out = console()
    out.print(f"[bold]{plain(inputs.model.title)}[/bold], {len(names)} accounts, {unit.currency}")
    totals = table("", ("", False), ("accounts", True), ("they lack", True))
    totals.add_row("called", str(len(sets.called)), money(total_of(sets.called_shortfall), unit))
    totals.add_row("liquidated", str(len(sets.liquidated)), money(total_of(sets.liquidated_shortfall), unit))
    totals.add_row("bankrupt", str(int(np.count_nonzero(sets.equity < 0))), money(borne.deficits, unit))
    out.print(totals)
    out.print(
        f"deficits: the fund pays {money(borne.fund_pays, unit)}, holders share "
        f"{money(borne.bankruptcy - borne.uncovered, unit)}, nobody covers {money(borne.uncovered, unit)}"
    )
    out.print()
    _print_members(sets, names, unit, top)


def _print_members(sets: AccountSets, names: tuple[str, ...], unit: ValueUnit, top: int) -> None:
    listing = table("accounts that lack most", ("account", False), ("lacks to initial", True), ("to maintenance", True))
    owing = dict(zip(sets.liquidated.tolist(), sets.liquidated_shortfall.tolist(), strict=True))
    for place in np.argsort(-sets.called_shortfall, kind="stable")[:top].tolist():
        row = int(sets.called[place])
        lacking = money(int(sets.called_shortfall[place]), unit)
        listing.add_row(plain(names[row]), lacking, money(owing[row], unit) if row in owing else "")
    console().print(listing)


def _show_account(
    inputs: Inputs, rule: Rule, account: str, buffer: Decimal, cost: ClosingCost, unit: ValueUnit, as_json: bool
) -> None:
    row = inputs.book.number(account)
    records = inputs.book.records[[row], :]
    margin = evaluate(rule.compiled(inputs.environment), records)
    excess = int(margin.excess[0])
    at_margin = liquidation_prices(rule, inputs.environment, records)
    at_zero = bankruptcy_prices(rule, inputs.environment, records)
    layout = inputs.catalogue.layout()
    lines = [
        {
            "instrument": layout.columns[column].name,
            "held": format_units(int(records[0, column]), layout.columns[column]),
            "mark": str(inputs.market.marks[layout.columns[column].name].price),
            "liquidation price": _price(at_margin.of(0, column)),
            "bankruptcy price": _price(at_zero.of(0, column)),
        }
        for column in at_margin.columns.tolist()
    ]
    plan: Plan | None = None
    why = ""
    if excess < 0 or buffer > 0:
        try:
            plan = least_cost_plan(rule, inputs.environment, inputs.book.record(account), cost, buffer)
        except NoPlanError as error:
            why = str(error)
    if as_json:
        print_json(
            {
                "account": account,
                "excess": str(excess),
                "positions": lines,
                "plan": None if plan is None else _plan_data(plan, inputs),
                "no plan": why or None,
            }
        )
        return
    out = console()
    out.print(f"[bold]account {plain(account)}[/bold], {plain(inputs.model.title)}, {unit.currency}")
    out.print(
        f"equity {money(int(margin.equity[0]), unit)}, requirement {money(int(margin.requirement[0]), unit)}, "
        f"excess {money(excess, unit)}{' (under water)' if excess < 0 else ''}"
    )
    listing = table(
        "",
        ("position", False),
        ("held", True),
        ("mark", True),
        ("liquidation price", True),
        ("bankruptcy price", True),
    )
    for line in lines:
        listing.add_row(
            plain(line["instrument"] or ""),
            plain(line["held"] or ""),
            line["mark"],
            line["liquidation price"] or ("passed" if excess < 0 else "none"),
            line["bankruptcy price"] or ("passed" if int(margin.equity[0]) < 0 else "none"),
        )
    if lines:
        out.print(listing)
    else:
        out.print("no position in a perpetual or future, so no liquidation price")
    if why:
        out.print(f"\nno plan: {plain(why)}")
    if plan is not None:
        _print_plan(plan, inputs, buffer, unit)


def _price(price: float | None) -> str | None:
    return None if price is None or math.isnan(price) else f"{price:.10g}"


def _print_plan(plan: Plan, inputs: Inputs, buffer: Decimal, unit: ValueUnit) -> None:
    out = console()
    out.print()
    if not any(plan.closed.values()):
        out.print(f"nothing to close: every row holds with a buffer of {buffer:.0%}")
        return
    listing = table(
        f"plan that restores a buffer of {buffer:.0%}, cost {float(plan.cost):,.2f} {unit.currency}"
        f"{', least' if plan.least else ''}",
        ("instrument", False),
        ("close", True),
        ("left", True),
    )
    layout = inputs.catalogue.layout()
    for name, lots in _changes(plan).items():
        number = layout.index(ColumnKind.POSITION, name)
        column = layout.columns[number]
        listing.add_row(
            plain(name), plain(format_units(lots, column)), plain(format_units(plan.record[number], column))
        )
    out.print(listing)
    out.print(f"least slack of a row afterwards: {money(plan.slack, unit)}")


def _changes(plan: Plan) -> Mapping[str, int]:
    return {name: lots for name, lots in plan.closed.items() if lots}


def _plan_data(plan: Plan, inputs: Inputs) -> dict[str, Any]:
    return {
        "close lots": dict(_changes(plan)),
        "cost": f"{float(plan.cost):.10g}",
        "least": plan.least,
        "slack": str(plan.slack),
        "record": {
            column.key: str(value)
            for column, value in zip(inputs.catalogue.layout().columns, plan.record, strict=True)
            if value
        },
    }


def _members(names: tuple[str, ...], rows: Any, lacking: Any) -> list[dict[str, str]]:
    return [
        {"account": names[row], "lacks": str(amount)}
        for row, amount in zip(rows.tolist(), lacking.tolist(), strict=True)
    ]


def _waterfall_data(borne: Waterfall) -> dict[str, str]:
    return {
        "deficits": str(borne.deficits),
        "fund pays": str(borne.fund_pays),
        "fund left": str(borne.fund),
        "socialised": str(total_of(borne.socialised)),
        "uncovered": str(borne.uncovered),
    }
