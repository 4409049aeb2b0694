"""YAML without inference, without surprises, and with the line of every value."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.loading.yaml import MAX_DEPTH, Document, read_yaml


def read(folder: Path, content: str | bytes) -> Document:
    path = folder / "x.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(path)


def test_every_scalar_is_its_text(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 0.10\nb: NO\nc: 12:30\nd: 1_000\ne: ~\nf: 2025-01-01\ng: [1e3, .inf, 'x']\n")
    assert document.value == {
        "a": "0.10",
        "b": "NO",
        "c": "12:30",
        "d": "1_000",
        "e": "~",
        "f": "2025-01-01",
        "g": ["1e3", ".inf", "x"],
    }


def test_every_value_knows_its_line(tmp_path: Path) -> None:
    document = read(tmp_path, "a:\n  - x: 1\n    y: {z.w: 2,\n        v: 3}\n  - 4\n# end\nb: 5\n")
    lines = {"a[0].x": 2, "a[0].y.z.w": 3, "a[0].y.v": 4, "a[1]": 5, "b": 7, "a[0].y.z.w.more": 3, "a[1].q": 5, "": 1}
    assert {field: document.line(field) for field in lines} == lines


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a: &x 1\nb: *x\n", 1, "anchor"),
        ("a: !!python/object/apply:os.system [echo]\n", 1, "tag"),
        ("a: !!float 1\n", 1, "tag"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: [1\n", 2, "not YAML"),
        ("\ta: 1\n", 1, "not YAML"),
        ("a: 1\n b: 2\n", 2, "not YAML"),
        ("a: \x07\n", None, "not YAML"),
        ("? [1]\n: 2\n", 1, "key that is not text"),
        ("", 1, "no fields"),
        ("- 1\n", 1, "no fields"),
        ("text\n", 1, "no fields"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, 1, "deeper"),
        ("a: " + "[" * 5000, 1, "deeper"),
    ],
)
def test_refusals(tmp_path: Path, content: str | bytes, line: int | None, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert (caught.value.file, caught.value.line) == ("x.yaml", line)
    assert reason in caught.value.reason
    assert caught.value.hint


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file not found"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path)


@given(content=st.one_of(st.text(max_size=60), st.binary(max_size=60), st.text("ab:-[]{},&*!|>'\"\n #?", max_size=60)))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    with contextlib.suppress(InputError):
        read(tmp_path_factory.getbasetemp(), content)
