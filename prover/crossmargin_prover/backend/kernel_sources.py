"""The sources of the compiled kernel, where this is a checkout: a kernel that was built from other ones is stale.

An installed package has no sources; there the version and the interface alone say which kernel belongs to it.
"""

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["SOURCES", "sources_digest", "sources_here"]

SOURCES = Path(__file__).resolve().parents[2] / "kernel"
"""Where a checkout has the kernel's sources."""


@cache
def sources_here() -> str | None:
    """Return the digest of the sources of this checkout, or None where there are none."""
    return sources_digest(SOURCES) if (SOURCES / "Cargo.lock").is_file() else None


def sources_digest(folder: Path) -> str:
    """Return a digest of the files from which the kernel in this folder is built."""
    files = [folder / "Cargo.toml", folder / "Cargo.lock", folder / "binding" / "pyproject.toml"]
    for crate in ("core", "binding"):
        files += [folder / crate / "Cargo.toml", *(folder / crate).rglob("*.rs"), *(folder / crate).glob("*.pyi")]
    state = hashlib.sha256()
    for file in sorted(files):
        state.update(
            f"{file.relative_to(folder).as_posix()}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode()
        )
    return state.hexdigest()
