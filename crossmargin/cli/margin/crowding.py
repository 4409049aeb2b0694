"""`crossmargin margin crowding`: the totals that a crowding statement discloses, in the format of `crowding.yaml`."""

from pathlib import Path

import click
import yaml

from crossmargin.cli.margin.options import load_with, model_option
from crossmargin.cli.output import book_option, reject_option, reporting
from crossmargin.engine.crowding_totals import crowding_of
from crossmargin.models import build_policy
from crossmargin.models.base import CROWDING
from crossmargin_circuits.compile import compile_policy

__all__ = ["crowding"]


@click.command(short_help="Show the totals that a crowding statement discloses.")
@book_option
@model_option
@reject_option
@reporting
def crowding(book: str, model: Path | None, reject_bad_accounts: bool) -> None:
    """Print crowding.yaml: the exposures of the whole book by underlying, the inputs of the contagion buffer.

    The crowding statement discloses the same totals, so a reader of the bundle can compare them.

    \b
    Example:
      crossmargin margin crowding --book examples/book --model examples/models/contagion_scenario.yaml
    """
    inputs = load_with(book, reject_bad_accounts, model).inputs
    policy = build_policy(inputs.venue.venue, inputs.environment, inputs.model, CROWDING)
    totals = crowding_of(compile_policy(policy), inputs.book.records, f"{CROWDING} statement of {inputs.snapshot_id}")
    click.echo(yaml.safe_dump(totals.model_dump(mode="json"), sort_keys=False), nl=False)
