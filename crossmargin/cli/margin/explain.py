"""`crossmargin margin explain`: one account's margin with its parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from crossmargin.cli.margin.options import (
    json_option,
    load_with,
    model_option,
    plot_option,
    statement_option,
)
from crossmargin.cli.margin.plots import draw_parts
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
from crossmargin.engine.explain import Component, Explanation
from crossmargin_circuits.policy import Policy

__all__ = ["explain", "print_explanation"]

SHOWN_ROWS = 12
"""Number of binding rows in the table; the JSON lists all."""


@click.command(short_help="Explain one account: parts, worst scenario, binding rows.")
@book_option
@click.option("--account", required=True, help="Id of the account.")
@model_option
@statement_option
@json_option
@plot_option
@reject_option
@reporting
def explain(
    book: str,
    account: str,
    model: Path | None,
    statement: str,
    as_json: bool,
    plot: Path | None,
    reject_bad_accounts: bool,
) -> None:
    """Explain one account's margin: contributions by column, and the rows of the relation that bind.

    \b
    Examples:
      crossmargin margin explain --book examples/book --account e383c1cf5fb6e39f8c0b71eb402202da
      crossmargin margin explain --book examples/small --account acct-a --statement initial --json
    """
    loaded = load_with(book, reject_bad_accounts, model)
    policy, shown = loaded.compiled(statement).policy, loaded.explain(account, statement).quanta
    if plot is not None:
        draw_parts(plot, shown, policy)
    if as_json:
        print_json(_data(shown, policy))
    else:
        print_explanation(shown, policy)


def print_explanation(shown: Explanation, policy: Policy, width: int | None = None) -> None:
    """Print one account's margin with its parts.

    width: characters of a line, or None for that of the terminal; a given one leaves out what is held in units.
    """
    unit = policy.value_unit
    out = console(width)
    out.print(f"[bold]account {plain(shown.account)}[/bold], {plain(policy.title)}, {unit.currency}")
    held = (("held", True),) if width is None else ()
    parts = table("", ("column", False), *held, ("value", True), ("equity", True), ("requirement", True))
    for part in shown.parts:
        parts.add_row(
            plain(part.name),
            *([plain(part.held)] if held else []),
            money(part.value, unit),
            money(part.equity, unit),
            money(part.requirement, unit),
        )
    out.print(parts)
    out.print()
    summary = table("", ("", False), (unit.currency, True), ("decided by", False))
    summary.add_row("value at mark", money(shown.value, unit), "")
    summary.add_row("haircuts", money(-shown.haircut, unit), "")
    summary.add_row("equity", money(shown.equity, unit), "")
    summary.add_row("requirement", money(shown.requirement, unit), plain(shown.worst))
    for depth, component in _flat(shown.components):
        name = plain(component.name) or "part"
        summary.add_row(f"{'  ' * (depth + 1)}{name}", money(component.amount, unit), plain(component.decided_by))
    summary.add_row("excess", money(shown.excess, unit), "under water" if shown.excess < 0 else "")
    out.print(summary)
    if shown.binding:
        out.print()
        rows = table("rows that hold with equality", ("", False))
        for row in shown.binding[:SHOWN_ROWS]:
            rows.add_row(plain(row))
        if len(shown.binding) > SHOWN_ROWS:
            rows.add_row(f"and {len(shown.binding) - SHOWN_ROWS} more (--json has all)")
        out.print(rows)
    if len(shown.sub_accounts) > 1:
        out.print()
        alone = table("sub-accounts alone", ("sub-account", False), ("equity", True), ("requirement", True))
        for each in shown.sub_accounts:
            alone.add_row(plain(each.name) or "(main)", money(each.equity, unit), money(each.requirement, unit))
        out.print(alone)
        out.print(f"pooling saves {money(shown.pooling_saves, unit)} {unit.currency} of requirement")


def _flat(components: Sequence[Component], depth: int = 0) -> list[tuple[int, Component]]:
    """Return components with their depth; omit a single one without a name or parts, which repeats the total."""
    if depth == 0 and len(components) == 1 and not components[0].name and not components[0].parts:
        return []
    return [entry for component in components for entry in ((depth, component), *_flat(component.parts, depth + 1))]


def _data(shown: Explanation, policy: Policy) -> dict[str, object]:
    return {
        "account": shown.account,
        "title": policy.title,
        "value_unit": {"currency": policy.value_unit.currency, "quantum": policy.value_unit.quantum},
        "value": str(shown.value),
        "haircut": str(shown.haircut),
        "equity": str(shown.equity),
        "requirement": str(shown.requirement),
        "excess": str(shown.excess),
        "worst scenario": shown.worst,
        "components": _components_data(shown.components),
        "binding rows": list(shown.binding),
        "columns": [
            {
                "column": part.name,
                "units": str(part.units),
                "unit": "" if part.column is None else part.column.unit,
                "value": str(part.value),
                "equity": str(part.equity),
                "requirement": str(part.requirement),
            }
            for part in shown.parts
        ],
        "sub_accounts": [
            {"name": each.name, "equity": str(each.equity), "requirement": str(each.requirement)}
            for each in shown.sub_accounts
        ],
        "pooling saves": str(shown.pooling_saves),
    }


def _components_data(components: Sequence[Component]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "amount": str(each.amount),
            "decided by": each.decided_by,
            "parts": _components_data(each.parts),
        }
        for each in components
    ]
