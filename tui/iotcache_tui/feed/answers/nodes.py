"""Asks every node how it does, each on its own beat, while somebody wants to know."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from iotcache.cluster import admin as orders
from iotcache.cluster.placement.share import shares
from iotcache.cluster.stats import NodeLimits, NodeStats, SlabClass, node_limits, node_stats, slab_classes
from iotcache.errors import NodeError, UsageError
from iotcache.histogram import DurationHistogram
from iotcache.model import NodeState
from iotcache_tui.feed.dispatcher import RequestContext
from iotcache_tui.state.nodes.model import (
    POINT_S,
    ActOnNode,
    NodeAct,
    NodeFigures,
    NodesFigures,
    NodeTuning,
    SlabFigures,
    WatchNodes,
)

if TYPE_CHECKING:
    from iotcache.clock import Clock
    from iotcache.cluster import Cluster
    from iotcache.config.urls import NodeAddress
    from iotcache_tui.state.updates import Mailbox

WINDOW_S = 10.0
LINGER_S = 60.0
"""The looks go on so long after the last one who wanted them, so that a plot has no hole from a glance
at another screen."""
SETTINGS_EVERY = 5
"""A node's settings change seldom: they are read on every fifth look."""


class NodeReadTotals:
    """This program's reads of one node's keys, counted since the start."""

    __slots__ = ("hits", "reads", "unreached")

    def __init__(self) -> None:
        self.reads = self.hits = self.unreached = 0


class _Look(NamedTuple):
    at_s: float
    stats: NodeStats
    latency: DurationHistogram
    reads: int
    hits: int
    unreached: int


class NodeStatsPoller:
    """Looks at the nodes while `wanted`; a node that hangs delays no other."""

    def __init__(
        self,
        cluster: Cluster,
        addresses: Sequence[NodeAddress],
        *,
        placement: str,
        mailbox: Mailbox,
        clock: Clock,
        readers: Mapping[str, NodeReadTotals],
    ) -> None:
        self._cluster = cluster
        self._placement = placement
        self._mailbox = mailbox
        self._clock = clock
        self._readers = readers
        self._names = [address.name for address in addresses]
        self._weights = {address.name: address.weight for address in addresses}
        self._shares = dict(zip(self._names, shares(placement, addresses), strict=True))
        self._looks: dict[str, deque[_Look]] = {name: deque() for name in self._names}
        self._tuning: dict[str, NodeTuning] = {}
        self._figures: dict[str, NodeFigures] = {}
        self._wanted = 0
        self._unwanted_at_s = -inf
        self._woken = asyncio.Event()

    @contextlib.contextmanager
    def wanted(self) -> Iterator[None]:
        """Figures keep coming meanwhile."""
        self._wanted += 1
        self._woken.set()
        try:
            yield
        finally:
            self._wanted -= 1
            self._unwanted_at_s = self._clock.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name in self._names:
                tasks.create_task(self._watch(name))

    async def _watch(self, name: str) -> None:
        turn = 0
        while True:
            if not self._wanted and self._clock.monotonic() - self._unwanted_at_s >= LINGER_S:
                self._woken.clear()
                await self._woken.wait()
                turn = 0
            await self.look(name, settings=turn % SETTINGS_EVERY == 0)
            turn += 1
            await asyncio.sleep(POINT_S)

    async def look(self, name: str, *, settings: bool = True) -> None:
        """Ask one node, and put what is known of all into the mailbox."""
        self._figures[name] = await self._ask(name, settings)
        self._mailbox.put_latest(
            node_figures=NodesFigures(
                self._placement,
                tuple(self._figures.get(each) or self._bare(each) for each in self._names),
            )
        )

    def _bare(self, name: str) -> NodeFigures:
        return NodeFigures(
            name=name,
            at_s=self._clock.monotonic(),
            weight=self._weights[name],
            share=self._shares[name],
        )

    async def _ask(self, name: str, settings: bool) -> NodeFigures:
        cluster, looks = self._cluster, self._looks[name]
        state = next(node.state for node in cluster.health() if node.name == name)
        if state is not NodeState.UP:
            looks.clear()
            return self._bare(name)
        try:
            stats = node_stats(await cluster.stats_of(name))
            slabs = slab_classes(await cluster.stats_of(name, "slabs"), await cluster.stats_of(name, "items"))
            if settings:
                self._tuning[name] = _tuning(node_limits(await cluster.stats_of(name, "settings")))
        except NodeError:
            looks.clear()
            return self._bare(name)
        telemetry = cluster.telemetry_of(name)
        tally = self._readers.get(name) or NodeReadTotals()
        look = _Look(
            self._clock.monotonic(), stats, telemetry.latency, tally.reads, tally.hits, tally.unreached
        )
        if looks and stats.started_s > looks[-1].stats.started_s + 2:
            looks.clear()  # another process: its counters began anew
        before = looks[-1] if looks else None
        looks.append(look)
        while len(looks) > 2 and look.at_s - looks[1].at_s >= WINDOW_S:
            looks.popleft()
        return structs.replace(
            _figures(self._bare(name), look, looks[0] if before else None, before, slabs),
            tuning=self._tuning.get(name),
            in_flight=telemetry.in_flight,
            errors=sum(telemetry.errors.values()),
            missing=telemetry.missing,
        )


