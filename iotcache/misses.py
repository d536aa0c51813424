"""Why a key was not in the cache: a pure judgement over what is on record about the key and its node.

Two sources tell until when an entry was to live: this process's own record of what it saw and set, and the
writer's promise in the store (`iotcache.cache.promise`), so that a process that has just started can judge
as well. The statistics of the node tell what happened to it since: it restarted, it was out, it evicted
items, items were deleted. Where they leave more than one cause, or none, the reason is `MissReason.UNKNOWN`:
no reason is a guess.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import Final, NamedTuple

from msgspec import Struct

from iotcache.model import MissReason

EARLY_S: Final = 1.5
"""An entry may be gone this long before its end by our reckoning.

memcached counts whole seconds of a clock that ticks once a second, and the writer reckons from before its
commit."""

WRITING_S: Final = 1.0
"""From the receipt of a reading to its entry in the cache, at the most while all is well."""

MIN_POLL_GAP_S: Final = 1.0
RESTART_STEP_S: Final = 2.5
"""How far a node's start must have moved between two polls to be another start, not rounding."""


class Record(Struct, frozen=True, gc=False):
    """What this process last knew of a key's entry. Times are wall seconds."""

    at_s: float
    """When it was seen or set."""
    until_s: float
    """Until when it was to live; ``inf`` for ever."""
    node: str
    deleted: bool = False
    """We deleted it ourselves."""


class Expected(Struct, frozen=True, gc=False):
    """What a writer has promised of the entry it set. Times are wall seconds."""

    written_s: float
    """When it was set."""
    until_s: float
    """Until when it was to live."""
    elsewhere: bool = False
    """It was set on another node than the one that owns the key by the reader's list of nodes."""


class NodeFacts(Struct, frozen=True, gc=False):
    """A node's statistics at one moment. Times are wall seconds of this machine's clock."""

    at_s: float
    started_s: float
    """The earliest moment at which its process can have begun; the latest is a second after."""
    pid: int
    evictions: int
    untouched: bool = False
    """It was given no item since its process began."""
    deletions: int | None = 0
    """Items deleted by command, and flushes; ``None`` when the node does not count them."""

    def same_process(self, later: NodeFacts) -> bool:
        """Whether the process is that of ``later``. In a container all processes may have the same id."""
        return self.pid == later.pid and later.started_s - self.started_s <= RESTART_STEP_S


class Removals(NamedTuple):
    """Whether a node has removed items, by cause; ``None`` when it does not tell."""

    evicted: bool | None
    deleted: bool | None


