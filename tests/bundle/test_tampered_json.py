"""Every field of every JSON file of a bundle is changed, one at a time, and each change is refused for a stated reason.

The manifests below name every field with the refusals it may meet. A test fails where a file has a field that its
manifest does not name. The changed files are canonical JSON: only what they say is false. `*` stands for a name that
the book gives (an asset, an instrument, a statement), `[]` for a place in a list.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.errors import PolicyError
from crossmargin_prover.backend import select_backend
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError

pytestmark = pytest.mark.usefixtures("proofs_once")

ARITHMETIC = select_backend().arithmetic
"""The fastest that is installed: a change is refused alike by all, which tests of verifier and kernel hold."""

MALFORMED = "malformed"  # not decoded
POLICY = "policy"  # decoded, and no relation
CANNOT = "cannot check"
SUMMARY = "summary"  # a declaration: the verdict is another one than the summary in the bundle
STATEMENT, WORLD = "V2", "V10"  # rejected at that step

Place = tuple[str | int, ...]

BUNDLE = {
    "format": {MALFORMED},
    "venue": {WORLD},
    "snapshot": {WORLD},
    "statements[]": {CANNOT},
    "receipt_key": {SUMMARY},
    "accounts.loaded": {SUMMARY},
    "accounts.padding": {SUMMARY},
    "accounts.rejected": {SUMMARY},
}
RESERVES = {
    "format": {MALFORMED},
    "snapshot": {WORLD},
    "source": {SUMMARY},
    "assets.*": {SUMMARY},
    "insurance_fund.amount": {SUMMARY},
    "insurance_fund.currency": {SUMMARY, MALFORMED},
}
SUMMARY_FIELDS = {
    name: {SUMMARY}
    for name in (
        *("format", "venue", "verified", "snapshot.id", "snapshot.as_of"),
        *(f"claims[].{name}" for name in ("claim", "result", "figures", "meaning")),
        *("formulas.*[]", "digests.*", "compared", "not shown[]"),
    )
}
# What the arrays were computed from: only the digest of the policy knows these, and it stands in the statement.
INPUTS = (
    "inputs.statement",
    "inputs.rounding",
    "inputs.joint rule",
    *(f"inputs.instruments.assets[].{name}" for name in ("name", "unit", "haircut", "borrowable", "limit")),
    *(
        f"inputs.instruments.instruments[].{name}"
        for name in ("name", "kind", "contract", "underlying", "settlement", "contract_size", "lot", "limit")
    ),
    *(f"inputs.instruments.instruments[].{name}" for name in ("expiry", "strike", "option")),
    "inputs.market.as_of",
    *(f"inputs.market.index.*.{name}" for name in ("price", "source", "time")),
    *(f"inputs.market.marks.*.{name}" for name in ("price", "bid", "ask", "source", "time")),
    *(f"inputs.market.options.*.{name}" for name in ("iv", "forward", "bid", "ask", "source", "time")),
    "inputs.market.rates.*",
    "inputs.model.model",
    "inputs.model.version",
    *(f"inputs.model.scan.*.{name}" for name in ("price_range", "volatility_up", "volatility_down")),
    *(f"inputs.model.extreme.{name}" for name in ("multiple", "covered")),
    *(f"inputs.model.statements[].{name}" for name in ("name", "factor")),
    "inputs.model.staleness_limit_seconds",
    "inputs.model.strict",
    *(f"inputs.model.value_unit.{name}" for name in ("currency", "quantum")),
)
POLICY_FIELDS = {
    "format": {MALFORMED},
    "venue": {STATEMENT},
    "title": {STATEMENT},
    "as_of": {STATEMENT},
    "value_unit.currency": {STATEMENT, MALFORMED},
    "value_unit.quantum": {STATEMENT},
    "columns[].kind": {STATEMENT, MALFORMED},
    "columns[].name": {STATEMENT, MALFORMED},
    "columns[].unit": {STATEMENT, MALFORMED},
    "columns[].limit": {STATEMENT, MALFORMED},
    "arrays[].name": {POLICY},
    "arrays[].meaning": {STATEMENT},
    "arrays[].coefficients[]": {STATEMENT},
    "definitions[].name": {STATEMENT, POLICY},
    "definitions[].meaning": {STATEMENT},
    "definitions[].role": {STATEMENT, POLICY},
    "definitions[].subject": {STATEMENT, POLICY},
    "constraints": {MALFORMED},
    **{name: {STATEMENT} for name in INPUTS},
}
NODES = {
    "op": {STATEMENT, POLICY, MALFORMED},
    "by": {STATEMENT},
    "array": {POLICY},
    "name": {POLICY},
}
TREES = {
    "maintenance": {
        *("op", "of.op", "of.of[].op", "of.of[].by", "of.of[].of.op", "of.of[].of.array"),
        *("of[].op", "of[].array", "of[].name", "of[].by", "of[].of.op", "of[].of.name"),
        *("of[].of[].op", "of[].of[].array"),
    },
    "coverage": {"op", "by", "of.op", "of.array"},
}


def policy_manifest(statement: str) -> dict[str, set[str]]:
    trees = {
        f"definitions[].expression.{node}": NODES[re.split(r"[.\]]", node)[-1]] for node in sorted(TREES[statement])
    }
    return {**POLICY_FIELDS, **trees}


MANIFESTS = {
    "bundle.json": BUNDLE,
    "reserves.json": RESERVES,
    "summary.json": SUMMARY_FIELDS,
    "maintenance/policy.json": policy_manifest("maintenance"),
    "coverage/policy.json": policy_manifest("coverage"),
}
NAMED = re.compile(
    r"^(assets|digests|formulas|inputs\.market\.(?:index|marks|options|rates)|inputs\.model\.scan)\.[^.[]+"
)
OTHER = {
    "op": {"max": "sum", "sum": "max", "min": "sum", "positive-part": "abs", "scale": "abs", "linear": "reference"}
    | {"reference": "linear"},
    "kind": {"account": "position", "balance": "entry", "entry": "balance", "position": "entry"},
    "role": {"abbreviation": "hidden", "requirement": "hidden", "shortfall": "hidden", "debt": "requirement"},
    "result": {"PASS": "INFO", "INFO": "PASS"},
}


def leaves(value: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every value that holds no other one, with its path."""
    items: Iterator[tuple[str | int, Any]]
    if isinstance(value, dict) and value:
        items = iter(value.items())
    elif isinstance(value, list) and value:
        items = iter(enumerate(value))
    else:
        yield path, value
        return
    for key, item in items:
        yield from leaves(item, (*path, key))


