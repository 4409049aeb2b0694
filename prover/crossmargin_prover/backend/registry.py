"""Backends by name: two built-in ones, and those of other distributions.

A distribution registers a backend as an entry point of the group `crossmargin.backends`: a class or a function that
returns a `Backend` when called without arguments.

    [project.entry-points."crossmargin.backends"]
    gpu = "my_package.backend:GpuBackend"
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import MappingProxyType

from crossmargin_prover.backend.interface import Backend, BackendError

__all__ = ["ENTRY_POINTS", "available", "select_backend"]

ENTRY_POINTS = "crossmargin.backends"
"""Group of the entry points."""

_OWN: Mapping[str, EntryPoint] = MappingProxyType(
    {
        "kernel": EntryPoint("kernel", "crossmargin_prover.backend.kernel:KernelBackend", ENTRY_POINTS),
        "reference": EntryPoint("reference", "crossmargin_prover.backend.reference:ReferenceBackend", ENTRY_POINTS),
    }
)
"""The built-in backends, the preferred one first."""

_NEEDS: Mapping[str, str] = MappingProxyType({"kernel": "crossmargin_kernel"})
"""Modules that a built-in backend needs."""


def available() -> tuple[str, ...]:
    """Return the names of the installed backends: the built-in ones, the preferred one first, then all others."""
    own = [name for name in _OWN if name not in _NEEDS or find_spec(_NEEDS[name]) is not None]
    return (*own, *sorted(_registered().keys() - _OWN.keys()))


def select_backend(name: str | None = None) -> Backend:
    """Return the backend of that name, by default the preferred built-in one.

    Raises:
        BackendError: no backend of that name is installed, or several are; or it is unusable: its import fails, or it
        lacks a part of the interface, or is of another version.

    >>> from crossmargin_prover import select_backend
    >>> select_backend("reference").name
    'reference'
    """
    installed = available()
    chosen = installed[0] if name is None else name
    if chosen not in installed:
        raise BackendError(f"backend {chosen!r} is not installed; there are: {', '.join(installed)}")
    if chosen in _OWN:
        return _make(_OWN[chosen], "crossmargin")
    found = _registered()[chosen]
    owners = sorted({_owner(each) for each in found})
    if len(owners) > 1:
        raise BackendError(f"backend {chosen!r} is registered by {' and '.join(owners)}: uninstall all but one")
    return _make(found[0], owners[0])


def _registered() -> dict[str, list[EntryPoint]]:
    """Return the entry points of the group by name; a built-in name stays reserved."""
    found: dict[str, list[EntryPoint]] = {}
    for each in entry_points(group=ENTRY_POINTS):
        found.setdefault(each.name, []).append(each)
    return found


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unnamed distribution"


def _make(entry: EntryPoint, owner: str) -> Backend:
    what = f"backend {entry.name!r} of {owner}, {entry.value}"
    try:
        backend = entry.load()()
    except BackendError:
        raise
    except Exception as error:
        # Foreign code may fail in any way; the error then states that the backend is unusable, and keeps the cause.
        raise BackendError(f"{what}: cannot be used: {type(error).__name__}: {error}") from error
    missing = sorted(each for each in vars(Backend) if not each.startswith("_") and not hasattr(backend, each))
    if missing:
        raise BackendError(f"{what}: not a backend: it has no {', '.join(missing)}")
    made: Backend = backend
    return made
