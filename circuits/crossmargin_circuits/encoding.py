"""Canonical bytes and canonical JSON: a writer and a strict reader of each (SPEC section 6).

All integers are big-endian. A reader knows each exact length before it allocates and accepts one encoding per value.
The caller finishes with `Reader.end`, which refuses trailing bytes.
"""

import json
import re
from enum import StrEnum
from typing import Any, TypeVar

from crossmargin_circuits.errors import MalformedError

__all__ = [
    "EARLIER_RELEASE",
    "FORMAT_VERSION",
    "MAX_JSON_INTEGER",
    "Fields",
    "Reader",
    "Writer",
    "check_depth",
    "dump_canonical",
    "load_canonical",
]

Word = TypeVar("Word", bound=StrEnum)

FORMAT_VERSION = 2
"""The u16 that follows the magic of every file."""

EARLIER_RELEASE = "written by crossmargin/1, which release 0.1.0 reads"
"""Why a file of the first version of the protocol is refused."""

_EARLIER_MAGIC = b"CM1"

MAX_STRING_BYTES = 2**16 - 1
"""Longest label or id: its length is a u16."""

MAX_JSON_INTEGER = 2**53 - 1
"""Largest magnitude of an integer in canonical JSON, exact in every JSON reader (RFC 8785, RFC 7493)."""

MAX_JSON_DEPTH = 64
"""Deepest nesting of canonical JSON; checked before parsing, since parsers recurse."""


_HEX = re.compile(r"([0-9a-f]{2})+")


class Writer:
    """Append-only canonical bytes."""

    def __init__(self, magic: bytes | None = None) -> None:
        """Start empty, or with the header of a file whose 4 ASCII bytes of magic are given."""
        self._parts: list[bytes] = []
        if magic is not None:
            self.raw(magic).u16(FORMAT_VERSION)

    def raw(self, data: bytes) -> "Writer":
        """Append bytes as they are."""
        self._parts.append(data)
        return self

    def _unsigned(self, value: int, size: int) -> "Writer":
        return self.raw(value.to_bytes(size, "big"))

    def u8(self, value: int) -> "Writer":
        """Append an unsigned byte."""
        return self._unsigned(value, 1)

    def u16(self, value: int) -> "Writer":
        """Append two unsigned bytes."""
        return self._unsigned(value, 2)

    def u32(self, value: int) -> "Writer":
        """Append four unsigned bytes."""
        return self._unsigned(value, 4)

    def u64(self, value: int) -> "Writer":
        """Append eight unsigned bytes."""
        return self._unsigned(value, 8)

    def i64(self, value: int) -> "Writer":
        """Append eight bytes of two's complement."""
        return self.raw(value.to_bytes(8, "big", signed=True))

    def i128(self, value: int) -> "Writer":
        """Append sixteen bytes of two's complement."""
        return self.raw(value.to_bytes(16, "big", signed=True))

    def string(self, text: str) -> "Writer":
        """Append u16 length and UTF-8 bytes.

        Raises:
            MalformedError: longer than 65,535 bytes, or a lone surrogate, which has no UTF-8 form.
        """
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedError("text with a lone surrogate has no UTF-8 form") from None
        if len(data) > MAX_STRING_BYTES:
            raise MalformedError(f"text of {len(data)} bytes: at most {MAX_STRING_BYTES}")
        return self.u16(len(data)).raw(data)

    def bytes(self) -> bytes:
        """Return everything appended so far."""
        return b"".join(self._parts)


