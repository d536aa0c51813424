"""What a message on a ``birth``, ``meta`` or ``cfg`` topic says. Never an exception.

Decided outcomes:

- a birth, or metadata, is a JSON object; its version is when it was said: its own ``ts`` (as in readings)
  unless that is ahead of the receipt or before 2000, else the receipt. One that the broker kept (retained)
  and that has no ``ts`` may be of any age: it stands only where nothing is known yet;
- an empty birth is the device's end: what owners do to take a retained birth back;
- a configuration is a JSON object with a whole number ``version`` from 0 on; taking back a retained one
  (empty) changes nothing, as the device goes on with what it has;
- deaths say nothing that lasts;
- anything else is a dead letter: no object, a name that contradicts the topic, over 256 KiB.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any, Final

import msgspec

from iotcache.decode.incoming import EARLIEST_US, epoch_us
from iotcache.decode.limits import DEPTH_LIMIT, is_too_deep
from iotcache.decode.malformed_json import explain_malformed
from iotcache.decode.outcomes import Refused, dead_letter
from iotcache.decode.topics import TopicNames
from iotcache.model import DeadLetter, DeviceMessage, DeviceRetired, Document, DocumentKind, Message
from iotcache.text import printable

DOCUMENT_LIMIT_BYTES: Final = 256 * 1024
"""A cache entry is 1 MiB at most on a node with memcached's own limits."""
VERSION_LIMIT: Final = 2**63 - 1
_FORMS: Final = {"birth": "a birth", "meta": "metadata", "cfg": "a configuration"}


class _Refused(Exception):
    """Why a payload says nothing; the text is the dead letter's reason."""


def read_device_message(names: TopicNames, message: Message) -> DeviceMessage | DeadLetter | None:
    """What ``message`` says of the device that its topic names; ``None`` when there is nothing to keep."""
    life = names.life
    if life not in _FORMS:
        return None
    if not message.payload:
        return DeviceRetired(names.device, message.received_us) if life == "birth" else None
    try:
        content = _content(message, _FORMS[life])
        for field, name in (("device", names.device), ("site", names.site)):
            payload_name = content.get(field)
            if name and isinstance(payload_name, str) and payload_name and payload_name != name:
                raise _Refused(f"the topic names {field} {name!r}, the payload {payload_name!r}")
        site = names.site or str(content.get("site") or "")
        text = msgspec.json.encode(content).decode()
        if life == "cfg":
            version = _version(content)
            return Document(names.device, DocumentKind.CONFIG, version, text, site, message.received_us)
        stated_us = _stated_us(content.get("ts"), message)
        return Document(names.device, DocumentKind.META, stated_us, text, site, stated_us)
    except _Refused as refused:
        reason = printable(str(refused))
        return dead_letter(message.topic, message.payload, reason, message.received_us, message.size)


def _content(message: Message, form: str) -> dict[str, Any]:
    if message.size > DOCUMENT_LIMIT_BYTES:
        raise _Refused(f"{form} of {message.size} bytes; {DOCUMENT_LIMIT_BYTES} are allowed")
    if is_too_deep(message.payload):
        raise _Refused(f"{form} is nested deeper than {DEPTH_LIMIT} objects and arrays")
    try:
        content = msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Refused(f"{form} is a JSON object, and {explain_malformed(message.payload, error)}") from None
    except RecursionError:
        raise _Refused(f"{form} is a JSON object, and this one is nested too deeply") from None
    if not isinstance(content, dict):
        raise _Refused(f"{form} is a JSON object, and this is something else")
    return content


def _version(content: dict[str, Any]) -> int:
    version = content.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version <= VERSION_LIMIT:
        raise _Refused('a configuration has a whole number "version" from 0 on, larger with each new one')
    return version


def _stated_us(ts: object, message: Message) -> int:
    """When a birth was said, never after its receipt; a time in no form, or of a clock never set, is none."""
    stated_us = 0
    if isinstance(ts, (str, int, float)) and not isinstance(ts, bool):
        with contextlib.suppress(Refused, msgspec.ValidationError, ValueError, OverflowError):
            when = msgspec.convert(ts, datetime) if isinstance(ts, str) else ts
            stated_us = min(epoch_us(when, message.received_us), message.received_us)
    if stated_us >= EARLIEST_US:
        return stated_us
    return 0 if message.retain else message.received_us
