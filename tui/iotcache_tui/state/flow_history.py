"""What runs between the parts of the pipeline: now, and second by second over the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from iotcache_tui.state.updates import Processes, Second

HISTORY_SECONDS = 3_600
"""Seconds of each arrow's rate that are kept."""
ARROWS = (
    ("simulator", "broker"),
    ("broker", "workers"),
    ("workers", "nodes"),
    ("workers", "store"),
    ("nodes", "readers"),
    ("store", "readers"),
)
Rates = tuple[float | None, ...]
"""Of `ARROWS`, a second; ``None`` where nobody tells."""


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that are known; ``None`` without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def rates(second: Second) -> Rates:
    """What ran along each arrow in one second: as workers, simulators and readers tell themselves.

    Between nodes and readers it is what applications got, never what this program looked at.
    """
    return (
        second.published_per_s,
        second.ingest_per_s,
        second.written_per_s,
        second.stored_per_s,
        second.served_per_s,
        second.fallen_per_s,
    )


def mean_rates(seconds: Sequence[Second]) -> Rates:
    """The mean of some seconds."""
    columns = list(zip(*map(rates, seconds), strict=True)) or [()] * len(ARROWS)
    return tuple(mean(column) for column in columns)


class FlowHistory:
    """The rates of the last `HISTORY_SECONDS`, and how many messages were late lately."""

    def __init__(self) -> None:
        self.rates: deque[Rates] = deque(maxlen=HISTORY_SECONDS)
        self.late_counts: deque[float] = deque(maxlen=6)
        """Messages sent later than planned since the start, by all simulators, second by second."""
        self.seconds_total = 0
        """How many seconds have been added, dropped ones counted."""

    def clear(self) -> None:
        self.rates.clear()
        self.late_counts.clear()
        self.seconds_total = 0

    def add(self, seconds: Sequence[Second], processes: Processes) -> None:
        """Seconds that have just ended."""
        self.recall(seconds)
        self.late_counts.append(sum(simulator.stats.late for simulator in processes.simulators))

    def recall(self, seconds: Sequence[Second]) -> None:
        """Seconds that went before."""
        self.rates.extend(map(rates, seconds))
        self.seconds_total += len(seconds)