def pattern(path: Place) -> str:
    text = ""
    for key in path:
        text += "[]" if isinstance(key, int) else f".{key}" if text else key
    return NAMED.sub(r"\1.*", text)


def changed(path: Place, value: Any) -> Any:
    """Return another value that still looks right."""
    name = path[-1]
    if isinstance(name, str) and name in OTHER and value in OTHER[name]:
        return OTHER[name][value]
    if name == "receipt_key":
        return ("03" if value[:2] == "02" else "02") + value[2:]
    if name == "by":
        return 2 * value
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str() if re.fullmatch(r"[0-9a-f]{64}", value):
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        case str() if re.fullmatch(r"[0-9]+\.[0-9]+", value):
            return value + "1"
        case str() if re.fullmatch(r"[1-9][0-9]*", value):
            return value + "1"
        case str():
            return value + "x"
        case []:
            return ["x"]
        case _:
            return {"x": "x"}


def put(root: Any, path: Place, value: Any) -> Any:
    """Return a copy of root with another value at a path."""
    copied = copy.deepcopy(root)
    at = copied
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copied


def outcome(folder: Path) -> str:
    """Check a bundle; say how it was refused."""
    try:
        verdict = check_bundle(folder, arithmetic=ARITHMETIC)
    except CannotCheckError:
        return CANNOT
    except MalformedError:
        return MALFORMED
    except PolicyError:
        return POLICY
    except RejectedError as error:
        return SUMMARY if "is not the verdict on this bundle" in error.reason else error.step
    return f"verified: {verdict.verified}"


def put_first(folder: Path, statement: str) -> None:
    """Put a statement first, so that a fault in its policy is met before other proofs are looked at."""
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["statements"].sort(key=lambda name: name != statement)
    (folder / "bundle.json").write_bytes(dump_canonical(manifest))


@pytest.mark.parametrize("file", MANIFESTS)
def test_manifest_names_every_field(venue: Any, file: str) -> None:
    found = {pattern(path) for path, _ in leaves(json.loads((venue.bundle / file).read_bytes()))}
    assert found == set(MANIFESTS[file])


def test_every_json_file_has_a_manifest(venue: Any) -> None:
    found = {name for name in venue.files if name.endswith(".json")}
    # The policy of initial has the fields of that of maintenance.
    assert found == {*MANIFESTS, "initial/policy.json"}


