"""`crossmargin margin`: the margin of the whole book, or of one account with its parts."""

from pathlib import Path

import click
import numpy as np

from crossmargin.book import Book
from crossmargin.engine import Margin, evaluate
from crossmargin.explain import Explanation, explain
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.policy import Policy
from crossmargin_prover.cli.output import (
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
from crossmargin_verifier.amounts import format_units

__all__ = ["margin", "print_book", "print_explanation"]


@click.command(short_help="Compute the margin of every account.")
@book_option
@click.option("--statement", default="maintenance", show_default=True, help="Statement of model.yaml to evaluate.")
@click.option("--account", help="Explain this account: parts, worst scenario, sub-accounts alone, what pooling saves.")
@click.option("--top", default=10, show_default=True, help="How many accounts with the least excess to list.")
@click.option("--json", "as_json", is_flag=True, help="Print all accounts (or the explanation) as JSON.")
@reject_option
@reporting
def margin(book: Path, statement: str, account: str | None, top: int, as_json: bool, reject_bad_accounts: bool) -> None:
    """Compute equity, requirement, excess and shortfall of every account.

    \b
    Examples:
      crossmargin margin --book examples/book
      crossmargin margin --book examples/book --account e383c1cf5fb6e39f8c0b71eb402202da
      crossmargin margin --book examples/book --statement initial --json > margin.json
    """
    inputs = load(book, reject_bad_accounts)
    policy = build_policy(inputs.venue.venue, inputs.setting, inputs.model, statement)
    if statement == "coverage":
        raise click.UsageError("coverage has no requirement; choose a margin statement")
    compiled = compile_policy(policy)
    if account is not None:
        explanation = explain(compiled, inputs.book, account)
        if as_json:
            print_json(_explanation_data(explanation, policy))
        else:
            print_explanation(explanation, policy)
        return
    result = evaluate(compiled, inputs.book.records)
    if as_json:
        print_json(_book_data(inputs.book, result, policy))
    else:
        print_book(inputs.book, result, policy, top)


def print_book(book: Book, result: Margin, policy: Policy, top: int = 10) -> None:
    """Print the book's totals and the accounts with the least excess."""
    unit = policy.value_unit
    under_water = int(np.count_nonzero(result.excess < 0))
    out = console()
    out.print(f"[bold]{plain(policy.title)}[/bold], {len(book)} accounts, {len(book.rejected)} lines rejected")
    totals = table("", (f"total, {unit.currency}", False), ("", True))
    for name, values in (
        ("equity", result.equity),
        ("requirement", result.requirement),
        ("shortfall", result.shortfall),
    ):
        totals.add_row(name, money(sum(values.tolist()), unit))
    totals.add_row("accounts under water", str(under_water))
    out.print(totals)
    out.print()
    listing = table(
        f"{min(top, len(book))} accounts with the least excess ({unit.currency})",
        ("account", False),
        ("equity", True),
        ("requirement", True),
        ("excess", True),
        ("worst scenario", False),
    )
    for number in np.argsort(result.excess, kind="stable")[:top].tolist():
        listing.add_row(
            plain(book.accounts[number]),
            money(int(result.equity[number]), unit),
            money(int(result.requirement[number]), unit),
            money(int(result.excess[number]), unit),
            plain(result.worst_of(number)),
        )
    out.print(listing)


def print_explanation(shown: Explanation, policy: Policy) -> None:
    """Print one account's margin with its parts."""
    unit = policy.value_unit
    out = console()
    out.print(f"[bold]account {plain(shown.account)}[/bold], {plain(policy.title)}, {unit.currency}")
    parts = table("", ("column", False), ("held", True), ("value", True), ("worst scenario PnL", True))
    for part in shown.parts[1:]:
        parts.add_row(
            plain(part.column.key),
            plain(format_units(part.units, part.column)),
            money(part.value, unit),
            money(part.scenario_pnl, unit),
        )
    out.print(parts)
    out.print()
    summary = table("", ("", False), (unit.currency, True), ("", False))
    summary.add_row("value less haircuts", money(shown.equity + shown.haircut, unit), "")
    summary.add_row("haircuts", money(-shown.haircut, unit), "")
    summary.add_row("equity", money(shown.equity, unit), "")
    for term in shown.terms:
        summary.add_row("requirement", money(term.amount, unit), plain(term.scenario))
    summary.add_row("excess", money(shown.excess, unit), "under water" if shown.excess < 0 else "")
    out.print(summary)
    if len(shown.sub_accounts) > 1:
        out.print()
        alone = table("sub-accounts alone", ("sub-account", False), ("equity", True), ("requirement", True))
        for each in shown.sub_accounts:
            alone.add_row(plain(each.name) or "(main)", money(each.equity, unit), money(each.requirement, unit))
        out.print(alone)
        out.print(f"pooling saves {money(shown.pooling_saves, unit)} {unit.currency} of requirement")


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


def _explanation_data(shown: Explanation, policy: Policy) -> dict[str, object]:
    return {
        "account": shown.account,
        "title": policy.title,
        "value_unit": {"currency": policy.value_unit.currency, "quantum": policy.value_unit.quantum},
        "equity": str(shown.equity),
        "requirement": str(shown.requirement),
        "excess": str(shown.excess),
        "haircut": str(shown.haircut),
        "terms": [{"amount": str(term.amount), "worst scenario": term.scenario} for term in shown.terms],
        "columns": [
            {
                "column": part.column.key,
                "units": str(part.units),
                "unit": part.column.unit,
                "value": str(part.value),
                "worst scenario pnl": str(part.scenario_pnl),
            }
            for part in shown.parts
        ],
        "sub_accounts": [
            {"name": each.name, "equity": str(each.equity), "requirement": str(each.requirement)}
            for each in shown.sub_accounts
        ],
        "pooling saves": str(shown.pooling_saves),
    }
