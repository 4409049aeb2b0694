"""Hostile bytes into every decoder of verifier and circuits: one of the stated errors, soon, or one value per encoding.

Whatever a decoder accepts, it encodes to the same bytes again: there are no two files for one value.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from protocol_vectors import load, parts, relations_of, vectors, verify

from crossmargin.loading import load_parameters
from crossmargin.models import build_policy, rebuild_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.encoding import Reader, dump_canonical, load_canonical
from crossmargin_circuits.errors import CrossmarginError, LimitError, MalformedError, PolicyError
from crossmargin_circuits.expression import expression_from_json, expression_to_json
from crossmargin_circuits.layout import decode_columns, encode_columns
from crossmargin_circuits.policy import Policy
from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import select_backend
from crossmargin_prover.point_files import encode_positions, encode_slack_rows
from crossmargin_prover.snapshot import encode_receipt
from crossmargin_verifier.bundle.anchor import Anchor, AnchoredStatement
from crossmargin_verifier.bundle.check_receipt import AnotherSnapshotError, UnfitReceiptError, check_receipt
from crossmargin_verifier.bundle.declarations import BundleManifest, DeclaredReserves, Totals
from crossmargin_verifier.bundle.receipt_file import NotAReceiptError
from crossmargin_verifier.protocol import proof_stream
from crossmargin_verifier.protocol.arithmetic import decode_encodings
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import decode_scalar, encode_scalar
from crossmargin_verifier.protocol.group import Affine, decode_point, encode_point
from crossmargin_verifier.protocol.inclusion import Receipt
from crossmargin_verifier.protocol.manifests import (
    POSITIONS_FILE,
    SLACK_FILE,
    SnapshotManifest,
    StatementManifest,
    point_file_body,
)
from crossmargin_verifier.protocol.proof_stream import ProofStream
from crossmargin_verifier.protocol.records import PublicRecords, RecordShape, verify_records
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard, verify_shard
from crossmargin_verifier.protocol.totals import verify_auxiliary_totals, verify_base_totals

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
TINY, ALONE = load("tiny"), load("tiny_one")
RELATIONS = relations_of(TINY)
RECEIPT = bytes.fromhex(vectors()["tiny"]["receipt0"])
SNAPSHOT, COLUMNS, POSITIONS, TOTALS, RECORDS = (
    f"snapshot/{name}.cm2" for name in ("snapshot", "columns", "positions", "totals", "records-000000")
)
RELATION, STATEMENT, SLACK, AUXTOTALS, SHARD = (
    f"statements/maintenance/{name}.cm2" for name in ("relation", "statement", "slack", "auxtotals", "shard-000000")
)


class Rewriting(ProofStream):
    """Encodes again what it decodes."""

    def __init__(self, kind: str, reader: Reader) -> None:
        super().__init__(kind, reader)
        self.again: list[bytes] = []
        STREAMS.append(self)

    def message(self, label: str, **fields: Any) -> tuple[list[Affine], list[int]]:
        points, scalars = super().message(label, **fields)
        self.again += [*map(encode_point, points), *map(encode_scalar, scalars)]
        return points, scalars

    def integers(self, label: str, count: int, size: int) -> list[int]:
        integers = super().integers(label, count, size)
        self.again += [value.to_bytes(size, "big") for value in integers]
        return integers

    def totals(self, label: str, count: int) -> tuple[int, ...]:
        totals = super().totals(label, count)
        self.again += [count.to_bytes(4, "big"), *(total.to_bytes(16, "big", signed=True) for total in totals)]
        return totals

    def last(self, count: int, field: str) -> list[int]:
        scalars = super().last(count, field)
        self.again += map(encode_scalar, scalars)
        return scalars


ARITHMETIC = select_backend().arithmetic
"""The fastest that is installed."""

STREAMS: list[Rewriting] = []


def read_again(data: bytes, files: Mapping[str, bytes], name: str) -> bytes:
    """Read a proof file as the verifier does; return its header and what was decoded, encoded again."""
    snapshot, claims = parts(files, relations_of(files))
    manifest, claimed = snapshot.manifest, claims["maintenance"]
    statement, relation = claimed.files.manifest.digest, claimed.relation
    shape = Shape.of(manifest, claimed.files.manifest, relation)
    accounts = manifest.accounts_in(0)
    STREAMS.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof_stream, "ProofStream", Rewriting)
        try:
            match name:
                case "snapshot/totals.cm2":
                    verify_base_totals(manifest.digest, shape.columns, data)
                case "statements/maintenance/auxtotals.cm2":
                    verify_auxiliary_totals(statement, relation, shape, data)
                case "statements/maintenance/shard-000000.cm2":
                    verify_shard(PublicShard(statement, relation, shape, accounts, 0, bytes(32), bytes(32)), data)
                case _:
                    of_records = RecordShape(manifest.accounts_per_shard, shape.columns)
                    verify_records(PublicRecords(manifest.digest, of_records, accounts, 0, bytes(32)), data)
        except RejectedError as error:
            raise MalformedError(str(error)) from None
    return data[: 38 if name in (TOTALS, AUXTOTALS) else 46] + b"".join(STREAMS[0].again)


@cache
def policy(statement: str) -> Policy:
    small = load_parameters(ROOT / "examples" / "small")
    return build_policy(small.venue.venue, small.environment, small.model, statement)


KEY = TINY[POSITIONS][14:47]
MANIFEST = BundleManifest("venue", bytes(32), ("initial", "coverage"), KEY, Totals.OPENED, 3, 1)
ANCHOR = Anchor(
    "venue", bytes(32), 7, (AnchoredStatement("initial", bytes(32), bytes(32)),), {"bundle.json": bytes(32)}
)
RESERVES = DeclaredReserves(bytes(32), "source", {"BTC": "1.5", "USD": "0"}, "USD", "25000")


@dataclass(frozen=True)
class Decoder:
    """One decoder: honest bytes, and decoding followed by encoding."""

    honest: Callable[[], bytes]
    again: Callable[[bytes], bytes]


BINARY = {
    "columns": Decoder(lambda: TINY[COLUMNS], lambda data: encode_columns(decode_columns(data))),
    "relation": Decoder(
        lambda: TINY[RELATION], lambda data: Relation.decode(data, decode_columns(TINY[COLUMNS])).encoded
    ),
    "snapshot": Decoder(lambda: TINY[SNAPSHOT], lambda data: SnapshotManifest.decode(data).encoded),
    "statement": Decoder(lambda: TINY[STATEMENT], lambda data: StatementManifest.decode(data).encoded),
    "positions": Decoder(
        lambda: TINY[POSITIONS],
        lambda data: encode_positions(
            b"".join(encode_point(point) for point in decode_encodings(point_file_body(data, POSITIONS_FILE, 3)))
        ),
    ),
    "slack": Decoder(lambda: TINY[SLACK], lambda data: encode_slack_rows(point_file_body(data, SLACK_FILE, 2))),
    "records": Decoder(lambda: TINY[RECORDS], lambda data: read_again(data, TINY, RECORDS)),
    "records of one": Decoder(lambda: ALONE[RECORDS], lambda data: read_again(data, ALONE, RECORDS)),
    "shard": Decoder(lambda: TINY[SHARD], lambda data: read_again(data, TINY, SHARD)),
    "totals": Decoder(lambda: TINY[TOTALS], lambda data: read_again(data, TINY, TOTALS)),
    "auxtotals": Decoder(lambda: TINY[AUXTOTALS], lambda data: read_again(data, TINY, AUXTOTALS)),
    "receipt": Decoder(lambda: RECEIPT, lambda data: encode_receipt(Receipt.decode(data))),
    "point": Decoder(lambda: TINY[POSITIONS][14:47], lambda data: encode_point(decode_point(data))),
    "scalar": Decoder(lambda: TINY[SHARD][79:111], lambda data: encode_scalar(decode_scalar(data))),
}
TEXT = {
    "bundle": Decoder(lambda: MANIFEST.encoded, lambda data: BundleManifest.decode(data).encoded),
    "anchor": Decoder(lambda: ANCHOR.encoded, lambda data: Anchor.decode(data).encoded),
    "reserves": Decoder(lambda: RESERVES.encoded, lambda data: DeclaredReserves.decode(data).encoded),
    "policy": Decoder(lambda: policy("maintenance").encoded, lambda data: Policy.decode(data).encoded),
    "coverage policy": Decoder(lambda: policy("coverage").encoded, lambda data: Policy.decode(data).encoded),
    "canonical JSON": Decoder(lambda: RESERVES.encoded, lambda data: dump_canonical(load_canonical(data, "x"))),
}
ALL = {**BINARY, **TEXT}


def feed(decoder: Decoder, data: bytes) -> None:
    try:
        again = decoder.again(data)
    except (MalformedError, PolicyError, LimitError):
        return
    assert again == data


@pytest.mark.parametrize("name", ALL)
def test_honest_bytes_come_back(name: str) -> None:
    assert ALL[name].again(ALL[name].honest()) == ALL[name].honest()


@pytest.mark.parametrize("name", ALL)
@given(data=st.binary(max_size=300))
def test_random_bytes(name: str, data: bytes) -> None:
    feed(ALL[name], data)
    feed(ALL[name], ALL[name].honest()[:6] + data)


@st.composite
def edits(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Return one to three edits of a file: bits, whole integers, pieces cut out, put in, repeated, exchanged."""
    steps = draw(
        st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1), st.floats(0, 1), st.binary(max_size=40)), max_size=3)
    )

    def apply(data: bytes) -> bytes:
        for kind, first, second, piece in steps:
            low, high = sorted((int(first * len(data)), int(second * len(data))))
            middle = data[low:high]
            match kind:
                case 0 if data:
                    low = min(low, len(data) - 1)
                    data = data[:low] + bytes([data[low] ^ (1 << (high % 8))]) + data[low + 1 :]
                case 1:
                    data = data[:low] + b"\xff" * min(8, len(data) - low) + data[low + 8 :]
                case 2:
                    data = data[:low] + data[high:]
                case 3:
                    data = data[:low] + piece + data[low:]
                case 4 if len(middle) < 10_000:
                    data = data[:high] + middle + data[high:]
                case _:
                    data = data[:low] + middle[::-1] + data[high:]
        return data

    return apply


