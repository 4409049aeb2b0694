"""Every field of every binary file of a bundle gets another canonical value, and is refused at the step that guards it.

The fields are walked by the tables of SPEC section 6, written out again below. `GUARDS` names every field of every file
with the step; a test fails where a walk does not end with the file or meets a field that has no guard.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crossmargin_prover.backend import select_backend
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError

ARITHMETIC = select_backend().arithmetic
"""The fastest that is installed: a change is refused alike by all, which tests of verifier and kernel hold."""

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

MALFORMED, CANNOT = "malformed", "cannot check"
EQUATIONS = {"V6", "V7", "V8"}

GUARDS = {
    "columns.cm1": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "V": MALFORMED,
        "length of label": MALFORMED,
        "label": "V2",
    },
    "relation.cm1": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "columns digest": MALFORMED,
        "V": MALFORMED,
        "Q": MALFORMED,
        "K": MALFORMED,
        "length of auxiliary label": MALFORMED,
        "auxiliary label": "V2",
        "disclosed": "V2",
        "length of row label": MALFORMED,
        "row label": "V2",
        "coefficient": "V2",
        "auxiliary coefficient": "V2",
        "offset": "V2",
    },
    "snapshot.cm1": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "length of sid": MALFORMED,
        "sid": "V2",
        "as_of": "V2",
        "columns digest": "V2",
        "N": MALFORMED,
        "S": MALFORMED,  # the positions are too few
        "position root": "V3",
    },
    "positions.cm1": {"magic": MALFORMED, "version": MALFORMED, "count": MALFORMED, "point": "V3"},
    "totals.cm1": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "snapshot digest": "V7",
        "V": MALFORMED,
        "T": "V7",
        "Gamma": "V7",
        "s": "V7",
    },
    "statement.cm1": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "snapshot digest": "V2",
        "relation digest": "V2",
        "policy digest": "V2",
        "gamma": MALFORMED,  # the number of slack rows is another one
        "mode": MALFORMED,  # a bounded shard proof is longer
        "slack root": "V3",
    },
    "slack.cm1": {"magic": MALFORMED, "version": MALFORMED, "count": MALFORMED, "point": "V3"},
    "shard-000000.cm1": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "statement digest": "V4",
        "shard": "V4",
        "C_M": "V6",
        "t": "V6",
        "beta": "V6",
        "Gamma": "V6",
        "u": "V6",
        "E": "V6",
        "E'": "V6",
        "last scalar": "V6",
    },
    "auxtotals.cm1": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "statement digest": "V8",
        "Q'": MALFORMED,
        "T'": "V8",
        "Gamma": "V8",
        "u": "V8",
        "E": "V8",
        "E'": "V8",
        "last scalar": "V8",
    },
}


class Field(NamedTuple):
    """Bytes start .. end - 1 of a file; kind says how to find another canonical value."""

    name: str
    kind: str
    start: int
    end: int


class Walk:
    """Reads the fields of one file in order."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.fields: list[Field] = []
        self.at = 0
        self.take("magic", "magic", 4)
        self.take("version", "number", 2)

    def take(self, name: str, kind: str, size: int) -> bytes:
        self.fields.append(Field(name, kind, self.at, self.at + size))
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, name: str, size: int) -> int:
        return int.from_bytes(self.take(name, "number", size), "big")

    def text(self, name: str) -> None:
        self.take(name, "text", self.number(f"length of {name}", 2))

    def many(self, name: str, kind: str, size: int, count: int) -> None:
        for _ in range(count):
            self.take(name, kind, size)

    def opening(self, length: int) -> None:
        self.take("Gamma", "point", 33)
        self.take("u", "scalar", 32)
        for _ in range((length - 1).bit_length() - 2):
            self.take("E", "point", 33)
            self.take("E'", "point", 33)
        self.many("last scalar", "scalar", 32, 4)


def columns(walk: Walk, counts: dict[str, int]) -> None:
    counts["V"] = walk.number("V", 4)
    for _ in range(counts["V"]):
        walk.text("label")


