"""What a Sparkplug host application says of itself (Eclipse Sparkplug 3.0.0, section 6.4.26)."""

from __future__ import annotations

from msgspec import Struct

from iotcache.decode.topics import SPARKPLUG


class HostStatePayload(Struct):
    """The JSON on its topic."""

    online: bool
    timestamp: int
    """In milliseconds since the epoch; a state older than the newest one heard says nothing."""


def host_state_topic(host: str) -> str:
    """``spBv1.0/STATE/HOST``."""
    return f"{SPARKPLUG}STATE/{host}"
