"""From ``(topic, payload)`` to readings, or to a dead letter that says what is wrong. Never an exception.

The fast way is one typed msgspec decode; only what it refuses is looked at again, to read the rarer forms
and to explain the rest. Decided outcomes (docs/payloads.md has all):

- a payload may repeat the names in its topic, and must not contradict them;
- no ``ts`` means the time of receipt; a number is epoch s, ms, µs or ns by its size;
- a time before 2000, or more than a day after its receipt, is a clock that is wrong: dead letter;
- NaN, infinities, invalid UTF-8, NUL characters, names over 256 characters: dead letter;
- of a payload over 1 MiB only the first 64 KiB are kept, in a dead letter;
- an array is taken whole or not at all; an empty payload (it clears a retained message) is nothing.

What format a payload has, it shows itself: ``{`` and ``[`` begin JSON (an array of SenML records has no
"value"), bytes from 0x80 on CBOR, and Sparkplug B has topics of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct, structs

from iotcache.clock import utc_text
from iotcache.decode import senml
from iotcache.decode.explain import explain
from iotcache.decode.field_paths import FieldReader, NotThere
from iotcache.decode.limits import (
    BOOT_LIMIT,
    DEPTH_LIMIT,
    NAME_LIMIT,
    READINGS_LIMIT,
    TEXT_LIMIT,
    UNIT_LIMIT,
    is_too_deep,
)
from iotcache.decode.topics import TopicNames, Topics
from iotcache.model import DeadLetter, Reading, Value
from iotcache.model.messages import KEPT_BYTES, PAYLOAD_LIMIT_BYTES
from iotcache.text import printable, printable_bytes

if TYPE_CHECKING:
    from iotcache.decode.sparkplug import DeviceNaming, Sparkplug

EARLIEST_US: Final = 946_684_800_000_000
"""2000-01-01: devices that were never told the time begin in 1970 or 1980."""
AHEAD_LIMIT_US: Final = 86_400_000_000
"""A day: past any time zone taken for UTC. A reading from the future would stay the newest until then."""
_INT64: Final = 1 << 63
_REASON_LIMIT: Final = 300
_HEAD_KEPT: Final = f"(only its first {KEPT_BYTES:,} are kept here)"

_Name = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT)]
_Seq = Annotated[int, Meta(ge=0, le=_INT64 - 1)]
_Time = int | float | Annotated[datetime, Meta(tz=True)]


class Refused(Exception):
    """Why a payload is no reading; the text is the dead letter's reason."""


class PartlyDecoded(Struct, frozen=True):
    """A message of unrelated measurements, some of which cannot be kept."""

    readings: list[Reading]
    dead_letter: DeadLetter
    """The whole message, with the reason for what was left out."""


class Incoming(Struct, frozen=True, gc=False):
    """A reading as devices write it in JSON; what is left out, the topic or the receipt says."""

    value: float | int | bool | Annotated[str, Meta(max_length=TEXT_LIMIT)]
    ts: _Time | None = None
    device: _Name | None = None
    sensor: _Name | None = None
    unit: Annotated[str, Meta(max_length=UNIT_LIMIT)] | None = None
    seq: _Seq | None = None
    boot: Annotated[str, Meta(max_length=BOOT_LIMIT)] | int | None = None
    site: Annotated[str, Meta(max_length=NAME_LIMIT)] | None = None