def relation(walk: Walk, counts: dict[str, int]) -> None:
    walk.take("columns digest", "digest", 32)
    counts["V"], counts["Q"], counts["K"] = walk.number("V", 4), walk.number("Q", 4), walk.number("K", 4)
    for _ in range(counts["Q"]):
        walk.text("auxiliary label")
        walk.take("disclosed", "flag", 1)
    for _ in range(counts["K"]):
        walk.text("row label")
        walk.many("coefficient", "number", 16, counts["V"])
        walk.many("auxiliary coefficient", "number", 16, counts["Q"])
        walk.take("offset", "number", 16)


def snapshot(walk: Walk, counts: dict[str, int]) -> None:
    walk.text("sid")
    walk.take("as_of", "number", 8)
    walk.take("columns digest", "digest", 32)
    counts["N"] = int.from_bytes(walk.take("N", "power", 8), "big")
    counts["S"] = walk.number("S", 8)
    walk.take("position root", "digest", 32)


def points(walk: Walk, counts: dict[str, int]) -> None:
    walk.many("point", "point", 33, walk.number("count", 8))


def totals(walk: Walk, counts: dict[str, int]) -> None:
    walk.take("snapshot digest", "digest", 32)
    walk.many("T", "number", 16, walk.number("V", 4))
    walk.take("Gamma", "point", 33)
    walk.take("s", "scalar", 32)


def statement(walk: Walk, counts: dict[str, int]) -> None:
    for name in ("snapshot digest", "relation digest", "policy digest"):
        walk.take(name, "digest", 32)
    counts["gamma"] = walk.number("gamma", 1)
    walk.take("mode", "flag", 1)
    walk.take("slack root", "digest", 32)


def slack_length(counts: dict[str, int]) -> int:
    return (64 * (counts["K"] + counts["Q"])) << counts["gamma"]


def shard(walk: Walk, counts: dict[str, int]) -> None:
    walk.take("statement digest", "digest", 32)
    walk.take("shard", "number", 8)
    walk.take("C_M", "point", 33)
    values = counts["K"] + counts["Q"]
    variables = 6 + (values - 1).bit_length() + counts["N"].bit_length() - 1
    walk.many("t", "scalar", 32, 4 + 2 * (variables - 1))
    walk.take("beta", "scalar", 32)
    walk.opening(counts["V"] + slack_length(counts) + 2 * variables + 3 + 1)


def auxiliary_totals(walk: Walk, counts: dict[str, int]) -> None:
    walk.take("statement digest", "digest", 32)
    walk.many("T'", "number", 16, walk.number("Q'", 4))
    walk.opening(slack_length(counts) + 1)


TABLES: dict[str, Callable[[Walk, dict[str, int]], None]] = {
    "columns.cm1": columns,
    "relation.cm1": relation,
    "snapshot.cm1": snapshot,
    "positions.cm1": points,
    "totals.cm1": totals,
    "statement.cm1": statement,
    "slack.cm1": points,
    "shard-000000.cm1": shard,
    "auxtotals.cm1": auxiliary_totals,
}


def walks(folder: Path) -> Iterator[tuple[str, Walk]]:
    """Walk every file, those that tell the counts of others first."""
    counts: dict[str, int] = {}
    for name, table in TABLES.items():
        walk = Walk((folder / name).read_bytes())
        table(walk, counts)
        yield name, walk


def other(kind: str, value: bytes) -> bytes:
    """Return another value of the same length that is as canonical as the honest one."""
    match kind:
        case "magic":
            return b"CM1Z"
        case "number":
            return ((int.from_bytes(value, "big") + 1) % (1 << 8 * len(value))).to_bytes(len(value), "big")
        case "power":
            return (2 * int.from_bytes(value, "big")).to_bytes(len(value), "big")
        case "flag":
            return bytes([1 - value[0]])
        case "text":
            return value[:-1] + (b"!" if value[-1:] != b"!" else b"?")
        case "digest":
            return value[:-1] + bytes([value[-1] ^ 1])
        case "scalar":
            return ((int.from_bytes(value, "big") + 1) % ORDER).to_bytes(32, "big")
        case "point":
            return bytes([value[0] ^ 1]) + value[1:]
    raise ValueError(kind)


def refusal(folder: Path) -> str:
    try:
        check_bundle(folder, arithmetic=ARITHMETIC)
    except CannotCheckError:
        return CANNOT
    except MalformedError:
        return MALFORMED
    except RejectedError as error:
        return error.step
    return "verified"


