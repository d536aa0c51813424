"""One problem, and what the rules that find problems are given."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from msgspec import Struct

from iotcache.model import NodeHealth, Severity
from iotcache.published_stats import KeyPlacement, NodeListReport
from iotcache.text import plural
from iotcache_tui.format import duration
from iotcache_tui.state.message_outcomes import MessageOutcomes
from iotcache_tui.state.nodes.model import NodesFigures
from iotcache_tui.state.updates import AlertLine, Part, Processes, Second


class Gravity(IntEnum):
    """How bad a problem is; a graver one stands before all others."""

    NOTE = 0
    """Wanted, or over in a moment."""
    WARNING = 1
    """Everything works, but worse than it should."""
    BLIND = 2
    """A part cannot be seen from here, or only wrongly; others may use it as before."""
    DOWN = 3
    """A part does not do its work."""


SEVERITIES = {
    Gravity.NOTE: Severity.INFO,
    Gravity.WARNING: Severity.WARNING,
    Gravity.BLIND: Severity.ERROR,
    Gravity.DOWN: Severity.ERROR,
}


class Problem(Struct, frozen=True):
    """One thing that is wrong. Every text is safe to show."""

    part: str
    """A box of the pipeline (`BOXES`), or "alerts"."""
    label: str
    """In a word or two: "down", "silent", "full"."""
    what: str
    """Who it is about: "store", "node 10.0.0.1:11211", "2 of 3 nodes"."""
    cause: str
    """Why, as short as it can be told, the cause itself first."""
    effect: str = ""
    """What follows from it for whom."""
    gravity: Gravity = Gravity.WARNING
    since_s: float = 0.0
    """Monotonic time; 0 where only the first look at it tells."""
    screen: str = "events"
    """Where more of it is to be seen."""
    kind: str = ""
    """What tells it from other problems of its part while its texts change; the label where it is empty."""
    subject: str = ""
    """A node's or a process's whole name, where it is about one."""
    place: str = ""
    """What is to stand out there, where it is not ``subject``: a node's name, a kind of event."""
    has_events: bool = False
    """Whether events of their own tell of it: alerts, nodes."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The same from its beginning to its end."""
        return self.part, self.kind or self.label, self.subject

    @property
    def head(self) -> str:
        """``store down``."""
        return f"{self.what} {self.label}"

    @property
    def sentence(self) -> str:
        """Everything, for where there is room."""
        return " · ".join(text for text in (self.head, self.cause, self.effect) if text)

    def line(self, now_s: float) -> str:
        """``store down 12 s · connection refused · 2 of 2 workers wait for it``."""
        rest = [text for text in (self.cause, self.effect) if text]
        return " · ".join([f"{self.head} {self.lasting(now_s)}", *rest])

    def lasting(self, now_s: float) -> str:
        """How long it has been so."""
        return duration(max(now_s - self.since_s, 0.0))


class Facts(Struct, frozen=True, kw_only=True):
    """What is known at a moment; the rules look at nothing else."""

    now_s: float
    parts: Sequence[Part] = ()
    processes: Processes = Processes()
    last_worker_s: float = 0.0
    """When one was heard the last time; 0 where none ever was."""
    nodes: Sequence[NodeHealth] = ()
    figures: NodesFigures | None = None
    seconds: Sequence[Second] = ()
    """The newest few, oldest first."""
    outcomes: Sequence[MessageOutcomes] = ()
    """What became of the messages that workers took in lately, oldest first."""
    late_counts: Sequence[float] = ()
    """Messages that simulators sent later than planned, in all, second by second."""
    alerts: Sequence[AlertLine] = ()
    devices: int = 0
    devices_stale: int = 0
    placement: KeyPlacement | None = None
    """Where this dashboard looks for keys; ``None`` while that is not known."""
    falls: Sequence[tuple[str, float]] = ()
    """Nodes that went down lately, and when, oldest first."""
    node_list: NodeListReport | None = None
    """How the list stands that this dashboard's settings name; ``None`` where they name the nodes."""
    lesson: bool = False
    """Whether the servers are a lesson's."""

    def part(self, name: str) -> Part | None:
        return next((part for part in self.parts if part.name == name), None)

    def fresh_since(self, moment_s: float) -> int:
        """Readings newer than those known before that were seen in whole seconds after ``moment_s``."""
        return sum(second.fresh for second in self.seconds if second.at_s - 1.0 >= moment_s)

    def stored_per_s(self, moment_s: float) -> float:
        """Readings a second, of the workers that were heard after ``moment_s`` and wait for nothing."""
        return sum(
            one.stats.stored_per_s
            for one in self.processes.workers
            if one.at_s >= moment_s and not one.stats.waiting_for
        )


def some_of(number: int, total: int, noun: str) -> str:
    """``both workers``, ``all 3 nodes``, ``1 of 3 nodes``, ``the worker``."""
    if number < total:
        return f"{number} of {plural(total, noun)}"
    return f"the {noun}" if total == 1 else f"both {noun}s" if total == 2 else f"all {total} {noun}s"
