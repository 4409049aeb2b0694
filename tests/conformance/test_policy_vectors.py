"""A policy compiles to the relation that annex A of docs/SPEC.md gives, row by row, to the byte.

The rows of `policy.json` were written down from the text by hand; the files and digests are put together here.
"""

import dataclasses
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.layout import decode_columns
from crossmargin_circuits.policy import Policy
from crossmargin_circuits.relation import Relation

FOLDER = Path(__file__).parent.parent / "vectors"
VECTORS = json.loads((FOLDER / "policy.json").read_text(encoding="utf-8"))


def tagged(label: str, data: bytes) -> bytes:
    tag = b"crossmargin/2/" + label.encode()
    return hashlib.sha256(bytes([len(tag)]) + tag + data).digest()


def text(label: str) -> bytes:
    return struct.pack(">H", len(label.encode())) + label.encode()


def relation_file(vector: dict[str, Any]) -> bytes:
    """Section 6 of docs/SPEC.md."""
    columns = b"CM2C" + struct.pack(">HI", 2, len(vector["columns"])) + b"".join(map(text, vector["columns"]))
    data = b"CM2L" + struct.pack(">H", 2) + tagged("columns", columns)
    data += struct.pack(">IIII", len(vector["columns"]), len(vector["auxiliaries"]), 0, len(vector["rows"]))
    for label, disclosed in vector["auxiliaries"]:
        data += text(label) + bytes([disclosed])
    for label, base, auxiliary, offset in vector["rows"]:
        data += text(label) + b"".join(each.to_bytes(16, "big", signed=True) for each in (*base, *auxiliary, offset))
    return data


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_policy_vector(vector: dict[str, Any]) -> None:
    encoded = json.dumps(vector["policy"], sort_keys=True, separators=(",", ":")).encode()
    policy = Policy.decode(encoded)
    compiled = compile_policy(policy)
    relation = compiled.relation
    assert [[each.label, int(each.disclosed)] for each in relation.auxiliaries] == vector["auxiliaries"]
    assert [[row.label, list(row.base), list(row.auxiliary), row.offset] for row in relation.rows] == vector["rows"]
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


@pytest.mark.parametrize("name", ["maintenance", "coverage"])
def test_relation_of_the_protocol_vectors(name: str) -> None:
    """The statements of `protocol2.json` have the rows of policies, but for the labels of columns and of some rows."""
    files = json.loads((FOLDER / "protocol2.json").read_text(encoding="utf-8"))["tiny"]["files"]
    columns = decode_columns(bytes.fromhex(files["snapshot/columns.cm2"]))
    data = bytes.fromhex(files[f"statements/{name}/relation.cm2"])
    expected = Relation.decode(data, columns)
    assert expected.encoded == data
    (vector,) = (each for each in VECTORS if each["id"] == name)
    policy = Policy.decode(json.dumps(vector["policy"], sort_keys=True, separators=(",", ":")).encode())
    found = compile_policy(policy).relation
    assert found.auxiliaries == expected.auxiliaries
    assert [dataclasses.replace(row, label="") for row in found.rows] == [
        dataclasses.replace(row, label="") for row in expected.rows
    ]
