"""A hint for subscriptions that a broker accepted and that bring nothing.

A broker whose access rules let nobody read a topic may confirm the subscription all the same, and a topic
with a slip in it is confirmed by any: neither is an error, and only the silence tells of it.
"""

from __future__ import annotations

import logging
from typing import Final

from iotcache.clock import Clock
from iotcache.mqtt import MqttLink
from iotcache.text import printable

log = logging.getLogger(__name__)

SILENT_S: Final = 60.0


class SilenceHint:
    """Logs, once, that nothing ever came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self.given = False
        """Whether it was logged."""

    def look(self, link: MqttLink) -> None:
        """Call it now and then."""
        now_s = self._clock.monotonic()
        if self.given or link.received or not link.connected:
            self._since_s = None
            return
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s >= SILENT_S:
            self.given = True
            log.warning(
                "the broker at %s took the subscription to %s, and nothing came in %g s: nobody publishes "
                "there, or the login may not read it (a broker need not say so)",
                link.name, printable(", ".join(link.filters), 200), SILENT_S,
            )  # fmt: skip
