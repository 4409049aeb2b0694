"""The sources of the compiled kernel in a checkout: a kernel built from other sources is stale.

An installed package has no sources; there only the version and the interface identify its kernel.
"""

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["SOURCES", "sources_digest", "sources_here"]

SOURCES = Path(__file__).resolve().parents[2] / "kernel"
"""Folder of the kernel's sources in a checkout."""


@cache
def sources_here() -> str | None:
    """Return the digest of the sources of this checkout, or None if it has none."""
    return sources_digest(SOURCES) if (SOURCES / "Cargo.lock").is_file() else None


def sources_digest(folder: Path) -> str:
    """Return a digest of the kernel's source files in this folder."""
    files = [folder / "Cargo.toml", folder / "Cargo.lock", folder / "binding" / "pyproject.toml"]
    for crate in ("core", "binding"):
        files += [folder / crate / "Cargo.toml", *(folder / crate).rglob("*.rs"), *(folder / crate).glob("*.pyi")]
    state = hashlib.sha256()
    for file in sorted(files):
        state.update(
            f"{file.relative_to(folder).as_posix()}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode()
        )
    return state.hexdigest()
