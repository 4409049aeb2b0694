"""Load margin models from a file or from data."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from crossmargin.errors import InputErrors
from crossmargin.loading import load_margin_model
from crossmargin.loading.parameters import fit_model
from crossmargin.loading.yaml import Document
from crossmargin.market.environment import MarketEnvironment
from crossmargin.models import MarginModel
from crossmargin.models.policies import check_environment

__all__ = ["fitting", "load_model"]


def load_model(source: str | PathLike[str] | Mapping[str, object]) -> MarginModel:
    """Load a margin model from a file in the format of `model.yaml`, or from the same data as a mapping.

    Raises:
        InputErrors: every field that does not fit, with a hint.

    >>> import crossmargin as cm
    >>> cm.load_model("examples/models/span.yaml").title
    'span'
    """
    if not isinstance(source, Mapping):
        return load_margin_model(Path(source))
    return fit_model(Document("", dict(source), {}))


def fitting(model: MarginModel, environment: MarketEnvironment) -> MarginModel:
    """Return a model that fits an environment.

    Raises:
        InputErrors: every reason why it does not fit.
    """
    problems = check_environment(environment, model)
    if problems:
        raise InputErrors(problems)
    return model
