"""Sparkplug B payloads: Eclipse Sparkplug 3.0.0, 6.4, protobuf schema ``org.eclipse.tahu.protobuf.Payload``.

Numbers in comments are fields of that schema. Metrics go by name, or by the alias that their birth gave
them. A payload is made without its sequence number, which belongs to the connection: `stamped` appends it, as
fields may come in any order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from iotcache.decode.sparkplug.payload import content_of
from iotcache.decode.sparkplug.protobuf import NotSparkplug, fields, text
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
UNIT_PROPERTY: Final = "engUnit"
"""As Ignition calls it."""
_pack_double = struct.Struct("<d").pack


def datatype_of(sensor: Sensor) -> int:
    """The data type of a sensor's metric."""
    if sensor.kind == "boolean":
        return BOOLEAN
    if sensor.kind == "enum":
        return STRING
    return DOUBLE if sensor.precision else INT64


def alias_of(device: str, name: str) -> int:
    """The alias of a device's metric, which must be another for each metric of an edge node (6.4.16).

    48 bits: of 10,000 metrics two have the same in one of five million edge nodes.
    """
    return int.from_bytes(blake2b(f"{device}/{name}".encode(), digest_size=6).digest())


def metric(  # noqa: PLR0917
    name: str, datatype: int, value: Value, ts_ms: int, alias: int | None = None, unit: str = ""
) -> bytes:
    """One metric: name (1), alias (2), timestamp (3), datatype (4), properties (9) and the value in the field
    of its type. Without a name, as data go by their alias, there is no datatype either: births have both."""
    if datatype == DOUBLE:
        rendered = b"\x69" + _pack_double(float(value))  # double_value (13)
    elif datatype == BOOLEAN:
        rendered = b"\x70\x01" if value else b"\x70\x00"  # boolean_value (14)
    elif datatype == STRING:
        rendered = _bytes(15, str(value).encode())  # string_value (15)
    else:
        rendered = b"\x58" + _varint(int(value) & ((1 << 64) - 1))  # long_value (11), two's complement
    return (
        (_bytes(1, name.encode()) if name else b"")
        + (b"\x10" + _varint(alias) if alias is not None else b"")
        + b"\x18" + _varint(ts_ms)
        + (b"\x20" + _varint(datatype) if name else b"")
        + (_bytes(9, _unit_property(unit)) if unit else b"")
        + rendered
    )  # fmt: skip


def _unit_property(unit: str) -> bytes:
    """A set of properties: keys (1) and values (2), of which each has a type (1) and a text (8)."""
    value = b"\x08" + _varint(STRING) + _bytes(8, unit.encode())
    return _bytes(1, UNIT_PROPERTY.encode()) + _bytes(2, value)


def historical(body: bytes) -> bytes:
    """The payload of one metric, measured earlier and kept until now: is_historical (5)."""
    timestamp_ends = _varint_end(body, 1)
    metric_begins = _varint_end(body, timestamp_ends + 1)
    return body[:timestamp_ends] + _bytes(2, body[metric_begins:] + b"\x28\x01")


def asks_for_births(command: bytes) -> bool:
    """Whether a command is ``Node Control/Rebirth`` = true (6.4.22); never an exception."""
    try:
        for raw in content_of(command).metrics:
            name, value = "", False
            for number, content in fields(raw):
                if number == 1 and isinstance(content, bytes):
                    name = text(content)
                elif number == 14 and isinstance(content, int):
                    value = bool(content)
            if name == REBIRTH and value:
                return True
    except NotSparkplug:
        pass
    return False


def _varint_end(data: bytes, at: int) -> int:
    """Where the varint that begins ``at`` ends: its last byte is below 0x80."""
    while data[at] >= 0x80:
        at += 1
    return at + 1


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
