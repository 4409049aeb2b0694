"""The JSON of a verdict has the form that docs/schema states, which is made from the types of the verdict."""

from pathlib import Path
from typing import Any

import pytest

from crossmargin_verifier.bundle.check import check_bundle
from tools.verdict_schema import PLACE, schema, schema_text

pytestmark = pytest.mark.usefixtures("proofs_once")


def faults(value: Any, kind: dict[str, Any], definitions: dict[str, Any], path: str = "") -> list[str]:
    """Return where a value is not what a schema says; knows the words that the schema uses, and no others."""
    unknown = set(kind) - {*("$ref", "type", "description", "properties", "required", "additionalProperties")}
    assert unknown <= {"items", "enum", "const", "anyOf", "oneOf", "$schema", "title", "$defs"}
    if "$ref" in kind:
        return faults(value, definitions[kind["$ref"].removeprefix("#/$defs/")], definitions, path)
    if "enum" in kind:
        return [] if value in kind["enum"] else [f"{path}: {value!r}"]
    if "const" in kind:
        return [] if value == kind["const"] else [f"{path}: {value!r}"]
    for word in ("anyOf", "oneOf"):
        if word in kind:
            each = [faults(value, one, definitions, path) for one in kind[word]]
            return [] if sum(not found for found in each) == 1 else [f"{path}: {each}"]
    match kind["type"]:
        case "object":
            if not isinstance(value, dict):
                return [f"{path}: no object"]
            known = kind.get("properties", {})
            found = [f"{path}.{key}: missing" for key in kind.get("required", ()) if key not in value]
            for key, item in value.items():
                inner = known.get(key, kind["additionalProperties"])
                found += (
                    [f"{path}.{key}: not known"]
                    if inner is False
                    else faults(item, inner, definitions, f"{path}.{key}")
                )
            return found
        case "array":
            found = [] if isinstance(value, list) else [f"{path}: no list"]
            return found + [fault for item in value for fault in faults(item, kind["items"], definitions, f"{path}[]")]
        case name:
            types = {"string": str, "integer": int, "boolean": bool, "null": type(None)}
            return [] if type(value) is types[name] else [f"{path}: {value!r} is no {name}"]


def test_schema_is_made_from_the_types() -> None:
    assert PLACE.read_text(encoding="utf-8") == schema_text(), "run python -m tools.verdict_schema"


def test_verdicts_have_the_form_of_the_schema(venue: Any, coverage_bundle: Path) -> None:
    whole = schema()
    for folder in (venue.bundle, coverage_bundle):
        data = check_bundle(folder).data
        assert faults(data, whole, whole["$defs"]) == []
        for key in data:
            assert faults({name: item for name, item in data.items() if name != key}, whole, whole["$defs"])
        assert faults({**data, "more": 1}, whole, whole["$defs"])
        assert faults({**data, "outcome": "VERIFIED"}, whole, whole["$defs"])
    assert faults({"outcome": "rejected", "reason": "V3: x"}, whole, whole["$defs"]) == []
    assert faults({"outcome": "verified", "reason": "V3: x"}, whole, whole["$defs"])