class Reader:
    """Strict reader over bytes; every refusal names the file, the field and the offset."""

    def __init__(self, data: bytes, name: str, magic: bytes | None = None) -> None:
        """Read `data`, called `name` in errors; with `magic`, check the header first."""
        self._data = data
        self._name = name
        self._at = 0
        if magic is not None:
            found = self.raw(4, "magic")
            if found[:3] == _EARLIER_MAGIC:
                raise MalformedError(f"{name}: {EARLIER_RELEASE}")
            if found != magic:
                raise self.refuse("magic", f"expected {magic.decode('ascii')}")
            version = self.u16("version")
            if version != FORMAT_VERSION:
                raise self.refuse("version", f"expected {FORMAT_VERSION}, found {version}")

    def refuse(self, field: str, reason: str) -> MalformedError:
        """Return the error that refuses `field` at the current offset, for the caller to raise."""
        return MalformedError(f"{self._name}: {field} (before byte {self._at}): {reason}")

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def raw(self, size: int, field: str) -> bytes:
        """Read exactly `size` bytes."""
        if size > self.left:
            raise self.refuse(field, f"file ends early: {size} bytes needed, {self.left} left")
        start = self._at
        self._at += size
        return self._data[start : self._at]

    def u8(self, field: str) -> int:
        """Read an unsigned byte."""
        return self.raw(1, field)[0]

    def u16(self, field: str) -> int:
        """Read two unsigned bytes."""
        return int.from_bytes(self.raw(2, field), "big")

    def u32(self, field: str) -> int:
        """Read four unsigned bytes."""
        return int.from_bytes(self.raw(4, field), "big")

    def u64(self, field: str) -> int:
        """Read eight unsigned bytes."""
        return int.from_bytes(self.raw(8, field), "big")

    def i64(self, field: str) -> int:
        """Read eight bytes of two's complement."""
        return int.from_bytes(self.raw(8, field), "big", signed=True)

    def i128(self, field: str) -> int:
        """Read sixteen bytes of two's complement."""
        return int.from_bytes(self.raw(16, field), "big", signed=True)

    def string(self, field: str) -> str:
        """Read u16 length and UTF-8 bytes."""
        data = self.raw(self.u16(field), field)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse(field, "not valid UTF-8") from None

    def count(self, field: str, item_bytes: int) -> int:
        """Read a u32 count of items of at least `item_bytes` each, refusing more than the file can hold."""
        count = self.u32(field)
        if count * item_bytes > self.left:
            raise self.refuse(field, f"{count} items of {item_bytes} bytes or more, {self.left} bytes left")
        return count

    def end(self) -> None:
        """Refuse bytes after the last field."""
        if self.left:
            raise self.refuse("end of file", f"{self.left} bytes after the last field")


def dump_canonical(value: Any) -> bytes:
    """Return the RFC 8785 form of a value made of dict, list, str, bool, None and int (|int| < 2^53); no floats.

    Keys are ASCII, so that code-point order is the RFC's UTF-16 order.

    Raises:
        MalformedError: a float, an integer beyond 2^53 - 1, a key that is not ASCII, or text with a lone surrogate.
    """
    _check_json(value, "document", 0)
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedError("text with a lone surrogate has no UTF-8 form") from None


def load_canonical(data: bytes, name: str) -> Any:
    """Parse canonical JSON: the bytes must be exactly what `dump_canonical` writes for the value they hold.

    This refuses duplicate keys, floats, large integers, and other spacing or key order.

    Raises:
        MalformedError: with `name` and the reason.
    """
    check_depth(data, name)
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            parse_int=_integer,
        )
        again = dump_canonical(value)
    except (ValueError, MalformedError) as error:
        raise MalformedError(f"{name}: not canonical JSON: {error}") from None
    if again != data:
        raise MalformedError(f"{name}: not canonical JSON: key order, spacing, duplicate keys or escapes differ")
    return value


def _refuse_number(text: str) -> Any:
    raise ValueError(f"number {text[:32]} is not an integer")


def _integer(text: str) -> int:
    if len(text) > 17:
        raise ValueError(f"integer of {len(text)} digits: at most 2^53 - 1")
    return int(text)


def check_depth(data: bytes, name: str) -> None:
    """Refuse JSON nested deeper than MAX_JSON_DEPTH, before a parser recurses into it.

    Raises:
        MalformedError: with `name`.
    """
    depth = 0
    in_string = escaped = False
    for byte in data:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise MalformedError(f"{name}: nested deeper than {MAX_JSON_DEPTH} levels")
        elif byte in b"]}":
            depth -= 1


