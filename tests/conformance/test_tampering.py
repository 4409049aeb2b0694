"""One byte changed in every field of every file of both small books and of a receipt: each is refused.

The manifests below name every field with its length, in order. A test fails where they do not cover a file exactly, so
that a field that is new in the format cannot be without its tampering test. Of the record proof every byte is changed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from protocol_vectors import load, relations_of, vectors, verify

from crossmargin_prover.backend import select_backend
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.inclusion import verify_receipt

ARITHMETIC = select_backend().arithmetic
"""The fastest that is installed: a change is refused alike by all, which tests of verifier and kernel hold."""

BOOKS = {name: load(name) for name in ("tiny", "tiny_one")}
RELATIONS_OF = {name: relations_of(files) for name, files in BOOKS.items()}
RECEIPT = bytes.fromhex(vectors()["tiny"]["receipt0"])
Field = tuple[str, int]


def header() -> list[Field]:
    return [("magic", 4), ("version", 2)]


def text(name: str, value: str) -> list[Field]:
    return [(f"length of {name}", 2), (name, len(value.encode()))]


def point(name: str) -> list[Field]:
    return [(f"parity of {name}", 1), (f"x of {name}", 32)]


def opening(folds: int) -> list[Field]:
    fields = [*point("Gamma"), ("u", 32)]
    for fold in range(1, folds + 1):
        fields += [*point(f"E {fold}"), *point(f"E' {fold}")]
    return [*fields, *((f"last scalar {number}", 32) for number in range(4))]


def columns() -> list[Field]:
    fields = [*header(), ("V", 4)]
    for label in ("usd", "btc", "perp"):
        fields += text(f"label {label}", label)
    return fields


RELATIONS = {
    "maintenance": (("perp_long", "requirement", "shortfall"), ("perp_long", "requirement", "down", "up")),
    "coverage": (("debt usd", "debt btc"), ("claim usd", "claim btc")),
}
"""Auxiliaries and rows of the statements."""


def relation(name: str) -> list[Field]:
    auxiliaries, rows = RELATIONS[name]
    fields = [*header(), ("columns digest", 32), ("V", 4), ("Q", 4), ("M", 4), ("K", 4)]
    for auxiliary in auxiliaries:
        fields += [*text(f"label of auxiliary {auxiliary}", auxiliary), (f"{auxiliary} disclosed", 1)]
    for row in rows:
        fields += text(f"label of row {row}", row)
        fields += [(f"{row} coefficient {number}", 16) for number in range(3)]
        fields += [(f"{row} auxiliary coefficient {number}", 16) for number in range(len(auxiliaries))]
        fields += [(f"{row} offset", 16)]
    return fields


def snapshot() -> list[Field]:
    digests = [("columns digest", 32), ("N", 8), ("n", 8), ("position root", 32)]
    return [*header(), *text("sid", "2026-01-01"), ("as_of", 8), *digests]


def points(count: int) -> list[Field]:
    return [*header(), ("count", 8), *(field for number in range(count) for field in point(str(number)))]


def statement() -> list[Field]:
    digests = [(f"{name} digest", 32) for name in ("snapshot", "relation", "policy", "model")]
    return [*header(), *digests, ("gamma", 1), ("slack root", 32)]


def totals() -> list[Field]:
    figures = [(f"total {number}", 16) for number in range(3)]
    return [*header(), ("snapshot digest", 32), ("V", 4), *figures, *point("Gamma"), ("s", 32)]


def auxiliary_totals() -> list[Field]:
    figures = [("total 0", 16), ("total 1", 16)]
    return [*header(), ("statement digest", 32), ("Q'", 4), *figures, *opening(8)]


def records(accounts: int, projections: int, folds: int) -> list[Field]:
    """Fields of a record proof; accounts: variables that number them."""
    fields = [*header(), ("snapshot digest", 32), ("shard", 8), *point("C_M")]
    fields += [(f"z {number}", 20) for number in range(projections)]
    fields += [(f"p {variable} {degree}", 32) for variable in range(1, 1 + accounts) for degree in (1, 2)]
    return [*fields, *opening(folds)]


def shard(variables: int, folds: int) -> list[Field]:
    fields = [*header(), ("statement digest", 32), ("shard", 8), *point("C_M")]
    for variable in range(1, 1 + variables):
        fields += [(f"t {variable} {degree}", 32) for degree in range(1, 5 if variable == 1 else 3)]
    return [*fields, ("beta", 32), *opening(folds)]


def receipt() -> list[Field]:
    fields = [*header(), ("snapshot digest", 32), ("index", 8), *text("id", "user0@example.org"), ("nonce", 32)]
    fields += [("V", 4), *((f"entry {number}", 8) for number in range(3))]
    return [*fields, ("path length", 1), *((f"sibling {number}", 32) for number in range(2))]


def statement_files(name: str, rows: int, proof: list[Field]) -> dict[str, list[Field]]:
    files = {"relation": relation(name), "statement": statement(), "slack": points(rows), "shard-000000": proof}
    return {f"statements/{name}/{file}.cm2": fields for file, fields in files.items()}


RECORDS = "snapshot/records-000000.cm2"
MANIFESTS: dict[str, dict[str, list[Field]]] = {
    "tiny": {
        "snapshot/columns.cm2": columns(),
        "snapshot/snapshot.cm2": snapshot(),
        "snapshot/positions.cm2": points(3),
        RECORDS: records(2, 312, 7),
        "snapshot/totals.cm2": totals(),
        # 64 bits, then 8 or 4 values, then 4 accounts.
        **statement_files("maintenance", 2, shard(6 + 3 + 2, 8)),
        "statements/maintenance/auxtotals.cm2": auxiliary_totals(),
        **statement_files("coverage", 2, shard(6 + 2 + 2, 8)),
        "statements/coverage/auxtotals.cm2": auxiliary_totals(),
    },
    "tiny_one": {
        "snapshot/columns.cm2": columns(),
        "snapshot/snapshot.cm2": snapshot(),
        "snapshot/positions.cm2": points(1),
        RECORDS: records(0, 128, 6),
        **statement_files("maintenance", 1, shard(6 + 3, 7)),
    },
}


class Place(NamedTuple):
    book: str
    file: str
    field: str
    start: int
    end: int


def places(book: str, file: str, fields: list[Field]) -> Iterator[Place]:
    start = 0
    for field, size in fields:
        yield Place(book, file, field, start, start + size)
        start += size


PLACES = [
    place
    for book, manifest in MANIFESTS.items()
    for file, fields in manifest.items()
    for place in places(book, file, fields)
]


def slow(place: Place) -> bool:
    """Whether a place is one of many alike, each of which costs a multi-scalar multiplication."""
    kind, _, number = place.field.partition(" ")
    if kind == "z":
        return number not in {"0", "127", "311"}
    if place.file in {"statements/coverage/shard-000000.cm2", "statements/coverage/auxtotals.cm2"}:
        return place.field not in {"statement digest", "beta", "total 1", "last scalar 3"}
    return " E" in place.field and number[-1] in "23456"


def tampered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def refused(book: str, file: str, at: int) -> None:
    """Check that a changed byte is refused, of a statement's file with that statement alone: the others add checks."""
    honest = BOOKS[book]
    files = {**honest, file: tampered(honest[file], at)}
    own = {name: relation for name, relation in RELATIONS_OF[book].items() if file.startswith(f"statements/{name}/")}
    with pytest.raises((MalformedError, RejectedError)):
        verify(files, own, arithmetic=ARITHMETIC)


