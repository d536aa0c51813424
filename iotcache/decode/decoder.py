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

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, structs

from iotcache.decode import senml
from iotcache.decode.incoming import NO_NAMES, Incoming, check_depth, reading_of, readings_of, too_deep
from iotcache.decode.limits import DEPTH_LIMIT, READINGS_LIMIT, is_too_deep
from iotcache.decode.malformed_json import explain_malformed
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded, Refused, dead_letter
from iotcache.decode.plain import number, switch_word, without_marks
from iotcache.decode.topics import TopicNames, Topics
from iotcache.model import DeadLetter, Reading, Value
from iotcache.model.messages import KEPT_BYTES, PAYLOAD_LIMIT_BYTES
from iotcache.text import printable_bytes

if TYPE_CHECKING:
    from iotcache.decode.mapping.outcome import Mapped, Mapping
    from iotcache.decode.mapping.reader import FieldReader
    from iotcache.decode.sparkplug import DeviceNaming
    from iotcache.decode.sparkplug.reader import SparkplugEvent, SparkplugReader

_decode_one = msgspec.json.Decoder(Incoming).decode
_decode_many = msgspec.json.Decoder(Annotated[list[Incoming], Meta(max_length=READINGS_LIMIT)]).decode
_decode_pack = msgspec.json.Decoder(
    Annotated[list[senml.SenmlRecord], Meta(max_length=READINGS_LIMIT)]
).decode
_HEAD_KEPT: Final = f"(only its first {KEPT_BYTES:,} are kept here)"
_NINE: Final = ord("9")
_NOTHING: Final = "there is no reading in it"


class Decoder:
    """Decodes the messages of one deployment."""

    def __init__(
        self,
        topics: Topics,
        fields: FieldReader | None = None,
        mappings: Sequence[Mapping] = (),
        *,
        sparkplug_device: DeviceNaming = "group/node/device",
        on_sparkplug: Callable[[SparkplugEvent], None] = lambda event: None,
        watch_sequence: bool = True,
    ) -> None:
        """``fields`` reads the JSON and CBOR of a fleet that does not write the default payload.

        ``mappings`` are those whose topic templates ``topics`` has, in the same order. ``sparkplug_device``
        says of what the names of Sparkplug devices are made, ``on_sparkplug`` is called with what messages
        tell beside readings, ``watch_sequence`` is false where others get a part of them.
        """
        self._names = topics.names
        self._fields = fields
        self._mappings = tuple(mappings)
        self._sparkplug: SparkplugReader | None = None
        self._sparkplug_device: DeviceNaming = sparkplug_device
        self._on_sparkplug = on_sparkplug
        self._watch_sequence = watch_sequence

    def decode(
        self, topic: str, payload: bytes, received_us: int, size: int | None = None
    ) -> list[Reading] | DeadLetter | PartlyDecoded | NothingInIt:
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
            if names.routes:
                return self.mapped(names, topic, payload, received_us).outcome
            if names.sparkplug:
                return self._by_sparkplug().read(topic, payload, received_us)
            if self._fields is not None:
                return _by_paths(self._fields, topic, payload, names, received_us)
            head = payload[:1]
            if head == b"{":
                # As `_one`, without the calls: most messages are of this form.
                if payload.count(b"{") + payload.count(b"[") > DEPTH_LIMIT and is_too_deep(payload):
                    raise too_deep()
                return [reading_of(_decode_one(payload), names, received_us)]
            if head == b"[":
                return _readings(payload, names, received_us) or NothingInIt(topic, _NOTHING)
            return _plain(payload, names, received_us)
        except Refused as refused:
            reason = str(refused)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = explain_malformed(payload, error)
        is_default = not (names.refused or names.routes or names.sparkplug)
        if is_default and (text := without_marks(payload)) and len(text) < len(payload):
            again = self.decode(topic, text, received_us, size and size - len(payload) + len(text))
            if not isinstance(again, DeadLetter):
                return again
        return dead_letter(topic, payload, reason, received_us, size)

    def mapped(self, names: TopicNames, topic: str, payload: bytes, received_us: int) -> Mapped:
        """What mappings make of a message on a topic that they are for. Raises as they do."""
        from iotcache.decode.mapping.outcome import read_by_mappings

        routes = [(self._mappings[number], of_route) for number, of_route in names.routes]
        return read_by_mappings(routes, topic, payload, received_us)

    def _by_sparkplug(self) -> SparkplugReader:
        if self._sparkplug is None:
            from iotcache.decode.sparkplug.reader import SparkplugReader

            self._sparkplug = SparkplugReader(
                self._sparkplug_device, self._on_sparkplug, watch_sequence=self._watch_sequence
            )
        return self._sparkplug

    def sparkplug_overdue(self, now_us: int, tolerance_us: int) -> None:
        """See `iotcache.decode.sparkplug.reader.SparkplugReader.overdue`."""
        if self._sparkplug is not None:
            self._sparkplug.overdue(now_us, tolerance_us)