_decode_one = msgspec.json.Decoder(Incoming).decode
_decode_many = msgspec.json.Decoder(Annotated[list[Incoming], Meta(max_length=READINGS_LIMIT)]).decode
_decode_pack = msgspec.json.Decoder(
    Annotated[list[senml.SenmlRecord], Meta(max_length=READINGS_LIMIT)]
).decode
_NUMBER: Final = re.compile(rb"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_NO_NAMES: Final = TopicNames()
_WORDS: Final = {b"true": True, b"false": False}


class Decoder:
    """Decodes the messages of one deployment."""

    def __init__(
        self,
        topics: Topics,
        fields: FieldReader | None = None,
        *,
        sparkplug_device: DeviceNaming = "group/node/device",
        on_unknown_birth: Callable[[str, str], None] = lambda group, node: None,
    ) -> None:
        """``fields`` reads the JSON and CBOR of a fleet that does not write the default payload.

        ``sparkplug_device`` says of what the names of Sparkplug devices are made. ``on_unknown_birth`` is
        called with group and edge node when a Sparkplug message cannot be read without a birth.
        """
        self._names = topics.names
        self._fields = fields
        self._sparkplug: Sparkplug | None = None
        self._sparkplug_device: DeviceNaming = sparkplug_device
        self._on_unknown_birth = on_unknown_birth

    def decode(
        self, topic: str, payload: bytes, received_us: int, size: int | None = None
    ) -> list[Reading] | DeadLetter | PartlyDecoded:
        """The readings of one message; an empty list for a message that is none and need not be one.

        ``size`` is that of the whole payload when only its head is there.
        """
        names = self._names(topic)
        if names.reserved:
            return []
        try:
            if names.refused:
                raise Refused(names.refused)
            whole = size is None or size == len(payload)
            if not whole or len(payload) > PAYLOAD_LIMIT_BYTES:
                raise Refused(_too_large(size or len(payload)))
            if names.sparkplug:
                return self._sparkplug_readings(topic, payload, received_us)
            if self._fields is not None:
                return _by_paths(self._fields, payload, names, received_us)
            head = payload[:1]
            if head == b"{":
                return [_reading(_one(payload), names, received_us)]
            if head == b"[":
                return _readings(payload, names, received_us)
            return _plain(payload, names, received_us)
        except Refused as refused:
            reason = str(refused)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = explain(payload, error)
        return dead_letter(topic, payload, reason, received_us, size)

    def _sparkplug_readings(
        self, topic: str, payload: bytes, received_us: int
    ) -> list[Reading] | PartlyDecoded:
        from iotcache.decode.sparkplug import NotSparkplug, Sparkplug, device_name, parse_topic

        if self._sparkplug is None:
            self._sparkplug = Sparkplug()
        try:
            origin = parse_topic(topic)
            message = self._sparkplug.read(origin, payload)
        except NotSparkplug as error:
            raise Refused(f"the payload is no Sparkplug B: {error}") from error
        if message.rebirth:
            self._on_unknown_birth(origin.group, origin.node)
        device, problems = device_name(origin, self._sparkplug_device), message.problems
        readings: list[Reading] = []
        for metric in message.metrics:
            ts_us = received_us if metric.ts_ms is None else metric.ts_ms * 1_000
            try:
                readings.append(
                    checked(
                        device, metric.name, metric.value, ts_us,
                        unit="", site=origin.group, seq=None, boot="", received_us=received_us,
                    )
                )  # fmt: skip
            except Refused as refused:
                problems.append(f'the metric "{printable(metric.name, 60)}": {refused}')
        if not problems:
            return readings
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        if not readings:
            raise Refused(problems[0] + more)
        reason = f"{len(readings):,} metrics are stored, {len(problems):,} cannot be: {problems[0]}{more}"
        return PartlyDecoded(readings, dead_letter(topic, payload, reason, received_us))


def decode_named(payload: bytes, received_us: int) -> list[Reading]:
    """The reading, or array of readings, of a payload that comes without a topic. Raises `Refused`."""
    try:
        if payload.lstrip()[:1] == b"[":
            return _readings(payload, _NO_NAMES, received_us)
        return [_reading(_one(payload), _NO_NAMES, received_us)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(explain(payload, error)) from error


def dead_letter(
    topic: str, payload: bytes, reason: str, received_us: int, size: int | None = None
) -> DeadLetter:
    """A dead letter that any store can hold: no NUL in its texts, a payload of bounded size.

    ``size`` is that of the whole payload when ``payload`` is not all of it.
    """
    if size is None:
        size = len(payload)
    if len(payload) > PAYLOAD_LIMIT_BYTES:
        payload = payload[:KEPT_BYTES]
    truncated = size != len(payload)
    reason = printable(reason, _REASON_LIMIT)
    return DeadLetter(topic.replace("\0", "\\0"), payload, reason, received_us, truncated)


def _too_large(size: int) -> str:
    return f"the payload has {size:,} bytes; {PAYLOAD_LIMIT_BYTES:,} are allowed {_HEAD_KEPT}"


def _one(payload: bytes) -> Incoming:
    _check_depth(payload)
    return _decode_one(payload)


def _check_depth(payload: bytes) -> None:
    """Raises `Refused` for JSON that is nested too deeply, also in what is of no interest here: how deep the
    library reads depends on who calls it."""
    if is_too_deep(payload):
        raise Refused(f"the JSON is nested deeper than {DEPTH_LIMIT} objects and arrays")


def _readings(payload: bytes, names: TopicNames, received_us: int) -> list[Reading]:
    """The readings of an array. Those without a time are a microsecond apart, lest they count as the same."""
    _check_depth(payload)
    if senml.looks_like(payload):
        try:
            senml.check_json_labels(payload)
        except senml.NotSenml as error:
            raise Refused(f"the SenML pack cannot be read: {error}") from error
        return _pack(_decode_pack(payload), names, received_us)
    return _apart(_decode_many(payload), names, received_us)


def _apart(many: Sequence[Incoming], names: TopicNames, received_us: int) -> list[Reading]:
    return [_reading(one, names, received_us + n) for n, one in enumerate(many)]


def _pack(records: Sequence[senml.SenmlRecord], names: TopicNames, received_us: int) -> list[Reading]:
    """The readings of a SenML pack."""
    try:
        found = senml.resolve(records, names.device, received_us / 1e6, names.sensor)
    except senml.NotSenml as error:
        raise Refused(f"the SenML pack cannot be read: {error}") from error
    names = structs.replace(names, sensor="")  # what it says is in what was found
    return _apart(msgspec.convert(found, list[Incoming]), names, received_us)


def _by_paths(fields: FieldReader, payload: bytes, names: TopicNames, received_us: int) -> list[Reading]:
    """The readings of a payload of another's making; a bare number or white space is what it always is."""
    stripped = payload.lstrip()
    if stripped[:1] in (b"{", b"["):
        _check_depth(stripped)
        content = msgspec.json.decode(stripped)
    elif payload[:1] >= b"\x80":
        from iotcache.decode import cbor

        try:
            content = cbor.loads(payload)
        except cbor.NotCbor as error:
            raise Refused(f"the payload is neither text nor CBOR: {error}") from error
        if not isinstance(content, dict | list):
            return _plain(payload, names, received_us)
    else:
        return _plain(payload, names, received_us)
    try:
        found = list(fields.records(content, READINGS_LIMIT))
    except NotThere as error:
        raise Refused(str(error)) from error
    return _apart(msgspec.convert(found, list[Incoming]), names, received_us)


def _cbor(payload: bytes, names: TopicNames, received_us: int) -> list[Reading]:
    """The readings of a CBOR payload: a map or an array of maps, as in JSON, or a SenML pack."""
    from iotcache.decode import cbor

    try:
        content = cbor.loads(payload)
        if isinstance(content, list) and any(isinstance(one, dict) and "value" not in one for one in content):
            records = msgspec.convert(senml.from_cbor(content), list[senml.SenmlRecord])
            return _pack(records, names, received_us)
    except (cbor.NotCbor, senml.NotSenml) as error:
        raise Refused(f"the payload is neither text nor CBOR: {error}") from error
    if isinstance(content, bool | int | float):
        content = {"value": content}
    many = content if isinstance(content, list) else [content]
    if len(many) > READINGS_LIMIT:
        raise Refused(f"it holds {len(many):,} readings; {READINGS_LIMIT:,} are allowed")
    return _apart(msgspec.convert(many, list[Incoming]), names, received_us)


def _reading(one: Incoming, names: TopicNames, received_us: int) -> Reading:
    device = names.device
    if one.device is not None and one.device != device:
        if device:
            raise Refused(_contradiction("device", one.device, device))
        device = one.device
    sensor = names.sensor
    if one.sensor is not None and one.sensor != sensor:
        if sensor:
            raise Refused(_contradiction("sensor", one.sensor, sensor))
        sensor = one.sensor
    site = names.site
    if one.site is not None and one.site != site:
        if site:
            raise Refused(_contradiction("site", one.site, site))
        site = one.site
    return checked(
        device, sensor, one.value, epoch_us(one.ts, received_us),
        unit=names.unit if one.unit is None else one.unit,
        site=site,
        seq=one.seq,
        boot="" if one.boot is None else one.boot if isinstance(one.boot, str) else str(one.boot),
        received_us=received_us,
    )  # fmt: skip


def checked(
    device: str, sensor: str, value: Value, ts_us: int, *,
    unit: str, site: str, seq: int | None, boot: str, received_us: int,
) -> Reading:  # fmt: skip
    """A reading that every store and the cache can hold. Raises `Refused`."""
    if not device or not sensor:
        missing = "device" if not device else "sensor"
        raise Refused(f"neither the topic nor the payload names a {missing}")
    if ts_us < EARLIEST_US:
        raise Refused(f"its time is {_shown(ts_us)}: a device clock that was never set")
    if ts_us > received_us + AHEAD_LIMIT_US:
        ahead_d = (ts_us - received_us) / 86_400_000_000
        raise Refused(
            f"its time is {_shown(ts_us)}, {ahead_d:,.1f} days after it came in: a device clock that is wrong"
        )
    if type(value) is float:
        if not math.isfinite(value):
            raise Refused(f"the value is {value}, which is no measurement")
    elif type(value) is int:
        if not -_INT64 <= value < _INT64:
            value = _as_float(value)
    elif type(value) is str:
        if len(value) > TEXT_LIMIT:
            raise Refused(f"the value has {len(value):,} characters; {TEXT_LIMIT:,} are allowed")
        if "\0" in value:
            raise Refused("the value contains a NUL character")
    if len(device) > NAME_LIMIT or len(sensor) > NAME_LIMIT or len(site) > NAME_LIMIT:
        raise Refused(
            f"a name has {max(map(len, (device, sensor, site))):,} characters; {NAME_LIMIT} are allowed"
        )
    if "\0" in device or "\0" in sensor or "\0" in unit or "\0" in site or "\0" in boot:
        raise Refused("a name, unit or boot identifier contains a NUL character")
    return Reading(device, sensor, value, ts_us, unit, site, seq, boot, received_us)


def epoch_us(ts: float | datetime | None, received_us: int) -> int:
    """Microseconds since the epoch of a time in any form that devices use.

    A number's unit is told by its size: below 1e11 seconds (until the year 5138), below 1e14
    milliseconds, below 1e17 microseconds, else nanoseconds. Raises `Refused` when it is not finite.
    """
    if ts is None:
        return received_us
    if isinstance(ts, datetime):
        return round(ts.timestamp() * 1e6)
    size = abs(ts)
    if size < 1e11:
        return round(ts * 1_000_000)
    if size < 1e14:
        return round(ts * 1_000)
    if size < 1e17:
        return round(ts)
    if size < 1e20:
        return int(ts) // 1_000
    raise Refused("its time is past anything a clock shows")


def _shown(ts_us: int) -> str:
    return utc_text(ts_us)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Refused("the value is too large for a number") from None


def _contradiction(what: str, payload_says: str, topic_says: str) -> str:
    theirs, ours = printable(payload_says, 60), printable(topic_says, 60)
    return f"the payload names {what} '{theirs}', its topic '{ours}'"


def _plain(payload: bytes, names: TopicNames, received_us: int) -> list[Reading]:
    """A payload that begins with neither ``{`` nor ``[``: a bare number, CBOR, white space, or a mistake."""
    if payload[:1] >= b"\x80":
        return _cbor(payload, names, received_us)
    stripped = payload.strip()
    if not stripped:
        return []
    if stripped[:1] == b"{":
        return [_reading(_one(stripped), names, received_us)]
    if stripped[:1] == b"[":
        return _readings(stripped, names, received_us)
    value: Value
    if stripped in _WORDS:
        value = _WORDS[stripped]
    elif len(stripped) <= 64 and _NUMBER.fullmatch(stripped):
        text = stripped.decode("ascii")
        value = int(text) if text.lstrip("+-").isdecimal() else float(text)
    else:
        raise Refused(f"the payload is neither JSON nor a number: '{printable_bytes(stripped, 40)}'")
    return [_reading(Incoming(value), names, received_us)]
