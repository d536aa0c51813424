"""Arrays of Sparkplug B: numbers, truth values or texts, packed into bytes, little-endian.

Source: Eclipse Sparkplug 3.0.0, section 6.4.14, datatypes 22 to 34. Its printed examples of float and double
arrays are big-endian, against its text; what is read is what the text says, and Eclipse Tahu writes.
"""

from __future__ import annotations

import struct
from typing import Final

from iotcache.decode.float32 import single
from iotcache.decode.sparkplug.protobuf import NotSparkplug, text
from iotcache.model import Value
from iotcache.text import plural

ARRAY_LIMIT: Final = 64
"""Members of an array that are read, each as a sensor of its own. Longer ones are waveforms and pictures."""
_FLOAT, _BOOLEAN, _STRING = 30, 32, 33
_FORMS: Final = {
    22: "<b", 23: "<h", 24: "<i", 25: "<q", 26: "<B", 27: "<H", 28: "<I", 29: "<Q", 31: "<d", 34: "<Q",
}  # fmt: skip
ARRAYS: Final = frozenset({*_FORMS, _FLOAT, _BOOLEAN, _STRING})


class TooLong(NotSparkplug):
    """An array of more members than are read."""


def array_values(kind: int, raw: bytes) -> list[Value]:
    """The members of an array of a datatype in `ARRAYS`. Raises `NotSparkplug`."""
    if kind == _STRING:
        return _texts(raw)
    if kind == _BOOLEAN:
        return _truths(raw)
    size = 4 if kind == _FLOAT else struct.calcsize(_FORMS[kind])
    if len(raw) % size:
        raise NotSparkplug(f"an array of {plural(len(raw), 'byte')}, in pieces of {size}")
    if len(raw) // size > ARRAY_LIMIT:
        raise TooLong(f"an array of {len(raw) // size:,} members")
    if kind == _FLOAT:
        return [single(raw[at : at + 4], "<") for at in range(0, len(raw), 4)]
    return [value for (value,) in struct.iter_unpack(_FORMS[kind], raw)]


def _truths(raw: bytes) -> list[Value]:
    """A number of them in four bytes, then a bit each, the highest of each byte first."""
    count = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or count > 8 * (len(raw) - 4):
        raise NotSparkplug("an array of truth values that ends too early")
    if count > ARRAY_LIMIT:
        raise TooLong(f"an array of {count:,} members")
    return [bool(raw[4 + n // 8] & (0x80 >> n % 8)) for n in range(count)]


def _texts(raw: bytes) -> list[Value]:
    """Each ends with a NUL."""
    if not raw:
        return []
    if raw[-1]:
        raise NotSparkplug("an array of texts that ends too early")
    if raw.count(0) > ARRAY_LIMIT:
        raise TooLong(f"an array of {raw.count(0):,} members")
    return [text(piece) for piece in raw[:-1].split(b"\0")]
