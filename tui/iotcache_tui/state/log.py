"""What happened, in one log: fallbacks, node and part changes, alerts, dead letters; and a view of it."""

from __future__ import annotations

from collections import deque
from heapq import merge

from msgspec import Struct

from iotcache.model import Event, Severity
from iotcache.text import printable
from iotcache_tui.state.fallbacks import folds
from iotcache_tui.state.reasons import REASONS
from iotcache_tui.state.updates import FallbackRead

KINDS = ("fallback", "alert", "node", "part", "dead letter", "other")
PER_KIND_MAX = 2_000
"""Each kind has room of its own: a flood of fallbacks drives out no node change."""
RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}
_PREFIXES = {
    "node.": "node", "breaker.": "node", "stack.": "part", "part.": "part", "alert": "alert",
    "dead_letter": "dead letter",
}  # fmt: skip


class LogEntry(Struct):
    """One line of the log. Every text is safe to show; only `EventLog` changes it."""

    number: int
    """Grows with every entry."""
    wall_s: float
    kind: str
    severity: Severity
    subject: str
    text: str
    row: int = -1
    """The fleet's row it is about; -1 for none."""
    tag: str = ""
    """What tells an alert from others: ``name/subject``."""
    times: int = 1
    """How often it happened: fallbacks for one reason on one node fold into one line."""
    last_s: float = 0.0
    """Wall time of the last of them."""


def kind_of(event: Event) -> str:
    """Which of `KINDS` an event belongs to."""
    return next((kind for prefix, kind in _PREFIXES.items() if event.kind.startswith(prefix)), "other")


class EventLog:
    """The newest `PER_KIND_MAX` entries of each kind."""

    def __init__(self) -> None:
        self._by_kind: dict[str, deque[LogEntry]] = {kind: deque(maxlen=PER_KIND_MAX) for kind in KINDS}
        self._fresh: deque[LogEntry] = deque(maxlen=PER_KIND_MAX)
        self.total = 0
        self._folding: dict[tuple[str, str], LogEntry] = {}
        """The newest entry of each reason and node, which others like it fold into."""

    def add_fallback(self, one: FallbackRead, row: int) -> None:
        """A read that went to the store; many of one reason and node in a row are one line that counts."""
        form = REASONS[one.reason]
        cost = f"store {one.store_ms:.1f} ms" if not one.error else one.error
        where = f", {one.node}" if one.node else ""
        key, fold = printable(one.key, 120), (one.reason.value, one.node)
        entry = self._folding.get(fold)
        if entry is None or not folds(one.wall_s, entry.wall_s, entry.last_s):
            self.add(one.wall_s, "fallback", form.severity, key, f"{form.label}, {cost}{where}", row=row)
            entry = self._by_kind["fallback"][-1]
            entry.last_s = one.wall_s
            if len(self._folding) >= PER_KIND_MAX:
                self._folding.clear()
            self._folding[fold] = entry
            return
        entry.times += 1
        entry.last_s = one.wall_s
        if entry.subject != key:
            entry.subject, entry.row = printable(f"keys of {one.node or 'no node'}", 120), -1
        entry.text = printable(f"{form.label} ×{entry.times:,}, {cost}{where}", 300)

    def add(
        self,
        wall_s: float,
        kind: str,
        severity: Severity,
        subject: str,
        text: str,
        *,
        row: int = -1,
        tag: str = "",
    ) -> None:
        self.total += 1
        entry = LogEntry(
            self.total, wall_s, kind, severity, printable(subject, 120), printable(text, 300), row, tag
        )
        self._by_kind[kind].append(entry)
        self._fresh.append(entry)

    def reset(self) -> None:
        """Forget everything."""
        for entries_kept in self._by_kind.values():
            entries_kept.clear()
        self._fresh.clear()
        self._folding.clear()
        self.total = 0

    def everything(self) -> list[LogEntry]:
        """All that is kept, the oldest first."""
        return self.entries(frozenset(KINDS))

    def restore(self, entries: list[LogEntry], total: int) -> None:
        """Be as it was when `everything` and ``total`` were taken."""
        self.reset()
        for entry in entries:
            self._by_kind[entry.kind].append(entry)
        self.total = total

    def count(self, kind: str) -> int:
        return len(self._by_kind[kind])

    def entries(self, kinds: frozenset[str]) -> list[LogEntry]:
        """All that is kept of these kinds, the oldest first."""
        return list(merge(*(self._by_kind[kind] for kind in kinds), key=lambda entry: entry.number))

    def since(self, number: int) -> list[LogEntry] | None:
        """Entries above ``number``, the oldest first; ``None`` when some of them are no longer at hand."""
        missing = self.total - number
        if missing > len(self._fresh):
            return None
        return [self._fresh[index] for index in range(len(self._fresh) - missing, len(self._fresh))]


class LogView:
    """The entries that a user wants to see; kept up to date step by step."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.kinds = frozenset(KINDS)
        self.least = Severity.INFO
        self.text = ""
        self.lines: list[LogEntry] = []
        self._seen = 0

    def show(
        self, *, kinds: frozenset[str] | None = None, least: Severity | None = None, text: str | None = None
    ) -> None:
        """Change what is wanted."""
        self.kinds = self.kinds if kinds is None else kinds
        self.least = self.least if least is None else least
        self.text = self.text if text is None else text.casefold().strip()
        self._rebuild()

    @property
    def anything(self) -> bool:
        """Whether anything is kept, wanted or not."""
        return any(self._log.count(kind) for kind in KINDS)

    @property
    def wanted(self) -> str:
        """What is wanted, in words; empty when that is everything."""
        hidden = [kind for kind in KINDS if kind not in self.kinds]
        parts = [f"“{printable(self.text, 40)}”"] if self.text else []
        parts += [f"{self.least} or graver"] if self.least is not Severity.INFO else []
        if len(hidden) == len(KINDS):
            parts.append("every kind is hidden")
        elif hidden:
            parts.append(f"hidden: {', '.join(hidden)}")
        return "; ".join(parts)

    def _passes(self, entry: LogEntry) -> bool:
        if entry.kind not in self.kinds or RANK[entry.severity] < RANK[self.least]:
            return False
        return not self.text or all(
            term in f"{entry.kind} {entry.subject} {entry.text}".casefold() for term in self.text.split()
        )

    def _rebuild(self) -> None:
        self.lines = [entry for entry in self._log.entries(self.kinds) if self._passes(entry)]
        self._seen = self._log.total

    def update(self) -> bool:
        """Take in what came since the last call; true when there was any that passes."""
        if self._seen == self._log.total:
            return False
        fresh = self._log.since(self._seen) if self._seen < self._log.total else None
        if fresh is None:
            self._rebuild()
            return True
        self._seen = self._log.total
        passing = [entry for entry in fresh if self._passes(entry)]
        self.lines.extend(passing)
        room = PER_KIND_MAX * len(KINDS)
        if len(self.lines) > room:
            del self.lines[: len(self.lines) - room]
        return bool(passing)
