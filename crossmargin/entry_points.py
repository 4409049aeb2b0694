"""What installed packages offer under a group of entry points: names from outside, none of them taken twice.

Source: Python packaging, "Entry points specification". Only names are read here; a package is imported when its name
is asked for.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from crossmargin.errors import InputError

__all__ = ["load_entry", "offered"]


def offered(group: str, own: Collection[str] = ()) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group by name; own: names that no package may take.

    Raises:
        InputError: a name of our own, or one that two packages offer.
    """
    return _offered(group, frozenset(own), tuple(sys.path))


@cache
def _offered(group: str, own: Collection[str], path: Sequence[str]) -> Mapping[str, EntryPoint]:
    """Look the group up once for each search path, as that takes milliseconds."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        if entry.name in own:
            raise InputError(
                f"{_package(entry)} offers {entry.name} under {group}, a name of crossmargin itself",
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
    """Return what an entry point stands for.

    Raises:
        InputError: its package cannot be imported.
    """
    try:
        return entry.load()
    except Exception as error:
        reason = f"{entry.name} of {_package(entry)} cannot be imported: {type(error).__name__}: {error}"
        raise InputError(reason, hint=f"mend or uninstall {_package(entry)}") from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module
