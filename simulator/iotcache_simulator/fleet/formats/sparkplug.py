"""Sparkplug B payloads: Eclipse Sparkplug 3.0.0, 6.4, protobuf schema ``org.eclipse.tahu.protobuf.Payload``.

Numbers in comments are fields of that schema. Metrics go by name, without aliases. A payload is made without
its sequence number, which belongs to the connection: `stamped` appends it, as fields may come in any order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from iotcache.model import Value
from iotcache_simulator.fleet.definition import Sensor

INT64: Final = 4
UINT64: Final = 8
DOUBLE: Final = 10
BOOLEAN: Final = 11
STRING: Final = 12
"""Data types (6.4.16)."""
BD_SEQ: Final = "bdSeq"
REBIRTH: Final = "Node Control/Rebirth"
_pack_double = struct.Struct("<d").pack


def datatype_of(sensor: Sensor) -> int:
    """The data type of a sensor's metric."""
    if sensor.kind == "boolean":
        return BOOLEAN
    if sensor.kind == "enum":
        return STRING
    return DOUBLE if sensor.precision else INT64


def metric(name: str, datatype: int, value: Value, ts_ms: int) -> bytes:
    """One metric: name (1), timestamp (3), datatype (4) and the value in the field of its type."""
    if datatype == DOUBLE:
        rendered = b"\x69" + _pack_double(float(value))  # double_value (13)
    elif datatype == BOOLEAN:
        rendered = b"\x70\x01" if value else b"\x70\x00"  # boolean_value (14)
    elif datatype == STRING:
        rendered = _bytes(15, str(value).encode())  # string_value (15)
    else:
        rendered = b"\x58" + _varint(int(value) & ((1 << 64) - 1))  # long_value (11), two's complement
    return _bytes(1, name.encode()) + b"\x18" + _varint(ts_ms) + b"\x20" + _varint(datatype) + rendered


def payload(ts_ms: int, metrics: Iterable[bytes]) -> bytes:
    """A payload: timestamp (1) and metrics (2)."""
    return b"\x08" + _varint(ts_ms) + b"".join(_bytes(2, one) for one in metrics)


def stamped(body: bytes, seq: int) -> bytes:
    """A payload with its sequence number (3), 0 to 255."""
    return body + b"\x18" + _varint(seq)


def _bytes(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
