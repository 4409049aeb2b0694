"""Write the JSON Schema of a verdict, docs/schema/verdict-2.json, from the types that the verifier renders.

python -m tools.verdict_schema [--out docs/schema/verdict-2.json]
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from crossmargin_verifier.bundle.verdict import VERDICT_FORMAT, Outcome, Verdict

PLACE = Path(__file__).parents[1] / "docs" / "schema" / "verdict-2.json"

REFUSALS = ("rejected", "could not check", "interrupted", "output lost")
"""Outcomes of a check that reached no verdict: `crossmargin-verify --json` states the reason instead."""


def schema() -> dict[str, Any]:
    """Return the schema: a verdict, or why there is none."""
    definitions: dict[str, Any] = {}
    verdict = _of(Verdict, definitions)
    main = definitions.pop("Verdict")
    main["properties"] = {
        "format": {"const": VERDICT_FORMAT},
        "outcome": {"enum": [str(each) for each in Outcome]},
        **main["properties"],
        "not_shown": {"type": "array", "items": {"type": "string"}},
    }
    main["required"] = list(main["properties"])
    refusal = {
        "type": "object",
        "description": "Why there is no verdict.",
        "properties": {"outcome": {"enum": list(REFUSALS)}, "reason": {"type": "string"}},
        "required": ["outcome", "reason"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Verdict of crossmargin-verify on a bundle",
        "description": "Amounts are exact decimals in strings, with their units; times are UTC; digests are lower-case "
        "hexadecimal. Names, titles, sources and formulas are words of the venue.",
        "oneOf": [verdict, {"$ref": "#/$defs/Refusal"}],
        "$defs": {"Verdict": main, "Refusal": refusal, **definitions},
    }


def schema_text() -> str:
    """Return the content of the file."""
    return json.dumps(schema(), indent=2) + "\n"


def _of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a type; records go into `definitions`."""
    if kind is bool:
        return {"type": "boolean"}
    if kind is int:
        return {"type": "integer"}
    if kind is str:
        return {"type": "string"}
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        (other,) = (each for each in inner if each is not NoneType)
        return {"anyOf": [_of(other, definitions), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _of(inner[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _of(inner[1], definitions)}
    if issubclass(kind, StrEnum):
        return {"enum": [str(each) for each in kind]}
    if not isinstance(kind, type) or not is_dataclass(kind):
        raise TypeError(f"{kind}: no JSON")
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}
        hints = get_type_hints(kind)
        properties = {each.name: _of(hints[each.name], definitions) for each in fields(kind)}
        description = " ".join((kind.__doc__ or "").partition("\n    >>>")[0].split())
        definitions[name] = {
            "type": "object",
            "description": description,
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}


def main() -> None:
    """Write the schema."""
    parser = argparse.ArgumentParser(description="Write the JSON Schema of a verdict.")
    parser.add_argument("--out", type=Path, default=PLACE)
    out: Path = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
