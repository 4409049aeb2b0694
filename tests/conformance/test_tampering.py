"""One byte changed in every field of every file of both small proofs and of a receipt: each is refused.

The manifests below name every field with its length, in order. A test fails where they do not cover a file exactly, so
that a field that is new in the format cannot be without its tampering test.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import select_backend
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.inclusion import verify_receipt
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.verify import verify_statement

ARITHMETIC = select_backend().arithmetic
"""The fastest that is installed: a change is refused alike by all, which tests of verifier and kernel hold."""

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "protocol.json").read_text(encoding="utf-8"))
PROOFS = {
    name: {file: bytes.fromhex(data) for file, data in VECTORS[name]["files"].items()}
    for name in ("tiny", "tiny_bounded")
}
RECEIPT = bytes.fromhex(VECTORS["tiny"]["receipt0"])
SHARD = "shard-000000.cm1"
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


def relation() -> list[Field]:
    fields = [*header(), ("columns digest", 32), ("V", 4), ("Q", 4), ("K", 4)]
    fields += [*text("label perp_long", "perp_long"), ("disclosed", 1)]
    for row in ("perp_short", "equity_down", "equity_up"):
        fields += text(f"label {row}", row)
        fields += [(f"{row} coefficient {number}", 16) for number in range(3)]
        fields += [(f"{row} auxiliary coefficient", 16), (f"{row} offset", 16)]
    return fields


def snapshot() -> list[Field]:
    digests = [("columns digest", 32), ("N", 8), ("S", 8), ("position root", 32)]
    return [*header(), *text("sid", "2025-01-01"), ("as_of", 8), *digests]


def points(count: int) -> list[Field]:
    return [*header(), ("count", 8), *(field for number in range(count) for field in point(str(number)))]


def statement() -> list[Field]:
    digests = [(f"{name} digest", 32) for name in ("snapshot", "relation", "policy")]
    return [*header(), *digests, ("gamma", 1), ("mode", 1), ("slack root", 32)]


def totals() -> list[Field]:
    figures = [(f"total {number}", 16) for number in range(3)]
    return [*header(), ("snapshot digest", 32), ("V", 4), *figures, *point("Gamma"), ("s", 32)]


def auxiliary_totals() -> list[Field]:
    return [*header(), ("statement digest", 32), ("Q'", 4), ("total 0", 16), *opening(8)]


def shard(accounts: int, bounded: bool) -> list[Field]:
    fields = [*header(), ("statement digest", 32), ("shard", 8), *point("C_M")]
    if bounded:
        fields += [(f"z {number}", 32) for number in range(128)]
    # Six variables number the bit, two the value; the others the account.
    for variable in range(1, 9 + accounts):
        fields += [(f"t {variable} {degree}", 32) for degree in range(1, 5 if variable == 1 else 3)]
        if bounded and variable > 8:
            fields += [(f"p {variable} {degree}", 32) for degree in (1, 2)]
    return [*fields, ("beta", 32), *opening(8)]


def receipt() -> list[Field]:
    fields = [*header(), ("snapshot digest", 32), ("index", 8), *text("id", "user0@example.org"), ("nonce", 32)]
    fields += [("V", 4), *((f"entry {number}", 8) for number in range(3))]
    return [*fields, ("path length", 1), *((f"sibling {number}", 32) for number in range(2))]


MANIFESTS: dict[str, dict[str, list[Field]]] = {
    "tiny": {
        "columns.cm1": columns(),
        "relation.cm1": relation(),
        "snapshot.cm1": snapshot(),
        "positions.cm1": points(4),
        "totals.cm1": totals(),
        "statement.cm1": statement(),
        "slack.cm1": points(2),
        SHARD: shard(2, bounded=False),
        "auxtotals.cm1": auxiliary_totals(),
    },
    "tiny_bounded": {
        "columns.cm1": columns(),
        "relation.cm1": relation(),
        "snapshot.cm1": snapshot(),
        "positions.cm1": points(2),
        "statement.cm1": statement(),
        "slack.cm1": points(1),
        SHARD: shard(1, bounded=True),
    },
}


class Place(NamedTuple):
    proof: str
    file: str
    field: str
    start: int
    end: int


def places(proof: str, file: str, fields: list[Field]) -> Iterator[Place]:
    start = 0
    for field, size in fields:
        yield Place(proof, file, field, start, start + size)
        start += size


PLACES = [
    place
    for proof, manifest in MANIFESTS.items()
    for file, fields in manifest.items()
    for place in places(proof, file, fields)
]


def slow(place: Place) -> bool:
    """Whether a place is one of many alike, each of which costs a multi-scalar multiplication."""
    kind, _, number = place.field.partition(" ")
    if place.file == SHARD and place.proof == "tiny_bounded":
        alike = {"z": {"0", "63", "127"}, "p": {"9 1", "9 2"}}
        return number not in alike.get(kind, set()) and kind not in {"statement", "shard", "beta"}
    return place.file in {SHARD, "auxtotals.cm1"} and " E" in place.field and number[-1] in "234567"


def tampered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("proof", PROOFS)
def test_manifests_cover_every_byte_of_every_file(proof: str) -> None:
    assert MANIFESTS[proof].keys() == PROOFS[proof].keys()
    for file, fields in MANIFESTS[proof].items():
        names = [name for name, _ in fields]
        assert len(set(names)) == len(names), f"{file}: two fields of one name"
        assert all(size > 0 for _, size in fields)
        assert sum(size for _, size in fields) == len(PROOFS[proof][file]), f"{file}: bytes that belong to no field"


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(
            place, marks=pytest.mark.slow if slow(place) else [], id=f"{place.proof}/{place.file}/{place.field}"
        )
        for place in PLACES
    ],
)
def test_every_field(place: Place) -> None:
    honest = PROOFS[place.proof]
    own = Relation.decode(honest["relation.cm1"], decode_columns(honest["columns.cm1"]))
    files = {**honest, place.file: tampered(honest[place.file], place.end - 1)}
    with pytest.raises((MalformedError, RejectedError)):
        verify_statement(StatementFiles(files), own, bytes(32), arithmetic=ARITHMETIC)


def test_manifest_of_the_receipt_covers_every_byte() -> None:
    assert sum(size for _, size in receipt()) == len(RECEIPT)


@pytest.mark.parametrize("place", list(places("tiny", "receipt", receipt())), ids=lambda place: place.field)
def test_every_byte_of_the_receipt(place: Place) -> None:
    honest = PROOFS["tiny"]
    for at in range(place.start, place.end):
        with pytest.raises((MalformedError, RejectedError)):
            verify_receipt(
                tampered(RECEIPT, at), honest["snapshot.cm1"], honest["columns.cm1"], holder="user0@example.org"
            )
