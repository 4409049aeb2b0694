"""The margin core: load a book, compute its margin under a published model, in exact integers; no cryptography.

    import crossmargin as cm

    book = cm.load("examples/book")
    margin = book.margin("maintenance")
    margin.under_water.frame()

Names are resolved when they are first asked for, so that `import crossmargin`, which every start of a program runs,
loads none of the numerical packages.
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

__all__ = [
    "Book",
    "Change",
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
    "Book": "api.book",
    "Change": "api.change",
    "Explanation": "api.explanation",
    "InputError": "errors",
    "InputErrors": "errors",
    "LiquidationPrice": "api.liquidation_price",
    "Margin": "api.margin",
    "MarginModel": "models.base",
    "Market": "market.prices",
    "load": "api.book",
    "load_model": "api.model",
    "register_model": "models.registry",
}


def __getattr__(name: str) -> object:
    """Return a public name, from the module that defines it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
