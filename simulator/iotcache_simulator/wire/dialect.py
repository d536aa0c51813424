"""What a protocol over MQTT, such as Sparkplug, adds to each connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from iotcache.mqtt.codec import Will


class Dialect(Protocol):
    """Asked at each connection, and for each payload on it."""

    def will(self) -> Will:
        """The last will of the next connection."""
        ...

    def births(self) -> Iterable[tuple[str, bytes]]:
        """What is published first on it: topics and payloads (QoS 0)."""
        ...

    @property
    def command_topic(self) -> str:
        """Where it is told what to do."""
        ...

    def is_rebirth(self, command: bytes) -> bool:
        """Whether a message on that topic asks for the births again."""
        ...

    def stamp(self, body: bytes) -> bytes:
        """A payload as it goes out; asked once for each publish, in the order of the connection."""
        ...
