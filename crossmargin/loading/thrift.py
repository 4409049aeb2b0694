"""Structures in Thrift's compact protocol, the encoding of Parquet metadata.

Source: Apache Thrift, "Thrift compact protocol encoding". Files hold no field names, so a structure is read as a
mapping from field numbers to values: integers, booleans, bytes, lists and structures.
"""

from typing import Any

__all__ = ["MAX_DEPTH", "CompactReader", "ThriftError"]

MAX_DEPTH = 12
"""Deepest nesting of structures and lists; the metadata of a Parquet file nest six deep."""

MAX_VARINT_BYTES = 10
"""Bytes of a variable-length integer of 64 bits."""

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)


class ThriftError(Exception):
    """The bytes are not a structure of this protocol."""


class CompactReader:
    """Reads structures from bytes; `position` is the first byte of the next one."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        """Begin at a position of the bytes."""
        self._data = data
        self.position = position

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the next structure by field numbers.

        Raises:
            ThriftError: not a structure, or one that does not end within the bytes.
        """
        if depth > MAX_DEPTH:
            raise ThriftError("nested too deep")
        found: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            kind = header & 15
            number = number + (header >> 4) if header >> 4 else self._zigzag()
            found[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind == _DOUBLE:
            return self._take(8)
        if kind == _MAP:
            return self._map(depth + 1)
        raise ThriftError("a value of no known type")

    def _list(self, depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            raise ThriftError("nested too deep")
        header = self._byte()
        count = self._count(header >> 4 if header >> 4 < 15 else self._varint())
        return [self._value(header & 15, depth) for _ in range(count)]

    def _map(self, depth: int) -> list[tuple[Any, Any]]:
        if depth > MAX_DEPTH:
            raise ThriftError("nested too deep")
        count = self._count(self._varint())
        if not count:
            return []
        kinds = self._byte()
        return [(self._value(kinds >> 4, depth), self._value(kinds & 15, depth)) for _ in range(count)]

    def _count(self, count: int) -> int:
        """Return a number of elements; each takes at least one byte."""
        if count > len(self._data) - self.position:
            raise ThriftError("more elements than bytes")
        return count

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for place in range(MAX_VARINT_BYTES):
            byte = self._byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise ThriftError("an integer of more than 64 bits")

    def _byte(self) -> int:
        if self.position >= len(self._data):
            raise ThriftError("cut off")
        self.position += 1
        return self._data[self.position - 1]

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self._data):
            raise ThriftError("cut off")
        self.position, begin = end, self.position
        return self._data[begin:end]
