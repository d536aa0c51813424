"""The immutable values a feed hands over, and the bounded mailbox they cross the thread line in.

A value that supersedes another replaces it in the mailbox (a row's newest read, the nodes' health), so
that a screen which falls behind, or is paused, costs memory in proportion to the fleet, never to time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from threading import Lock
from typing import Final, Generic, Self, TypeVar

from msgspec import Struct, structs

from iotcache.model import Event, MissReason, NodeHealth, Read, Severity
from iotcache.published_stats import FleetStats, IngestStats, KeyPlacement, NodeListReport, ReaderStats
from iotcache.store.base import SeriesInfo
from iotcache_tui.state.advisor.model import AdvisorView
from iotcache_tui.state.lab import LabView
from iotcache_tui.state.nodes.model import NodesFigures
from iotcache_tui.state.requests import Answer

FALLBACKS_MAX = 2_000
SECONDS_MAX = 900
EVENTS_MAX = 500


class RowUpdate(Struct, frozen=True, gc=False):
    """The newest read of one row, with the row's running totals."""

    row: int
    read: Read
    at_s: float
    """Monotonic time of the answer."""
    reads: int
    hits: int


class TtlUpdate(Struct, frozen=True, gc=False):
    """What a neutral probe saw: the entry's remaining life, or that it is gone."""

    row: int
    at_s: float
    ttl_s: float | None


class FallbackRead(Struct, frozen=True, gc=False):
    """One read that had to go to the store."""

    wall_s: float
    row: int
    key: str
    """Safe to show."""
    reason: MissReason
    node: str
    store_ms: float
    ttl_s: float | None
    """Life of the entry that the fallback put back; ``None`` when nothing was put back."""
    error: str = ""


class Second(Struct, frozen=True):
    """One second of the readers' own account."""

    at_s: float
    """Monotonic time of its end."""
    reads: int = 0
    hits: int = 0
    misses: Mapping[MissReason, int] = {}
    """By `MissReason`."""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    ingest_per_s: float | None = None
    """Readings a second over all ingest workers heard of; ``None`` when none was."""
    published_per_s: float | None = None
    writes: int = 0
    """Entries that this program itself set in the cache."""
    stored_per_s: float | None = None
    """Readings a second that all workers heard of committed."""
    written_per_s: float | None = None
    """Entries a second that all workers heard of set in the cache."""
    served_per_s: float | None = None
    """Reads a second by applications that the nodes answered: as readers of ours tell, else as the nodes
    count, less this program's own."""
    fallen_per_s: float | None = None
    """Reads a second by applications that the store answered; only readers of ours tell."""
    fresh: int = 0
    """Reads that found a reading newer than the one known before."""

    @property
    def fallbacks(self) -> int:
        return self.reads - self.hits

    @property
    def hit_percent(self) -> float | None:
        return 100.0 * self.hits / self.reads if self.reads else None


class Part(Struct, frozen=True):
    """One part of the system as the header and the loading screen name it."""

    name: str
    state: str
    """"starting", "up", "down", "off", "refused": it answers, and does not let this dashboard in; or "empty":
    a store in which no worker has made its tables yet."""
    text: str = ""
    since_s: float = 0.0
    """Monotonic time of the last change of its state."""


ROW_OF = attrgetter("row")
"""Rows by the thousand are keyed without a loop of ours."""


S = TypeVar("S", IngestStats, FleetStats, ReaderStats)


class Process(Struct, Generic[S], frozen=True):
    """The last counters that one process published."""

    instance: str
    """Safe to show; texts among the counters are not."""
    at_s: float
    """Monotonic time of their arrival."""
    stats: S
    ahead_s: float = 0.0
    """By how much its clock was ahead of this machine's then, the way through the broker taken off."""


Worker = Process[IngestStats]
Simulator = Process[FleetStats]
Reader = Process[ReaderStats]


class Processes(Struct, frozen=True):
    """Those that published counters lately, in the order of their names."""

    workers: tuple[Worker, ...] = ()
    simulators: tuple[Simulator, ...] = ()
    readers: tuple[Reader, ...] = ()
    silent: tuple[Worker, ...] = ()
    """Workers that say nothing any more and did not say goodbye, as they were last heard."""


class Attachment(Struct, frozen=True):
    """What the dashboard looks at, and how."""

    named: tuple[str, ...] = ()
    """Settings' keys of the parts that are somebody's own; none where all is embedded."""
    absent: tuple[str, ...] = ()
    """Settings' keys of the parts that there are not."""
    observes: bool = True
    """Whether its reads leave the cache as it is."""
    lesson: bool = False
    """Whether the servers are a lesson's, whose readers read some series only: our own reads of all of them
    say nothing of theirs."""


class AlertLine(Struct, frozen=True):
    """One alert that is raised or acknowledged. Texts are safe to show."""

    name: str
    subject: str
    """As the store has it: it is what tells alerts apart."""
    severity: Severity
    acknowledged: bool
    since_s: float
    """Wall time."""
    text: str
    by: str = ""


