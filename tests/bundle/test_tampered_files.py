"""Every field of every binary file of a bundle gets another canonical value, and is refused at the step that guards it.

The venue anchors and signs what it changed, so that the anchor refuses nothing. The fields are walked by the tables of
SPEC section 6, written out again below. `GUARDS` names every field of every file with the step; a test fails where a
walk does not end with the file or meets a field that has no guard.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crossmargin_circuits.errors import PolicyError
from crossmargin_prover.backend import select_backend
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError

ARITHMETIC = select_backend().arithmetic
"""The fastest that is installed: a change is refused alike by all, which tests of verifier and kernel hold."""

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

Anchoring = Callable[[Path], None]

MALFORMED, CANNOT, POLICY = "malformed", "cannot check", "policy"
EQUATIONS = {"V4", "V6", "V7", "V8"}

FOLDER = "statements/coverage"

GUARDS = {
    "snapshot/columns.cm2": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "V": MALFORMED,
        "length of label": MALFORMED,
        "label": "V2",
    },
    "statements/coverage/relation.cm2": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "columns digest": MALFORMED,
        "V": MALFORMED,
        "Q": MALFORMED,
        "M": MALFORMED,
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
    "snapshot/snapshot.cm2": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "length of sid": MALFORMED,
        # bundle.json names the digest of the snapshot.
        "sid": "V10",
        "as_of": "V10",
        "columns digest": "V10",
        "N": MALFORMED,
        "n": "V10",
        "position root": "V10",
    },
    "snapshot/positions.cm2": {"magic": MALFORMED, "version": MALFORMED, "count": MALFORMED, "point": "V3"},
    "snapshot/records-000000.cm2": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "snapshot digest": "V4",
        "shard": "V4",
        "C_M": "V4",
        "z": "V4",
        "p": "V4",
        "Gamma": "V4",
        "u": "V4",
        "E": "V4",
        "E'": "V4",
        "last scalar": "V4",
    },
    "snapshot/totals.cm2": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "snapshot digest": "V7",
        "V": MALFORMED,
        "T": "V7",
        "Gamma": "V7",
        "s": "V7",
    },
    "statements/coverage/statement.cm2": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "snapshot digest": "V2",
        "relation digest": "V2",
        "policy digest": "V2",
        "model digest": "V2",
        "gamma": MALFORMED,  # the number of slack rows is another one
        "slack root": "V3",
    },
    "statements/coverage/slack.cm2": {"magic": MALFORMED, "version": MALFORMED, "count": MALFORMED, "point": "V3"},
    "statements/coverage/shard-000000.cm2": {
        "magic": MALFORMED,
        "version": MALFORMED,
        "statement digest": "V5",
        "shard": "V5",
        "C_M": "V6",
        "t": "V6",
        "beta": "V6",
        "Gamma": "V6",
        "u": "V6",
        "E": "V6",
        "E'": "V6",
        "last scalar": "V6",
    },
    "statements/coverage/auxtotals.cm2": {
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
    counts["V"], counts["Q"] = walk.number("V", 4), walk.number("Q", 4)
    walk.number("M", 4)
    counts["K"] = walk.number("K", 4)
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
    counts["n"] = walk.number("n", 8)
    walk.take("position root", "digest", 32)


def points(walk: Walk, counts: dict[str, int]) -> None:
    walk.many("point", "point", 33, walk.number("count", 8))


def totals(walk: Walk, counts: dict[str, int]) -> None:
    walk.take("snapshot digest", "digest", 32)
    walk.many("T", "number", 16, walk.number("V", 4))
    walk.take("Gamma", "point", 33)
    walk.take("s", "scalar", 32)


def statement(walk: Walk, counts: dict[str, int]) -> None:
    for name in ("snapshot digest", "relation digest", "policy digest", "model digest"):
        walk.take(name, "digest", 32)
    counts["gamma"] = walk.number("gamma", 1)
    walk.take("slack root", "digest", 32)


def records(walk: Walk, counts: dict[str, int]) -> None:
    places, columns = counts["N"], counts["V"]
    variables, projections = places.bit_length() - 1, 128 if places == 1 else 312
    walk.take("snapshot digest", "digest", 32)
    walk.take("shard", "number", 8)
    walk.take("C_M", "point", 33)
    walk.many("z", "number", (62 + (places * columns).bit_length() + 91 + 7) // 8, projections)
    walk.many("p", "scalar", 32, 2 * variables)
    walk.opening(columns + 2 * variables + projections + 1)


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
    "snapshot/columns.cm2": columns,
    "statements/coverage/relation.cm2": relation,
    "snapshot/snapshot.cm2": snapshot,
    "snapshot/positions.cm2": points,
    "snapshot/records-000000.cm2": records,
    "snapshot/totals.cm2": totals,
    "statements/coverage/statement.cm2": statement,
    "statements/coverage/slack.cm2": points,
    "statements/coverage/shard-000000.cm2": shard,
    "statements/coverage/auxtotals.cm2": auxiliary_totals,
}


def walks(bundle: Path, statement: str = "coverage") -> Iterator[tuple[str, Walk]]:
    """Walk every file of the snapshot and of a statement, those that tell the counts of others first."""
    counts: dict[str, int] = {}
    for name, table in TABLES.items():
        walk = Walk((bundle / name.replace("coverage", statement)).read_bytes())
        table(walk, counts)
        yield name, walk


def other(kind: str, value: bytes) -> bytes:
    """Return another value of the same length that is as canonical as the honest one."""
    match kind:
        case "magic":
            return b"CM2Z"
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
    except PolicyError:
        return POLICY
    except RejectedError as error:
        return error.step
    return "verified"


def test_every_file_is_walked_to_its_end(venue: Any) -> None:
    for statement in ("maintenance", "initial", "coverage"):
        folder = venue.bundle / "statements" / statement
        own = {name.rpartition("/")[2] for name in TABLES if name.startswith("statements/")}
        assert {path.name for path in folder.iterdir()} == {*own, "policy.json"}
        for file, walk in walks(venue.bundle, statement):
            assert walk.at == len(walk.data), file
            assert {field.name for field in walk.fields} == set(GUARDS[file]), file
    everything = {name.rpartition("/")[2] for name in TABLES if name.startswith("snapshot/")}
    assert {path.name for path in (venue.bundle / "snapshot").iterdir()} == everything


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, names in GUARDS.items() for name in names])
def test_other_value_is_refused_by_the_step_that_guards_it(
    coverage: Path, anchor: Anchoring, file: str, name: str
) -> None:
    walk = dict(walks(coverage))[file]
    same = [field for field in walk.fields if field.name == name]
    assert same
    # Fields that cost a multi-scalar multiplication and only repeat another: the first, the last, one in between.
    chosen = {same[0], same[len(same) // 2], same[-1]} if GUARDS[file][name] in EQUATIONS else set(same)
    for field in sorted(chosen, key=lambda each: each.start):
        value = walk.data[field.start : field.end]
        tampered = walk.data[: field.start] + other(field.kind, value) + walk.data[field.end :]
        assert tampered != walk.data
        (coverage / file).write_bytes(tampered)
        anchor(coverage)
        assert refusal(coverage) == GUARDS[file][name], field


@pytest.mark.parametrize("file", TABLES)
def test_shorter_longer_and_empty_files_are_refused(coverage: Path, anchor: Anchoring, file: str) -> None:
    honest = (coverage / file).read_bytes()
    for data in (honest[:-1], honest + b"\x00", b"", honest[:6], honest[:4]):
        (coverage / file).write_bytes(data)
        anchor(coverage)
        # The length of relation.cm2 bounds what a policy may compile to, before it is read.
        assert refusal(coverage) in ({MALFORMED, POLICY} if file.endswith("relation.cm2") else {MALFORMED})


@pytest.mark.parametrize(
    ("file", "name", "encodings"),
    [
        ("snapshot/totals.cm2", "s", {ORDER.to_bytes(32, "big"), b"\xff" * 32}),
        ("statements/coverage/shard-000000.cm2", "beta", {ORDER.to_bytes(32, "big")}),
        (
            "statements/coverage/shard-000000.cm2",
            "C_M",
            {bytes(33), b"\x04" + bytes(31) + b"\x01", b"\x02" + b"\xff" * 32},
        ),
        ("snapshot/positions.cm2", "point", {b"\x02" + bytes(31) + b"\x05", b"\x00" * 33}),  # x = 5 is on no point
        ("statements/coverage/auxtotals.cm2", "last scalar", {ORDER.to_bytes(32, "big")}),
        ("statements/coverage/relation.cm2", "disclosed", {b"\x02", b"\xff"}),
        (
            "statements/coverage/statement.cm2",
            "gamma",
            {b"\x05", b"\xff", b"\x04"},
        ),  # 16 accounts a row, and the shard has 8
        ("snapshot/records-000000.cm2", "p", {ORDER.to_bytes(32, "big")}),
        ("snapshot/snapshot.cm2", "N", {bytes(8), bytes(7) + b"\x07", b"\x7f" + bytes(7), (2**21).to_bytes(8, "big")}),
        ("snapshot/snapshot.cm2", "n", {bytes(8), b"\xff" * 8}),
        ("snapshot/snapshot.cm2", "sid", {b"\xff" * len("example-exchange/small/2025-03-28T08:00:00Z")}),
        ("snapshot/columns.cm2", "V", {bytes(4), b"\xff" * 4}),
        ("statements/coverage/relation.cm2", "K", {b"\xff" * 4}),
        ("statements/coverage/relation.cm2", "Q", {b"\xff" * 4, b"\x10\x00\x00\x00"}),
    ],
)
def test_value_with_no_meaning_is_malformed(
    coverage: Path, anchor: Anchoring, file: str, name: str, encodings: set[bytes]
) -> None:
    walk = dict(walks(coverage))[file]
    field = next(field for field in walk.fields if field.name == name)
    for value in encodings:
        assert len(value) == field.end - field.start
        (coverage / file).write_bytes(walk.data[: field.start] + value + walk.data[field.end :])
        anchor(coverage)
        assert refusal(coverage) == MALFORMED, value.hex()


def test_refusal_names_statement_and_step(coverage: Path, anchor: Anchoring) -> None:
    proof = coverage / FOLDER / "shard-000000.cm2"
    data = bytearray(proof.read_bytes())
    data[-1] ^= 1
    proof.write_bytes(data)
    anchor(coverage)
    with pytest.raises(RejectedError, match=re.escape("V6, statement coverage, shard 0: ")):
        check_bundle(coverage, arithmetic=ARITHMETIC)


def test_a_changed_file_that_is_not_anchored_is_refused_before_it_is_read(coverage: Path) -> None:
    for file in TABLES:
        honest = (coverage / file).read_bytes()
        (coverage / file).write_bytes(honest[:-1] + bytes([honest[-1] ^ 1]))
        with pytest.raises((MalformedError, RejectedError), match="anchor"):
            check_bundle(coverage, arithmetic=ARITHMETIC)
        (coverage / file).write_bytes(honest)
