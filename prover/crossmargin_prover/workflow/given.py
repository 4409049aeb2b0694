"""Books and vaults as callers pass them: a book from `crossmargin.load` or the loader; a vault or its path."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crossmargin.loading import Inputs, Parameters
from crossmargin_prover.vault.vault import Vault

if TYPE_CHECKING:
    from crossmargin import Book

__all__ = ["given_inputs", "given_names", "given_parameters", "given_vault", "open_vault"]


def given_inputs(book: "Book | Inputs") -> Inputs:
    """Return the loaded inputs of a book.

    Raises:
        TypeError: something else, such as the path of a book.
    """
    found = book if isinstance(book, Inputs) else getattr(book, "inputs", None)
    if not isinstance(found, Inputs):
        raise TypeError(f"{book!r} is no loaded book: load it first, with crossmargin.load")
    return found


def given_names(names: str | Sequence[str]) -> Sequence[str]:
    """Return names of statements or accounts; one name alone is one name, not its letters."""
    return [names] if isinstance(names, str) else names


def given_parameters(book: "Book | Parameters") -> Parameters:
    """Return the public part of a book, or parameters as they are.

    Raises:
        TypeError: something else, such as the path of a book.
    """
    return book if isinstance(book, Parameters) else given_inputs(book)


def given_vault(vault: Vault | str | Path) -> Vault:
    """Return a vault as it is, or the vault at a path, which need not exist."""
    return vault if isinstance(vault, Vault) else Vault(Path(vault))


def open_vault(vault: Vault | str | Path) -> Vault:
    """Return a vault that has a finished snapshot.

    Raises:
        VaultError: it has none.
    """
    return Vault.open(given_vault(vault).path)
