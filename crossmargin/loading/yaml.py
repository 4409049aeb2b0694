"""YAML (and so JSON) files, read without type inference: every scalar is its text, every value knows its line.

Plain YAML turns `0.10` into a float, `NO` into false and `12:30` into a number. Here a field type of
`crossmargin.fields` reads the text, so that no decimal passes through a float. Aliases, tags, duplicate keys and
multiple documents are refused; depth and size are bounded before anything is built.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from crossmargin.errors import InputError, InputErrors
from crossmargin.fields import dotted, problems_of
from crossmargin.origin import Origin

__all__ = ["MAX_DEPTH", "MAX_FILE_BYTES", "MAX_VALUES", "Document", "fit", "load_model", "read_yaml"]

MAX_FILE_BYTES = 16 * 2**20
"""Most bytes of a YAML file: about 80,000 instruments, beyond any venue."""

MAX_VALUES = 2**20
"""Most keys, values and containers of a YAML file: about 40,000 instruments, read in some five seconds."""

MAX_DEPTH = 16
"""Deepest nesting; the formats need four levels."""

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A parsed file: nested dicts, lists and strings; `lines` maps "assets[2].unit" to its line, "" to the first."""

    file: str
    value: Any
    lines: Mapping[str, int]

    @property
    def origin(self) -> Origin:
        """The file with its lines."""
        return Origin(self.file, self.lines)

    def line(self, field: str) -> int | None:
        """Return the line of a field, or of the nearest field that contains it."""
        return self.origin.line(field)


class _Builder:
    """Build the value from parser events with an explicit stack, so that deep nesting cannot exhaust Python's."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._path: list[str | int] = []
        self._key: str | None = None
        self.value: Any = None
        self.lines: dict[str, int] = {}

    def refuse(self, line: int, reason: str, hint: str) -> InputError:
        field = dotted(tuple(self._path[1:] + ([self._key] if self._key is not None else [])))
        return InputError(reason, hint=hint, file=self._file, line=line, field=field)

    def scalar(self, text: str, line: int) -> None:
        if self._stack and isinstance(self._stack[-1], dict) and self._key is None:
            if text in self._stack[-1]:
                raise self.refuse(line, f"the key {text} stands here twice", "keep one of them")
            self._key = text
            return
        self._place(text, line)

    def start(self, container: Any, line: int) -> None:
        if self._stack and isinstance(self._stack[-1], dict) and self._key is None:
            raise self.refuse(line, "a key that is not text", "write the key as plain text")
        if len(self._stack) == MAX_DEPTH:
            raise self.refuse(line, f"nested deeper than {MAX_DEPTH} levels", "follow the documented format")
        step = self._place(container, line)
        self._stack.append(container)
        self._path.append(step)

    def end(self) -> None:
        self._stack.pop()
        self._path.pop()

    def _place(self, value: Any, line: int) -> str | int:
        """Put a value where it belongs; return its step in the path."""
        step: str | int = ""
        if not self._stack:
            self.value = value
            self.lines[""] = line
            return step
        parent = self._stack[-1]
        if isinstance(parent, list):
            step = len(parent)
            parent.append(value)
        else:
            step = str(self._key)
            parent[step] = value
            self._key = None
        self.lines[dotted((*self._path[1:], step))] = line
        return step


def read_yaml(path: Path) -> Document:
    """Return the one document of a file.

    Raises:
        InputError: missing, too large, not UTF-8, not YAML, or with a construct that the module refuses.
    """
    file = path.name
    text = _read_text(path)
    builder = _Builder(file)
    documents = 0
    try:
        for number, event in enumerate(yaml.parse(text, Loader=_PARSER)):
            line = 1 if event.start_mark is None else event.start_mark.line + 1
            if number > MAX_VALUES:
                raise builder.refuse(line, f"more than {MAX_VALUES} values", "split or shorten the file")
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise builder.refuse(line, "a second document", "keep one document in the file")
            elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise builder.refuse(line, "an anchor or alias", "write the value out")
            elif getattr(event, "tag", None) not in (None, "!"):
                raise builder.refuse(line, "a YAML tag", "remove the tag")
            elif isinstance(event, yaml.ScalarEvent):
                builder.scalar(event.value, line)
            elif isinstance(event, yaml.MappingStartEvent):
                builder.start({}, line)
            elif isinstance(event, yaml.SequenceStartEvent):
                builder.start([], line)
            elif isinstance(event, yaml.CollectionEndEvent):
                builder.end()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = None if mark is None else mark.line + 1
        reason = f"not YAML: {getattr(error, 'problem', None) or 'a character that is not allowed'}"
        raise InputError(reason, hint="correct the syntax at or before this line", file=file, line=place) from None
    if not isinstance(builder.value, dict):
        raise InputError("no fields", hint="write the fields of the documented format", file=file, line=1)
    return Document(file, builder.value, builder.lines)


def load_model(path: Path, model: type[Model]) -> tuple[Model, Document]:
    """Return a file as a pydantic model, and the document for the lines of later problems.

    Raises:
        InputErrors: every field that does not fit, each with file, line, field and hint.
    """
    try:
        document = read_yaml(path)
    except InputError as error:
        raise InputErrors([error]) from None
    return fit(document, model), document


def fit(document: Document, model: type[Model]) -> Model:
    """Return a document as a pydantic model.

    Raises:
        InputErrors: every field that does not fit.
    """
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        problems = problems_of(error)
        raise InputErrors([each.at(file=document.file, line=document.line(each.field)) for each in problems]) from None


def _read_text(path: Path) -> str:
    file = path.name
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"larger than {MAX_FILE_BYTES} bytes", hint="split or shorten the file", file=file)
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError("file not found", hint=f"add {file} to the book folder", file=file) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", hint="check the path and its rights", file=file) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError("not UTF-8", hint="save the file as UTF-8", file=file, line=line) from None