class Latest(Struct, frozen=True):
    """Values of which only the newest counts; ``None`` for what is not new."""

    nodes: Sequence[NodeHealth] | None = None
    parts: Sequence[Part] | None = None
    processes: Processes | None = None
    node_figures: NodesFigures | None = None
    attachment: Attachment | None = None
    lab: LabView | None = None
    advisor: AdvisorView | None = None
    alerts: Sequence[AlertLine] | None = None
    placement: KeyPlacement | None = None
    """Where this dashboard looks for keys."""
    node_list: NodeListReport | None = None
    """How the list of nodes stands that the settings name; of settings that name one."""
    ready: bool | None = None
    failure: str | None = None
    anew: bool | None = None
    """Whether what comes is of other servers than all before, which is to be forgotten first."""

    def updated(self, newer: Latest) -> Self:
        """This with what ``newer`` has."""
        changed = {name: value for name in _LATEST if (value := getattr(newer, name)) is not None}
        return structs.replace(self, **changed) if changed else self


_LATEST: Final = tuple(field.name for field in structs.fields(Latest))


class Drained(Latest, frozen=True):
    """Everything that came in since the last drain."""

    joined: Sequence[SeriesInfo] = ()
    rows: Sequence[RowUpdate] = ()
    ttls: Sequence[TtlUpdate] = ()
    fallbacks: Sequence[FallbackRead] = ()
    fallbacks_dropped: int = 0
    seconds: Sequence[Second] = ()
    events: Sequence[Event] = ()


NO_NEWS: Final = Latest()
NOTHING: Final = Drained()
"""What is drained while nothing comes."""


class Mailbox:
    """Where a feed's thread leaves updates and the frame clock takes them. Every part is bounded."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._joined: list[SeriesInfo] = []
        self._rows: dict[int, RowUpdate] = {}
        self._ttls: dict[int, TtlUpdate] = {}
        self._fallbacks: deque[FallbackRead] = deque(maxlen=FALLBACKS_MAX)
        self._fallbacks_dropped = 0
        self._seconds: deque[Second] = deque(maxlen=SECONDS_MAX)
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._latest = NO_NEWS
        self._answers: list[Answer] = []
        self._behind = 0
        self.on_first_reads: Callable[[], object] | None = None
        """Called once, in the feed's thread: whoever starts the program need not wait for the next frame."""

    @property
    def behind(self) -> int:
        """Updates that wait to be drained, superseded ones counted."""
        return self._behind

    def put_joined(self, joined: Sequence[SeriesInfo]) -> None:
        """Rows, in the order of their numbers."""
        with self._lock:
            self._joined.extend(joined)

    def put_reads(self, rows: Sequence[RowUpdate], fallbacks: Sequence[FallbackRead]) -> None:
        with self._lock:
            self._rows.update(zip(map(ROW_OF, rows), rows, strict=True))
            if self._ttls:
                for update in rows:
                    self._ttls.pop(update.row, None)
            over = len(self._fallbacks) + len(fallbacks) - FALLBACKS_MAX
            self._fallbacks_dropped += max(over, 0)
            self._fallbacks.extend(fallbacks)
            self._behind += len(rows)
        if rows and (tell := self.on_first_reads) is not None:
            self.on_first_reads = None
            tell()

    def put_ttls(self, ttls: Sequence[TtlUpdate]) -> None:
        with self._lock:
            for update in ttls:
                self._ttls[update.row] = update

    def put_second(self, second: Second) -> None:
        with self._lock:
            self._seconds.append(second)

    def put_event(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)

    def put_latest(self, latest: Latest) -> None:
        """Put values in the place of those before."""
        with self._lock:
            self._latest = self._latest.updated(latest)

    def begin_anew(self) -> None:
        """What is put from now on is of other servers: nothing of those before is of use any more."""
        with self._lock:
            self._joined, self._rows, self._ttls = [], {}, {}
            self._fallbacks.clear()
            self._seconds.clear()
            self._events.clear()
            self._fallbacks_dropped = 0
            kept = Latest(lab=self._latest.lab, ready=self._latest.ready, failure=self._latest.failure)
            self._latest = structs.replace(kept, anew=True)

    def put_answer(self, answer: Answer) -> None:
        """What a screen asked for. The feed holds back while too many wait."""
        with self._lock:
            self._answers.append(answer)

    @property
    def answers_waiting(self) -> int:
        return len(self._answers)

    def take_answers(self) -> list[Answer]:
        """Answers come through even while the picture is paused."""
        if not self._answers:
            return []
        with self._lock:
            taken, self._answers = self._answers, []
            return taken

    def drain_all(self) -> list[Drained]:
        """Everything since the last call, in order: several pieces where a replay made up for a gap."""
        return [self.drain()]

    def drain(self) -> Drained:
        with self._lock:
            if not (
                self._rows or self._joined or self._ttls or self._fallbacks or self._fallbacks_dropped
                or self._seconds or self._events or self._latest is not NO_NEWS
            ):  # fmt: skip
                return NOTHING
            drained = Drained(
                joined=self._joined,
                rows=list(self._rows.values()),
                ttls=list(self._ttls.values()),
                fallbacks=list(self._fallbacks),
                fallbacks_dropped=self._fallbacks_dropped,
                seconds=list(self._seconds),
                events=list(self._events),
            ).updated(self._latest)
            self._joined, self._rows, self._ttls, self._latest = [], {}, {}, NO_NEWS
            self._fallbacks.clear()
            self._seconds.clear()
            self._events.clear()
            self._fallbacks_dropped = self._behind = 0
            return drained
