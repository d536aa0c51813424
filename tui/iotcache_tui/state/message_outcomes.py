"""What became of the messages that workers took in lately: readings, dead letters, nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from iotcache.published_stats import IngestStats
from iotcache_tui.state.updates import Worker

KEPT = 64
"""Looks that are kept: workers tell of themselves once a second."""


class MessageOutcomes(Struct, frozen=True):
    """Of all workers together, between two times that they told of themselves."""

    at_s: float
    """Monotonic time of the later one."""
    received: int
    """Messages."""
    readings: int
    refused: int
    """Messages that became dead letters."""
    nothing: int
    """Messages of which nothing was used."""

    @property
    def unused(self) -> int:
        return self.refused + self.nothing


def totals(stats: IngestStats) -> tuple[int, int, int, int]:
    """As in `MessageOutcomes`, since the worker's start.

    A reading that contradicts a stored one was understood.
    """
    refused = stats.dead_letters - stats.conflicts
    readings = max(stats.readings, stats.stored + stats.duplicates)
    return stats.received, readings, max(refused, 0), stats.nothing_in_it


def together(outcomes: Iterable[MessageOutcomes], at_s: float) -> MessageOutcomes:
    """Some of them as one."""
    sums = [0, 0, 0, 0]
    for one in outcomes:
        for index, number in enumerate((one.received, one.readings, one.refused, one.nothing)):
            sums[index] += number
    return MessageOutcomes(at_s, *sums)


class OutcomeHistory:
    """The newest `KEPT` of them, the oldest first."""

    def __init__(self) -> None:
        self.recent: deque[MessageOutcomes] = deque(maxlen=KEPT)
        self._before: dict[str, tuple[int, tuple[int, int, int, int]]] = {}
        """Each worker's process and what it had counted."""
        self._at_s = 0.0

    def add(self, workers: Sequence[Worker]) -> None:
        """Take in what they tell now; one that is heard for the first time only begins to count."""
        at_s = max((one.at_s for one in workers), default=0.0)
        if at_s <= self._at_s:
            return
        self._at_s = at_s
        before, self._before = self._before, {}
        grown = [0, 0, 0, 0]
        for one in workers:
            pid, counted = one.stats.pid, totals(one.stats)
            known = before.get(one.instance)
            if known is not None and known[0] == pid:
                for index, (new, old) in enumerate(zip(counted, known[1], strict=True)):
                    grown[index] += max(new - old, 0)
            self._before[one.instance] = pid, counted
        self.recent.append(MessageOutcomes(at_s, *grown))
