"""`crossmargin margin models`: the proving cost of each model."""

from pathlib import Path

import click

from crossmargin.analysis.compare import cost_of
from crossmargin.cli.margin.options import json_option, load_models, models_option
from crossmargin.cli.output import book_option, console, plain, print_json, reporting, table
from crossmargin.loading import load_parameters
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy

__all__ = ["models"]


@click.command(short_help="Show the proving cost of each model: rows, auxiliaries, bits.")
@book_option
@models_option
@json_option
@reporting
def models(book: str, files: tuple[Path, ...], as_json: bool) -> None:
    """List rows, auxiliaries and bits of every statement of the book's model and of other models.

    The cost of a proof grows with rows times accounts; a row must fit 63 bits within the limits of the columns.

    \b
    Example:
      crossmargin margin models --book examples/book --model examples/models/span.yaml
    """
    parameters = load_parameters(book)
    found = []
    for name, model in load_models(parameters, files).items():
        for statement in model.statements:
            compiled = compile_policy(
                build_policy(parameters.venue.venue, parameters.environment, model, statement.name)
            )
            found.append((name, statement.name, len(compiled.policy.arrays), cost_of(compiled)))
    if as_json:
        print_json(
            [
                {
                    "model": name,
                    "statement": word,
                    "risk arrays": arrays,
                    "rows": cost.rows,
                    "auxiliaries": cost.auxiliaries,
                    "bits": cost.bits,
                }
                for name, word, arrays, cost in found
            ]
        )
        return
    listing = table(
        "",
        ("model", False),
        ("statement", False),
        ("risk arrays", True),
        ("rows", True),
        ("auxiliaries", True),
        ("bits", True),
    )
    for name, word, arrays, cost in found:
        listing.add_row(plain(name), plain(word), str(arrays), str(cost.rows), str(cost.auxiliaries), str(cost.bits))
    console().print(listing)