@pytest.mark.parametrize(("file", "field"), [(file, field) for file, fields in MANIFESTS.items() for field in fields])
def test_changed_field_is_refused(bundle: Path, file: str, field: str) -> None:
    if "/" in file:
        put_first(bundle, file.partition("/")[0])
    honest = json.loads((bundle / file).read_bytes())
    met = set()
    for path, value in leaves(honest):
        if pattern(path) != field:
            continue
        other = changed(path, value)
        assert other != value
        (bundle / file).write_bytes(dump_canonical(put(honest, path, other)))
        met.add(outcome(bundle))
    assert met
    assert met <= MANIFESTS[file][field], met


DECLARED = [(file, field) for file in ("bundle.json", "reserves.json") for field in MANIFESTS[file]]


@pytest.mark.parametrize(("file", "field"), [each for each in DECLARED if MANIFESTS[each[0]][each[1]] == {SUMMARY}])
def test_changed_declaration_without_summaries_shows_in_the_verdict(bundle: Path, file: str, field: str) -> None:
    """Whoever changes a declaration can take the summaries away, or write new ones; the verdict still differs."""
    for name in ("summary.json", "summary.txt"):
        (bundle / name).unlink()
    before = check_bundle(bundle, arithmetic=ARITHMETIC)
    honest = json.loads((bundle / file).read_bytes())
    for path, value in leaves(honest):
        if pattern(path) == field:
            (bundle / file).write_bytes(dump_canonical(put(honest, path, changed(path, value))))
            after = check_bundle(bundle, arithmetic=ARITHMETIC)
            assert after.text != before.text
            assert after.data != before.data


def objects(value: Any, path: Place = ()) -> Iterator[Place]:
    """Yield the path of every object."""
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            yield from objects(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from objects(item, (*path, number))


def reach(root: Any, path: Place) -> Any:
    for key in path:
        root = root[key]
    return root


@pytest.mark.parametrize("file", MANIFESTS)
def test_added_and_removed_keys_are_refused(bundle: Path, file: str) -> None:
    if "/" in file:
        put_first(bundle, file.partition("/")[0])
    honest = json.loads((bundle / file).read_bytes())
    # One object of each kind: lists of alike objects would only repeat.
    kinds = {re.sub(r"\[\]", "", pattern(path)): path for path in objects(honest)}
    for path in kinds.values():
        for key in [*reach(honest, path), None]:
            tampered = copy.deepcopy(honest)
            if key is None:
                reach(tampered, path)["additional"] = "x"
            else:
                del reach(tampered, path)[key]
            (bundle / file).write_bytes(dump_canonical(tampered))
            assert outcome(bundle) in {MALFORMED, POLICY, STATEMENT, SUMMARY}, (path, key)


def reordered(value: Any) -> bytes:
    return json.dumps(dict(reversed(list(value.items()))), ensure_ascii=False, separators=(",", ":")).encode()


def pretty(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode()


REENCODED: dict[str, Callable[[Any], bytes]] = {
    "key order": reordered,
    "spaces": pretty,
    "line end": lambda value: dump_canonical(value) + b"\n",
    "byte order mark": lambda value: b"\xef\xbb\xbf" + dump_canonical(value),
    "needless escape": lambda value: dump_canonical(value).replace(b"format", b"f\\u006frmat", 1),
    "duplicate key": lambda value: b'{"format":"x",' + dump_canonical(value)[1:],
    "trailing value": lambda value: dump_canonical(value) + b"{}",
    "nothing": lambda value: b"",
}


@pytest.mark.parametrize("encode", REENCODED.values(), ids=REENCODED)
@pytest.mark.parametrize("file", MANIFESTS)
def test_other_bytes_for_the_same_value_are_refused(bundle: Path, file: str, encode: Callable[[Any], bytes]) -> None:
    honest = json.loads((bundle / file).read_bytes())
    (bundle / file).write_bytes(encode(honest))
    assert outcome(bundle) == (SUMMARY if file == "summary.json" else MALFORMED)


def test_changed_line_of_the_summary_is_refused(bundle: Path) -> None:
    lines = (bundle / "summary.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines):
        for other in (line.rstrip("\n") + " \n", ""):
            text = "".join([*lines[:number], other, *lines[number + 1 :]])
            (bundle / "summary.txt").write_text(text, encoding="utf-8")
            assert outcome(bundle) == SUMMARY, line


def test_forged_summary_that_calls_a_failing_bundle_verified_is_refused(bundle: Path) -> None:
    reserves = json.loads((bundle / "reserves.json").read_bytes())
    reserves["assets"]["BTC"] = "0.1"
    (bundle / "reserves.json").write_bytes(dump_canonical(reserves))
    assert outcome(bundle) == SUMMARY
    (bundle / "summary.json").unlink()
    assert outcome(bundle) == SUMMARY
    (bundle / "summary.txt").unlink()
    assert outcome(bundle) == "verified: False"
