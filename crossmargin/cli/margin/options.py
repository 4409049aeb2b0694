"""Options that the commands of `crossmargin margin` share: book, model, statement, output."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from crossmargin.analysis.stress import Shock
from crossmargin.api.book import Book
from crossmargin.api.model import fitting
from crossmargin.cli.output import load
from crossmargin.errors import InputErrors
from crossmargin.loading import Parameters, load_margin_model
from crossmargin.models import MarginModel
from crossmargin.models.base import COVERAGE, CROWDING

__all__ = [
    "json_option",
    "load_models",
    "load_with",
    "margin_statement",
    "model_option",
    "models_option",
    "moves_options",
    "plot_option",
    "shock_of",
    "statement_option",
]


def margin_statement(context: click.Context, option: click.Parameter, value: str) -> str:
    """Return the name of a statement that may have a requirement.

    Raises:
        click.BadParameter: the statement has no requirement.
    """
    if value in (COVERAGE, CROWDING):
        raise click.BadParameter(f"{value} has no requirement; choose a margin statement")
    return value


statement_option = click.option(
    "--statement",
    default="maintenance",
    show_default=True,
    callback=margin_statement,
    help="Statement of the model to evaluate.",
)
model_option = click.option(
    "--model",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Margin model to use in place of the book's model.yaml.",
)
models_option = click.option(
    "--model",
    "files",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    help="Margin model beside the book's own; may be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
plot_option = click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the result to this .svg or .png file."
)


def moves_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that state one shock on the command line: `prices` and `volatilities`."""
    volatility = click.option(
        "--volatility", "volatilities", multiple=True, metavar="NAME=MOVE", help="The same for implied volatilities."
    )
    price = click.option(
        "--price", "prices", multiple=True, metavar="NAME=MOVE", help="Relative price move, such as BTC=-0.3."
    )
    return price(volatility(command))


def shock_of(prices: Sequence[str], volatilities: Sequence[str]) -> Shock | None:
    """Return the shock that the command line states, or None.

    Raises:
        click.UsageError: a text is not NAME=MOVE, or repeats a name.
    """
    if not prices and not volatilities:
        return None
    moves: list[dict[str, str]] = []
    for option, texts in (("--price", prices), ("--volatility", volatilities)):
        found: dict[str, str] = {}
        for text in texts:
            name, separator, move = text.partition("=")
            if not separator or name in found:
                raise click.UsageError(f"{option} {text}: write NAME=MOVE, each name once, such as BTC=-0.3")
            found[name] = move
        moves.append(found)
    try:
        return Shock.of(*moves)
    except InputErrors as errors:
        first = errors.problems[0]
        raise click.UsageError(f"{first.field}: {first.reason}; {first.hint}") from None


def load_with(book: str, reject_bad_accounts: bool, model: Path | None) -> Book:
    """Load a book folder; a model file replaces the book's own model.

    Raises:
        InputErrors: bad input, or a model that does not fit the book's instruments and market.
    """
    loaded = Book(load(book, reject_bad_accounts))
    return loaded if model is None else loaded.with_model(model)


def load_models(inputs: Parameters, files: Sequence[Path]) -> dict[str, MarginModel]:
    """Return models by file name: the book's own as "model.yaml", then those of the files.

    Raises:
        InputErrors: a model does not fit. click.UsageError: two files have the same name.
    """
    models = {"model.yaml": inputs.model}
    for file in files:
        if file.name in models:
            raise click.UsageError(f"two models are called {file.name}; rename one of the files")
        models[file.name] = fitting(load_margin_model(file), inputs.environment)
    return models
