"""What one device or gateway subscribes to: asked for anew on each connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from iotcache.mqtt.codec import Suback, Subscribe, Version
from iotcache.mqtt.codec.primitives import FAILURE
from iotcache.mqtt.codec.reasons import refusal
from iotcache.text import printable

log = logging.getLogger(__name__)

_A_PACKET: Final = 100
"""Filters in one SUBSCRIBE, so that it is of a size that any broker takes."""


class Subscriptions:
    """Makes SUBSCRIBE packets and reads their answers."""

    def __init__(self, filters: Sequence[tuple[str, int]]) -> None:
        """Pairs of filter and QoS (0 or 1)."""
        self._filters = tuple(filters)
        self._open: dict[int, tuple[tuple[str, int], ...]] = {}
        self.granted = 0
        """Filters that the broker took on this connection."""
        self.refused = 0
        """Those that it did not."""

    def __contains__(self, packet_id: int) -> bool:
        """Whether a packet identifier is in use for a SUBSCRIBE."""
        return packet_id in self._open

    def packets(self, next_id: Callable[[], int], version: Version) -> Iterator[bytes]:
        """Those of a new connection."""
        self._open.clear()
        self.granted = self.refused = 0
        for first in range(0, len(self._filters), _A_PACKET):
            packet_id = next_id()
            self._open[packet_id] = some = self._filters[first : first + _A_PACKET]
            yield Subscribe(packet_id, some).encode(version)

    def answered(self, answer: Suback) -> None:
        """Take note of what the broker refuses."""
        for (topic, _), code in zip(self._open.pop(answer.packet_id, ()), answer.codes, strict=False):
            if code < FAILURE:
                self.granted += 1
                continue
            self.refused += 1
            log.warning("the broker refuses the subscription to %s: %s", printable(topic), refusal(code))
