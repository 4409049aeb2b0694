"""`crossmargin margin stress`: the margins of the same positions after chosen shocks."""

from decimal import Decimal
from pathlib import Path

import click

from crossmargin.analysis.stress import Shocks, Stressed
from crossmargin.analysis.stress import stress as stress_book
from crossmargin.book.exact_sum import total_of
from crossmargin.cli.margin.options import (
    json_option,
    load_with,
    model_option,
    plot_option,
    shock_of,
    statement_option,
)
from crossmargin.cli.margin.plots import draw_stress
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
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.yaml import load_model
from crossmargin_circuits.policy import ValueUnit

__all__ = ["stress"]


@click.command(short_help="Shock the market and compute margins again.")
@book_option
@click.option("--price", "prices", multiple=True, metavar="NAME=MOVE", help="Relative price move, such as BTC=-0.3.")
@click.option(
    "--volatility",
    "volatilities",
    multiple=True,
    metavar="NAME=MOVE",
    help="The same for implied volatilities.",
)
@click.option(
    "--shocks", "file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="File of named shocks."
)
@model_option
@statement_option
@json_option
@plot_option
@reject_option
@reporting
def stress(
    book: str,
    prices: tuple[str, ...],
    volatilities: tuple[str, ...],
    file: Path | None,
    model: Path | None,
    statement: str,
    as_json: bool,
    plot: Path | None,
    reject_bad_accounts: bool,
) -> None:
    """Shock the market and compute the margin of every account again.

    All moves on the command line form one shock; a file holds several.

    \b
    Examples:
      crossmargin margin stress --book examples/book --price BTC=-0.3 --price ETH=-0.4 --volatility BTC=0.5
      crossmargin margin stress --book examples/book --shocks examples/shocks.yaml --plot stress.svg
    """
    given = shock_of(prices, volatilities)
    stated = None if file is None else load_model(file, Shocks)
    shocks = [*(() if given is None else (given,)), *(() if stated is None else stated[0].shocks)]
    if not shocks:
        raise click.UsageError("nothing moves: give --price, --volatility or --shocks")
    inputs = load_with(book, reject_bad_accounts, model).inputs
    problems = [] if given is None else [each.at(file="command line") for each in given.check(inputs.environment)]
    if stated is not None:
        listed, document = stated
        for number, shock in enumerate(listed.shocks):
            for each in shock.check(inputs.environment):
                field = f"shocks[{number}].{each.field}"
                problem = InputError(each.reason, hint=each.hint, field=field)
                problems.append(problem.at(file=document.file, line=document.line(field)))
    if problems:
        raise InputErrors(problems)
    found = stress_book(inputs.venue.venue, inputs.environment, inputs.model, statement, inputs.book, shocks)
    unit = inputs.model.value_unit.stated
    fund = inputs.reserves.insurance_fund
    if plot is not None:
        draw_stress(plot, found, unit)
    if as_json:
        print_json({"statement": statement, "insurance fund": str(fund), "shocks": [_data(each) for each in found]})
    else:
        _print(found, unit, fund, inputs.model.title)


def _print(found: list[Stressed], unit: ValueUnit, fund: Decimal, title: str) -> None:
    out = console()
    out.print(f"[bold]{plain(title)} after shocks[/bold], {unit.currency}; insurance fund {fund:,}")
    listing = table(
        "",
        ("shock", False),
        ("equity", True),
        ("requirement", True),
        ("shortfall", True),
        ("under water", True),
        ("bankrupt", True),
        ("deficit", True),
    )
    for each in found:
        listing.add_row(
            plain(each.shock.name) if each.shock else "(none)",
            money(total_of(each.margin.equity), unit, 0),
            money(total_of(each.margin.requirement), unit, 0),
            money(total_of(each.margin.shortfall), unit, 0),
            str(each.under_water),
            str(each.bankrupt),
            money(each.deficit, unit, 0),
        )
    out.print(listing)
    worst = max(found, key=lambda each: each.deficit)
    if worst.deficit and worst.shock is not None:
        covered = worst.deficit * Decimal(unit.quantum) <= fund
        word = "covers" if covered else "does not cover"
        out.print(f"the insurance fund {word} the greatest deficit, of {plain(worst.shock.name)}")


def _data(each: Stressed) -> dict[str, object]:
    return {
        "shock": each.shock.model_dump(mode="json") if each.shock else None,
        "equity": str(total_of(each.margin.equity)),
        "requirement": str(total_of(each.margin.requirement)),
        "shortfall": str(total_of(each.margin.shortfall)),
        "accounts under water": each.under_water,
        "accounts bankrupt": each.bankrupt,
        "deficit": str(each.deficit),
    }
