"""Tells of messages that could not be decoded, as the store keeps them, and of those with nothing in them."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.clock import Clock
from iotcache.errors import StoreError
from iotcache.model import Event, Severity
from iotcache.store.base import Store
from iotcache.text import plural, printable
from iotcache_tui.state.updates import Mailbox, Worker

READ_MAX = 50
"""Most dead letters told of at once; the store has them all."""
POLL_EVERY_S = 15.0
RECALLED_S = 600.0
"""Those that came so long before this dashboard are told of as well: they say why nothing comes."""


class DeadLetterPoller:
    """Looks into the store when a worker's count of dead letters has moved, and now and then anyway."""

    def __init__(self, mailbox: Mailbox, clock: Clock) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._count = -1
        self._looked_at_s = -POLL_EVERY_S
        self._newest_us = int((clock.now() - RECALLED_S) * 1e6)
        self._nothing = 0
        self._nothing_at_s = -POLL_EVERY_S

    async def poll(self, store: Store, workers: Sequence[Worker]) -> None:
        """One look, when there is a reason for it."""
        self._tell_of_nothing(workers)
        count = sum(worker.stats.dead_letters for worker in workers)
        now_s = self._clock.monotonic()
        if count == self._count and now_s - self._looked_at_s < POLL_EVERY_S:
            return
        self._count, self._looked_at_s = count, now_s
        try:
            dead_letters = await store.recent_dead_letters(READ_MAX)
        except StoreError:
            return  # the parts' line says that the store is away
        for dead_letter in reversed(dead_letters):
            if dead_letter.received_us > self._newest_us:
                self._newest_us = dead_letter.received_us
                self._mailbox.put_event(
                    Event(
                        dead_letter.received_us / 1e6,
                        "dead_letter",
                        Severity.WARNING,
                        printable(dead_letter.topic, 120),
                        printable(f"{dead_letter.reason} ({plural(len(dead_letter.payload), 'byte')})", 300),
                    )
                )

    def _tell_of_nothing(self, workers: Sequence[Worker]) -> None:
        """Tell of messages of which nothing was used, now and then: there may be many."""
        count = sum(worker.stats.nothing_in_it for worker in workers)
        now_s = self._clock.monotonic()
        self._nothing = min(self._nothing, count)  # a worker began anew, or is gone
        if count == self._nothing or now_s - self._nothing_at_s < POLL_EVERY_S:
            return
        more, self._nothing, self._nothing_at_s = count - self._nothing, count, now_s
        latest = max(workers, key=lambda worker: worker.stats.nothing_in_it).stats.last_nothing_in_it
        self._mailbox.put_event(
            Event(
                self._clock.now(),
                "nothing_in_it",
                Severity.WARNING,
                printable(latest, 120),
                f"nothing in it: {plural(more, 'such message')}; 'iotcache-tui explain' says why",
            )
        )
