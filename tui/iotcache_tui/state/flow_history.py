"""What runs between the parts of the pipeline: now, and second by second over the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from iotcache_tui.state.nodes.model import NodesFigures
from iotcache_tui.state.updates import Processes, Second

HISTORY_SECONDS = 300
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


def rates(processes: Processes, figures: NodesFigures | None, seconds: Sequence[Second]) -> Rates:
    """What runs along each arrow now; ``seconds`` are the newest few."""
    workers, simulators = processes.workers, processes.simulators
    sets = [node.sets_per_s for node in figures.nodes if node.sets_per_s is not None] if figures else []
    stored = sum(worker.stats.stored_per_s for worker in workers) if workers else None
    return (
        sum(simulator.stats.rate for simulator in simulators) if simulators else None,
        sum(worker.stats.received_per_s for worker in workers) if workers else None,
        sum(sets) if sets else stored,
        stored,
        mean(float(second.hits) for second in seconds),
        mean(float(second.fallbacks) for second in seconds),
    )


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

    def add(self, seconds: Sequence[Second], now: Rates, processes: Processes) -> None:
        """Seconds that have just ended; the newest of them is ``now``."""
        self.recall(seconds, now)
        self.late_counts.append(sum(simulator.stats.late for simulator in processes.simulators))

    def recall(self, seconds: Sequence[Second], now: Rates) -> None:
        """Seconds that went before: of older ones only what they tell themselves is known."""
        self.rates.extend(
            (
                second.published_per_s,
                second.ingest_per_s,
                now[2] if second is seconds[-1] else None,
                now[3] if second is seconds[-1] else None,
                float(second.hits),
                float(second.fallbacks),
            )
            for second in seconds
        )
        self.seconds_total += len(seconds)
