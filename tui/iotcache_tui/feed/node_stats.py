"""Asks every node how it does, each on its own beat: always, and in depth while somebody wants to know."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from iotcache.cluster.placement.share import shares
from iotcache.cluster.stats import NodeLimits, NodeStats, SlabClass, node_limits, node_stats, slab_classes
from iotcache.errors import NodeError
from iotcache.histogram import DurationHistogram
from iotcache.model import NodeState
from iotcache.text import printable
from iotcache_tui.state.nodes.model import (
    POINT_S,
    Applications,
    NodeFigures,
    NodesFigures,
    NodeTuning,
    SlabFigures,
    applications,
)
from iotcache_tui.state.nodes.ring import Follower, RingFigures
from iotcache_tui.state.updates import Latest, Mailbox

if TYPE_CHECKING:
    from iotcache.clock import Clock
    from iotcache.cluster import Cluster, RingFollower, RingStatus
    from iotcache.config.urls import NodeAddress

WINDOW_S = 10.0
IDLE_POINT_S = 2.0
RING_EVERY_S = 1.0
"""Between two looks while nobody wants more than the general figures: rates, ratios and their history, and
whether somebody sent ``flush_all``."""
SETTINGS_EVERY = 5
"""A node's settings change seldom: they are read on every fifth look."""


class NodeReadTotals:
    """This program's reads of one node's keys, counted since the start."""

    __slots__ = ("hits", "reads", "unreached")

    def __init__(self) -> None:
        self.reads = self.hits = self.unreached = 0


class _Sample(NamedTuple):
    at_s: float
    stats: NodeStats
    latency: DurationHistogram
    reads: int
    hits: int
    unreached: int


def ring_figures(ring: RingStatus, followers: Sequence[RingFollower]) -> RingFigures:
    """The ring as screens show it; what other clients call themselves is made safe."""
    before, after = {node.name for node in ring.nodes}, {node.name for node in ring.target}
    return RingFigures(
        epoch=ring.epoch,
        phase=ring.phase.value,
        undoing=ring.undoing,
        driver=printable(ring.driver, 80),
        joining=tuple(node.name for node in ring.target if node.name not in before),
        leaving=tuple(node.name for node in ring.nodes if node.name not in after),
        share_moved=ring.share_moved,
        left_s=ring.left_s,
        followers=tuple(
            Follower(
                printable(each.host, 60), each.pid, printable(each.role, 30), each.epoch, each.phase.value,
                round(each.age_s), each.handed_over, each.reads_saved, each.copy_reads, each.copy_writes,
            )
            for each in followers
        ),
        hot_keys=tuple(printable(key, 250) for key in ring.hot_keys),
        hot_nodes=ring.hot_nodes,
    )  # fmt: skip