@pytest.mark.parametrize("name", ALL)
@given(edit=edits())
def test_edited_files(name: str, edit: Callable[[bytes], bytes]) -> None:
    feed(ALL[name], edit(ALL[name].honest()))


COUNTS = {"columns": (6,), "relation": (38, 42, 46, 50), "receipt": (44, 46), "totals": (38,), "auxtotals": (38,)}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x01\x00\x00"])
def test_huge_counts_allocate_nothing(name: str, value: bytes) -> None:
    decoder = BINARY[name]
    for at in range(min(120, len(decoder.honest()) - 4)):
        data = decoder.honest()[:at] + value + decoder.honest()[at + 4 :]
        feed(decoder, data)
    for at in COUNTS[name]:
        with pytest.raises(MalformedError):
            decoder.again(decoder.honest()[:at] + b"\xff" * 8 + decoder.honest()[at + 8 :])


# JSON that is canonical and says something else.

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text("abcdef_", min_size=1, max_size=6)
LIKELY = ["", "0", "1e999999999", "-1", "0.0", "00" * 32, "..", "\x1b[2J", "équité", "balance", "requirement"]
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts | st.sampled_from(LIKELY)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value, the whole included."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@st.composite
def other_json(draw: st.DrawFn, honest: Callable[[], bytes]) -> bytes:
    """Replace, remove or repeat one or two values of an honest file."""
    root: Any = json.loads(honest())
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(root)))
        if not path:
            root = draw(st.just(root) | values)
            continue
        at = root
        for key in path[:-1]:
            at = at[key]
        match draw(st.sampled_from(["replace", "replace", "remove", "repeat", "swap"])):
            case "replace":
                at[path[-1]] = draw(values)
            case "remove":
                del at[path[-1]]
            case "repeat" if isinstance(at, list):
                at.insert(path[-1], at[path[-1]])
            case _:
                other = draw(st.sampled_from(places(root)))
                source = root
                for key in other:
                    source = source[key]
                at[path[-1]] = json.loads(json.dumps(source))
    try:
        return dump_canonical(root)
    except MalformedError:  # nested beyond what canonical JSON allows
        return b"null"


