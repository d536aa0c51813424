"""Tells of messages that could not be decoded, as the store keeps them."""

from __future__ import annotations

from iotcache.clock import Clock
from iotcache.errors import StoreError
from iotcache.model import Event, Severity
from iotcache.store.base import Store
from iotcache.text import printable
from iotcache_tui.state.updates import Mailbox, Worker

LOOKED_AT = 50
"""Most dead letters told of at once; the store has them all."""
LOOK_ANYWAY_S = 15.0


class DeadLetterWatch:
    """Looks into the store when a worker's count of dead letters has moved, and now and then anyway."""

    def __init__(self, mailbox: Mailbox, clock: Clock) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._count = -1.0
        self._looked_at_s = -LOOK_ANYWAY_S
        self._newest_us = int(clock.now() * 1e6)

    async def look(self, store: Store, workers: dict[str, Worker]) -> None:
        """One look, when there is a reason for it."""
        count = sum(
            float(worker.counters.get("dead_letters") or 0)
            for worker in workers.values()
            if isinstance(worker.counters.get("dead_letters"), int | float)
        )
        now_s = self._clock.monotonic()
        if count == self._count and now_s - self._looked_at_s < LOOK_ANYWAY_S:
            return
        self._count, self._looked_at_s = count, now_s
        try:
            letters = await store.recent_dead_letters(LOOKED_AT)
        except StoreError:
            return  # the parts' line says that the store is away
        for letter in reversed(letters):
            if letter.received_us > self._newest_us:
                self._newest_us = letter.received_us
                self._mailbox.put_event(
                    Event(
                        letter.received_us / 1e6,
                        "dead_letter",
                        Severity.WARNING,
                        printable(letter.topic, 120),
                        printable(f"{letter.reason} ({len(letter.payload):,} bytes)", 300),
                    )
                )
