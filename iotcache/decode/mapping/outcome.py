"""What becomes of a message that mappings are for: readings, a dead letter, nothing, or it is passed over.

The mappings whose topic template fits are tried in their order. One whose condition is not met, or that finds
nothing where its values should be, leaves the message to the next.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from iotcache.decode import cbor
from iotcache.decode.incoming import NO_NAMES, Incoming, check_depth, reading_of, readings_of
from iotcache.decode.limits import READINGS_LIMIT
from iotcache.decode.malformed_json import explain_malformed
from iotcache.decode.mapping.announced import AnnouncedUnits
from iotcache.decode.mapping.lenient_json import numbers_that_are_none
from iotcache.decode.mapping.paths import NothingThere, NotThere
from iotcache.decode.mapping.reader import FieldReader
from iotcache.decode.mapping.settings import IngestMapping
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded, Refused, dead_letter, partly
from iotcache.decode.plain import number, without_marks
from iotcache.decode.topics import TopicNames
from iotcache.model import Reading
from iotcache.text import printable, printable_bytes

_NO_MEASUREMENT: Final = frozenset({b"nan", b"inf", b"infinity", b"-nan", b"-inf", b"-infinity"})
_DECIMAL_COMMA: Final = re.compile(rb"[+-]?[0-9]+,[0-9]+")
_WORDS: Final = {b"true": True, b"false": False, b"null": None}


class Mapping:
    """A mapping, compiled."""

    def __init__(self, settings: IngestMapping, number: int, announced: AnnouncedUnits | None = None) -> None:
        """``announced`` is what mappings of one deployment share."""
        self.announced = AnnouncedUnits() if announced is None else announced
        self.settings = settings
        self.name = settings.name or f"mapping {number}"
        self.reader = FieldReader(settings, self.announced)


class Trial(Struct, frozen=True):
    """A mapping that did not take a message."""

    mapping: str
    reason: str


class Mapped(Struct, frozen=True):
    """What became of a message."""

    outcome: list[Reading] | PartlyDecoded | NothingInIt
    """An empty list for a message that is passed over."""
    mapping: str = ""
    """The mapping that took it."""
    trials: tuple[Trial, ...] = ()
    """Those before it."""


class NotTaken(Refused):
    """A message that no mapping could read, with what each lacked."""

    def __init__(self, reason: str, trials: Sequence[Trial]) -> None:
        super().__init__(reason)
        self.trials = tuple(trials)


def content_of(payload: bytes) -> tuple[bool, Any]:
    """Whether a payload is a value alone, and what it holds.

    Raises `Refused`, and what msgspec raises for broken JSON. An empty payload is a bare null.
    """
    text = without_marks(payload).strip()
    if not text:
        return True, None
    head = text[:1]
    if head in (b"{", b"["):
        check_depth(text)
        try:
            return False, msgspec.json.decode(text)
        except msgspec.DecodeError:
            with contextlib.suppress(ValueError, RecursionError):
                return False, numbers_that_are_none(text)
            raise
    if payload[:1] >= b"\x80" and text[:1] >= b"\x80":
        try:
            content = cbor.loads(payload)
        except cbor.NotCbor as error:
            with contextlib.suppress(UnicodeDecodeError):
                if (word := text.decode("utf-8")).isprintable():
                    return True, word
            raise Refused(f"the payload is neither text nor CBOR: {error}") from error
        return not isinstance(content, dict | list), content
    if head == b'"':
        return True, msgspec.json.decode(text, type=str)
    if text in _WORDS:
        return True, _WORDS[text]
    if (found := number(text)) is not None:
        return True, found
    if text.lower().lstrip(b"+") in _NO_MEASUREMENT or _DECIMAL_COMMA.fullmatch(text):
        raise Refused(f"the payload is no number that can be read: '{printable_bytes(text, 40)}'")
    return True, text.decode("utf-8")


def read_by_mappings(
    routes: Sequence[tuple[Mapping, TopicNames]], topic: str, payload: bytes, received_us: int
) -> Mapped:
    """What becomes of a message on a topic that these mappings are for. Raises `Refused`, `MsgspecError`."""
    trials: list[Trial] = []
    first = routes[0][0]
    if first.settings.pass_over and not first.settings.when and not first.settings.bare:
        return Mapped([], first.name)  # whatever is in it
    is_bare, content = content_of(payload)
    reason, is_nothing, is_broken = "", False, False
    for mapping, names in routes:
        settings, reader = mapping.settings, mapping.reader
        if settings.bare and not is_bare:
            trials.append(Trial(mapping.name, "the payload is no value alone"))
            continue
        if unmet := reader.unmet(content):
            trials.append(Trial(mapping.name, unmet))
            continue
        if settings.pass_over:
            if is_broken:  # it is no such message: a mapping before found values that cannot be kept
                break
            return Mapped([], mapping.name, tuple(trials))
        if settings.announces:
            mapping.announced.learn(settings.announces, topic, is_bare, content)
            return Mapped([], mapping.name, tuple(trials))
        try:
            if names.refused:
                raise NotThere(names.refused)
            found: list[dict[str, Any] | NotThere]
            if is_bare:
                one = reader.bare(content, names, topic)
                found = [] if one is None else [one]
            else:
                found = list(reader.records(content, names, READINGS_LIMIT, topic, apart=True))
                if found and all(isinstance(one, NothingThere) for one in found):
                    raise NothingThere(str(found[0]))
            outcome = unrelated(found, topic, payload, received_us)
        except (NotThere, Refused) as error:
            why = str(error)
            is_missing = isinstance(error, NothingThere)
            if settings.on_missing == "pass_over" and is_missing and not is_broken:
                return Mapped([], mapping.name, tuple(trials))
            trials.append(Trial(mapping.name, why))
            reason = why if not reason or (not is_missing and not is_broken) else reason
            is_broken = is_broken or not is_missing
            if settings.on_missing == "dead_letter":
                break
            continue
        if outcome:
            return Mapped(outcome, mapping.name, tuple(trials))
        trials.append(Trial(mapping.name, "it found no value"))
        is_nothing = True
        if settings.on_missing == "pass_over" and not is_broken:
            return Mapped([], mapping.name, tuple(trials))
    if reason and (is_broken or not is_nothing):
        raise NotTaken(reason, trials)
    why = trials[-1].reason if trials else "no mapping is for it"
    return Mapped(NothingInIt(topic, printable(why, 200)), "", tuple(trials))


def unrelated(
    found: Sequence[dict[str, Any] | NotThere], topic: str, payload: bytes, received_us: int
) -> list[Reading] | PartlyDecoded:
    """The readings of values that have nothing to do with each other: one that cannot be kept spoils none."""
    with contextlib.suppress(Refused, msgspec.ValidationError):
        return readings_of(msgspec.convert(found, list[Incoming]), NO_NAMES, received_us)
    readings: list[Reading] = []
    problems: list[str] = []
    for n, one in enumerate(found):
        if isinstance(one, NotThere):
            problems.append(str(one))
            continue
        try:
            readings.append(reading_of(msgspec.convert(one, Incoming), NO_NAMES, received_us + n))
        except (Refused, msgspec.ValidationError) as error:
            why = str(error) if isinstance(error, Refused) else explain_malformed(b"{", error)
            problems.append(f'"{printable(str(one.get("sensor", "")), 60)}": {why}')
    return partly(readings, problems, lambda reason: dead_letter(topic, payload, reason, received_us))
