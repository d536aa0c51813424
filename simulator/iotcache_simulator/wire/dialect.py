"""What a protocol over MQTT, such as Sparkplug, adds to each connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Protocol

from iotcache.mqtt.codec import Will


class Demand(Enum):
    """What a message to a device asks of its connection."""

    NOTHING = "nothing"
    BIRTHS = "births"
    """Its births, now or once more."""
    LEAVE = "leave"
    """To say goodbye, and to come back by a new connection."""


class Dialect(Protocol):
    """Asked at each connection, and for each payload on it."""

    def will(self) -> Will:
        """The last will of the next connection."""
        ...

    @property
    def waits(self) -> str:
        """For what births and data wait on this connection; empty when they may be sent."""
        ...

    def births(self) -> Iterable[tuple[str, bytes]]:
        """What is published first on it: topics and payloads (QoS 0)."""
        ...

    def farewell(self) -> tuple[str, bytes]:
        """What is published last on it: topic and payload (QoS 0)."""
        ...

    @property
    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Where it is told what to do: filters and QoS."""
        ...

    def received(self, topic: str, payload: bytes) -> Demand:
        """What a message there asks for."""
        ...

    def before(self, topic: bytes) -> Iterable[tuple[str, bytes]]:
        """What has to be published before the next payload on ``topic``, stamped."""
        ...

    def stamp(self, body: bytes) -> bytes:
        """A payload as it goes out; asked once for each publish, in the order of the connection."""
        ...