class NodeStatsPoller:
    """Looks at the nodes, more often and at more while `wanted`; a node that hangs delays no other."""

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
        self._addresses: tuple[NodeAddress, ...] = ()
        self._names: list[str] = []
        self._weights: dict[str, int] = {}
        self._ring_names: dict[str, str] = {}
        self._shares: dict[str, float] = {}
        self._samples: dict[str, deque[_Sample]] = {}
        self._ring = RingFigures()
        self._take_nodes(addresses)
        self._tuning: dict[str, NodeTuning] = {}
        self._figures: dict[str, NodeFigures] = {}
        self._told = NodesFigures(placement, ())
        self._slabs: dict[str, Sequence[SlabClass]] = {}
        self._seen: dict[str, NodeStats] = {}
        """The last look that each node answered, whatever lay between."""
        self._emptied: dict[str, tuple[float, float]] = {}
        """When each was found flushed, and restarted."""
        self._wanted = 0
        self._woken = asyncio.Event()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody looks at all figures just now."""
        return self._wanted > 0

    @contextlib.contextmanager
    def wanted(self) -> Iterator[None]:
        """All figures keep coming meanwhile."""
        self._wanted += 1
        self._woken.set()
        try:
            yield
        finally:
            self._wanted -= 1
            if not self._wanted:
                self._woken.clear()

    def _take_nodes(self, addresses: Sequence[NodeAddress]) -> None:
        """These are the nodes of the ring from now on."""
        self._addresses = tuple(addresses)
        self._names = [address.name for address in addresses]
        self._weights = {address.name: address.weight for address in addresses}
        self._ring_names = {address.name: address.ring_name for address in addresses}
        owned = shares(self._placement, addresses) if addresses else []
        self._shares = dict(zip(self._names, owned, strict=True))
        for name in self._names:
            self._samples.setdefault(name, deque())

    async def run(self) -> None:
        """Until cancelled; nodes that join the ring are looked at, too."""
        async with asyncio.TaskGroup() as tasks:
            watched: set[str] = set()
            while True:
                for name in self._names:
                    if name not in watched:
                        watched.add(name)
                        tasks.create_task(self._watch(name, watched))
                await asyncio.sleep(RING_EVERY_S)
                if self._names:
                    await self._look_at_ring()

    async def _look_at_ring(self) -> None:
        addresses = tuple(self._cluster.node_addresses)
        if addresses != self._addresses:
            self._take_nodes(addresses)
            for gone in self._figures.keys() - set(self._names):
                del self._figures[gone]
        self._ring = ring_figures(
            self._cluster.ring(), await self._cluster.ring_followers() if self._wanted else ()
        )
        self._tell()

    async def _watch(self, name: str, watched: set[str]) -> None:
        turn = 0
        while name in self._names:
            if self._wanted:
                await self.poll(name, settings=turn % SETTINGS_EVERY == 0)
                turn += 1
                await asyncio.sleep(POINT_S)
            else:
                await self.poll(name, slabs=False, settings=False)
                turn = 0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_POINT_S):
                        await self._woken.wait()
        watched.discard(name)

    async def poll(self, name: str, *, slabs: bool = True, settings: bool = True) -> None:
        """Ask one node, and put what is known of all into the mailbox.

        Without ``slabs`` and ``settings`` those are left as they were known last.
        """
        figures = await self._ask(name, slabs, settings)
        if name in self._names:
            self._figures[name] = figures
            self._tell()

    def _tell(self) -> None:
        self._told = NodesFigures(
            self._placement,
            tuple(self._figures.get(each) or self._bare(each) for each in self._names),
            self._ring,
        )
        self._mailbox.put_latest(Latest(node_figures=self._told))

    def applications(self) -> Applications | None:
        """What everybody else reads from the nodes, by the last looks."""
        return applications(self._told)

    def _note(self, name: str, stats: NodeStats) -> None:
        """See whether all items went since the look before."""
        before, now_s = self._seen.get(name), self._clock.monotonic()
        self._seen[name] = stats
        if before is None:
            return
        flushed_s, restarted_s = self._emptied.get(name, (0.0, 0.0))
        if stats.started_s > before.started_s + 2:
            restarted_s = now_s
        elif stats.cmd_flush > before.cmd_flush:
            flushed_s = now_s
        self._emptied[name] = flushed_s, restarted_s

    def _bare(self, name: str) -> NodeFigures:
        return NodeFigures(
            name=name,
            at_s=self._clock.monotonic(),
            weight=self._weights.get(name, 1),
            ring_name=self._ring_names.get(name, ""),
            share=self._shares.get(name, 0.0),
            flushed_at_s=self._emptied.get(name, (0.0, 0.0))[0],
            restarted_at_s=self._emptied.get(name, (0.0, 0.0))[1],
        )

    async def _ask(self, name: str, slabs: bool, settings: bool) -> NodeFigures:
        cluster, samples = self._cluster, self._samples[name]
        state = next(node.state for node in cluster.health() if node.name == name)
        if state is not NodeState.UP:
            samples.clear()
            return self._bare(name)
        try:
            stats = node_stats(await cluster.stats_of(name))
            if slabs:
                self._slabs[name] = slab_classes(
                    await cluster.stats_of(name, "slabs"), await cluster.stats_of(name, "items")
                )
            if settings:
                self._tuning[name] = _tuning(node_limits(await cluster.stats_of(name, "settings")))
        except NodeError:
            samples.clear()
            return self._bare(name)
        self._note(name, stats)
        telemetry = cluster.telemetry_of(name)
        totals = self._readers.get(name) or NodeReadTotals()
        sample = _Sample(
            self._clock.monotonic(), stats, telemetry.latency, totals.reads, totals.hits, totals.unreached
        )
        if samples and stats.started_s > samples[-1].stats.started_s + 2:
            samples.clear()  # another process: its counters began anew
        before = samples[-1] if samples else None
        samples.append(sample)
        while len(samples) > 2 and sample.at_s - samples[1].at_s >= WINDOW_S:
            samples.popleft()
        return structs.replace(
            _figures(
                self._bare(name), sample, samples[0] if before else None, before, self._slabs.get(name, ())
            ),
            tuning=self._tuning.get(name),
            in_flight=telemetry.in_flight,
            errors=sum(telemetry.errors.values()),
            missing=telemetry.missing,
        )


def _figures(
    bare: NodeFigures,
    sample: _Sample,
    first: _Sample | None,
    before: _Sample | None,
    slabs: Sequence[SlabClass],
) -> NodeFigures:
    """What ``sample`` says, with rates since ``first`` (the window's) and ``before`` (the last one)."""
    stats = sample.stats
    figures = structs.replace(
        bare,
        at_s=sample.at_s,
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
    latency = sample.latency.since(first.latency)
    reads = sample.reads - first.reads
    others = max(_gets_of_others(sample) - _gets_of_others(first), 0)
    return structs.replace(
        figures,
        ops_per_s=_rate(_ops(stats) - _ops(old), sample, first),
        gets_per_s=_rate(_gets(stats) - _gets(old), sample, first),
        sets_per_s=_rate(stats.cmd_set - old.cmd_set, sample, first),
        evictions_per_s=_rate(stats.evictions - old.evictions, sample, first),
        hit_percent=_percent(stats.get_hits - old.get_hits, _gets(stats) - _gets(old)),
        ops_now=_rate(_ops(stats) - _ops(before.stats), sample, before),
        hit_now=_percent(stats.get_hits - before.stats.get_hits, _gets(stats) - _gets(before.stats)),
        p50_ms=latency.percentile(50) if latency.count else None,
        p99_ms=latency.percentile(99) if latency.count else None,
        reads_per_s=_rate(reads, sample, first),
        read_hit_percent=_percent(sample.hits - first.hits, reads),
        unreached_per_s=_rate(sample.unreached - first.unreached, sample, first),
        others_gets_per_s=_rate(others, sample, first),
        others_hit_percent=_percent(_hits_of_others(sample) - _hits_of_others(first), others),
    )


def _gets_of_others(sample: _Sample) -> int:
    """The node's gets less those of this program that it answered."""
    return _gets(sample.stats) - (sample.reads - sample.unreached)


def _hits_of_others(sample: _Sample) -> int:
    return sample.stats.get_hits - sample.hits


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


def _rate(grown: int, sample: _Sample, since: _Sample) -> float:
    # Counters that fell were reset by somebody (`stats reset`).
    return max(grown, 0) / max(sample.at_s - since.at_s, 1e-3)


def _percent(hits: int, asked: int) -> float | None:
    return min(max(100.0 * hits / asked, 0.0), 100.0) if asked > 0 else None
