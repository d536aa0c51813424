"""Where alerts are published: ``iotcache/alerts/{name}/{subject}``, retained while they stand."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9._~@:,;=()\[\]-]")
_TOPIC: Final = re.compile(r"iotcache/alerts/([^/]+)/([^/]+)")
_ROOT: Final = "iotcache/alerts"


class AlertName(Struct, frozen=True):
    """Which alert."""

    name: str
    subject: str


def _level(text: str) -> str:
    """One level of a topic: percent-encoded (RFC 3986) where a sign means something in topics."""
    raw = text.encode("utf-8", "surrogatepass")
    return _UNSAFE.sub(lambda hit: b"%%%02X" % hit[0][0], raw).decode("ascii") or "_"


def alert_topic(name: str, subject: str) -> str:
    """The topic of one alert; a sign that cannot stand in a topic's level is percent-encoded."""
    return f"{_ROOT}/{_level(name)}/{_level(subject)}"


def parse_topic(topic: str) -> AlertName | None:
    """Which alert ``topic`` is about; ``None`` for other topics."""
    match = _TOPIC.fullmatch(topic)
    return AlertName(unquote(match[1]), unquote(match[2])) if match else None
