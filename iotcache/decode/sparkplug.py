"""Sparkplug B (Eclipse Sparkplug 3.0.0): metrics of edge nodes and their devices, out of protobuf.

The group is the site, the device (or the edge node itself) the device, a metric's name the sensor. Births
teach the aliases and types that data messages may use in place of names; they are remembered per edge node.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from iotcache.decode.float32 import single
from iotcache.model import Value

NAMESPACE: Final = "spBv1.0/"
NODES_REMEMBERED: Final = 20_000
ALIASES_REMEMBERED: Final = 10_000
"""Of one edge node."""
METRICS_LIMIT: Final = 10_000
_DATA: Final = frozenset({"NBIRTH", "DBIRTH", "NDATA", "DDATA"})
_OTHER: Final = frozenset({"NDEATH", "DDEATH", "NCMD", "DCMD", "STATE"})
_CONTROL: Final = ("Node Control/", "Device Control/")
_SIGNED_BITS: Final = {1: 8, 2: 16, 3: 32, 4: 64}


class NotSparkplug(ValueError):
    """A message that cannot be read; the text says why."""


class Metric(Struct, frozen=True, gc=False):
    """One metric with a value."""

    name: str
    value: Value
    ts_ms: int | None


class Origin(Struct, frozen=True):
    """Where a message comes from, as its topic says."""

    group: str
    kind: str
    node: str
    device: str


class Sparkplug:
    """Reads messages of one namespace; remembers what births taught."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], dict[int, tuple[str, int]]] = OrderedDict()

    def metrics(self, origin: Origin, payload: bytes) -> list[Metric]:
        """The metrics of a message; none for deaths and commands. Raises `NotSparkplug`."""
        if origin.kind in _OTHER:
            return []
        aliases = self._aliases(origin)
        birth = origin.kind.endswith("BIRTH")
        found: list[Metric] = []
        ts_ms: int | None = None
        raws: list[bytes] = []
        for number, content in _fields(payload):
            if number == 1 and isinstance(content, int):
                ts_ms = content
            elif number == 2 and isinstance(content, bytes):
                raws.append(content)
        if len(raws) > METRICS_LIMIT:
            raise NotSparkplug(f"it holds {len(raws):,} metrics; {METRICS_LIMIT:,} are allowed")
        for raw in raws:
            metric = _metric(raw, aliases, ts_ms, birth=birth)
            if metric is not None:
                found.append(metric)
        return found

    def _aliases(self, origin: Origin) -> dict[int, tuple[str, int]]:
        key = (origin.group, origin.node)
        aliases = self._known.get(key)
        if aliases is None or origin.kind == "NBIRTH":
            aliases = self._known[key] = {}
            if len(self._known) > NODES_REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return aliases


def parse_topic(topic: str) -> Origin:
    """What a Sparkplug topic says. Raises `NotSparkplug`."""
    parts = topic.split("/")
    if len(parts) >= 2 and parts[1] == "STATE":
        return Origin("", "STATE", parts[-1], "")
    if len(parts) not in (4, 5) or parts[2] not in _DATA | _OTHER or not all(parts):
        raise NotSparkplug("the topic is not spBv1.0/GROUP/TYPE/NODE or spBv1.0/GROUP/TYPE/NODE/DEVICE")
    return Origin(parts[1], parts[2], parts[3], parts[4] if len(parts) == 5 else "")


def _metric(
    raw: bytes, aliases: dict[int, tuple[str, int]], message_ms: int | None, *, birth: bool
) -> Metric | None:
    name, alias, ts_ms, kind = "", None, message_ms, 0
    null = False
    value: Value | None = None
    for number, content in _fields(raw):
        if isinstance(content, bytes):
            if number == 1:
                name = _text(content)
            elif number == 12 and len(content) == 4:
                value = single(content, "<")
            elif number == 13 and len(content) == 8:
                value = float(struct.unpack("<d", content)[0])
            elif number == 15:
                value = _text(content)
        elif number == 2:
            alias = content
        elif number == 3:
            ts_ms = content
        elif number == 4:
            kind = content
        elif number == 7:
            null = bool(content)
        elif number in (10, 11):
            value = content
        elif number == 14:
            value = bool(content)
    if alias is not None:
        if birth and name and (alias in aliases or len(aliases) < ALIASES_REMEMBERED):
            aliases[alias] = (name, kind)
        known = aliases.get(alias)
        if known is not None:
            name, kind = name or known[0], kind or known[1]
        elif not name:
            raise NotSparkplug(
                f"the metric with alias {alias} has no name: its birth message was not seen here; "
                "let the edge node send it again (Node Control/Rebirth)"
            )
    if null or value is None or not name or name == "bdSeq" or name.startswith(_CONTROL):
        return None
    if kind in _SIGNED_BITS and type(value) is int:
        value = _signed(value, _SIGNED_BITS[kind])
    return Metric(name, value, ts_ms)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise NotSparkplug(f"a text is not valid UTF-8: {error.reason}") from None


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers of wire type 0, and the bytes of all others."""
    at, end = 0, len(raw)
    while at < end:
        key, at = _varint(raw, at)
        wire = key & 7
        if wire == 0:
            content, at = _varint(raw, at)
            yield key >> 3, content
            continue
        if wire == 2:
            size, at = _varint(raw, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise NotSparkplug(f"protobuf wire type {wire} is not known")
        if at + size > end:
            raise NotSparkplug("the protobuf message ends too early")
        yield key >> 3, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise NotSparkplug("the protobuf message ends too early")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise NotSparkplug("a protobuf number of more than ten bytes")