def test_every_file_is_walked_to_its_end(venue: Any) -> None:
    for name in ("maintenance", "initial", "coverage"):
        folder = venue.bundle / name
        assert {path.name for path in folder.iterdir()} == {*TABLES, "policy.json"}
        for file, walk in walks(folder):
            assert walk.at == len(walk.data), file
            assert {field.name for field in walk.fields} == set(GUARDS[file]), file


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, names in GUARDS.items() for name in names])
def test_other_value_is_refused_by_the_step_that_guards_it(coverage: Path, file: str, name: str) -> None:
    folder = coverage / "coverage"
    walk = dict(walks(folder))[file]
    same = [field for field in walk.fields if field.name == name]
    assert same
    # Fields that cost a multi-scalar multiplication and only repeat another: the first, the last, one in between.
    chosen = {same[0], same[len(same) // 2], same[-1]} if GUARDS[file][name] in EQUATIONS else set(same)
    for field in sorted(chosen, key=lambda each: each.start):
        value = walk.data[field.start : field.end]
        tampered = walk.data[: field.start] + other(field.kind, value) + walk.data[field.end :]
        assert tampered != walk.data
        (folder / file).write_bytes(tampered)
        assert refusal(coverage) == GUARDS[file][name], field


@pytest.mark.parametrize("file", TABLES)
def test_shorter_longer_and_empty_files_are_refused(coverage: Path, file: str) -> None:
    honest = (coverage / "coverage" / file).read_bytes()
    for data in (honest[:-1], honest + b"\x00", b"", honest[:6], honest[:4]):
        (coverage / "coverage" / file).write_bytes(data)
        # A manifest that cannot be read does not tell how many files there are.
        assert refusal(coverage) in {MALFORMED, CANNOT}


@pytest.mark.parametrize(
    ("file", "name", "encodings"),
    [
        ("totals.cm1", "s", {ORDER.to_bytes(32, "big"), b"\xff" * 32}),
        ("shard-000000.cm1", "beta", {ORDER.to_bytes(32, "big")}),
        ("shard-000000.cm1", "C_M", {bytes(33), b"\x04" + bytes(31) + b"\x01", b"\x02" + b"\xff" * 32}),
        ("positions.cm1", "point", {b"\x02" + bytes(31) + b"\x05", b"\x00" * 33}),  # x = 5 is on no point
        ("auxtotals.cm1", "last scalar", {ORDER.to_bytes(32, "big")}),
        ("relation.cm1", "disclosed", {b"\x02", b"\xff"}),
        ("statement.cm1", "gamma", {b"\x05", b"\xff", b"\x04"}),  # 16 accounts a row, and the shard has 8
        ("statement.cm1", "mode", {b"\x02"}),
        ("snapshot.cm1", "N", {bytes(8), bytes(7) + b"\x07", b"\x7f" + bytes(7), (2**21).to_bytes(8, "big")}),
        ("snapshot.cm1", "S", {bytes(8), b"\xff" * 8, (2**20).to_bytes(8, "big")}),
        ("snapshot.cm1", "sid", {b"\xff" * len("example-exchange/small/2025-03-28T08:00:00Z")}),
        ("columns.cm1", "V", {bytes(4), b"\xff" * 4}),
        ("relation.cm1", "K", {b"\xff" * 4}),
        ("relation.cm1", "Q", {b"\xff" * 4, b"\x10\x00\x00\x00"}),
    ],
)
def test_value_with_no_meaning_is_malformed(coverage: Path, file: str, name: str, encodings: set[bytes]) -> None:
    folder = coverage / "coverage"
    walk = dict(walks(folder))[file]
    field = next(field for field in walk.fields if field.name == name)
    for value in encodings:
        assert len(value) == field.end - field.start
        (folder / file).write_bytes(walk.data[: field.start] + value + walk.data[field.end :])
        assert refusal(coverage) == MALFORMED, value.hex()


def test_refusal_names_statement_and_step(coverage: Path) -> None:
    proof = coverage / "coverage" / "shard-000000.cm1"
    data = bytearray(proof.read_bytes())
    data[6] ^= 1
    proof.write_bytes(data)
    with pytest.raises(RejectedError, match=re.escape("V4, shard 0: statement coverage: ")):
        check_bundle(coverage, arithmetic=ARITHMETIC)
