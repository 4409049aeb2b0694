"""`crossmargin control`: state the contents of a book folder, so that later loads detect damage."""

from pathlib import Path

import click

from crossmargin.cli.output import reporting
from crossmargin.loading import write_control

__all__ = ["control"]


@click.command(short_help="Write the control file of a book folder.")
@click.option(
    "--book",
    "book",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Book folder that has no control.json yet.",
)
@reporting
def control(book: Path) -> None:
    """Write control.json: names, row counts and SHA-256 of the files in a book folder.

    Every later load compares the files with it. It cannot show losses from before it was written; an exporter that also
    states totals from its own ledger gives better protection (docs/formats.md).

    \b
    Example:
      crossmargin control --book examples/book
    """
    click.echo(f"written to {write_control(book)}")
