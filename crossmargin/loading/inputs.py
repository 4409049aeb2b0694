"""The inputs of a snapshot, from any place: parameters and book.

A place is a folder, a source object, or `SCHEME:REST` for a source of an installed package. The package offers it under
the entry points `crossmargin.sources`; the name is the scheme and the value a function from REST to a source. With
`sqlite = "my_package:Ledger"`, the place `sqlite:book.db` is read from `Ledger("book.db")`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, cast

from crossmargin.book.book import Book
from crossmargin.entry_points import load_entry, offered
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.folder import FolderSource
from crossmargin.loading.ledger import read_book
from crossmargin.loading.parameters import Parameters
from crossmargin.loading.problems import OnBad
from crossmargin.loading.source import BookSource, Source
from crossmargin.market.instruments import Catalogue

__all__ = ["SOURCE_GROUP", "Inputs", "Where", "load", "load_book", "load_folder", "load_parameters", "source_of"]

SOURCE_GROUP = "crossmargin.sources"
"""Entry points of sources from installed packages."""

Where: TypeAlias = str | PathLike[str] | Source
"""The place of a book: a folder, SCHEME:REST, or a source."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")
"""A scheme has at least two characters, so that a drive letter is none."""


@dataclass(frozen=True, repr=False)
class Inputs(Parameters):
    """A whole book; control: SHA-256 of the control file that its files matched, if there was one."""

    book: Book = field(kw_only=True)
    control: str | None = field(default=None, kw_only=True)


def load(where: Where | BookSource, on_bad: OnBad = "refuse", *, parameters: Parameters | None = None) -> Inputs:
    """Return parameters and book.

    on_bad: with "refuse", any bad row of a table refuses the load; with "reject", the accounts of bad rows are left out
    and listed in `Book.rejected`. An unreadable table is refused either way.
    parameters: in place of the source's own, which it may then lack.

    Raises:
        InputErrors: all problems found.
    """
    source = _source(where)
    control = source.check() if isinstance(source, FolderSource) else None
    given = _parameters(source) if parameters is None else parameters
    if isinstance(source, FolderSource):
        book = source.book(given.catalogue, on_bad, control)
    else:
        book = read_book(source, given.catalogue, on_bad)
    public = {each.name: getattr(given, each.name) for each in fields(Parameters)}
    return Inputs(**public, book=book, control=None if control is None else control.digest)


def load_folder(path: str | PathLike[str], on_bad: OnBad = "refuse") -> Inputs:
    """Return everything in a book folder.

    Raises:
        InputErrors: all problems found.
    """
    return load(FolderSource(path), on_bad)


def load_parameters(where: Where) -> Parameters:
    """Return the parameters of a book, every part checked, alone and against the others.

    Raises:
        InputErrors: all problems found.
    """
    return _parameters(_source(where))


def load_book(where: Where | BookSource, catalogue: Catalogue, on_bad: OnBad = "refuse") -> Book:
    """Return the book of a source in the columns of a catalogue.

    Raises:
        InputErrors: all problems found.
    """
    source = _source(where)
    if isinstance(source, FolderSource):
        return source.book(catalogue, on_bad, source.check())
    return read_book(source, catalogue, on_bad)


def source_of(place: str | PathLike[str]) -> Source:
    """Return the source of a place: the source of a registered scheme, or a folder.

    Raises:
        InputErrors: neither a folder nor a scheme, or a scheme whose package fails.
    """
    scheme, separator, rest = str(place).partition(":")
    if not separator or not _SCHEME.fullmatch(scheme):
        return FolderSource(place)
    try:
        packaged = offered(SOURCE_GROUP)
        if scheme not in packaged:
            if not Path(place).exists():
                hint = f"name a folder, or a source of these: {', '.join(packaged) or 'none is installed'}"
                raise InputError("no such folder, and no source of this scheme", hint=hint, file=str(place))
            return FolderSource(place)
        opened: Callable[[str], Any] = load_entry(packaged[scheme])
    except InputError as error:
        raise InputErrors([error.at(file=scheme)]) from None
    try:
        return cast(Source, opened(rest))
    except (InputError, InputErrors, MemoryError):
        raise
    except Exception as error:
        reason = f"cannot be opened: {type(error).__name__}: {error}"
        raise InputErrors([InputError(reason, hint=f"check what follows {scheme}:", file=str(place))]) from error


def _parameters(source: BookSource) -> Parameters:
    if not hasattr(source, "parameters"):
        hint = "give them to the load: parameters=build_parameters(...)"
        raise InputErrors([InputError("a source without parameters", hint=hint, file=source.name)])
    return cast(Source, source).parameters()


def _source(where: Where | BookSource) -> BookSource:
    if isinstance(where, str | PathLike):
        return source_of(where)
    if not callable(getattr(where, "tables", None)):
        raise TypeError(f"{where!r} is no book: give a folder, SCHEME:REST, or a source with the method tables")
    return where