@pytest.mark.parametrize("book", BOOKS)
def test_manifests_cover_every_byte_of_every_file(book: str) -> None:
    assert MANIFESTS[book].keys() == BOOKS[book].keys()
    for file, fields in MANIFESTS[book].items():
        names = [name for name, _ in fields]
        assert len(set(names)) == len(names), f"{file}: two fields of one name"
        assert all(size > 0 for _, size in fields)
        assert sum(size for _, size in fields) == len(BOOKS[book][file]), f"{file}: bytes that belong to no field"


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(
            place, marks=pytest.mark.slow if slow(place) else [], id=f"{place.book}/{place.file}/{place.field}"
        )
        for place in PLACES
    ],
)
def test_every_field(place: Place) -> None:
    refused(place.book, place.file, place.end - 1)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=pytest.mark.slow, id=f"{place.book}/{place.field}")
        for place in PLACES
        if place.file == RECORDS
    ],
)
def test_every_byte_of_the_record_proof(place: Place) -> None:
    for at in range(place.start, place.end):
        refused(place.book, place.file, at)


def test_manifest_of_the_receipt_covers_every_byte() -> None:
    assert sum(size for _, size in receipt()) == len(RECEIPT)


@pytest.mark.parametrize("place", list(places("tiny", "receipt", receipt())), ids=lambda place: place.field)
def test_every_byte_of_the_receipt(place: Place) -> None:
    honest = BOOKS["tiny"]
    for at in range(place.start, place.end):
        with pytest.raises((MalformedError, RejectedError)):
            verify_receipt(
                tampered(RECEIPT, at),
                honest["snapshot/snapshot.cm2"],
                honest["snapshot/columns.cm2"],
                holder="user0@example.org",
            )
