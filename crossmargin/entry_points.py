"""Names that installed packages offer under a group of entry points; no two packages may offer the same one.

Source: Python packaging, "Entry points specification". This module reads names only; a package is imported when a
caller asks for its name.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from crossmargin.errors import InputError

__all__ = ["load_entry", "offered"]


def offered(group: str, own: Collection[str] = ()) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group by name; own: names reserved for crossmargin.

    Raises:
        InputError: a package offers a reserved name, or two packages offer the same name.
    """
    return _offered(group, frozenset(own), tuple(sys.path))


@cache
def _offered(group: str, own: Collection[str], path: Sequence[str]) -> Mapping[str, EntryPoint]:
    """Look the group up once for each search path, because a look-up takes milliseconds."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        if entry.name in own:
            raise InputError(
                f"{_package(entry)} offers {entry.name} under {group}, a name reserved for crossmargin",
                hint=f"rename it, or uninstall {_package(entry)}",
            )
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise InputError(
                f"{_package(other)} and {_package(entry)} both offer {entry.name} under {group}",
                hint="uninstall one of them",
            )
    return found


def load_entry(entry: EntryPoint) -> Any:
    """Return the object that an entry point names.

    Raises:
        InputError: its package cannot be imported.
    """
    try:
        return entry.load()
    except Exception as error:
        reason = f"{entry.name} of {_package(entry)} cannot be imported: {type(error).__name__}: {error}"
        raise InputError(reason, hint=f"fix or uninstall {_package(entry)}") from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module
