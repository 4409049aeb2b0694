"""`crossmargin margin show`: totals of the book and the accounts with the least excess."""

from pathlib import Path

import click
import numpy as np

from crossmargin.book.book import Book
from crossmargin.book.exact_sum import total_of
from crossmargin.cli.margin.options import (
    json_option,
    load_with,
    model_option,
    plot_option,
    statement_option,
)
from crossmargin.cli.margin.plots import draw_distribution
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
from crossmargin.engine.evaluate import Margin
from crossmargin_circuits.policy import Policy

__all__ = ["print_book", "show"]


@click.command(short_help="Show totals, and the accounts with the least excess.")
@book_option
@model_option
@statement_option
@click.option(
    "--top",
    default=10,
    show_default=True,
    type=click.IntRange(0),
    help="Number of accounts with the least excess to list.",
)
@json_option
@plot_option
@reject_option
@reporting
def show(
    book: str,
    model: Path | None,
    statement: str,
    top: int,
    as_json: bool,
    plot: Path | None,
    reject_bad_accounts: bool,
) -> None:
    """Compute equity, requirement, excess and shortfall of every account.

    \b
    Examples:
      crossmargin margin show --book examples/book
      crossmargin margin show --book examples/book --model examples/models/span.yaml
      crossmargin margin show --book examples/book --statement initial --json > margin.json
    """
    loaded = load_with(book, reject_bad_accounts, model)
    policy, result = loaded.compiled(statement).policy, loaded.margin(statement).quanta
    if plot is not None:
        draw_distribution(plot, result, policy)
    if as_json:
        print_json(_book_data(loaded.inputs.book, result, policy))
    else:
        print_book(loaded.inputs.book, result, policy, top)


def print_book(book: Book, result: Margin, policy: Policy, top: int = 10, width: int | None = None) -> None:
    """Print the book's totals and the accounts with the least excess.

    width: characters of a line, or None for that of the terminal; a given one leaves out the worst scenarios.
    """
    unit = policy.value_unit
    under_water = int(np.count_nonzero(result.excess < 0))
    out = console(width)
    out.print(f"[bold]{plain(policy.title)}[/bold], {len(book)} accounts, {len(book.rejected)} lines rejected")
    totals = table("", (f"total, {unit.currency}", False), ("", True))
    for name, values in (
        ("equity", result.equity),
        ("requirement", result.requirement),
        ("shortfall", result.shortfall),
    ):
        totals.add_row(name, money(total_of(values), unit))
    totals.add_row("accounts under water", str(under_water))
    out.print(totals)
    out.print()
    listing = table(
        f"{min(top, len(book))} accounts with the least excess ({unit.currency})",
        ("account", False),
        ("equity", True),
        ("requirement", True),
        ("excess", True),
        *((("worst scenario", False),) if width is None else ()),
    )
    for number in np.argsort(result.excess, kind="stable")[:top].tolist():
        listing.add_row(
            plain(book.accounts[number]),
            money(int(result.equity[number]), unit),
            money(int(result.requirement[number]), unit),
            money(int(result.excess[number]), unit),
            *([plain(result.worst_of(number))] if width is None else []),
        )
    out.print(listing)


def _book_data(book: Book, result: Margin, policy: Policy) -> dict[str, object]:
    return {
        "title": policy.title,
        "policy": policy.digest.hex(),
        "value_unit": {"currency": policy.value_unit.currency, "quantum": policy.value_unit.quantum},
        "rejected": [
            {"account": each.account, "file": each.file, "line": each.line, "reason": each.reason}
            for each in book.rejected
        ],
        "accounts": [
            {
                "account": account,
                "equity": str(result.equity[number]),
                "requirement": str(result.requirement[number]),
                "excess": str(result.excess[number]),
                "shortfall": str(result.shortfall[number]),
                "worst scenario": result.worst_of(number),
            }
            for number, account in enumerate(book.accounts)
        ],
    }
