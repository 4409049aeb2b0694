"""`crossmargin margin`: the margin of a book, read in every way that a risk engineer asks for."""

import click

from crossmargin.cli.margin.cascade import cascade
from crossmargin.cli.margin.compare import compare
from crossmargin.cli.margin.crowding import crowding
from crossmargin.cli.margin.explain import explain
from crossmargin.cli.margin.liquidation import liquidation
from crossmargin.cli.margin.models import models
from crossmargin.cli.margin.replay import replay
from crossmargin.cli.margin.show import show
from crossmargin.cli.margin.stress import stress

__all__ = ["margin"]


@click.group(short_help="Compute, explain, compare, stress and replay margin.")
def margin() -> None:
    """Compute the margin of a book under its model, or under any other model file.

    Tables are for people; --json prints the same for programs; --plot draws it as SVG or PNG. Nothing is proven here,
    and what is shown of single accounts is private.
    """


for command in (show, explain, compare, stress, replay, liquidation, cascade, crowding, models):
    margin.add_command(command)
