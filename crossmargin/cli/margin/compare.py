"""`crossmargin margin compare`: several models side by side on one book."""

from pathlib import Path

import click

from crossmargin.analysis.compare import Comparison
from crossmargin.analysis.compare import compare as compare_models
from crossmargin.cli.margin.options import (
    json_option,
    load_models,
    models_option,
    plot_option,
    statement_option,
)
from crossmargin.cli.margin.plots import draw_comparison
from crossmargin.cli.output import (
    book_option,
    console,
    load,
    money,
    plain,
    print_json,
    reject_option,
    reporting,
    table,
)
from crossmargin_circuits.policy import ValueUnit

__all__ = ["compare"]


@click.command(short_help="Compare several models on one book.")
@book_option
@models_option
@statement_option
@json_option
@plot_option
@reject_option
@reporting
def compare(
    book: str,
    files: tuple[Path, ...],
    statement: str,
    as_json: bool,
    plot: Path | None,
    reject_bad_accounts: bool,
) -> None:
    """Compare models on one book: requirement, excess, saving from pooling over segregation, rows to prove.

    The segregated requirement is the sum over sub-accounts, each alone with its own collateral. The saving from pooling
    is this sum less the requirement of the pooled accounts.

    \b
    Example:
      crossmargin margin compare --book examples/book --model examples/models/span.yaml
        --model examples/models/isolated_margin.yaml --plot compare.svg
    """
    inputs = load(book, reject_bad_accounts)
    found = compare_models(inputs.venue.venue, inputs.environment, load_models(inputs, files), statement, inputs.book)
    if plot is not None:
        draw_comparison(plot, found)
    if as_json:
        print_json({"statement": statement, "accounts": len(inputs.book), "models": [_data(each) for each in found]})
    else:
        _print(found, statement, len(inputs.book))


def _print(found: list[Comparison], statement: str, accounts: int) -> None:
    out = console()
    out.print(f"[bold]{plain(statement)} margin of {accounts} accounts under {len(found)} models[/bold]")
    listing = table(
        f"totals, {found[0].compiled.policy.value_unit.currency}",
        ("model", False),
        ("equity", True),
        ("requirement", True),
        ("excess", True),
        ("segregated", True),
        ("pooling saves", True),
        ("under water", True),
        ("rows", True),
        ("bits", True),
    )
    for each in found:
        unit = each.compiled.policy.value_unit
        listing.add_row(
            plain(each.name),
            money(each.equity, unit, 0),
            money(each.requirement, unit, 0),
            money(each.equity - each.requirement, unit, 0),
            money(each.segregated, unit, 0),
            f"{each.pooling_efficiency:.1%}",
            str(each.under_water),
            str(each.cost.rows),
            str(each.cost.bits),
        )
    out.print(listing)


def _data(each: Comparison) -> dict[str, object]:
    unit: ValueUnit = each.compiled.policy.value_unit
    return {
        "model": each.name,
        "title": each.compiled.policy.title,
        "value_unit": {"currency": unit.currency, "quantum": unit.quantum},
        "equity": str(each.equity),
        "requirement": str(each.requirement),
        "excess": str(each.equity - each.requirement),
        "shortfall": str(each.shortfall),
        "segregated requirement": str(each.segregated),
        "segregated shortfall": str(each.segregated_shortfall),
        "pooling efficiency": round(each.pooling_efficiency, 6),
        "accounts under water": each.under_water,
        "rows": each.cost.rows,
        "auxiliaries": each.cost.auxiliaries,
        "bits": each.cost.bits,
    }
