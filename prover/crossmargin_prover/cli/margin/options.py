"""What the commands of `crossmargin margin` have in common: which book, which model, which statement, which output."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from crossmargin.errors import InputErrors
from crossmargin.loading import Inputs, Parameters, load_margin_model
from crossmargin.models import ModelConfig
from crossmargin.models.base import COVERAGE
from crossmargin.models.statement import check_setting
from crossmargin.setting import Setting
from crossmargin_prover.cli.output import load

__all__ = [
    "account_option",
    "json_option",
    "load_models",
    "load_with",
    "model_option",
    "models_option",
    "plot_option",
    "statement_option",
]


def _margin_statement(context: click.Context, option: click.Parameter, value: str) -> str:
    if value == COVERAGE:
        raise click.BadParameter("coverage has no requirement; choose a margin statement")
    return value


statement_option = click.option(
    "--statement",
    default="maintenance",
    show_default=True,
    callback=_margin_statement,
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
account_option = click.option("--account", help="Only this account.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
plot_option = click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the result to this .svg or .png file."
)


def load_with(book: Path, reject_bad_accounts: bool, model: Path | None) -> Inputs:
    """Load a book folder, with another model in place of its own where one is given.

    Raises:
        InputErrors: bad input, or a model that does not fit the book's instruments and market.
    """
    inputs = load(book, reject_bad_accounts)
    return inputs if model is None else replace(inputs, model=_fitting(inputs.setting, model))


def load_models(inputs: Parameters, files: Sequence[Path]) -> dict[str, ModelConfig]:
    """Return the book's own model as "model.yaml", then those of the files, by the name of the file.

    Raises:
        InputErrors: a model that does not fit. click.UsageError: two files of one name.
    """
    models = {"model.yaml": inputs.model}
    for file in files:
        if file.name in models:
            raise click.UsageError(f"two models are called {file.name}; rename one of the files")
        models[file.name] = _fitting(inputs.setting, file)
    return models


def _fitting(setting: Setting, file: Path) -> ModelConfig:
    model = load_margin_model(file)
    problems = check_setting(setting, model)
    if problems:
        raise InputErrors([each.at(file=each.file or file.name, line=each.line) for each in problems])
    return model
