"""Every field of every JSON file of a bundle is changed, one at a time, and each change is refused for a stated reason.

The manifests below name every field with the refusals it may meet. A test fails where a file has a field that its
manifest does not name. The changed files are canonical JSON: only what they say is false. `*` stands for a name that
the book gives (an asset, an instrument, a statement), `[]` for a place in a list.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.errors import PolicyError
from crossmargin_prover.backend import select_backend
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.bundle.verdict import Verdict
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from tests.bundle.anchored import anchor_again

pytestmark = pytest.mark.usefixtures("proofs_once")

MOST = 3
"""Fields of one kind that are all changed; of more, the first, the last and one between."""

ARITHMETIC = select_backend().arithmetic
"""The fastest that is installed: a change is refused alike by all, which tests of verifier and kernel hold."""

MALFORMED = "malformed"  # not decoded
POLICY = "policy"  # decoded, and no relation
CANNOT = "cannot check"
SHOWS = "the verdict shows it"  # a declaration, under no proof: the verdict says another thing
SIGNATURE = "signature"
STATEMENT, WORLD = "V2", "V10"  # rejected at that step

Place = tuple[str | int, ...]

# As the venue itself could change its bundle: it anchors and signs it again.
BUNDLE = {
    "format": {MALFORMED},
    "venue": {WORLD},
    "snapshot": {WORLD},
    "statements[]": {WORLD},
    "receipt_key": {SIGNATURE},
    "totals": {MALFORMED},
    "accounts.loaded": {WORLD},
    "accounts.rejected": {SHOWS},
}
RESERVES = {
    "format": {MALFORMED},
    "snapshot": {WORLD},
    "source": {SHOWS},
    "assets.*": {SHOWS},
    "insurance_fund.amount": {SHOWS},
    "insurance_fund.currency": {SHOWS, MALFORMED},
}
ANCHOR = {
    "format": {MALFORMED},
    "venue": {WORLD},
    "snapshot.digest": {WORLD},
    "snapshot.as_of": {WORLD},
    "statements[].name": {WORLD},
    "statements[].statement": {WORLD},
    "statements[].policy": {WORLD},
    "files.*": {WORLD},
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
    "kind": {POLICY},
    "venue": {STATEMENT},
    "title": {STATEMENT},
    "as_of": {STATEMENT},
    "value_unit.currency": {STATEMENT, MALFORMED},
    "value_unit.quantum": {STATEMENT},
    "columns[].kind": {STATEMENT, MALFORMED},
    "columns[].name": {STATEMENT, MALFORMED},
    "columns[].unit": {STATEMENT, MALFORMED},
    "columns[].limit": {STATEMENT, MALFORMED},
    "columns[].settled": {MALFORMED},
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
    "by": {STATEMENT, POLICY},
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
    "anchor.json": ANCHOR,
    "statements/maintenance/policy.json": policy_manifest("maintenance"),
    "statements/coverage/policy.json": policy_manifest("coverage"),
}
NAMED = re.compile(r"^(assets|inputs\.market\.(?:index|marks|options|rates)|inputs\.model\.scan)\.[^.[]+")
OTHER = {
    "op": {"max": "sum", "sum": "max", "min": "sum", "positive-part": "abs", "scale": "abs", "linear": "reference"}
    | {"reference": "linear"},
    "kind": {"balance": "entry", "entry": "balance", "position": "entry"}
    | {"solvency": "coverage", "coverage": "crowding"},
    "role": {"equity": "abbreviation", "requirement": "hidden", "shortfall": "hidden", "debt": "exposure"},
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
    if path[:1] == ("files",):
        return "files.*"
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


@dataclass(frozen=True)
class Tampering:
    """Writes a changed file into a bundle as its venue would, and says how the bundle is refused."""

    folder: Path
    key: Any
    before: Verdict

    def write(self, file: str, data: bytes) -> str:
        (self.folder / file).write_bytes(data)
        if file == "anchor.json":
            (self.folder / "anchor.sig").write_bytes(self.key.sign_anchor(data))
        else:
            anchor_again(self.folder, [self.key])
        return self.outcome()

    def outcome(self) -> str:
        try:
            verdict = check_bundle(self.folder, arithmetic=ARITHMETIC)
        except CannotCheckError:
            return CANNOT
        except MalformedError:
            return MALFORMED
        except PolicyError:
            return POLICY
        except RejectedError as error:
            return error.step
        same = verdict.text == self.before.text or verdict.data == self.before.data
        return "verified as before" if same else SHOWS


@pytest.fixture(scope="module")
def before(venue: Any) -> Verdict:
    return check_bundle(venue.bundle, arithmetic=ARITHMETIC)


@pytest.fixture
def tampering(bundle: Path, venue: Any, before: Verdict) -> Tampering:
    return Tampering(bundle, venue.key, before)


@pytest.mark.parametrize("file", MANIFESTS)
def test_manifest_names_every_field(venue: Any, file: str) -> None:
    found = {pattern(path) for path, _ in leaves(json.loads((venue.bundle / file).read_bytes()))}
    assert found == set(MANIFESTS[file])


def test_every_json_file_has_a_manifest(venue: Any) -> None:
    found = {name for name in venue.files if name.endswith(".json")}
    # The policy of initial has the fields of that of maintenance.
    assert found == {*MANIFESTS, "statements/initial/policy.json", "summary.json"}


@pytest.mark.parametrize(("file", "field"), [(file, field) for file, fields in MANIFESTS.items() for field in fields])
def test_changed_field_is_refused(tampering: Tampering, file: str, field: str) -> None:
    """A change that the venue signs is refused at the step that guards the field, or stands in the verdict."""
    honest = json.loads((tampering.folder / file).read_bytes())
    met = set()
    same = [(path, value) for path, value in leaves(honest) if pattern(path) == field]
    assert same
    # Many fields of a kind only repeat one another.
    for path, value in same if len(same) <= MOST else [same[0], same[len(same) // 2], same[-1]]:
        other = changed(path, value)
        assert other != value
        met.add(tampering.write(file, dump_canonical(put(honest, path, other))))
    assert met <= MANIFESTS[file][field], met


@pytest.mark.parametrize("file", MANIFESTS)
def test_change_that_the_venue_did_not_sign_is_refused(bundle: Path, file: str) -> None:
    """Of a host, say: nothing beside the anchor, and not the anchor."""
    honest = json.loads((bundle / file).read_bytes())
    path, value = next((path, value) for path, value in leaves(honest) if path[0] not in ("format", "receipt_key"))
    (bundle / file).write_bytes(dump_canonical(put(honest, path, changed(path, value))))
    with pytest.raises(RejectedError, match=r"^(V10|signature)"):
        check_bundle(bundle, arithmetic=ARITHMETIC)


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
def test_added_and_removed_keys_are_refused(tampering: Tampering, file: str) -> None:
    honest = json.loads((tampering.folder / file).read_bytes())
    # One object of each kind: lists of alike objects would only repeat.
    kinds = {re.sub(r"\[\]", "", pattern(path)): path for path in objects(honest)}
    for path in kinds.values():
        for key in [*list(reach(honest, path))[:MOST], None]:
            tampered = copy.deepcopy(honest)
            if key is None:
                reach(tampered, path)["additional"] = "0" * 64
            else:
                del reach(tampered, path)[key]
            expected = {MALFORMED, POLICY, STATEMENT, WORLD}
            if path == ("assets",):
                # Reserves of another asset, or of none: the verdict says so.
                expected = {MALFORMED, SHOWS}
            assert tampering.write(file, dump_canonical(tampered)) in expected, (path, key)


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
def test_other_bytes_for_the_same_value_are_refused(
    tampering: Tampering, file: str, encode: Callable[[Any], bytes]
) -> None:
    honest = json.loads((tampering.folder / file).read_bytes())
    assert tampering.write(file, encode(honest)) == MALFORMED
