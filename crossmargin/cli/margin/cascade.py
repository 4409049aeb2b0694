"""`crossmargin margin cascade`: a shock, the liquidations it triggers, their price impact, and the rounds that
follow."""

from pathlib import Path

import click

from crossmargin.cli.margin.options import (
    json_option,
    load_with,
    model_option,
    moves_options,
    plot_option,
    shock_of,
    statement_option,
)
from crossmargin.cli.margin.plots import draw_cascade
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
from crossmargin.errors import InputError
from crossmargin.liquidation.cascade import Cascade, CascadeConfig, replay_cascade
from crossmargin.liquidation.rule import Rule
from crossmargin.loading.yaml import load_model
from crossmargin_circuits.policy import ValueUnit

__all__ = ["cascade"]


@click.command(short_help="Replay a liquidation cascade with price impact.")
@book_option
@moves_options
@click.option(
    "--market",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="File with depth by underlying, share closed a round, fees, insurance fund.",
)
@model_option
@statement_option
@json_option
@plot_option
@reject_option
@reporting
def cascade(
    book: str,
    prices: tuple[str, ...],
    volatilities: tuple[str, ...],
    file: Path,
    model: Path | None,
    statement: str,
    as_json: bool,
    plot: Path | None,
    reject_bad_accounts: bool,
) -> None:
    """Shock the market, liquidate accounts under water, let the trades move prices, and repeat until no account is
    left.

    \b
    Example:
      crossmargin margin cascade --book examples/book --price BTC=-0.1 --market examples/cascade.yaml
    """
    shock = shock_of(prices, volatilities)
    if shock is None:
        raise click.UsageError("nothing moves: give --price or --volatility")
    config, document = load_model(file, CascadeConfig)
    inputs = load_with(book, reject_bad_accounts, model).inputs
    for problem in shock.check(inputs.environment):
        raise problem.at(file="command line")
    for name in config.depth:
        if name not in inputs.catalogue.underlyings:
            field = f"depth.{name}"
            known = ", ".join(inputs.catalogue.underlyings)
            raise InputError(
                f"{name} is not an underlying",
                hint=f"use {known}",
                file=file.name,
                line=document.line(field),
                field=field,
            )
    rule = Rule(inputs.venue.venue, inputs.model, statement)
    found = replay_cascade(rule, inputs.environment, inputs.book.records, shock.scenario(1), config)
    unit = inputs.model.value_unit.stated
    if plot is not None:
        draw_cascade(plot, found, unit)
    if as_json:
        print_json({"shock": shock.model_dump(mode="json"), **_data(found)})
    else:
        _print(found, shock.name, unit)


def _print(found: Cascade, shock: str, unit: ValueUnit) -> None:
    out = console()
    rounds = f"{len(found.steps)} round{'' if len(found.steps) == 1 else 's'}"
    out.print(f"[bold]cascade after {plain(shock)}[/bold]: {rounds}, {len(found.liquidated)} accounts liquidated")
    names = list(found.steps[0].prices) if found.steps else []
    listing = table(
        f"amounts in {unit.currency}",
        ("round", True),
        *((name, True) for name in names),
        ("liquidated", True),
        ("traded", True),
        ("bankrupt", True),
        ("deficits", True),
        ("fund left", True),
    )
    for number, step in enumerate(found.steps, start=1):
        listing.add_row(
            str(number),
            *(f"{step.prices[name]:,.2f}" for name in names),
            str(len(step.liquidated)),
            f"{step.volume:,.0f}",
            str(len(step.bankrupt)),
            money(step.deficits, unit, 0),
            money(step.fund, unit, 0),
        )
    if found.steps:
        out.print(listing)
    end = "quiet" if found.quiet else "stopped at the last round allowed"
    out.print(f"{end}; insurance fund left {money(found.fund, unit)}, nobody covers {money(found.uncovered, unit)}")
    if found.stuck:
        out.print(f"{found.stuck} accounts lack margin and have no position to close")


def _data(found: Cascade) -> dict[str, object]:
    return {
        "rounds": [
            {
                "prices": {name: str(price) for name, price in step.prices.items()},
                "accounts liquidated": len(step.liquidated),
                "accounts bankrupt": len(step.bankrupt),
                "traded": step.volume,
                "fees": str(step.fees),
                "deficits": str(step.deficits),
                "fund pays": str(step.fund_pays),
                "fund": str(step.fund),
                "impact": {name: float(move) for name, move in step.moves.items()},
            }
            for step in found.steps
        ],
        "accounts liquidated": len(found.liquidated),
        "quiet": found.quiet,
        "accounts stuck": found.stuck,
        "uncovered": str(found.uncovered),
        "fund": str(found.fund),
    }
