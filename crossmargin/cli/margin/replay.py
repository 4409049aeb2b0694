"""`crossmargin margin replay`: the book's requirement along a path of prices."""

from pathlib import Path

import click

from crossmargin.analysis.replay import Replay
from crossmargin.analysis.replay import replay as replay_model
from crossmargin.cli.margin.options import (
    json_option,
    load_models,
    models_option,
    plot_option,
    statement_option,
)
from crossmargin.cli.margin.plots import draw_replay
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
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.history import load_history
from crossmargin.market.history import PriceHistory
from crossmargin_circuits.policy import ValueUnit

__all__ = ["replay"]


@click.command(short_help="Compute the requirement along a path of prices.")
@book_option
@models_option
@click.option(
    "--history",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Path of prices. [default: history.csv of the book]",
)
@click.option("--account", help="Replay only this account.")
@click.option("--rows", default=60, show_default=True, type=click.IntRange(1), help="Number of last rows to replay.")
@statement_option
@json_option
@plot_option
@reject_option
@reporting
def replay(
    book: str,
    files: tuple[Path, ...],
    file: Path | None,
    account: str | None,
    rows: int,
    statement: str,
    as_json: bool,
    plot: Path | None,
    reject_bad_accounts: bool,
) -> None:
    """Replay models over past prices with today's positions, and measure the procyclicality of their requirements.

    The measures of the requirement are peak to trough and the largest rise over 1, 5 and 20 rows. A model reads the
    history up to each row; a contagion buffer reads the totals of the previous row.

    \b
    Example:
      crossmargin margin replay --book examples/book --model examples/models/dynamic_scenario.yaml
        --plot replay.svg
    """
    inputs = load(book, reject_bad_accounts)
    path = _path(file, inputs.history)
    records = inputs.book.records
    if account is not None:
        records = records[[inputs.book.number(account)], :]
    first = max(0, len(path) - rows)
    found = {
        name: replay_model(inputs.environment, model, statement, records, path, first=first)
        for name, model in load_models(inputs, files).items()
    }
    if plot is not None:
        draw_replay(plot, found, inputs.model.value_unit.currency)
    whose = "all accounts" if account is None else f"account {account}"
    if as_json:
        print_json({"statement": statement, "of": whose, "models": [_data(*each) for each in found.items()]})
    else:
        _print(found, whose, statement, inputs.model.value_unit.currency)


def _path(file: Path | None, own: PriceHistory | None) -> PriceHistory:
    if file is None:
        if own is None:
            raise InputError("no path of prices", hint="add history.csv to the book folder, or name one with --history")
        return own
    problems: list[InputError] = []
    path = load_history(file, problems)
    if path is None:
        raise InputErrors(problems)
    return path


def _print(found: dict[str, Replay], whose: str, statement: str, currency: str) -> None:
    out = console()
    first = next(iter(found.values()))
    out.print(
        f"[bold]{plain(statement)} margin of {plain(whose)}[/bold], {len(first.steps)} rows from "
        f"{first.times[0]:%Y-%m-%d} to {first.times[-1]:%Y-%m-%d}, positions of today"
    )
    listing = table(
        f"requirement, {currency}",
        ("model", False),
        ("least", True),
        ("last", True),
        ("greatest", True),
        ("peak to trough", True),
        ("1 row", True),
        ("5 rows", True),
        ("20 rows", True),
    )
    for name, each in found.items():
        unit = ValueUnit(currency, str(each.quantum))
        path = each.requirement
        rises = {rise.days: rise for rise in each.procyclicality.rises} if min(path) > 0 else {}
        listing.add_row(
            plain(name),
            money(min(path), unit, 0),
            money(path[-1], unit, 0),
            money(max(path), unit, 0),
            f"{float(each.procyclicality.peak_to_trough):.2f}" if min(path) > 0 else "-",
            *(f"{float(rises[days].relative):+.1%}" if days in rises else "-" for days in (1, 5, 20)),
        )
    out.print(listing)
    out.print("rises are the largest over 1, 5 and 20 rows")


def _data(name: str, each: Replay) -> dict[str, object]:
    measures = each.procyclicality if min(each.requirement) > 0 else None
    return {
        "model": name,
        "quantum": str(each.quantum),
        "peak to trough": None if measures is None else float(measures.peak_to_trough),
        "rises": []
        if measures is None
        else [
            {"rows": rise.days, "amount": str(rise.amount), "relative": float(rise.relative)} for rise in measures.rises
        ],
        "path": [
            {
                "time": step.time.isoformat().replace("+00:00", "Z"),
                "requirement": str(step.requirement),
                "equity": str(step.equity),
                "shortfall": str(step.shortfall),
                "accounts under water": step.under_water,
                "price ranges": {key: str(value) for key, value in step.ranges.items()},
            }
            for step in each.steps
        ],
    }
