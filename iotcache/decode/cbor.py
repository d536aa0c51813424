"""CBOR (RFC 8949) into plain Python values: what sensors send of it, within bounds.

Simple and floating values, integers, texts, bytes, arrays and maps, definite and indefinite. Tags 2 and 3
make large integers, tag 4 decimal fractions, tag 5 bigfloats; others (0 and 1 for times, 55799 for
self-described CBOR) are passed over for what they tag.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Final

from iotcache.decode.float32 import single
from iotcache.decode.limits import DEPTH_LIMIT

ITEMS_LIMIT: Final = 200_000
_EXPONENT_LIMIT: Final = 400
"""Of a decimal fraction, either way: a float ends at 10^308."""
_BINARY_EXPONENT_LIMIT: Final = 1_400
"""Of a bigfloat: a float ends at 2^1024, and begins at 2^-1074."""
_BREAK: Final = object()
_SIMPLE: Final = {20: False, 21: True, 22: None, 23: None}
_FLOATS: Final = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}


class NotCbor(ValueError):
    """Bytes that are no CBOR, or more of it than is read."""


def loads(raw: bytes) -> Any:
    """The one item that ``raw`` holds. Raises `NotCbor`."""
    reader = _Reader(raw)
    item = reader.item(0)
    if item is _BREAK or reader.at != len(raw):
        raise NotCbor(f"more bytes follow after byte {reader.at}")
    return item


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0
        self.items = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.raw):
            raise NotCbor("it ends too early")
        piece = self.raw[self.at : end]
        self.at = end
        return piece

    def item(self, depth: int) -> Any:
        self.items += 1
        if depth > DEPTH_LIMIT:
            raise NotCbor("it is nested too deeply")
        if self.items > ITEMS_LIMIT:
            raise NotCbor(f"it holds more than {ITEMS_LIMIT:,} items")
        head = self.take(1)[0]
        major, minor = head >> 5, head & 0x1F
        if major == 7:
            return self._simple(minor)
        if major in (4, 5, 6) and depth >= DEPTH_LIMIT:
            raise NotCbor("it is nested too deeply")
        length = self._argument(minor)
        if length is None and major in (0, 1, 6):
            raise NotCbor("an integer or a tag without a length")
        if major == 0:
            return length
        if major == 1:
            return -1 - (length or 0)
        if major in (2, 3):
            return self._string(major, length, depth)
        if major == 4:
            return self._array(length, depth)
        if major == 5:
            return self._map(length, depth)
        return self._tagged(length or 0, depth)

    def _argument(self, minor: int) -> int | None:
        if minor < 24:
            return minor
        size = _SIZES.get(minor)
        if size is not None:
            return int.from_bytes(self.take(size), "big")
        if minor == 31:
            return None
        raise NotCbor("a reserved length")

    def _simple(self, minor: int) -> Any:
        if minor in _FLOATS:
            form, size = _FLOATS[minor]
            if size == 4:
                return single(self.take(4), ">")
            return struct.unpack(form, self.take(size))[0]
        if minor == 31:
            return _BREAK
        if minor == 24:
            self.take(1)
            return None
        return _SIMPLE.get(minor)

    def _string(self, major: int, length: int | None, depth: int) -> str | bytes:
        if length is not None:
            raw = self.take(length)
        else:
            pieces: list[bytes] = []
            while (piece := self.item(depth + 1)) is not _BREAK:
                if not isinstance(piece, str | bytes):
                    raise NotCbor("a string of pieces that are no strings")
                pieces.append(piece.encode() if isinstance(piece, str) else piece)
            raw = b"".join(pieces)
        if major == 2:
            return raw
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise NotCbor(f"a text is not valid UTF-8: {error.reason}") from None

    def _array(self, length: int | None, depth: int) -> list[Any]:
        found: list[Any] = []
        while length is None or len(found) < length:
            item = self.item(depth + 1)
            if item is _BREAK:
                if length is None:
                    break
                raise NotCbor("a break within an array of known length")
            found.append(item)
        return found

    def _map(self, length: int | None, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        count = 0
        while length is None or count < length:
            key = self.item(depth + 1)
            if key is _BREAK and length is None:
                break
            if not isinstance(key, str | int):
                raise NotCbor("a map key that is neither a text nor an integer")
            value = self.item(depth + 1)
            if value is _BREAK:
                raise NotCbor("a break in place of a value")
            found[key] = value
            count += 1
        return found

    def _tagged(self, tag: int, depth: int) -> Any:
        content = self.item(depth + 1)
        if content is _BREAK:
            raise NotCbor("a break in place of a value")
        if tag in (2, 3) and isinstance(content, bytes) and len(content) <= 64:
            number = int.from_bytes(content, "big")
            return number if tag == 2 else -1 - number
        if tag in (4, 5):
            return _fraction(tag, content)
        return content


def _fraction(tag: int, content: Any) -> int | float:
    """An array of exponent and mantissa, to the base of ten or of two (RFC 8949, section 3.4.4)."""
    what = "a decimal fraction (tag 4)" if tag == 4 else "a bigfloat (tag 5)"
    if not (isinstance(content, list) and len(content) == 2 and all(type(one) is int for one in content)):
        raise NotCbor(f"{what} is not an array of two integers")
    exponent, mantissa = content
    limit = _EXPONENT_LIMIT if tag == 4 else _BINARY_EXPONENT_LIMIT
    if abs(exponent) > limit:
        raise NotCbor(f"{what} has an exponent beyond {limit:,}")
    if exponent == 0:
        return int(mantissa)
    if tag == 4:
        return float(f"{mantissa}e{exponent}")
    try:
        return math.ldexp(mantissa, exponent)
    except OverflowError:
        raise NotCbor(f"{what} is beyond any number") from None
