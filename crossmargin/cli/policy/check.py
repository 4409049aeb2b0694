"""`crossmargin policy check`: recompute the risk arrays of a policy and compare."""

from pathlib import Path
from typing import Any

import click

from crossmargin.cli.output import REFUSED, book_place, complete_folder, print_json, printable, reporting
from crossmargin.cli.policy.amounts import amounts_of
from crossmargin.cli.policy.file import located, read_policy
from crossmargin.loading import load_parameters
from crossmargin.models import build_policy, rebuild_policy
from crossmargin_circuits.expression import expression_to_json
from crossmargin_circuits.policy import Policy

__all__ = ["check"]


@click.command(short_help="Recompute the risk arrays and compare.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--book",
    "book",
    metavar="DIRECTORY",
    callback=book_place,
    shell_complete=complete_folder,
    help="Read instruments, market and model from this folder instead of from the policy.",
)
@click.option(
    "--tolerance", default=0, show_default=True, help="Largest accepted difference of a coefficient, in quanta."
)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@reporting
def check(file: Path, book: str | None, tolerance: int, as_json: bool) -> int:
    """Recompute the risk arrays of FILE from prices and volatilities, and compare every coefficient.

    Without --book, the inputs come from the policy, which checks the arithmetic. With --book, they are your own market
    data, which checks the prices too (allow a tolerance for quotes from other sources).

    \b
    Examples:
      crossmargin policy check build/demo/bundle/statements/maintenance/policy.json
      crossmargin policy check policy.json --book my-market --tolerance 1000
    """
    given = read_policy(file)
    if book is None:
        with located(file):
            again = rebuild_policy(given)
    else:
        mine = load_parameters(book)
        again = build_policy(given.venue, mine.environment, mine.model, str(given.inputs.get("statement")))
    problems = _differences(given, again, tolerance, own_inputs=book is None)
    if as_json:
        print_json({"equal": not problems, "differences": problems})
    elif problems:
        click.echo("\n".join(map(printable, problems[:20])))
        click.echo(f"{len(problems)} differences")
    else:
        count = len(given.arrays) * len(given.layout)
        click.echo(f"equal: {count} coefficients in {len(given.arrays)} risk arrays, all formulas, all columns")
    return REFUSED if problems else 0


def _differences(given: Policy, again: Policy, tolerance: int, own_inputs: bool) -> list[str]:
    """Return the differences of two policies, coefficient by coefficient; ignore the time of other market data."""
    if given.layout != again.layout:
        return ["the columns differ"]
    problems = [
        f"{name} is {old!r} in the policy, {new!r} computed"
        for name, old, new in (("title", given.title, again.title), ("as_of", given.as_of, again.as_of))
        if old != new and (own_inputs or name != "as_of")
    ]
    if given.kind is not again.kind:
        problems.append(f"kind is {str(given.kind)!r} in the policy, {str(again.kind)!r} computed")
    problems += _differing_formulas(given, again, tolerance)
    if given.value_unit != again.value_unit:
        problems.append("the value unit differs")
    arrays = {array.name: array for array in again.arrays}
    if set(arrays) != {array.name for array in given.arrays}:
        return [*problems, "the risk arrays have other names"]
    for array in given.arrays:
        if array.meaning != arrays[array.name].meaning:
            problems.append(f"{array.name}: another meaning than the computed {arrays[array.name].meaning!r}")
        pairs = zip(given.layout.columns, array.coefficients, arrays[array.name].coefficients, strict=True)
        for column, old, new in pairs:
            if abs(old - new) > tolerance:
                problems.append(f"{array.name}, {column.key}: {old} in the policy, {new} computed")
    return problems


def _differing_formulas(given: Policy, again: Policy, tolerance: int) -> list[str]:
    """Return the differences of the formulas; those that differ in amounts alone are compared amount by amount."""
    if _without_amounts(given) != _without_amounts(again):
        return ["the formulas differ"]
    old, new = amounts_of(given), amounts_of(again)
    return [
        f"{name}: an amount of {abs(mine)} quanta in the policy, {abs(computed)} computed"
        for name, amounts in old.items()
        for mine, computed in zip(amounts, new[name], strict=True)
        if abs(mine - computed) > tolerance
    ]


def _without_amounts(policy: Policy) -> list[tuple[object, ...]]:
    """Return everything in the definitions and constraints but the size of the amounts."""
    return [
        *(
            (d.name, d.meaning, d.role, d.subject, _emptied(expression_to_json(d.expression)))
            for d in policy.definitions
        ),
        *((c.name, c.meaning, _emptied(expression_to_json(c.expression))) for c in policy.constraints),
    ]


def _emptied(node: Any) -> Any:
    if isinstance(node, list):
        return [_emptied(each) for each in node]
    if isinstance(node, dict):
        return {key: None if key == "amount" else _emptied(each) for key, each in node.items()}
    return node