def _figures(
    bare: NodeFigures, look: _Look, first: _Look | None, before: _Look | None, slabs: Sequence[SlabClass]
) -> NodeFigures:
    """What ``look`` says, with rates since ``first`` (the window's) and ``before`` (the last one)."""
    stats = look.stats
    figures = structs.replace(
        bare,
        at_s=look.at_s,
        answered=True,
        used_bytes=stats.bytes,
        limit_bytes=stats.limit_maxbytes,
        items=stats.curr_items,
        evictions=stats.evictions,
        connections=stats.curr_connections,
        max_connections=stats.max_connections,
        uptime_s=stats.uptime_s,
        threads=stats.threads,
        slabs=tuple(_slab(slab) for slab in slabs if slab.items or slab.total_pages),
    )
    if first is None or before is None:
        return figures
    old = first.stats
    latency = look.latency.since(first.latency)
    reads = look.reads - first.reads
    return structs.replace(
        figures,
        ops_per_s=_rate(_ops(stats) - _ops(old), look, first),
        gets_per_s=_rate(_gets(stats) - _gets(old), look, first),
        sets_per_s=_rate(stats.cmd_set - old.cmd_set, look, first),
        evictions_per_s=_rate(stats.evictions - old.evictions, look, first),
        hit_percent=_percent(stats.get_hits - old.get_hits, _gets(stats) - _gets(old)),
        ops_now=_rate(_ops(stats) - _ops(before.stats), look, before),
        hit_now=_percent(stats.get_hits - before.stats.get_hits, _gets(stats) - _gets(before.stats)),
        p50_ms=latency.percentile(50) if latency.count else None,
        p99_ms=latency.percentile(99) if latency.count else None,
        reads_per_s=_rate(reads, look, first),
        read_hit_percent=_percent(look.hits - first.hits, reads),
        unreached_per_s=_rate(look.unreached - first.unreached, look, first),
    )


def _slab(slab: SlabClass) -> SlabFigures:
    used = slab.used_chunks * slab.chunk_size
    return SlabFigures(
        slab.number,
        slab.chunk_size,
        slab.total_chunks * slab.chunk_size or used,
        used,
        slab.items,
        slab.evicted,
        slab.number_hot,
        slab.number_warm,
        slab.number_cold,
        slab.number_temp,
        slab.age_hot_s,
        slab.age_warm_s,
        slab.age_s,
    )


def _tuning(limits: NodeLimits) -> NodeTuning:
    return NodeTuning(
        limits.lru_segmented,
        limits.temp_ttl,
        limits.hot_percent,
        limits.warm_percent,
        limits.hot_factor,
        limits.warm_factor,
        limits.verbosity,
        limits.evictions,
    )


def _gets(stats: NodeStats) -> int:
    return stats.get_hits + stats.get_misses


def _ops(stats: NodeStats) -> int:
    return _gets(stats) + stats.cmd_set + stats.delete_hits + stats.delete_misses + stats.cmd_touch


def _rate(grown: int, look: _Look, since: _Look) -> float:
    # Counters that fell were reset by somebody (`stats reset`).
    return max(grown, 0) / max(look.at_s - since.at_s, 1e-3)


def _percent(hits: int, asked: int) -> float | None:
    return min(max(100.0 * hits / asked, 0.0), 100.0) if asked > 0 else None


async def watch(request: WatchNodes, reach: RequestContext) -> AsyncIterator[None]:
    """Wants figures until nobody listens any more."""
    if reach.node_watch is None:
        return
    with reach.node_watch.wanted():
        await asyncio.Event().wait()
    yield


async def act(request: ActOnNode, reach: RequestContext) -> AsyncIterator[str]:
    """Do it, and say what the node answered."""
    cluster = reach.cache.cluster
    if request.act is NodeAct.DRAIN:
        cluster.drain(request.node)
        yield "out of use here until it rejoins"
        return
    if request.act is NodeAct.REJOIN:
        cluster.rejoin(request.node)
        yield "taken back: probed and fenced first, about a second"
        return
    answer = await cluster.admin(request.node, order_of(request.act, request.values))
    if reach.node_watch is not None:
        await reach.node_watch.look(request.node)
    yield answer


def order_of(act: NodeAct, values: Sequence[float | str]) -> bytes:
    """The command line of an act. Raises `UsageError` for values that do not fit it."""
    try:
        match act, tuple(values):
            case NodeAct.FLUSH, ():
                return orders.flush_all()
            case NodeAct.MEMORY, (megabytes,):
                return orders.cache_memlimit(int(megabytes))
            case NodeAct.LRU_TUNE, (hot, warm, hot_factor, warm_factor):
                return orders.lru_tune(int(hot), int(warm), float(hot_factor), float(warm_factor))
            case NodeAct.LRU_MODE, (mode,):
                return orders.lru_mode(str(mode))
            case NodeAct.TEMP_TTL, (seconds,):
                return orders.lru_temp_ttl(int(seconds))
            case NodeAct.VERBOSITY, (level,):
                return orders.verbosity(int(level))
    except (ValueError, OverflowError) as error:
        if isinstance(error, UsageError):
            raise
    raise UsageError(f"{act} does not take {', '.join(map(str, values)) or 'no value'}")
