"""Why a key was not in the cache: a pure judgement over what is on record about the key and its node.

Two sources tell until when an entry was to live: this process's own record of what it saw and set, and
the store, where the writer notes the end of its entry (`iotcache.model.StoredReading.cached_until_us`), so
that a process just started can judge as well. Node statistics tell a restart from an eviction; what
nothing else explains was deleted by someone.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import Final

from msgspec import Struct

from iotcache.model import MissReason

EARLY_S: Final = 1.5
"""An entry may be gone this long before its end by our reckoning.

memcached counts whole seconds of a clock that ticks once a second, and the writer reckons from before its
commit."""

WRITING_S: Final = 1.0
"""From the receipt of a reading to its entry in the cache, at the most while all is well."""

THIN_S: Final = 1.0
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
    """We removed it ourselves."""


class Expected(Struct, frozen=True, gc=False):
    """What a writer has said of the entry it set. Times are wall seconds."""

    written_s: float
    """When it was set."""
    until_s: float
    """Until when it was to live."""


class NodeFacts(Struct, frozen=True, gc=False):
    """A node's statistics at one moment. Times are wall seconds of this machine's clock."""

    at_s: float
    started_s: float
    """The earliest moment at which its process can have begun; the latest is a second after."""
    pid: int
    evictions: int
    untouched: bool = False
    """It was given no item since its process began."""


class NodeHistory:
    """The statistics of one node over the last polls: what changed since a given moment."""

    def __init__(self, bound: int = 2_048) -> None:
        self._bound = bound
        self._polls: list[NodeFacts] = []

    def add(self, facts: NodeFacts) -> None:
        """Note a poll. Of those within a second only one is kept, so that the bound spans minutes."""
        polls = self._polls
        if len(polls) > 1 and facts.at_s - polls[-2].at_s < THIN_S:
            polls[-1] = facts
        else:
            polls.append(facts)
            if len(polls) > self._bound:
                del polls[: self._bound // 2]

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
        if before is not None:  # a container's process may have the same id in every life
            return last.started_s - before.started_s > RESTART_STEP_S
        if moment_s < last.started_s:
            return True
        # Within the second that whole seconds leave open, a node that was given nothing cannot have had it.
        return last.untouched and moment_s < last.started_s + 1.0

    def evicted_since(self, moment_s: float) -> bool:
        """Whether the node threw anything out since ``moment_s``; when no poll is that old, whether ever."""
        last = self.last
        if last is None:
            return False
        before = self._before(moment_s)
        return last.evictions > (before.evictions if before is not None and before.pid == last.pid else 0)

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
) -> MissReason:
    """Why ``node`` did not have a key at ``now_s``; ``owner`` is the node that the ring names for it.

    The node answered: one that could not has its reason from the cluster client.
    """
    if record is not None and record.deleted:
        if expected is None or expected.written_s <= record.at_s:
            return MissReason.INVALIDATED
        record = None
    if node != owner and (record is None or record.node != node):
        return MissReason.NODE_DOWN
    at_s, until_s = _entry(record, expected)
    if until_s == 0.0:
        return MissReason.NEVER_SET
    if now_s >= until_s - EARLY_S:
        return MissReason.EXPIRED
    if history is not None and history.restarted_since(at_s):
        return MissReason.RESTARTED
    if record is not None and record.node != node and record.at_s >= at_s:
        return MissReason.NODE_DOWN  # it lived on a stand-in while its own node was out
    if history is not None and history.evicted_since(at_s):
        return MissReason.EVICTED
    return MissReason.INVALIDATED


def _entry(record: Record | None, expected: Expected | None) -> tuple[float, float]:
    """When the newest entry known was last there, and its end; ``(0, 0)`` when there never was one."""
    at_s, until_s = (record.at_s, record.until_s) if record is not None else (0.0, 0.0)
    # What was seen just after the receipt may still have been the entry before: the writer sets last.
    if expected is not None and expected.written_s > at_s - WRITING_S:
        return expected.written_s, expected.until_s
    return at_s, until_s