@given(data=other_json(lambda: MANIFEST.encoded))
def test_other_bundle_manifests(data: bytes) -> None:
    feed(TEXT["bundle"], data)


@given(data=other_json(lambda: RESERVES.encoded))
def test_other_reserves(data: bytes) -> None:
    feed(TEXT["reserves"], data)
    try:
        reserves = DeclaredReserves.decode(data)
    except MalformedError:
        return
    assert all(reserves.amount(name) is not None for name in reserves.assets)
    assert reserves.amount("nothing of the kind") is None


@pytest.mark.parametrize("statement", ["maintenance", "coverage"])
@given(data=st.data())
def test_other_policies(statement: str, data: st.DataObject) -> None:
    """A policy that decodes compiles or is refused, is shown as formulas, and is computed again or refused."""
    encoded = data.draw(other_json(lambda: policy(statement).encoded))
    try:
        decoded = Policy.decode(encoded)
    except (MalformedError, PolicyError):
        return
    assert decoded.encoded == encoded
    assert all(map(str, (*decoded.definitions, *decoded.constraints)))
    with suppress(MalformedError, PolicyError):
        relation = compile_policy(decoded).relation
        assert Relation.decode(relation.encoded, relation.columns) == relation
    with suppress(CrossmarginError):
        rebuild_policy(decoded)


