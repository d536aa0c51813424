"""What an ingest worker counts, and the figures it publishes of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from iotcache.clock import Clock
from iotcache.decode.outcomes import NothingInIt
from iotcache.histogram import DurationHistogram
from iotcache.model import DeadLetter
from iotcache.text import printable

log = logging.getLogger(__name__)

WINDOW_S = 10.0


class RecentDurations:
    """Durations of the last ten to twenty seconds: percentiles of long ago tell nothing of now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = DurationHistogram()
        self._before = DurationHistogram()
        self._since_s = clock.monotonic()

    def add(self, ms: float) -> None:
        """Count one duration in milliseconds."""
        self._turn()
        self._now.add(ms)

    def percentiles(self) -> tuple[float, float]:
        """The median and the 99th percentile in milliseconds; zeros when nothing happened."""
        self._turn()
        both = self._before.copy().merge([self._now])
        return round(both.percentile(50), 3), round(both.percentile(99), 3)

    def _turn(self) -> None:
        age_s = self._clock.monotonic() - self._since_s
        if age_s < WINDOW_S:
            return
        self._before, self._now = (
            (self._now if age_s < 2 * WINDOW_S else DurationHistogram()),
            DurationHistogram(),
        )
        self._since_s = self._clock.monotonic()


class IngestCounters:
    """Running totals since the start."""

    def __init__(self, clock: Clock) -> None:
        self.received = 0
        self.readings = 0
        self.stored = 0
        self.duplicates = 0
        self.conflicts = 0
        self.retained = 0
        self.dead_letters = 0
        self.last_refusal = ""
        self.ignored = 0
        self.nothing_in_it = 0
        self.last_nothing_in_it = ""
        self.batches = 0
        self.commit_failures = 0
        self.http_requests = 0
        self.commit_ms = RecentDurations(clock)
        self.write_through_ms = RecentDurations(clock)

    def note_refusals(self, letters: Sequence[DeadLetter]) -> None:
        """Count messages that were refused, and keep why the last of them was."""
        if letters:
            self.dead_letters += len(letters)
            self.last_refusal = printable(f"{letters[-1].reason}, on {letters[-1].topic}", 300)

    def note_nothing(self, message: NothingInIt) -> None:
        """Count a message of which nothing was used, and keep which it was: the log tells of the first."""
        self.nothing_in_it += 1
        self.last_nothing_in_it = printable(message.topic, 120)
        if self.nothing_in_it == 1:
            log.warning(
                "nothing in a message on %s: %s; 'iotcache-tui explain' says why, the counter how many more",
                self.last_nothing_in_it,
                message.reason,
            )
