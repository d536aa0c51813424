"""The one state behind all screens: the fleet, the last minutes second by second, the log of fallbacks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from iotcache.model import Event, NodeHealth, NodeState
from iotcache_tui.state.alert_lines import AlertLine
from iotcache_tui.state.fleet.columns import FleetState
from iotcache_tui.state.flow import HISTORY_KEPT, history, late_total
from iotcache_tui.state.lab import LabView
from iotcache_tui.state.log import EventLog, grave, kind_of
from iotcache_tui.state.nodes.model import NodeCurves, NodesFigures
from iotcache_tui.state.updates import (
    EVENTS_KEPT,
    FALLBACKS_KEPT,
    NOTHING,
    SECONDS_KEPT,
    Drained,
    FallbackRead,
    Part,
    Second,
    Worker,
)

WINDOW_S = 10
"""KPI figures are over this many seconds: long enough to be steady, short enough to show a change."""
WORKER_SILENT_S = 5.0


class DashboardState:
    """Filled by `apply`, read by widgets; holds no reference to a feed."""

    def __init__(self) -> None:
        self.fleet = FleetState()
        self.seconds: deque[Second] = deque(maxlen=SECONDS_KEPT)
        self.fallbacks: deque[FallbackRead] = deque(maxlen=FALLBACKS_KEPT)
        self.fallbacks_total = 0
        self.fallbacks_dropped = 0
        self.log = EventLog()
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.nodes: tuple[NodeHealth, ...] = ()
        self.parts: tuple[Part, ...] = ()
        self.workers: dict[str, Worker] = {}
        self.node_figures: NodesFigures | None = None
        """``None`` before anybody wanted them."""
        self.node_history = NodeCurves()
        self.flow_rates: deque[tuple[float | None, ...]] = deque(maxlen=HISTORY_KEPT)
        """What ran along each of `iotcache_tui.state.flow.ARROWS`, second by second."""
        self.late_counts: deque[float] = deque(maxlen=6)
        """`late_total` of the last seconds."""
        self.flow_seconds = 0
        """How many seconds that has been kept for, dropped ones counted."""
        self.lab: LabView | None = None
        self.alerts: tuple[AlertLine, ...] = ()
        self.ready = False
        self.failure = ""
        self.changes = 0
        """Grows with everything that was taken in."""

    def reset(self) -> None:
        """Forget everything, in place: whoever holds the fleet or the log goes on holding it."""
        fleet, log, marked = self.fleet, self.log, self.fleet.marked
        watched, offset_s = fleet.watched, fleet.wall_less_monotonic_s
        fleet.__init__()  # type: ignore[misc]
        fleet.marked, fleet.watched, fleet.wall_less_monotonic_s = marked, watched, offset_s
        log.reset()
        changes = self.changes
        self.__init__()  # type: ignore[misc]
        self.fleet, self.log, self.changes = fleet, log, changes + 1

    def apply(self, drained: Drained) -> None:
        """Take in everything a feed left."""
        self.changes += drained is not NOTHING
        for info in drained.joined:
            self.fleet.join(info)
        self.fleet.apply_reads(drained.rows)
        for probe in drained.ttls:
            self.fleet.apply_ttl(probe)
        self.fallbacks.extend(drained.fallbacks)
        self.fallbacks_total += len(drained.fallbacks) + drained.fallbacks_dropped
        self.fallbacks_dropped += drained.fallbacks_dropped
        self.seconds.extend(drained.seconds)
        self.events.extend(drained.events)
        self._log(drained)
        if drained.nodes is not None:
            self.nodes = tuple(drained.nodes)
        if drained.parts is not None:
            self.parts = tuple(drained.parts)
        if drained.workers is not None:
            self.workers = dict(drained.workers)
        if drained.node_figures is not None:
            self.node_figures = drained.node_figures
            self.node_history.add(drained.node_figures)
        if drained.seconds:
            self.flow_rates.extend(history(self, drained.seconds))
            self.flow_seconds += len(drained.seconds)
            self.late_counts.append(late_total(self.workers))
        if drained.alerts is not None:
            self.alerts = tuple(drained.alerts)
        if drained.lab is not None:
            self.lab = drained.lab
        if drained.ready is not None:
            self.ready = drained.ready
        if drained.failure is not None:
            self.failure = drained.failure

    def _log(self, drained: Drained) -> None:
        log, fleet = self.log, self.fleet
        for one in drained.fallbacks:
            what = one.reason.value.replace("_", " ")
            store = f"store {one.store_ms:.1f} ms" if not one.error else one.error
            where = f", {one.node}" if one.node else ""
            row = one.row if one.row < len(fleet) else -1
            log.add(one.wall_s, "fallback", grave(one.reason), one.key, f"{what}, {store}{where}", row=row)
        for event in drained.events:
            log.add(event.ts_s, kind_of(event), event.severity, event.subject, event.text)

    def recall(self, seconds: Sequence[Second]) -> None:
        """Take in seconds that went before, and what is known to have run in them."""
        self.seconds.extend(seconds)
        self.flow_rates.extend(history(self, seconds))
        self.flow_seconds += len(seconds)

    def recent(self, seconds: int = WINDOW_S) -> list[Second]:
        """The newest ``seconds`` entries, oldest first."""
        size = len(self.seconds)
        return [self.seconds[index] for index in range(max(0, size - seconds), size)]

    def hit_percent(self, seconds: int = WINDOW_S, before: int = 0) -> float | None:
        """The readers' hit ratio over a window that ended ``before`` seconds ago; ``None`` without reads."""
        window = self.recent(seconds + before)
        window = window[: len(window) - before] if before else window
        reads = sum(second.reads for second in window)
        return 100.0 * sum(second.hits for second in window) / reads if reads else None

    def nodes_up(self) -> int:
        return sum(node.state is NodeState.UP for node in self.nodes)