def _check_json(value: Any, path: str, depth: int) -> None:
    if depth > MAX_JSON_DEPTH:
        raise MalformedError(f"{path}: nested deeper than {MAX_JSON_DEPTH} levels")
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_JSON_INTEGER:
            raise MalformedError(f"{path}: integer beyond 2^53 - 1")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise MalformedError(f"{path}: key {key!r} is not ASCII text")
            _check_json(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_json(item, f"{path}[{index}]", depth + 1)
    else:
        raise MalformedError(f"{path}: {type(value).__name__} is not allowed")


class Fields:
    """Strict reader of a JSON object; every refusal names the file and the field.

    >>> fields = Fields({"name": "BTC", "size": 3}, "file.json: ", "name", "size")
    >>> fields.text("name"), fields.integer("size")
    ('BTC', 3)
    >>> fields.text("size")
    Traceback (most recent call last):
    crossmargin_circuits.errors.MalformedError: file.json: size: a non-empty string is needed
    """

    def __init__(
        self, value: Any, prefix: str, *keys: str, exactly: bool = True, earlier: tuple[str, ...] = ()
    ) -> None:
        """Take a value that must be an object with these keys, and with `exactly` no others.

        prefix: precedes the name of a field in a refusal, such as "bundle.json: " or "policy.value_unit.".
        earlier: formats of the first version of the protocol, whose refusal names the release that reads them.
        """
        self._prefix = prefix
        if isinstance(value, dict) and value.get("format") in earlier:
            raise MalformedError(f"{prefix.rstrip('.: ')}: {EARLIER_RELEASE}")
        if not isinstance(value, dict) or (set(value) != set(keys) if exactly else not set(value) >= set(keys)):
            needed = f"an object with {'exactly ' if exactly else ''}{', '.join(keys)} is needed"
            raise MalformedError(f"{prefix.rstrip('.: ')}: {needed}")
        self._value = value

    def path(self, key: str) -> str:
        """Return the name of a field in a refusal."""
        return f"{self._prefix}{key}"

    def refuse(self, key: str, reason: str) -> MalformedError:
        """Return the error that refuses a field, for the caller to raise."""
        return MalformedError(f"{self.path(key)}: {reason}")

    def any(self, key: str) -> Any:
        """Return a value as it stands."""
        return self._value[key]

    def string(self, key: str) -> str:
        """Return text, which may be empty."""
        value = self._value[key]
        if not isinstance(value, str):
            raise self.refuse(key, "a string is needed")
        return value

    def text(self, key: str) -> str:
        """Return text that is not empty."""
        value = self._value[key]
        if not isinstance(value, str) or not value:
            raise self.refuse(key, "a non-empty string is needed")
        return value

    def printable(self, key: str) -> str:
        """Return text that is not empty and has no control characters."""
        value = self._value[key]
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.refuse(key, "printable text is needed")
        return value

    def format(self, *expected: str) -> str:
        """Return the field `format`, which must be one of those expected."""
        value = self._value["format"]
        if not isinstance(value, str) or value not in expected:
            raise self.refuse("format", f"expected {' or '.join(map(repr, expected))}")
        return value

    def word(self, key: str, words: type[Word], what: str) -> Word:
        """Return one of an enumeration's words."""
        try:
            return words(self.text(key))
        except ValueError:
            raise self.refuse(key, f"unknown {what}") from None

    def integer(self, key: str) -> int:
        """Return an integer."""
        value = self._value[key]
        if type(value) is not int:
            raise self.refuse(key, "an integer is needed")
        return value

    def count(self, key: str) -> int:
        """Return an integer that is not negative."""
        value = self._value[key]
        if type(value) is not int or value < 0:
            raise self.refuse(key, "a count is needed")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """Return a list of integers; build paths only for refusals, since the list may be long."""
        values = self.items(key)
        for number, value in enumerate(values):
            if type(value) is not int:
                raise self.refuse(f"{key}[{number}]", "an integer is needed")
        return tuple(values)

    def hexadecimal(self, key: str, size: int) -> bytes:
        """Return bytes from lower-case hexadecimal."""
        value = self._value[key]
        if not isinstance(value, str) or len(value) != 2 * size or not _HEX.fullmatch(value):
            raise self.refuse(key, f"{size} bytes in lower-case hexadecimal are needed")
        return bytes.fromhex(value)

    def items(self, key: str) -> list[Any]:
        """Return a list as it stands."""
        value = self._value[key]
        if not isinstance(value, list):
            raise self.refuse(key, "a list is needed")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object with any keys, as it stands."""
        value = self._value[key]
        if not isinstance(value, dict):
            raise self.refuse(key, "an object is needed")
        return value

    def inner(self, key: str, *keys: str) -> "Fields":
        """Return an object with exactly these keys."""
        return Fields(self._value[key], f"{self.path(key)}.", *keys)

    def each(self, key: str, *keys: str, exactly: bool = True) -> "list[Fields]":
        """Return a list of objects with these keys, and with `exactly` no others."""
        return [
            Fields(item, f"{self.path(key)}[{number}].", *keys, exactly=exactly)
            for number, item in enumerate(self.items(key))
        ]
