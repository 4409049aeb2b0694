"""One reader of JSON objects: what it takes, and that each refusal names file and field."""

import doctest
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import pytest

from crossmargin_circuits import encoding
from crossmargin_circuits.encoding import Fields
from crossmargin_circuits.errors import MalformedError


class Colour(StrEnum):
    RED = "red"


def fields(value: Any) -> Fields:
    return Fields({"key": value}, "file.json: ", "key")


def test_example_holds() -> None:
    found = doctest.DocTestFinder().find(Fields, "Fields", module=encoding)
    assert any(each.examples for each in found)
    for each in found:
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(each).failed == 0


READERS: dict[str, tuple[Callable[[Fields], Any], Any, list[Any], str]] = {
    "string": (lambda f: f.string("key"), "", [None, 1, [], b""], "file.json: key: a string is needed"),
    "text": (lambda f: f.text("key"), "a", ["", None, 1], "file.json: key: a non-empty string is needed"),
    "printable": (lambda f: f.printable("key"), "a b", ["", "a\n", 1], "file.json: key: printable text is needed"),
    "word": (lambda f: f.word("key", Colour, "colour"), "red", ["blue"], "file.json: key: unknown colour"),
    "integer": (lambda f: f.integer("key"), -1, [True, 1.0, "1", None], "file.json: key: an integer is needed"),
    "count": (lambda f: f.count("key"), 0, [-1, True, 1.0, "1"], "file.json: key: a count is needed"),
    "integers": (lambda f: f.integers("key"), [1], [[True], [None]], "file.json: key[0]: an integer is needed"),
    "hexadecimal": (
        lambda f: f.hexadecimal("key", 2),
        "00ff",
        ["00", "00FF", "00fg", "0x0f", None, 0, "00ff00"],
        "file.json: key: 2 bytes in lower-case hexadecimal are needed",
    ),
    "items": (lambda f: f.items("key"), [], [None, {}, "[]"], "file.json: key: a list is needed"),
    "mapping": (lambda f: f.mapping("key"), {}, [None, [], "{}"], "file.json: key: an object is needed"),
    "inner": (
        lambda f: f.inner("key", "a", "b"),
        {"a": 1, "b": 2},
        [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, [], None],
        "file.json: key: an object with exactly a, b is needed",
    ),
    "each": (
        lambda f: f.each("key", "a"),
        [{"a": 1}],
        [[{}], [[]], [None]],
        "file.json: key[0]: an object with exactly a is needed",
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_its_kind_alone(name: str) -> None:
    read, good, bad, words = READERS[name]
    read(fields(good))
    for value in bad:
        with pytest.raises(MalformedError) as refused:
            read(fields(value))
        assert str(refused.value) == words


def test_paths_go_on_inside() -> None:
    root = Fields({"unit": {"list": [{"name": 1}]}}, "policy.", "unit")
    (item,) = root.inner("unit", "list").each("list", "name")
    with pytest.raises(MalformedError, match=r"^policy\.unit\.list\[0\]\.name: a string is needed$"):
        item.string("name")


def test_other_keys_are_refused_unless_they_may_be_there() -> None:
    for value in ({}, {"a": 1, "b": 2}, [], "a", None):
        with pytest.raises(MalformedError, match=r"^file\.json: an object with exactly a is needed$"):
            Fields(value, "file.json: ", "a")
    assert Fields({"a": 1, "b": 2}, "file.json: ", "a", exactly=False).any("a") == 1
    with pytest.raises(MalformedError, match=r"^file\.json: an object with a is needed$"):
        Fields({"b": 2}, "file.json: ", "a", exactly=False)


@pytest.mark.parametrize("value", [None, 1, "x/3", ["x/1"]])
def test_format_is_one_of_the_known(value: Any) -> None:
    assert Fields({"format": "x/1"}, "file.json: ", "format").format("x/1", "x/2") == "x/1"
    with pytest.raises(MalformedError, match=r"^file\.json: format: expected 'x/1' or 'x/2'$"):
        Fields({"format": value}, "file.json: ", "format").format("x/1", "x/2")
