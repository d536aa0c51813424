"""A recording: JSON lines, one message each, after a line that says what it is.

``{"at_s": 1.25, "topic": "iot/…", "qos": 1, "retain": false, "payload": "…"}``; a payload that is not UTF-8
stands in ``base64`` instead.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
from msgspec import Struct

from iotcache.errors import UsageError

SCHEMA = "iotcache.capture/1"
LINE_LIMIT_BYTES = 8 << 20
"""A longer line is no message of ours."""


class Header(Struct, frozen=True):
    schema: str
    started: str
    """RFC 3339."""
    topics: tuple[str, ...] = ()


class Recorded(Struct, frozen=True, omit_defaults=True):
    """One message."""

    at_s: float
    """Seconds since the first one."""
    topic: str
    qos: int = 0
    retain: bool = False
    payload: str | None = None
    base64: str | None = None

    @property
    def content(self) -> bytes:
        """The payload's bytes. Raises `UsageError` for a broken line."""
        if self.base64 is None:
            return (self.payload or "").encode()
        try:
            return base64.b64decode(self.base64, validate=True)
        except ValueError as error:
            raise UsageError(f"a message to {self.topic!r} in the recording is not base64") from error


def recorded(at_s: float, topic: str, payload: bytes, qos: int, *, retain: bool) -> Recorded:
    """A message as it is written down."""
    try:
        return Recorded(round(at_s, 6), topic, qos, retain, payload.decode())
    except UnicodeDecodeError:
        return Recorded(round(at_s, 6), topic, qos, retain, None, base64.b64encode(payload).decode())


def read(file: BinaryIO, name: str) -> Iterator[Recorded]:
    """The messages of a recording, one at a time. Raises `UsageError` naming the line that is wrong."""
    decode = msgspec.json.Decoder(Recorded).decode
    number = 0
    for number, line in enumerate(iter(lambda: file.readline(LINE_LIMIT_BYTES + 1), b""), 1):
        try:
            if number == 1:
                header = msgspec.json.decode(line, type=Header)
                if header.schema != SCHEMA:
                    raise UsageError(f"{name} is a recording of kind {header.schema!r}; {SCHEMA} is known")
                continue
            if len(line) > LINE_LIMIT_BYTES:
                raise UsageError(f"{name}, line {number} is longer than {LINE_LIMIT_BYTES >> 20} MiB")
            message = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{name}, line {number} is no recorded message: {error}") from error
        if not 0 <= message.qos <= 2 or not 0 <= message.at_s < 1e9 or not _publishable(message.topic):
            raise UsageError(f"{name}, line {number} cannot be published: its topic, qos or at_s is no such")
        yield message
    if not number:
        raise UsageError(f"{name} is empty: a recording says what it is in its first line")


def _publishable(topic: str) -> bool:
    """Whether a message may be published to a topic (MQTT 5, 4.7)."""
    return bool(topic) and not set("+#\x00") & set(topic) and len(topic.encode()) <= 65_535