@st.composite
def other_inputs(draw: st.DrawFn) -> Policy:
    """Replace one or two values in the inputs of an honest policy."""
    honest = policy("initial")
    inputs = json.loads(draw(other_json(lambda: dump_canonical(dict(honest.inputs)))))
    return replace(honest, inputs=inputs if isinstance(inputs, dict) else {})


@given(other_inputs())
def test_other_inputs_are_computed_or_refused(changed: Policy) -> None:
    with suppress(CrossmarginError):
        rebuild_policy(changed)


MORE = {"scale": "by", "sum-largest": "count"}
"""The further key of two operators."""


@given(values | st.recursive(
    st.builds(lambda name: {"op": "linear", "array": name}, texts),
    lambda inner: st.builds(
        lambda op, of, by: {"op": op, "of": of, **({MORE[op]: by} if op in MORE else {})},
        st.sampled_from(["sum", "max", "min", "abs", "positive-part", "scale", "sum-largest", "exp"]),
        inner | st.lists(inner, max_size=3),
        st.integers(-3, 3) | st.booleans(),
    ),
    max_leaves=8,
))  # fmt: skip
def test_other_expressions(tree: Any) -> None:
    try:
        expression = expression_from_json(tree, "x")
    except MalformedError:
        return
    assert expression_to_json(expression) == tree


PATHOLOGICAL = {
    "deep list": b"[" * 1_000_000,
    "deep object": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "deep in the middle": b'{"format":' + b"[" * 65 + b"]" * 65 + b"}",
    "closed too often": b"]" * 100_000,
    "open string": b'{"' + b"a" * 1_000_000,
    "escaped quotes": b'{"' + b'\\"' * 500_000,
    "huge integer": b'{"as_of":' + b"9" * 1_000_000 + b"}",
    "integer of 2^53": b'{"as_of":9007199254740992}',
    "minus zero": b'{"as_of":-0}',
    "leading zero": b'{"as_of":01}',
    "float": b'{"as_of":1.0}',
    "exponent": b'{"as_of":1e5}',
    "huge exponent": b'{"as_of":1e999999999}',
    "NaN": b'{"as_of":NaN}',
    "Infinity": b'{"as_of":-Infinity}',
    "duplicate keys": b'{"a":1,"a":1}',
    "keys out of order": b'{"b":1,"a":1}',
    "space": b'{"a": 1}',
    "line end": b'{"a":1}\n',
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "not UTF-8": b'{"a":"\xff"}',
    "surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "escaped lone surrogate": b'{"a":"\\ud800"}',
    "escaped pair": b'{"a":"\\ud83d\\ude00"}',
    "key that is not ASCII": '{"é":1}'.encode(),
    "raw control": b'{"a":"\x01"}',
    "upper-case escape": b'{"a":"\\u001B"}',
    "comment": b'{"a":1}//',
    "two values": b"{}{}",
    "nothing": b"",
    "only a number": b"1",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("data", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
@pytest.mark.parametrize("name", TEXT)
def test_pathological_json_is_malformed(name: str, data: bytes) -> None:
    if name == "canonical JSON" and data == b"1":
        assert load_canonical(data, "x") == 1
        return
    with pytest.raises(MalformedError):
        TEXT[name].again(data)


def test_errors_are_short(tmp_path: Path) -> None:
    """What a stranger wrote is not repeated at length."""
    for name, decoder in TEXT.items():
        for data in PATHOLOGICAL.values():
            try:
                decoder.again(data)
            except MalformedError as error:
                assert len(str(error)) < 300, name


# Whole books and whole receipts.


@given(file=st.sampled_from(sorted(TINY)), edit=edits())
@example(file=TOTALS, edit=lambda data: b"")
def test_book_with_an_edited_file_is_refused(file: str, edit: Callable[[bytes], bytes]) -> None:
    data = edit(TINY[file])
    if data == TINY[file]:
        return
    with pytest.raises((MalformedError, RejectedError, LimitError)):
        verify({**TINY, file: data}, RELATIONS, arithmetic=ARITHMETIC)


@given(
    data=st.binary(max_size=200) | st.builds(lambda edit: edit(RECEIPT), edits()),
    ending=st.sampled_from([".cm2", ".json"]),
)
def test_receipt_of_any_bytes_is_refused(
    coverage_bundle: Path, tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str
) -> None:
    path = tmp_path_factory.mktemp("receipt") / f"receipt{ending}"
    path.write_bytes(data)
    with pytest.raises((UnfitReceiptError, AnotherSnapshotError, NotAReceiptError)):
        check_receipt(path, "user0@example.org", bundle=coverage_bundle)
