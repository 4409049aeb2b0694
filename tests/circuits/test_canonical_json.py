"""Canonical JSON against `rfc8785`, an implementation of RFC 8785 that shares no code with it."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_circuits.encoding import MAX_JSON_DEPTH, MAX_JSON_INTEGER, dump_canonical, load_canonical
from crossmargin_circuits.errors import MalformedError

keys = st.text(alphabet=st.characters(max_codepoint=127), max_size=8)
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-MAX_JSON_INTEGER, MAX_JSON_INTEGER) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


@given(values)
def test_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert dump_canonical(value) == rfc8785.dumps(value)


@given(values)
def test_value_comes_back(value: Any) -> None:
    assert load_canonical(dump_canonical(value), "file") == value


@given(values, st.sampled_from([{"indent": 1}, {"separators": (", ", ": ")}, {"ensure_ascii": True}, {}]))
def test_other_bytes_for_a_value_are_refused(value: Any, options: dict[str, Any]) -> None:
    other = json.dumps(value, **{"separators": (",", ":"), "ensure_ascii": False, **options}).encode()
    if other == rfc8785.dumps(value):
        assert load_canonical(other, "file") == value
    else:
        with pytest.raises(MalformedError, match=r"^file: "):
            load_canonical(other, "file")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ('\x00\b\t\n\f\r\x1f"\\/', b'"\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\/"'),
        ("\x7f\u20ac\U0001f600", b'"\x7f\xe2\x82\xac\xf0\x9f\x98\x80"'),
        ({"b": 1, "a": 2, "A": 3, "": 4, "a.b": 5}, b'{"":4,"A":3,"a":2,"a.b":5,"b":1}'),
        ([], b"[]"),
        ({}, b"{}"),
        (MAX_JSON_INTEGER, b"9007199254740991"),
        (-MAX_JSON_INTEGER, b"-9007199254740991"),
        (0, b"0"),
        ([True, False, None], b"[true,false,null]"),
    ],
)
def test_known_encodings(value: Any, encoded: bytes) -> None:
    assert dump_canonical(value) == encoded == rfc8785.dumps(value)
    assert load_canonical(encoded, "file") == value


@pytest.mark.parametrize("value", [MAX_JSON_INTEGER + 1, -MAX_JSON_INTEGER - 1, 2**100])
def test_integer_that_not_every_reader_keeps_is_refused(value: int) -> None:
    with pytest.raises(MalformedError, match="beyond"):
        dump_canonical(value)
    with pytest.raises(rfc8785.IntegerDomainError):
        rfc8785.dumps(value)
    with pytest.raises(MalformedError):
        load_canonical(str(value).encode(), "file")


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), float("inf"), {1: 2}, {"é": 1}, b"x", {1}, object(), "\ud800", {"a": ["\udfff"]}]
)
def test_value_without_a_canonical_form_here_is_refused(value: Any) -> None:
    with pytest.raises(MalformedError):
        dump_canonical(value)


def test_depth_is_limited() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    assert load_canonical(dump_canonical(nested(MAX_JSON_DEPTH)), "file") == nested(MAX_JSON_DEPTH)
    with pytest.raises(MalformedError, match="deeper"):
        dump_canonical(nested(MAX_JSON_DEPTH + 1))
    with pytest.raises(MalformedError, match="deeper"):
        load_canonical(rfc8785.dumps(nested(MAX_JSON_DEPTH + 1)), "file")