class NodeHistory:
    """The statistics of one node over the last polls: what changed since a given moment."""

    def __init__(self, bound: int = 2_048) -> None:
        self._bound = bound
        self._polls: list[NodeFacts] = []
        self._out_from_s = self._out_until_s = float("-inf")

    def add(self, facts: NodeFacts) -> None:
        """Note a poll. Of those within a second only one is kept, so that the bound spans minutes."""
        polls = self._polls
        if len(polls) > 1 and facts.at_s - polls[-2].at_s < MIN_POLL_GAP_S:
            polls[-1] = facts
        else:
            polls.append(facts)
            if len(polls) > self._bound:
                del polls[: self._bound // 2]

    def note_out(self, now_s: float) -> None:
        """The node could not be used at ``now_s``."""
        last = self.last
        if last is not None and last.at_s > self._out_until_s:
            self._out_from_s = now_s  # it has answered since the outage before
        elif self._out_from_s == float("-inf"):
            self._out_from_s = now_s
        self._out_until_s = now_s

    @property
    def last(self) -> NodeFacts | None:
        return self._polls[-1] if self._polls else None

    def restarted_since(self, moment_s: float) -> bool:
        """Whether the node's process is another one than at ``moment_s``."""
        last = self.last
        if last is None:
            return False
        before = self._before(moment_s)
        if before is not None and before.pid != last.pid:
            return moment_s < last.started_s + 1.0
        if before is not None:
            return not before.same_process(last)
        if moment_s < last.started_s:
            return True
        # Within the second that whole seconds leave open, a node that was given nothing cannot have had it.
        return last.untouched and moment_s < last.started_s + 1.0

    def out_since(self, moment_s: float) -> bool:
        """Whether the node was out at ``moment_s`` or later."""
        return self._out_until_s >= moment_s

    def restarted_in_outage(self) -> bool:
        """Whether the node came back from its last outage as another process."""
        last = self.last
        if last is None or self._out_from_s == float("-inf"):
            return False
        before = self._before(self._out_from_s)
        if before is None:
            return last.started_s > self._out_from_s
        return not before.same_process(last)

    def removals_since(self, moment_s: float) -> Removals:
        """What the node has removed since ``moment_s``; when no poll is that old, since its start."""
        last = self.last
        if last is None:
            return Removals(None, None)
        before = self._before(moment_s)
        known = before is not None and before.same_process(last)
        evictions = before.evictions if before is not None and known else 0
        deletions = before.deletions if before is not None and known else 0
        deleted = None if last.deletions is None or deletions is None else last.deletions > deletions
        return Removals(last.evictions > evictions, deleted)

    def _before(self, moment_s: float) -> NodeFacts | None:
        """The newest poll not after ``moment_s``."""
        after = bisect_right(self._polls, moment_s, key=lambda poll: poll.at_s)
        return self._polls[after - 1] if after else None


class Records:
    """The bounded memory of what was seen in the cache, by key. The oldest half goes when it is full."""

    def __init__(self, bound: int = 200_000) -> None:
        self._bound = bound
        self.by_key: dict[str, Record] = {}
        """Open to the reader's inner loop, which calls `trim` after it."""

    def note(self, key: str, record: Record) -> None:
        self.by_key[key] = record
        self.trim()

    def trim(self) -> None:
        by_key = self.by_key
        if len(by_key) > self._bound:
            for old in list(islice(by_key, self._bound // 2)):
                del by_key[old]

    def get(self, key: str) -> Record | None:
        return self.by_key.get(key)

    def __len__(self) -> int:
        return len(self.by_key)


def miss_reason(
    record: Record | None,
    expected: Expected | None,
    *,
    node: str,
    owner: str,
    history: NodeHistory | None,
    now_s: float,
    rewritten: bool = False,
) -> MissReason:
    """Why ``node`` did not have a key at ``now_s``; ``owner`` is the node that the ring names for it.

    The node answered: one that could not has its reason from the cluster client. ``rewritten``: writers that
    promise nothing may have set the entry again since our record of it.
    """
    if record is not None and record.deleted:
        if expected is None or expected.written_s <= record.at_s:
            return MissReason.INVALIDATED
        record = None
    if node != owner and (record is None or record.node != node):
        return MissReason.NODE_DOWN
    if expected is not None and expected.elsewhere:
        if record is None:
            return MissReason.MOVED if now_s < expected.until_s - EARLY_S else MissReason.UNKNOWN
        expected = None
    if record is None and expected is None:
        untouched = history is not None and history.last is not None and history.last.untouched
        return MissReason.NEVER_SET if untouched else MissReason.UNKNOWN
    # What was seen just after the receipt may still have been the entry before: the writer sets last.
    if record is not None and (expected is None or expected.written_s <= record.at_s - WRITING_S):
        at_s, until_s, lived_elsewhere = record.at_s, record.until_s, record.node != node
    else:
        assert expected is not None
        at_s, until_s, lived_elsewhere = expected.written_s, expected.until_s, False
    return _lost(at_s, until_s, lived_elsewhere, history, now_s, rewritten)


def _lost(  # noqa: PLR0917
    at_s: float,
    until_s: float,
    lived_elsewhere: bool,
    history: NodeHistory | None,
    now_s: float,
    rewritten: bool,
) -> MissReason:
    """Why an entry is gone that was there at ``at_s``, on this node or its failover node."""
    seen = history or NodeHistory()
    if lived_elsewhere and seen.restarted_in_outage():
        return MissReason.RESTARTED
    removals = seen.removals_since(at_s)
    if now_s >= until_s - EARLY_S:
        certain = not rewritten or (not any(removals) and not seen.restarted_since(at_s))
        return MissReason.EXPIRED if certain else MissReason.UNKNOWN
    if lived_elsewhere:
        return MissReason.NODE_DOWN  # on its failover node, while its own node was out
    if seen.restarted_since(at_s):
        return MissReason.RESTARTED
    if seen.out_since(at_s):
        if seen.restarted_in_outage():
            return MissReason.RESTARTED
        return MissReason.UNKNOWN if any(removals) else MissReason.NODE_DOWN
    if removals == (True, False):
        return MissReason.EVICTED
    if removals == (False, True):
        return MissReason.INVALIDATED
    return MissReason.UNKNOWN
