"""A policy of the second format compiles to the relation that annex A of docs/SPEC.md gives, row by row, to the byte.

The rows of `policy.json` were written down from the text by hand; the files and digests are put together here.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.policy import Policy

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "policy.json").read_text(encoding="utf-8"))


def tagged(label: str, data: bytes) -> bytes:
    tag = b"crossmargin/1/" + label.encode()
    return hashlib.sha256(bytes([len(tag)]) + tag + data).digest()


def text(label: str) -> bytes:
    return struct.pack(">H", len(label.encode())) + label.encode()


def relation_file(vector: dict[str, Any]) -> bytes:
    """Section 6 of docs/SPEC.md."""
    columns = b"CM1C" + struct.pack(">HI", 1, len(vector["columns"])) + b"".join(map(text, vector["columns"]))
    data = b"CM1L" + struct.pack(">H", 1) + tagged("columns", columns)
    data += struct.pack(">III", len(vector["columns"]), len(vector["auxiliaries"]), len(vector["rows"]))
    for label, disclosed in vector["auxiliaries"]:
        data += text(label) + bytes([disclosed])
    for label, base, auxiliary in vector["rows"]:
        data += text(label) + b"".join(each.to_bytes(16, "big", signed=True) for each in (*base, *auxiliary, 0))
    return data


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_policy_vector(vector: dict[str, Any]) -> None:
    encoded = json.dumps(vector["policy"], sort_keys=True, separators=(",", ":")).encode()
    policy = Policy.decode(encoded)
    compiled = compile_policy(policy)
    relation = compiled.relation
    assert [[each.label, int(each.disclosed)] for each in relation.auxiliaries] == vector["auxiliaries"]
    assert [[row.label, list(row.base), list(row.auxiliary)] for row in relation.rows] == vector["rows"]
    assert relation.encoded == relation_file(vector)
    assert policy.digest == tagged("policy", encoded)
    assert policy.digest.hex() == vector["policy_digest"]
    assert relation.digest.hex() == vector["relation_digest"] == tagged("relation", relation_file(vector)).hex()
    for witness in vector["witnesses"]:
        auxiliaries, slacks = compiled.witness(witness["record"])
        assert auxiliaries == witness["auxiliaries"]
        assert slacks == witness["slacks"]
    assert list(compiled.row_bounds) == vector["row_bounds"]
    assert list(compiled.auxiliary_bounds) == vector["auxiliary_bounds"]
