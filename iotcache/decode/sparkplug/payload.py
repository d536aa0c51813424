"""Payloads of Sparkplug B (Eclipse Sparkplug 3.0.0, section 6.4) into metrics with names and values."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Final

from msgspec import Struct

from iotcache.decode.float32 import single
from iotcache.decode.limits import DEPTH_LIMIT
from iotcache.decode.sparkplug.arrays import ARRAYS, TooLong, array_values
from iotcache.decode.sparkplug.births import AMBIGUOUS, Births, NodeBirths, new_node
from iotcache.decode.sparkplug.properties import GOOD, read_properties
from iotcache.decode.sparkplug.protobuf import NotSparkplug, fields, text
from iotcache.decode.sparkplug.topics import OTHER_KINDS, Origin
from iotcache.model import Value
from iotcache.model.messages import PAYLOAD_LIMIT_BYTES

METRICS_LIMIT: Final = 10_000
"""Of one message, members of templates included."""
_COMPRESSED: Final = "SPBV1.0_COMPRESSED"
"""The ``uuid`` of a payload whose body is another payload, compressed (Eclipse Tahu's clients)."""
BD_SEQ: Final = "bdSeq"
"""The metric that says which death belongs to which birth of an edge node."""
_CONTROL: Final = ("Node Control/", "Device Control/")
_SIGNED_BITS: Final = {1: 8, 2: 16, 3: 32, 4: 64}
"""Datatypes Int8 to Int64: on the wire they are unsigned fields with two's complement."""
_ANY_WIDTH: Final = zlib.MAX_WBITS | 32
"""zlib's or gzip's header, told by itself."""
_NO_MEASUREMENT: Final = {16: "bytes", 17: "DataSet", 19: "extension"}
"""Values that are no measurements, by the number of their field. A file comes as bytes, too."""
_BAD: Final = "bad or stale"
"""The kind of values that their sender says are not to be trusted."""


class Metric(Struct, frozen=True, gc=False):
    """One metric with a value."""

    name: str
    value: Value
    ts_ms: int | None
    unit: str = ""
    historical: bool = False
    """Measured earlier, and kept by the edge node until now."""


class SparkplugMessage(Struct):
    """What one message holds."""

    metrics: list[Metric]
    problems: list[str]
    """Why metrics were left out that should have been readings; each safe to show."""
    rebirth: bool = False
    """The births of the edge node are not known here: it should be asked to send them again."""
    is_waiting: bool = False
    """Some of it cannot be read before they come."""
    passed_over: list[tuple[str, str]] = []
    """Kind and name of metrics that are no measurements."""
    died: dict[str, list[str]] | None = None
    """What a death ends: by device ("" for the edge node itself) the names of its metrics, as far as births
    told of them; ``None`` for what is no death, or one of an older session."""


class _Fields(Struct):
    """A metric as it is on the wire."""

    name: str = ""
    alias: int | None = None
    ts_ms: int | None = None
    kind: int = 0
    is_null: bool = False
    value: Value | None = None
    bits: int = 0
    """The width of the field that an integer came in; 0 for other values."""
    template: bytes | None = None
    raw: bytes = b""
    """Of bytes, which may be an array."""
    unfit: str = ""
    historical: bool = False
    unit: str = ""
    quality: int | None = None


class Sparkplug:
    """Reads messages of one namespace; remembers what births taught."""

    def __init__(self, births: Births | None = None, *, watch_sequence: bool = True) -> None:
        """``watch_sequence``: not where several workers share the messages of an edge node."""
        self._births = Births() if births is None else births
        self._watch_sequence = watch_sequence

    def read(self, origin: Origin, payload: bytes, now_us: int = 0) -> SparkplugMessage:
        """What a message holds; nothing for commands. Raises `NotSparkplug`."""
        if origin.kind in OTHER_KINDS:
            is_death = origin.kind in ("NDEATH", "DDEATH")
            return self._death(origin, payload, now_us) if is_death else SparkplugMessage([], [])
        content = content_of(payload)
        known = self._births.of(origin.group, origin.node)
        is_birth = origin.kind.endswith("BIRTH")
        began = origin.kind == "NBIRTH" or (is_birth and known is None)
        births = new_node(origin.group, origin.node) if known is None or began else known
        reading = _Reading(births, origin.device, is_birth=is_birth)
        if origin.kind == "NBIRTH":
            births.is_born = True
            births.sequence.begin(content.seq, now_us)
        elif known is not None and self._watch_sequence:
            known.sequence.note(content.seq, now_us)
        try:
            for raw in content.metrics:
                reading.add(raw, content.ts_ms)
        finally:
            if began:
                self._births.put(origin.group, origin.node, births)
            elif is_birth:
                self._births.grown(reading.grown_bytes)
        # Who joined late asks, also where the data could be read: the rest is in the births.
        if not births.is_born or (not is_birth and origin.device and origin.device not in births.types):
            reading.message.rebirth = True
        return reading.message

    def overdue(self, now_us: int, tolerance_us: int) -> list[tuple[str, str]]:
        """Edge nodes (group and name) of which a message did not come within that time."""
        return self._births.overdue(now_us, tolerance_us)

    def _death(self, origin: Origin, payload: bytes, now_us: int) -> SparkplugMessage:
        """What a death ends; nothing where the edge node was born again since."""
        known = self._births.of(origin.group, origin.node)
        content = content_of(payload)
        if known is None:
            return SparkplugMessage([], [], died={})
        if origin.kind == "DDEATH":
            known.sequence.note(content.seq, now_us)
            died = {origin.device: list(known.types.get(origin.device, ()))}
            return SparkplugMessage([], [], died=died)
        bd_seq = _bd_seq(content)
        if None not in (bd_seq, known.bd_seq) and bd_seq != known.bd_seq:
            return SparkplugMessage([], [])
        return SparkplugMessage([], [], died={device: list(names) for device, names in known.types.items()})


def _bd_seq(content: Content) -> int | None:
    for raw in content.metrics:
        metric = _metric(raw)
        if metric.name == BD_SEQ and type(metric.value) is int:
            return metric.value
    return None


class _Reading:
    """One message while it is read."""

    def __init__(self, births: NodeBirths, device: str, *, is_birth: bool) -> None:
        self.message = SparkplugMessage([], [])
        self.grown_bytes = births.begin(device) if is_birth else 0
        self._births = births
        self._device = device
        self._is_birth = is_birth
        self._count = 0

    def add(
        self, raw: bytes, ts_ms: int | None, prefix: str = "", depth: int = 0, *, is_bad: bool = False
    ) -> None:
        """Take a metric in; ``is_bad``: the quality of what it is a member of. Raises `NotSparkplug`."""
        self._count += 1
        if self._count > METRICS_LIMIT:
            raise NotSparkplug(f"it holds more than {METRICS_LIMIT:,} metrics")
        metric = _metric(raw)
        name = self._named(metric, prefix)
        if name is None:
            return
        when_ms = ts_ms if metric.ts_ms is None else metric.ts_ms
        is_bad = is_bad or (metric.quality is not None and metric.quality not in GOOD)
        if metric.template is not None:
            if depth >= DEPTH_LIMIT:
                raise NotSparkplug("its templates are nested too deeply")
            if not metric.is_null:
                for member in _members(metric.template):
                    self.add(member, when_ms, f"{name}/", depth + 1, is_bad=is_bad)
            return
        if metric.unfit and not metric.is_null:
            if is_bad:
                self.message.passed_over.append((_BAD, name))
            elif metric.unfit == "bytes" and metric.kind in ARRAYS:
                self._add_array(metric, name, when_ms)
            elif metric.unfit == "bytes" and not metric.kind:
                self._ask(f'the type of the metric "{name}" is not known, and with it what its bytes are')
            else:
                self.message.passed_over.append((metric.unfit, name))
            return
        if name == BD_SEQ and self._is_birth and not self._device and type(metric.value) is int:
            self._births.bd_seq = metric.value
        if metric.is_null or metric.value is None or name == BD_SEQ or name.startswith(_CONTROL):
            return
        if is_bad:
            self.message.passed_over.append((_BAD, name))
            return
        value = metric.value
        if not metric.kind and metric.bits and isinstance(value, int) and value >> (metric.bits - 1):
            self._ask(f'the type of the metric "{name}" is not known, and with it whether it is negative')
            return
        if metric.kind in _SIGNED_BITS and type(value) is int:
            value = _signed(value, _SIGNED_BITS[metric.kind])
        self._take(metric, name, name, value, when_ms)

    def _take(self, metric: _Fields, name: str, sensor: str, value: Value, when_ms: int | None) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            self.message.problems.append(f'the metric "{sensor}" is {value}, which is no measurement')
            return
        unit = metric.unit or self._births.units.get((self._device, name), "")
        self.message.metrics.append(Metric(sensor, value, when_ms, unit, metric.historical))

    def _add_array(self, metric: _Fields, name: str, when_ms: int | None) -> None:
        """Members by their places, as those of arrays in JSON."""
        try:
            values = array_values(metric.kind, metric.raw)
        except TooLong:
            self.message.passed_over.append(("long array", name))
            return
        except NotSparkplug as error:
            self.message.problems.append(f'the metric "{name}": {error}')
            return
        self._count += len(values)
        for place, value in enumerate(values):
            self._take(metric, name, f"{name}/{place}", value, when_ms)

    def _named(self, metric: _Fields, prefix: str) -> str | None:
        """The metric's whole name; with its type filled in, or learnt, by what births say."""
        births, alias = self._births, metric.alias
        name = prefix + metric.name if metric.name else ""
        if self._is_birth:
            if name:
                self.grown_bytes += births.learn(self._device, name, alias, metric.kind, metric.unit)
            return name or None
        known = None if alias is None else births.aliases.get(self._device, {}).get(alias)
        if known == AMBIGUOUS:
            known = None
            if not name:
                self.message.problems.append(f"the alias {alias} stands for two metrics in its birth message")
                return None
        if known is not None and (not name or name == known[0]):
            name = known[0]
            metric.kind = metric.kind or known[1]
        elif alias is not None and not name:
            self._ask(f"the metric with alias {alias} has no name")
        if name and not metric.kind:
            metric.kind = births.types.get(self._device, {}).get(name, 0)
        return name or None

    def _ask(self, problem: str) -> None:
        """Only a birth can tell: it is to be asked for."""
        self.message.rebirth = self.message.is_waiting = True
        self.message.problems.append(
            f"{problem}: its birth message was not seen here; let the edge node send it again "
            "(Node Control/Rebirth)"
        )


class Content(Struct):
    """A payload, its metrics not read yet."""

    ts_ms: int | None
    seq: int | None
    metrics: list[bytes]


def content_of(payload: bytes, *, inner: bool = False) -> Content:
    """A payload, decompressed where it is compressed. Raises `NotSparkplug`."""
    ts_ms: int | None = None
    seq: int | None = None
    raws: list[bytes] = []
    uuid, body = "", b""
    for number, content in fields(payload):
        if number == 1 and isinstance(content, int):
            ts_ms = content
        elif number == 3 and isinstance(content, int):
            seq = content
        elif not isinstance(content, bytes):
            continue
        elif number == 2:
            raws.append(content)
        elif number == 4:
            uuid = text(content)
        elif number == 5:
            body = content
    if len(raws) > METRICS_LIMIT:
        raise NotSparkplug(f"it holds {len(raws):,} metrics; {METRICS_LIMIT:,} are allowed")
    if uuid == _COMPRESSED:
        if inner:
            raise NotSparkplug("it is compressed twice")
        content_inside = content_of(_decompressed(body), inner=True)
        return Content(
            content_inside.ts_ms, content_inside.seq if seq is None else seq, content_inside.metrics
        )
    return Content(ts_ms, seq, raws)


def _decompressed(body: bytes) -> bytes:
    inflater = zlib.decompressobj(_ANY_WIDTH)
    try:
        raw = inflater.decompress(body, PAYLOAD_LIMIT_BYTES)
    except zlib.error as error:
        raise NotSparkplug(f"its compressed body cannot be read: {error}") from None
    if inflater.unconsumed_tail:
        raise NotSparkplug(f"its compressed body holds more than {PAYLOAD_LIMIT_BYTES:,} bytes")
    if not inflater.eof:
        raise NotSparkplug("its compressed body ends too early")
    return raw


def _metric(raw: bytes) -> _Fields:
    metric = _Fields()
    for number, content in fields(raw):
        if isinstance(content, bytes):
            if number == 1:
                metric.name = text(content)
            elif number == 9:
                metric.unit, metric.quality = read_properties(content)
            elif number == 12 and len(content) == 4:
                metric.value = single(content, "<")
            elif number == 13 and len(content) == 8:
                metric.value = float(struct.unpack("<d", content)[0])
            elif number == 15:
                metric.value = text(content)
            elif number == 18:
                metric.template = content
            elif number in _NO_MEASUREMENT:
                metric.unfit = _NO_MEASUREMENT[number]
                metric.raw = content
        elif number == 2:
            metric.alias = content
        elif number == 3:
            metric.ts_ms = content
        elif number == 4:
            metric.kind = content
        elif number == 5:
            metric.historical = bool(content)
        elif number == 7:
            metric.is_null = bool(content)
        elif number in (10, 11):
            metric.value = content
            metric.bits = 32 if number == 10 else 64
        elif number == 14:
            metric.value = bool(content)
    return metric


def _members(template: bytes) -> list[bytes]:
    """The metrics of a template's instance; a definition has no values of its own."""
    members: list[bytes] = []
    for number, content in fields(template):
        if number == 5 and content:
            return []
        if number == 2 and isinstance(content, bytes):
            members.append(content)
    return members


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