def decode_named(payload: bytes, received_us: int) -> list[Reading]:
    """The reading, or array of readings, of a payload that comes without a topic. Raises `Refused`."""
    try:
        if payload.lstrip()[:1] == b"[":
            return _readings(payload, NO_NAMES, received_us)
        return [reading_of(_one(payload), NO_NAMES, received_us)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(explain_malformed(payload, error)) from error


def _too_large(size: int) -> str:
    return f"the payload has {size:,} bytes; {PAYLOAD_LIMIT_BYTES:,} are allowed {_HEAD_KEPT}"


def _one(payload: bytes) -> Incoming:
    if is_too_deep(payload):  # as `check_depth`, for every reading
        raise too_deep()
    return _decode_one(payload)


def _readings(payload: bytes, names: TopicNames, received_us: int) -> list[Reading]:
    """The readings of an array. Those without a time are a microsecond apart, lest they count as the same."""
    check_depth(payload)
    if senml.looks_like(payload):
        try:
            senml.check_json_labels(payload)
        except senml.NotSenml as error:
            raise Refused(f"the SenML pack cannot be read: {error}") from error
        return _pack(_decode_pack(payload), names, received_us)
    return readings_of(_decode_many(payload), names, received_us)


def _pack(records: Sequence[senml.SenmlRecord], names: TopicNames, received_us: int) -> list[Reading]:
    """The readings of a SenML pack."""
    try:
        found = senml.resolve(records, names.device, received_us / 1e6, names.sensor)
    except senml.NotSenml as error:
        raise Refused(f"the SenML pack cannot be read: {error}") from error
    names = structs.replace(names, sensor="")  # what it says is in what was found
    return readings_of(msgspec.convert(found, list[Incoming]), names, received_us)


def _by_paths(
    fields: FieldReader, topic: str, payload: bytes, names: TopicNames, received_us: int
) -> list[Reading] | PartlyDecoded | NothingInIt:
    """The readings of a payload of another's making; a bare number or white space is what it always is."""
    from iotcache.decode.mapping.outcome import content_of, unrelated
    from iotcache.decode.mapping.paths import NotThere

    if payload.lstrip()[:1] not in (b"{", b"[") and payload[:1] < b"\x80":
        return _plain(payload, names, received_us)
    is_bare, content = content_of(payload)
    if is_bare:
        return _plain(payload, names, received_us)
    try:
        found = list(fields.records(content, names, READINGS_LIMIT))
    except NotThere as error:
        raise Refused(str(error)) from error
    if not found:
        return NothingInIt(topic, _NOTHING)
    if fields.each:
        return unrelated(found, topic, payload, received_us)
    return readings_of(msgspec.convert(found, list[Incoming]), NO_NAMES, received_us)


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
    return readings_of(msgspec.convert(many, list[Incoming]), names, received_us)


def _plain(payload: bytes, names: TopicNames, received_us: int) -> list[Reading]:
    """A payload that begins with neither ``{`` nor ``[``: a bare number, CBOR, white space, or a mistake."""
    if payload[:1] >= b"\x80":
        return _cbor(payload, names, received_us)
    stripped = payload.strip()
    if not stripped:
        return []
    if stripped[:1] == b"{":
        return [reading_of(_one(stripped), names, received_us)]
    if stripped[:1] == b"[":
        return _readings(stripped, names, received_us)
    value: Value | None = number(stripped) if stripped[0] <= _NINE else switch_word(stripped)
    if value is None:
        raise Refused(f"the payload is neither JSON nor a number: '{printable_bytes(stripped, 40)}'")
    return [reading_of(Incoming(value), names, received_us)]
