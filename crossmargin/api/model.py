"""Margin models by the file or the data that states them."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from crossmargin.errors import InputError, InputErrors
from crossmargin.loading import load_margin_model
from crossmargin.loading.yaml import Document, fit
from crossmargin.models import ARCHITECTURES, ModelConfig

__all__ = ["load_model"]


def load_model(source: str | PathLike[str] | Mapping[str, object]) -> ModelConfig:
    """Load a margin model: a file in the format of `model.yaml`, or the same data as a mapping.

    Raises:
        InputErrors: every field that does not fit, with a hint.

    >>> import crossmargin as cm
    >>> cm.load_model("examples/models/span.yaml").title
    'span'
    """
    if not isinstance(source, Mapping):
        return load_margin_model(Path(source))
    word = source.get("model")
    if not isinstance(word, str) or word not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise InputErrors([InputError("no such model", hint=f"write one of these words: {known}", field="model")])
    return fit(Document("", dict(source), {}), ARCHITECTURES[word])
