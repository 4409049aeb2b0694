"""The complete books of the protocol's vectors, as a verifier takes them; scripts of this folder and tests share it."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.verify import ClaimedStatement, VerifiedBook, verify_statements

__all__ = ["FOLDER", "POLICY", "Files", "load", "parts", "relations_of", "shards_vector", "vectors", "verify"]

Files = dict[str, bytes]
"""Files of a bundle by path."""

FOLDER = Path(__file__).parent

POLICY = bytes(32)
"""Policy digest of every statement of the vectors."""


@cache
def vectors() -> dict[str, Any]:
    """Return the vectors of protocol2.json."""
    loaded: dict[str, Any] = json.loads((FOLDER / "protocol2.json").read_text(encoding="utf-8"))
    return loaded


@cache
def shards_vector() -> dict[str, Any]:
    """Return the vector of shards.json."""
    loaded: dict[str, Any] = json.loads((FOLDER / "shards.json").read_text(encoding="utf-8"))
    return loaded


def load(name: str) -> Files:
    """Return the files of `tiny`, `tiny_one` or `shards`."""
    vector = shards_vector() if name == "shards" else vectors()[name]
    return {path: bytes.fromhex(data) for path, data in vector["files"].items()}


def inside(files: Mapping[str, bytes], folder: str) -> Files:
    """Return the files of a folder by their bare names."""
    return {path[len(folder) :]: data for path, data in files.items() if path.startswith(folder)}


def names_of(files: Iterable[str]) -> list[str]:
    """Return the names of the statements; `coverage` comes second, as it was made."""
    names = {path.split("/")[1] for path in files if path.startswith("statements/")}
    return sorted(names, reverse=True)


def relations_of(files: Mapping[str, bytes]) -> dict[str, Relation]:
    """Return the relation of every statement, which a verifier would compile from its policy."""
    columns = decode_columns(files["snapshot/columns.cm2"])
    return {name: Relation.decode(files[f"statements/{name}/relation.cm2"], columns) for name in names_of(files)}


def parts(
    files: Mapping[str, bytes], relations: Mapping[str, Relation]
) -> tuple[SnapshotFiles, dict[str, ClaimedStatement]]:
    """Return the files of the snapshot, and of every statement with the verifier's own relation for it."""
    claims = {
        name: ClaimedStatement(StatementFiles(inside(files, f"statements/{name}/")), relation, POLICY)
        for name, relation in relations.items()
    }
    return SnapshotFiles(inside(files, "snapshot/")), claims


def verify(files: Mapping[str, bytes], relations: Mapping[str, Relation] | None = None, **options: Any) -> VerifiedBook:
    """Verify a book; relations: the verifier's own, by default those of the files themselves."""
    return verify_statements(*parts(files, relations_of(files) if relations is None else relations), **options)
