"""The parameters of a book: venue, instruments, market, model, reserves, and further inputs of some models.

A statement publishes them, and they give the tables their meaning. Each part is checked alone, then against the others;
all problems are reported together. The parts come from files or from Python values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel

from crossmargin.errors import InputError, InputErrors
from crossmargin.fields import Frozen, Name, refuse
from crossmargin.loading.yaml import Document, fit
from crossmargin.market.crowding import Crowding
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import PriceHistory
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.reserves import Reserves
from crossmargin.market.valuation import check_option_marks
from crossmargin.models.base import MarginModel
from crossmargin.models.oracle import resolve
from crossmargin.models.registry import model_class

__all__ = ["Parameters", "Part", "Venue", "build_parameters", "fit_model", "parameters_of"]

Model = TypeVar("Model", bound=BaseModel)


def _name_part(value: str) -> str:
    if "/" in value:
        raise refuse("not a name: it has a slash", "leave it out; slashes separate the parts of the snapshot id")
    return value


class Venue(Frozen):
    """The contents of `venue.yaml`: the venue and the name of its book."""

    venue: Annotated[Name, AfterValidator(_name_part)]
    book: Annotated[Name, AfterValidator(_name_part)]


@dataclass(frozen=True)
class Parameters:
    """The public part of a book."""

    venue: Venue
    catalogue: Catalogue
    market: Market
    model: MarginModel
    reserves: Reserves
    history: PriceHistory | None
    crowding: Crowding | None
    widening: Mapping[str, Decimal] | None = None

    @cached_property
    def environment(self) -> MarketEnvironment:
        """Inputs of the model."""
        return MarketEnvironment(self.catalogue, self.market, self.history, self.crowding, self.widening)

    @property
    def snapshot_id(self) -> str:
        """ "venue/book/as_of", as_of in UTC."""
        as_of = self.market.as_of.isoformat().replace("+00:00", "Z")
        return f"{self.venue.venue}/{self.venue.book}/{as_of}"


@dataclass(frozen=True)
class Part(Generic[Model]):
    """One part of the parameters, and the document that gives later problems their file and line."""

    value: Model
    document: Document

    def located(self, problems: Sequence[InputError]) -> list[InputError]:
        """Return problems that state a field, with the file and line of that field."""
        return [self.document.origin.located(each) for each in problems]


def parameters_of(
    venue: Part[Venue],
    instruments: Part[Catalogue],
    market: Part[Market],
    model: Part[MarginModel],
    reserves: Part[Reserves],
    history: PriceHistory | None,
    crowding: Crowding | None,
) -> Parameters:
    """Return the parameters, with every part checked against the others.

    Raises:
        InputErrors: all problems found.
    """
    catalogue, chosen = instruments.value, model.value
    resolution = resolve(MarketEnvironment(catalogue, market.value, history, crowding), chosen.oracle)
    environment = resolution.environment
    problems = [
        *market.located(resolution.problems or _check_market(environment, chosen)),
        *model.located(chosen.check(environment)),
        *reserves.located(reserves.value.check(catalogue, chosen.value_unit.quantum)),
    ]
    if problems:
        raise InputErrors(problems)
    return Parameters(
        venue.value,
        catalogue,
        environment.market,
        chosen,
        reserves.value,
        environment.history,
        environment.crowding,
        environment.widening,
    )


def build_parameters(
    *,
    venue: Venue | Mapping[str, Any],
    instruments: Catalogue | Mapping[str, Any],
    market: Market | Mapping[str, Any],
    model: MarginModel | Mapping[str, Any],
    reserves: Reserves | Mapping[str, Any],
    history: PriceHistory | Mapping[str, Any] | None = None,
    crowding: Crowding | Mapping[str, Any] | None = None,
) -> Parameters:
    """Return the parameters of a book without a folder, checked as files are.

    Each part is the value itself, or a mapping with the fields of its file: decimals as text, integers or Decimal,
    never floats. `history` maps `times` to a list and `prices` to a list by name.

    Raises:
        InputErrors: all problems found, named by the argument and the field.
    """
    problems: list[InputError] = []
    parts = (
        _part("venue", venue, Venue, problems),
        _part("instruments", instruments, Catalogue, problems),
        _part("market", market, Market, problems),
        _part("model", model, MarginModel, problems, fit_model),
        _part("reserves", reserves, Reserves, problems),
    )
    past = None if history is None else _part("history", history, PriceHistory, problems)
    totals = None if crowding is None else _part("crowding", crowding, Crowding, problems)
    if problems or any(part is None for part in parts):
        raise InputErrors(problems)
    return parameters_of(*parts, past and past.value, totals and totals.value)  # type: ignore[arg-type]


def fit_model(document: Document) -> MarginModel:
    """Return a document as the margin model that its field `model` names.

    Raises:
        InputErrors: no such model, or every field that does not fit.
    """
    try:
        chosen = model_class(document.value.get("model") if isinstance(document.value, Mapping) else None)
    except InputError as error:
        raise InputErrors([error.at(file=document.file, line=document.line("model"), field="model")]) from None
    return fit(document, chosen).read_from(document.origin)


def _part(
    name: str,
    given: Any,
    kind: type[Model],
    problems: list[InputError],
    read: Callable[[Document], Model] | None = None,
) -> Part[Model] | None:
    """Return a value unchanged, or build it from a mapping; None where it is refused."""
    document = Document(name, given, {})
    if isinstance(given, kind):
        return Part(given, document)
    try:
        return Part(fit(document, kind) if read is None else read(document), document)
    except InputErrors as errors:
        problems += errors.problems
        return None


def _check_market(environment: MarketEnvironment, model: MarginModel) -> list[InputError]:
    """Return the problems of the market and, if all its prices are there, of its option prices."""
    found = environment.market.check(environment.catalogue, model.staleness_limit_seconds)
    return found or check_option_marks(environment.catalogue, environment.market)
