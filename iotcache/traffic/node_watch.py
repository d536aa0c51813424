"""One node looked at: the log of its requests as it comes, and its figures whenever they are asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing, suppress
from math import inf
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import compress

from msgspec import Struct

from iotcache.advisor.compression import Compression, PackedValue, compression
from iotcache.advisor.item_size import DEFAULT_CHUNKS, Chunks
from iotcache.advisor.sampler import GROUPS, MAX_KEYS
from iotcache.cluster.node_client import NodeClient
from iotcache.cluster.stats import NodeLimits, NodeStats, SlabClass, node_limits, node_stats, slab_classes
from iotcache.errors import NodeError
from iotcache.text import printable
from iotcache.traffic.groups import Groups
from iotcache.traffic.meter import TrafficMeter
from iotcache.traffic.watch_lines import WatchEvent, WatchLines

if TYPE_CHECKING:
    from iotcache.config.schema import CacheSettings
    from iotcache.config.urls import NodeAddress

KINDS: Final = ("fetchers", "mutations", "evictions", "deletions")
"""Of log entries; ``deletions`` is there from 1.6.20 on."""
BURST_S = 10.0
"""After so long it is looked at how busy the node is: one that is asked …"""
BUSY_PER_S: Final = 10_000
"""… more often is left alone for some time."""
BUSY_SHARE: Final = 1 / 10
"""Of the time, that the log of a busy node is read: it makes a request dearer by some 12 to 46 %."""
PACKED: Final = 60
"""Values that are looked at for what packing them would save …"""
PACKED_MOST_BYTES: Final = 64 << 10
"""… each no longer than this."""
_SEEDED: Final = 0.8
"""Share of the sample that entries from before may take."""
_SEEDS_MOST: Final = 2 * MAX_KEYS
_TICK_HALF_S: Final = 0.5
_BEHIND_MOST_S: Final = 2.0
_SKEW_MOST_S: Final = 10.0
"""Of both clocks of a node; more is a clock that was set meanwhile."""
_POINTS_MOST: Final = 120


class NodeLook(Struct, frozen=True):
    """One node, before and after."""

    name: str
    before: NodeStats
    after: NodeStats
    slabs_before: tuple[SlabClass, ...]
    slabs: tuple[SlabClass, ...]
    limits: NodeLimits
    meter: TrafficMeter | None
    seconds: float
    skipped: int
    events: int
    note: str
    """A sentence on what could not be seen; empty when everything was."""
    group_gets: tuple[float, ...]
    """Of each group, between before and after."""
    group_hits: tuple[float, ...]
    mark_gets: int = 0
    """Of our clients' marks, as logged, between before and after."""
    mark_misses: int = 0
    compression: Compression | None = None


class _Point(NamedTuple):
    """The node at one moment; counts are the meter's and the log's until then."""

    stats: NodeStats
    slabs: tuple[SlabClass, ...]
    skipped: int
    events: int
    group_gets: tuple[float, ...]
    group_hits: tuple[float, ...]
    mark_gets: int
    mark_misses: int


class _Seeds(NamedTuple):
    """Entries from before, by last use: (last use, key, size, end), by the node's clock for expiry."""

    entries: list[tuple[float, bytes, int, float]]
    node_s: float
    taken_s: float
    """The same moment by our monotonic clock."""
    note: str


