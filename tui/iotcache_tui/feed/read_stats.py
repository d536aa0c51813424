"""The readers' own account: reads folded into rows, fallbacks and one `Second` after another."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf

from msgspec import structs

from iotcache.histogram import DurationHistogram
from iotcache.keys import Keys
from iotcache.model import MissReason, Read
from iotcache.text import printable
from iotcache_tui.feed.node_stats import NodeReadTotals
from iotcache_tui.state.updates import FallbackRead, Processes, RowUpdate, Second

FRESH_S = 2.0
"""A newer reading says that readings come in only where the row was looked at so lately."""
_UNREACHED = frozenset({MissReason.NODE_DOWN, MissReason.TIMEOUT})


class ReadStats:
    """Totals a row, and the second that is under way."""

    def __init__(
        self, keys: Keys, *, cached: bool = True, owner: Callable[[str], str] = lambda key: ""
    ) -> None:
        """``cached`` is false where there are no nodes: a read of the store is then neither hit nor miss.

        ``owner`` names the node that owns a key, whatever node stands in for it.
        """
        self._keys = keys
        self._cached = cached
        self._writes = 0
        self._owner = owner
        self._newest_us = array("q")
        self._read_at = array("d")
        self._reads = array("Q")
        self._hits = array("Q")
        self._latency = DurationHistogram()
        self._misses: Counter[MissReason] = Counter()
        self._second_reads = self._second_hits = self._second_fresh = 0
        self.by_node: dict[str, NodeReadTotals] = {}
        """All reads since the start, by the node that was asked."""

    def grow(self, rows: int) -> None:
        """The fleet has ``rows`` rows now."""
        more = rows - len(self._reads)
        self._reads.extend([0] * more)
        self._hits.extend([0] * more)
        self._newest_us.extend([0] * more)
        self._read_at.extend([-inf] * more)

    def add(
        self, rows: Sequence[int], reads: Sequence[Read], now_s: float, wall_s: float
    ) -> tuple[list[RowUpdate], list[FallbackRead]]:
        """Count the answers of one batch; what the mailbox should be told of them."""
        updates: list[RowUpdate] = []
        fallbacks: list[FallbackRead] = []
        if not self._cached:
            return [
                RowUpdate(row, structs.replace(read, miss_reason=None), now_s, 0, 0)
                for row, read in zip(rows, reads, strict=True)
            ], []
        for row, read in zip(rows, reads, strict=True):
            self._reads[row] += 1
            self._second_reads += 1
            self._latency.add(read.latency_ms)
            if read.ts_us > self._newest_us[row]:
                self._second_fresh += now_s - self._read_at[row] <= FRESH_S
                self._newest_us[row] = read.ts_us
            self._read_at[row] = now_s
            node = read.node
            if read.miss_reason in _UNREACHED:
                node = self._owner(self._keys.latest(read.device, read.sensor)) or node
            totals = self.by_node.get(node)
            if totals is None:
                totals = self.by_node[node] = NodeReadTotals()
            totals.reads += 1
            reason = read.miss_reason
            if reason is None:
                totals.hits += 1
                self._hits[row] += 1
                self._second_hits += 1
            else:
                totals.unreached += reason in _UNREACHED
                self._misses[reason] += 1
                key = self._keys.latest(read.device, read.sensor)
                error = printable(read.error, 160)
                fallbacks.append(
                    FallbackRead(wall_s, row, key, reason, node, read.store_ms, read.ttl_s, error)
                )
            updates.append(RowUpdate(row, read, now_s, self._reads[row], self._hits[row]))
        return updates, fallbacks

    def close_second(
        self, now_s: float, writes: int, processes: Processes, rates: tuple[float | None, float | None],
        served_per_s: float | None,
    ) -> Second:  # fmt: skip
        """What the second that ends now held.

        ``writes`` are this program's own so far, ``rates`` the messages a second that workers took in and
        simulators sent, ``served_per_s`` what the nodes answered to others as they count.
        """
        workers, readers = processes.workers, processes.readers
        second = Second(
            now_s,
            self._second_reads,
            self._second_hits,
            dict(self._misses),
            self._latency.percentile(50),
            self._latency.percentile(99),
            *rates,
            writes=writes - self._writes,
            stored_per_s=sum(one.stats.stored_per_s for one in workers) if workers else None,
            written_per_s=sum(one.stats.cache_writes_per_s for one in workers) if workers else None,
            served_per_s=sum(one.stats.hits_per_s for one in readers) if readers else served_per_s,
            fallen_per_s=sum(one.stats.fallbacks_per_s for one in readers) if readers else None,
            fresh=self._second_fresh,
        )
        self._writes = writes
        self._second_reads = self._second_hits = self._second_fresh = 0
        self._misses.clear()
        self._latency.clear()
        return second
