"""Which architectures there are: the word in `model.yaml` and the class that reads it."""

from collections.abc import Mapping
from typing import Any, get_args

from crossmargin.models.base import ModelConfig
from crossmargin.models.cross import CrossModel
from crossmargin.models.delta import DeltaModel
from crossmargin.models.expected_shortfall import ExpectedShortfallModel
from crossmargin.models.greeks import GreeksModel
from crossmargin.models.isolated import IsolatedModel
from crossmargin.models.scenario import ScenarioModel
from crossmargin.models.span import SpanModel

__all__ = ["ARCHITECTURES", "parse_model"]

_CLASSES: tuple[type[ModelConfig], ...] = (
    CrossModel,
    DeltaModel,
    ExpectedShortfallModel,
    IsolatedModel,
    GreeksModel,
    ScenarioModel,
    SpanModel,
)

ARCHITECTURES: Mapping[str, type[ModelConfig]] = {
    word: each for each in _CLASSES for word in get_args(each.model_fields["model"].annotation)
}
"""Class of each architecture, by its word."""


def parse_model(data: Any) -> ModelConfig:
    """Return a model from the data of `model.yaml`, or of a policy's inputs.

    Raises:
        KeyError: no such architecture. ValueError: other faults (pydantic).
    """
    return ARCHITECTURES[data["model"]].model_validate(data)