class NodeWatch:
    """`begin`, then `read_log` beside any number of looks. All raise `NodeError` when the node is out."""

    def __init__(
        self, address: NodeAddress, cache: CacheSettings, groups: Groups, *, cpu_share: float
    ) -> None:
        """``cpu_share``: of one core that the reading of its log may take."""
        self.address = address
        self._cache = cache
        self._groups = groups
        self._cpu_share = cpu_share
        self._lines = WatchLines()
        self._meter = TrafficMeter(1, groups)
        self._compression: Compression | None = None
        self._seeds: _Seeds | None = None
        """Until the first event says what the log's clock is."""
        self._limits = NodeLimits()
        self._refusal = ""
        self._note = ""
        self._rests = 0
        """How often the log of a busy node was left alone."""
        self._first: _Point | None = None
        self._points: deque[_Point] = deque(maxlen=_POINTS_MOST)

    async def begin(self) -> None:
        """Look at the node for the first time, or anew after it was out."""
        async with NodeClient(self.address, self._cache) as asked:
            stats = node_stats(await asked.stats())
            slabs = slab_classes(await asked.stats("slabs"), await asked.stats("items"))
            self._limits = node_limits(await asked.stats("settings"))
        self._lines, self._refusal = WatchLines(), ""
        await self._measure_anew(stats, slabs)

    async def _measure_anew(self, stats: NodeStats, slabs: tuple[SlabClass, ...]) -> None:
        """Another meter, from now on: what caches of other sizes would hold hangs on today's size."""
        self._meter = TrafficMeter(
            stats.limit_maxbytes, self._groups, chunks={one.number: one.chunk_size for one in slabs},
            rate=min(1.0, _SEEDED * MAX_KEYS / max(stats.curr_items, 1)),
        )  # fmt: skip
        self._seeds = await _seeds(self._meter, self.address, self._cache)
        self._note = self._seeds.note
        sizes = Chunks(self._meter.chunks.values()) if self._meter.chunks else DEFAULT_CHUNKS
        self._compression = compression(await self._packed(), sizes)
        async with NodeClient(self.address, self._cache) as asked:
            stats = node_stats(await asked.stats())  # what was asked until now is ours
        self._first = self._point(stats, slabs)
        self._points.clear()

    async def _packed(self) -> list[PackedValue]:
        """Some of the values that it holds, packed; their places in the LRU stay as they are."""
        entries = self._seeds.entries if self._seeds is not None else []
        packed = []
        with suppress(NodeError):  # then there is no advice on it
            async with NodeClient(self.address, self._cache) as line:
                for _, key, _, _ in entries[:: max(len(entries) // PACKED, 1)][:PACKED]:
                    held = await line.value(key, PACKED_MOST_BYTES)
                    if held is not None and held.size <= PACKED_MOST_BYTES:
                        packed.append(PackedValue(len(key), held.size, len(compress(held.value))))
        return packed

    async def read_log(self, stop: asyncio.Event) -> None:
        """Read the node's log until ``stop``; a node that has none is waited for as long."""
        kinds: Sequence[str] = KINDS
        while not stop.is_set():
            try:
                rest_s = await self._read_burst(kinds, stop)
            except NodeError as error:
                if not str(error).startswith("refused"):
                    raise
                if kinds == KINDS:
                    kinds = KINDS[:-1]
                    continue
                self._refusal = str(error)
                await stop.wait()
                return
            if rest_s:
                with suppress(TimeoutError):
                    async with asyncio.timeout(rest_s):
                        await stop.wait()
                self._lines.begin_anew()
                self._meter.rested(rest_s)
                self._rests += 1

    async def _read_burst(self, kinds: Sequence[str], stop: asyncio.Event) -> float:
        """Read it as long as that costs the node little; returns for how long it is to be left alone then."""
        rest_s = 0.0
        async with NodeClient(self.address, self._cache) as line, aclosing(line.watch(*kinds)) as log:
            since_s, since = monotonic(), self._logged()
            async for data in log:
                begun_s = perf_counter()
                self._take(data)
                if stop.is_set():
                    break
                gone_s = monotonic() - since_s
                if gone_s >= BURST_S:
                    if self._logged() - since > BUSY_PER_S * gone_s:
                        rest_s = gone_s * (1.0 / BUSY_SHARE - 1.0)
                        break
                    since_s, since = monotonic(), self._logged()
                # While we sleep the node's buffer fills, and it counts what does not fit.
                spent_s = perf_counter() - begun_s
                await asyncio.sleep(spent_s * (1.0 - self._cpu_share) / self._cpu_share)
        self._meter.feed(self._lines.rest())
        return rest_s

    def _logged(self) -> int:
        """Requests that the node has told of, or would have."""
        return sum(self._meter.counts) + self._meter.mark_gets + self._lines.skipped

    def _take(self, data: bytes) -> None:
        events = self._lines.feed(data)
        if events and self._seeds is not None:
            _plant(self._meter, self._seeds, events[0])
            self._seeds = None
        self._meter.feed(events)
        self._meter.sampler.lossy = self._lines.skipped > 0

    def fade(self, share: float) -> None:
        """Let what was seen until now weigh only ``share`` of what it does."""
        self._meter.fade(share)

    @property
    def meter(self) -> TrafficMeter | None:
        """``None`` where the node tells of no requests."""
        return None if self._refusal else self._meter

    def _point(self, stats: NodeStats, slabs: tuple[SlabClass, ...]) -> _Point:
        meter = self._meter
        return _Point(
            stats, slabs, self._lines.skipped, sum(meter.counts),
            tuple(meter.group_gets), tuple(meter.group_hits), meter.mark_gets, meter.mark_misses,
        )  # fmt: skip

    async def look(self, window_s: float = inf) -> NodeLook:
        """The node now, against how it stood ``window_s`` ago, or at the beginning."""
        async with NodeClient(self.address, self._cache) as asked:
            stats = node_stats(await asked.stats())
            slabs = slab_classes(await asked.stats("slabs"), await asked.stats("items"))
        now = self._point(stats, slabs)
        before = self._before(stats.time_s - window_s) or now
        self._points.append(now)
        look = self._compared(before, now)
        if self.meter is not None and stats.limit_maxbytes != self._meter.sampler.now_bytes:
            await self._measure_anew(stats, slabs)
        return look

    def _before(self, since_s: float) -> _Point | None:
        """The newest point that is old enough, or else the first."""
        while len(self._points) > 1 and self._points[1].stats.time_s <= since_s:
            self._points.popleft()
        if self._points and self._points[0].stats.time_s <= since_s:
            return self._points[0]
        return self._first

    def _compared(self, before: _Point, now: _Point) -> NodeLook:
        name, note = self.address.name, self._note
        if self._refusal:
            version = printable(now.stats.version or "of unknown version", 20)
            note = (
                f"{name} ({version}) does not tell of its requests ({self._refusal}): `watch` needs "
                "memcached 1.4.26 or newer, started without -W; it is judged by its own figures alone"
            )
        elif self._rests:
            share = f"{100 * BUSY_SHARE:.0f} % of the time"
            busy = f"{name} is busy: its log is read for {share}, so that it costs the node little"
            note = f"{note}; {busy}" if note else busy
        dropped = max(now.stats.log_worker_dropped - before.stats.log_worker_dropped, 0)
        return NodeLook(
            name, before.stats, now.stats, before.slabs, now.slabs, self._limits, self.meter,
            max(float(now.stats.time_s - before.stats.time_s), 1.0),
            now.skipped - before.skipped + dropped, now.events - before.events, note,
            _grown(now.group_gets, before.group_gets), _grown(now.group_hits, before.group_hits),
            now.mark_gets - before.mark_gets, now.mark_misses - before.mark_misses, self._compression,
        )  # fmt: skip


def _grown(now: tuple[float, ...], before: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(now[group] - before[group] for group in range(GROUPS))


async def _seeds(meter: TrafficMeter, address: NodeAddress, cache: CacheSettings) -> _Seeds:
    """What the node holds already of the sampled keys, so that its first gets are not all misses."""
    found: list[tuple[float, bytes, int, float]] = []
    note, node_s = "", 0.0
    try:
        async with NodeClient(address, cache) as line:
            node_s = float(node_stats(await line.stats()).time_s)
            async with aclosing(line.dump()) as dump:
                async for items in dump:
                    for item in items:
                        if len(found) < _SEEDS_MOST and meter.samples(item.key):
                            found.append((float(item.used_s), item.key, item.size, item.expires_s))
                    await asyncio.sleep(0)  # a full socket must not keep everything else waiting
    except NodeError as error:
        note = f"{address.name} does not list what it holds ({error}): its first minutes say little"
    return _Seeds(sorted(found), node_s, monotonic(), note)


def _plant(meter: TrafficMeter, seeds: _Seeds, first: WatchEvent) -> None:
    """Seed the sample, by the clock of the node's log.

    The clock by which entries expire goes by the second and is up to two behind the log's: by how much is
    known to half a second from both being seen at nearly one time.
    """
    behind_s = first.time_s - (seeds.node_s + monotonic() - seeds.taken_s) - _TICK_HALF_S
    behind_s = min(max(behind_s, 0.0), _BEHIND_MOST_S) if abs(behind_s) < _SKEW_MOST_S else behind_s
    for used_s, key, size, expires_s in seeds.entries:
        meter.seed(key, size, used_s + behind_s, expires_s + behind_s, first.time_s)
