"""The known architectures: the word in `model.yaml` and the class that reads it.

An outside package adds its own with an entry point in the group `crossmargin.models`: the name is the word, the value
the class. A program adds one with `register_model`. Verifying bundles of such a model needs nothing new: the verifier
reads the policy's arrays and formulas, never the class that wrote them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from crossmargin.entry_points import load_entry, offered
from crossmargin.errors import InputError
from crossmargin.models.base import MarginModel
from crossmargin.models.cross import CrossModel
from crossmargin.models.delta import DeltaModel
from crossmargin.models.expected_shortfall import ExpectedShortfallModel
from crossmargin.models.greeks import GreeksModel
from crossmargin.models.isolated import IsolatedModel
from crossmargin.models.scenario import ScenarioModel
from crossmargin.models.span import SpanModel

__all__ = ["ARCHITECTURES", "MODEL_GROUP", "model_class", "parse_model", "register_model"]

MODEL_GROUP = "crossmargin.models"
"""Entry points of models from installed packages."""

Registered = TypeVar("Registered", bound=type[MarginModel])

_CLASSES: tuple[type[MarginModel], ...] = (
    CrossModel,
    DeltaModel,
    ExpectedShortfallModel,
    IsolatedModel,
    GreeksModel,
    ScenarioModel,
    SpanModel,
)


def _words(model: Any) -> tuple[str, ...]:
    """Return the words that a class reads: those of its `model: Literal[...]`.

    Raises:
        InputError: no model class, or one without a word.
    """
    name = getattr(model, "__qualname__", str(model))
    if not (isinstance(model, type) and issubclass(model, MarginModel)):
        raise InputError(f"{name} is no margin model", hint="derive it from crossmargin.MarginModel")
    annotation = model.model_fields["model"].annotation
    if get_origin(annotation) is not Literal:
        raise InputError(f"{name} has no word", hint='annotate it, such as model: Literal["flat_rate"]')
    return get_args(annotation)


class _Architectures(Mapping[str, type[MarginModel]]):
    """Classes by word: the built-in ones, those registered by the program, those that packages offer."""

    def __init__(self, built_in: tuple[type[MarginModel], ...]) -> None:
        self._built_in = {word: each for each in built_in for word in _words(each)}
        self._registered: dict[str, type[MarginModel]] = {}

    def __getitem__(self, word: str) -> type[MarginModel]:
        packaged = offered(MODEL_GROUP, self._built_in)
        if word in self._built_in or word in self._registered:
            return self._built_in.get(word) or self._registered[word]
        found: type[MarginModel] = load_entry(packaged[word])
        if word not in _words(found):
            raise InputError(f"{packaged[word].value} does not read the model {word}", hint="name its own word")
        return found

    def __iter__(self) -> Iterator[str]:
        packaged = offered(MODEL_GROUP, self._built_in)
        yield from dict.fromkeys((*self._built_in, *self._registered, *packaged))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, word: object) -> bool:
        return word in tuple(self)

    def register(self, model: Any) -> None:
        """Add a class under its words.

        Raises:
            InputError: no model class, one without a word, or a word that another class has.
        """
        words = _words(model)
        packaged = offered(MODEL_GROUP, self._built_in)
        own = f"{model.__module__}:{model.__qualname__}"
        for word in words:
            other = word in self._built_in or (word in packaged and packaged[word].value != own)
            if other or self._registered.get(word, model) is not model:
                hint = f"choose another word for {model.__qualname__}"
                raise InputError(f"the model {word} exists already", hint=hint)
        self._registered.update(dict.fromkeys(words, model))


ARCHITECTURES = _Architectures(_CLASSES)
"""Class of each architecture, by its word."""


def register_model(model: Registered) -> Registered:
    """Register a program's margin model under the words of its `model: Literal[...]`; return it.

    Raises:
        InputError: no model class, one without a word, or a word that another class has.

    >>> from typing import Literal
    >>> import crossmargin as cm
    >>> @cm.register_model
    ... class FixedAmount(cm.MarginModel):
    ...     model: Literal["fixed_amount"]
    ...     def requirement(self, builder):
    ...         return builder.amount(100)
    >>> book = cm.load("examples/small")
    >>> common = book.model.model_dump(exclude={"model", "scan", "extreme"}, exclude_none=True)
    >>> book.with_model({**common, "model": "fixed_amount"}).margin("initial").requirement
    Decimal('500')
    """
    ARCHITECTURES.register(model)
    return model


def model_class(word: Any) -> type[MarginModel]:
    """Return the class that reads the models of a word.

    Raises:
        InputError: there is none.
    """
    if isinstance(word, str) and word in ARCHITECTURES:
        return ARCHITECTURES[word]
    known = ", ".join(ARCHITECTURES)
    raise InputError("no model" if word is None else f"not one of {known}", hint=f"write one of these words: {known}")


def parse_model(data: Any) -> MarginModel:
    """Return a model from the data of `model.yaml`, or of a policy's inputs.

    Raises:
        InputError: no such architecture. ValueError: other faults (pydantic).
    """
    return model_class(data.get("model") if isinstance(data, Mapping) else None).model_validate(data)
