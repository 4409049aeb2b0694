"""The margin core: load a book, compute its margin under a published model, in exact integers; no cryptography.

    import crossmargin as cm

    book = cm.load("examples/book")
    margin = book.margin("maintenance")
    margin.under_water.frame()

Every refusal raises a `CrossmarginError`. Bad input is an `InputError`, or `InputErrors` where there may be many.
A name is resolved on first use, so that `import crossmargin` loads none of the numerical packages.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossmargin.api.book import Book as Book
    from crossmargin.api.book import load as load
    from crossmargin.api.change import Change as Change
    from crossmargin.api.explanation import Explanation as Explanation
    from crossmargin.api.liquidation_price import LiquidationPrice as LiquidationPrice
    from crossmargin.api.margin import Margin as Margin
    from crossmargin.api.model import load_model as load_model
    from crossmargin.errors import InputError as InputError
    from crossmargin.errors import InputErrors as InputErrors
    from crossmargin.market.prices import Market as Market
    from crossmargin.models.base import MarginModel as MarginModel
    from crossmargin.models.registry import register_model as register_model
    from crossmargin_circuits.errors import CrossmarginError as CrossmarginError

__all__ = [
    "Book",
    "Change",
    "CrossmarginError",
    "Explanation",
    "InputError",
    "InputErrors",
    "LiquidationPrice",
    "Margin",
    "MarginModel",
    "Market",
    "load",
    "load_model",
    "register_model",
]

_PLACES = {
    "Book": "crossmargin.api.book",
    "Change": "crossmargin.api.change",
    "CrossmarginError": "crossmargin_circuits.errors",
    "Explanation": "crossmargin.api.explanation",
    "InputError": "crossmargin.errors",
    "InputErrors": "crossmargin.errors",
    "LiquidationPrice": "crossmargin.api.liquidation_price",
    "Margin": "crossmargin.api.margin",
    "MarginModel": "crossmargin.models.base",
    "Market": "crossmargin.market.prices",
    "load": "crossmargin.api.book",
    "load_model": "crossmargin.api.model",
    "register_model": "crossmargin.models.registry",
}


def __getattr__(name: str) -> object:
    """Return a public name from the module that defines it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
