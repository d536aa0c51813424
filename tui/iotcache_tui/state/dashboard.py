"""The one state behind all screens: the fleet, the last minutes second by second, the log of fallbacks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from iotcache.model import Event, NodeHealth, NodeState
from iotcache.published_stats import KeyPlacement, NodeListReport
from iotcache_tui.state.advisor.model import AdvisorView
from iotcache_tui.state.fallbacks import FallbackLines
from iotcache_tui.state.fleet.fleet_state import FleetState
from iotcache_tui.state.flow_history import FlowHistory
from iotcache_tui.state.lab import LabView
from iotcache_tui.state.log import EventLog, kind_of
from iotcache_tui.state.message_outcomes import OutcomeHistory
from iotcache_tui.state.nodes.model import NodeCurves, NodesFigures
from iotcache_tui.state.problems.find import find_problems
from iotcache_tui.state.problems.history import ProblemHistory
from iotcache_tui.state.problems.problem import Facts, Problem
from iotcache_tui.state.updates import (
    EVENTS_MAX,
    FALLBACKS_MAX,
    NOTHING,
    SECONDS_MAX,
    AlertLine,
    Attachment,
    Drained,
    FallbackRead,
    Part,
    Processes,
    Second,
)

WINDOW_S = 10
"""KPI figures are over this many seconds: long enough to be steady, short enough to show a change."""
FACTS_SECONDS = 8
FALLS_MAX = 200
JUDGE_EVERY_S = 0.5
"""Some problems come with time alone: what should have been heard, and was not."""


class DashboardState:
    """Filled by `apply`, read by widgets; holds no reference to a feed."""

    def __init__(self) -> None:
        self.fleet = FleetState()
        self.log = EventLog()
        self.changes = 0
        """Grows with everything that was taken in."""
        self._clear()

    def _clear(self) -> None:
        """Begin with nothing, but for the fleet and the log, which others hold."""
        self.seconds: deque[Second] = deque(maxlen=SECONDS_MAX)
        self.fallbacks: deque[FallbackRead] = deque(maxlen=FALLBACKS_MAX)
        self.fallback_lines = FallbackLines()
        self.fallbacks_total = 0
        self.fallbacks_dropped = 0
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.nodes: tuple[NodeHealth, ...] = ()
        self.node_falls: deque[tuple[str, float]] = deque(maxlen=FALLS_MAX)
        """Which node went down when (monotonic time), oldest first."""
        self.parts: tuple[Part, ...] = ()
        self.processes = Processes()
        self._last_worker_s = 0.0
        self.attachment = Attachment()
        self.node_figures: NodesFigures | None = None
        """``None`` before anybody wanted them."""
        self.node_history = NodeCurves()
        self.flow_history = FlowHistory()
        self.outcomes = OutcomeHistory()
        self.lab: LabView | None = None
        self.advisor = AdvisorView()
        self.alerts: tuple[AlertLine, ...] = ()
        self.placement: KeyPlacement | None = None
        self.node_list: NodeListReport | None = None
        self.ready = False
        self.failure = ""
        self.problems: tuple[Problem, ...] = ()
        """What is wrong, the gravest first, as `judge` found it last."""
        self._problem_history = ProblemHistory()
        self._judged: tuple[int, float] = (-1, 0.0)
        self._judge_quietly = False

    def reset(self) -> None:
        """Forget everything, in place: whoever holds the fleet or the log goes on holding it."""
        self.fleet.reset()
        self.log.reset()
        self._clear()
        self.changes += 1

    def apply(self, drained: Drained) -> None:
        """Take in everything a feed left."""
        self.changes += drained is not NOTHING
        if drained.anew:
            lab, ready = self.lab, self.ready
            self.reset()
            self.lab, self.ready = lab, ready
        for info in drained.joined:
            self.fleet.join(info)
        self.fleet.apply_reads(drained.rows)
        for probe in drained.ttls:
            self.fleet.apply_ttl(probe)
        self.recall_fallbacks(drained.fallbacks)
        self.fallbacks_total += len(drained.fallbacks) + drained.fallbacks_dropped
        self.fallbacks_dropped += drained.fallbacks_dropped
        self.seconds.extend(drained.seconds)
        self.events.extend(drained.events)
        self._log(drained)
        if drained.nodes is not None:
            self.node_falls.extend(falls(self.nodes, drained.nodes))
            self.nodes = tuple(drained.nodes)
        if drained.parts is not None:
            self.parts = tuple(drained.parts)
        if drained.processes is not None:
            self.processes = drained.processes
            self.outcomes.add(self.processes.workers)
            self._last_worker_s = max(
                (worker.at_s for worker in self.processes.workers), default=self._last_worker_s
            )
        if drained.attachment is not None:
            self.attachment = drained.attachment
        if drained.node_figures is not None:
            self.node_figures = drained.node_figures
            self.node_history.add(drained.node_figures)
        if drained.seconds:
            self.flow_history.add(drained.seconds, self.processes)
        if drained.alerts is not None:
            self.alerts = tuple(drained.alerts)
        if drained.placement is not None:
            self.placement = drained.placement
        if drained.node_list is not None:
            self.node_list = drained.node_list
        if drained.advisor is not None:
            self.advisor = drained.advisor
        if drained.lab is not None:
            self.lab = drained.lab
        if drained.ready is not None:
            self.ready = drained.ready
        if drained.failure is not None:
            self.failure = drained.failure

    def _log(self, drained: Drained) -> None:
        log, fleet = self.log, self.fleet
        for one in drained.fallbacks:
            log.add_fallback(one, one.row if one.row < len(fleet) else -1)
        for event in drained.events:
            log.add(event.ts_s, kind_of(event), event.severity, event.subject, event.text)

    def facts(self, now_s: float) -> Facts:
        """What the rules of problems look at."""
        devices = self.fleet.devices
        return Facts(
            now_s=now_s,
            parts=self.parts,
            processes=self.processes,
            last_worker_s=self._last_worker_s,
            nodes=self.nodes,
            figures=self.node_figures,
            seconds=self.recent(FACTS_SECONDS),
            outcomes=tuple(self.outcomes.recent),
            late_counts=self.flow_history.late_counts,
            alerts=self.alerts,
            devices=devices.total,
            devices_stale=devices.stale,
            placement=self.placement,
            falls=tuple(self.node_falls),
            node_list=self.node_list,
            lesson=self.attachment.lesson,
        )

    def judge(self, now_s: float, wall_s: float) -> None:
        """Find what is wrong; what began or ended since the last call goes into the log."""
        if self._judged[0] == self.changes and abs(now_s - self._judged[1]) < JUDGE_EVERY_S:
            return
        self._judged = self.changes, now_s
        found = find_problems(self.facts(now_s))
        self.problems, changes = self._problem_history.update(found, now_s, quietly=self._judge_quietly)
        self._judge_quietly = False
        for change in changes:
            self.log.add(wall_s - (now_s - change.at_s), "part", change.severity, change.subject, change.text)

    def recall_fallbacks(self, fallbacks: Sequence[FallbackRead]) -> None:
        """Take in fallbacks without counting them."""
        self.fallbacks.extend(fallbacks)
        self.fallback_lines.add(fallbacks)

    def recall(self, seconds: Sequence[Second]) -> None:
        """Take in seconds that went before."""
        self._judge_quietly = True  # what stands now was told of then
        self.seconds.extend(seconds)
        self.flow_history.recall(seconds)

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

    def own_load(self) -> tuple[float, float] | None:
        """Looks and writes a second of this dashboard itself; ``None`` before the first second."""
        window = self.recent()
        if not window:
            return None
        reads, writes = sum(one.reads for one in window), sum(one.writes for one in window)
        return round(reads / len(window)), round(writes / len(window), 1)

    def nodes_up(self) -> int:
        return sum(node.state is NodeState.UP for node in self.nodes)


def falls(before: Sequence[NodeHealth], now: Sequence[NodeHealth]) -> Iterator[tuple[str, float]]:
    """Nodes that were up and are not, but for those that were drained; and since when."""
    were_up = {node.name for node in before if node.state is NodeState.UP}
    for node in now:
        if node.name in were_up and node.state is not NodeState.UP and not node.drained:
            yield node.name, node.since_s
