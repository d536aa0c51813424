"""Looking at running nodes for a while: figures, keys, requests, and what to do about them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from iotcache.advisor.advice import Advice
from iotcache.advisor.evidence import Evidence, NodeEvidence, SlabEvidence
from iotcache.advisor.hot_keys import HotKey, SpaceSaving
from iotcache.advisor.rules import advise
from iotcache.advisor.sampler import MAX_KEYS
from iotcache.cluster.node_client import NodeClient
from iotcache.cluster.placement.share import shares
from iotcache.cluster.stats import NodeLimits, NodeStats, SlabClass, node_limits, node_stats, slab_classes
from iotcache.errors import NodeError
from iotcache.text import plural, printable
from iotcache.traffic.groups import Groups
from iotcache.traffic.meter import TrafficMeter, group_evidence
from iotcache.traffic.watch_lines import WatchEvent, WatchLines

if TYPE_CHECKING:
    from iotcache.config.schema import CacheSettings
    from iotcache.config.urls import NodeAddress

CPU_SHARE: Final = 0.5
"""Of one core that the reading of logs may take; what a node logs beyond that it skips, and says so."""
KINDS: Final = ("fetchers", "mutations", "evictions", "deletions")
"""Of log entries; ``deletions`` is there from 1.6.20 on."""
_SEEDED: Final = 0.8
"""Share of the sample that entries from before may take."""
_SEEDS_MOST: Final = 2 * MAX_KEYS
_TICK_HALF_S: Final = 0.5
_BEHIND_MOST_S: Final = 2.0
_SKEW_MOST_S: Final = 10.0
"""Of both clocks of a node; more is a clock that was set meanwhile."""
TOP: Final = 20


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


class Observation(Struct, frozen=True, kw_only=True):
    """What was seen, and what follows from it."""

    evidence: Evidence
    advice: list[Advice]
    notes: tuple[str, ...]
    top_gets: tuple[HotKey, ...]
    top_misses: tuple[HotKey, ...]
    top_sets: tuple[HotKey, ...]
    top_bytes: tuple[HotKey, ...]


async def look(
    addresses: Sequence[NodeAddress],
    cache: CacheSettings,
    seconds: float,
    *,
    cpu_share: float = CPU_SHARE,
    stop: asyncio.Event | None = None,
) -> Observation:
    """Look at all nodes at once for ``seconds``, or until ``stop``; a node that is out is left out.

    Raises `NodeError` when none of them answers.
    """
    groups, ended = Groups(), stop or asyncio.Event()
    looker = _Looker(cache, groups, seconds, cpu_share / len(addresses), ended)
    looks = await asyncio.gather(*map(looker.look_at, addresses), return_exceptions=True)
    seen, notes = [], []
    for address, one in zip(addresses, looks, strict=True):
        if isinstance(one, NodeError):
            notes.append(f"{address.name} is left out: {one}")
        elif isinstance(one, BaseException):
            raise one
        else:
            seen.append(one)
            if one.note:
                notes.append(one.note)
    if not seen:
        raise NodeError("; ".join(notes))
    owned = dict(zip([one.name for one in addresses], shares(cache.placement, addresses), strict=True))
    weights = {one.name: one.weight for one in addresses}
    nodes = [_node(one, owned.get(one.name, 0.0), weights.get(one.name, 1)) for one in seen]
    return _concluded(seen, nodes, groups, notes, cache.ttl.jitter)


class _Seeds(NamedTuple):
    """Entries from before, by last use: (last use, key, size, end), by the node's clock for expiry."""

    entries: list[tuple[float, bytes, int, float]]
    node_s: float
    taken_s: float
    """The same moment by our monotonic clock."""
    note: str


class _Looker(Struct, frozen=True):
    """What is the same for all nodes."""

    cache: CacheSettings
    groups: Groups
    seconds: float
    cpu_share: float
    """Of one core, for each node."""
    stop: asyncio.Event

    async def look_at(self, address: NodeAddress) -> NodeLook:
        """One node, for as long as is asked for."""
        async with NodeClient(address, self.cache) as asked:
            before = node_stats(await asked.stats())
            slabs_before = slab_classes(await asked.stats("slabs"), await asked.stats("items"))
            limits = node_limits(await asked.stats("settings"))
        lines = WatchLines()
        meter = TrafficMeter(
            before.limit_maxbytes, self.groups, chunks={one.number: one.chunk_size for one in slabs_before},
            rate=min(1.0, _SEEDED * MAX_KEYS / max(before.curr_items, 1)),
        )  # fmt: skip
        seeds = await _seeds(meter, address, self.cache)
        note = seeds.note
        refusal = await self._watch(address, meter, lines, seeds)
        if refusal:
            version = printable(before.version or "of unknown version", 20)
            note = (
                f"{address.name} ({version}) does not tell of its requests ({refusal}): `watch` needs "
                "memcached 1.4.26 or newer, started without -W; it is judged by its own figures alone"
            )
        async with NodeClient(address, self.cache) as asked:
            after = node_stats(await asked.stats())
            slabs = slab_classes(await asked.stats("slabs"), await asked.stats("items"))
        dropped = max(after.log_worker_dropped - before.log_worker_dropped, 0)
        return NodeLook(
            address.name, before, after, slabs_before, slabs, limits, None if refusal else meter,
            max(float(after.time_s - before.time_s), 1.0), lines.skipped + dropped, sum(meter.counts), note,
        )  # fmt: skip

    async def _watch(
        self, address: NodeAddress, meter: TrafficMeter, lines: WatchLines, seeds: _Seeds
    ) -> str:
        """Read the node's log until the end; returns why it has none, after the same time."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + self.seconds
        refusal, planted = "", False
        for kinds in (KINDS, KINDS[:-1]):
            try:
                async with NodeClient(address, self.cache) as line, aclosing(line.watch(*kinds)) as log:
                    async for data in log:
                        begun_s = perf_counter()
                        events = lines.feed(data)
                        if events and not planted:
                            planted = True
                            _plant(meter, seeds, events[0])
                        meter.feed(events)
                        meter.sampler.lossy = lines.skipped > 0
                        if loop.time() >= ends_s or self.stop.is_set():
                            break
                        # While we sleep the node's buffer fills, and it counts what does not fit.
                        spent_s = perf_counter() - begun_s
                        await asyncio.sleep(spent_s * (1.0 - self.cpu_share) / self.cpu_share)
                meter.feed(lines.rest())
                return ""
            except NodeError as error:
                if not str(error).startswith("refused"):
                    raise
                refusal = str(error)
        await _pause(self.stop, ends_s - loop.time())
        return refusal


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await stop.wait()
    except TimeoutError:
        pass


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


def _concluded(
    looks: Sequence[NodeLook], nodes: Sequence[NodeEvidence], groups: Groups, notes: list[str], jitter: float
) -> Observation:
    meters = [one.meter for one in looks if one.meter is not None]
    lost, events = sum(one.skipped for one in looks), sum(one.events for one in looks)
    if lost:
        notes.append(
            f"{lost:,} of {plural(lost + events, 'request')} were not logged by the nodes (skipped): "
            "rates are by the nodes' own counters, and confidence is lower"
        )
    evidence = Evidence(
        seconds=max(one.seconds for one in looks),
        nodes=tuple(nodes),
        groups=group_evidence(meters, groups, sum(node.gets_per_s for node in nodes), jitter),
        prefixes=_top([meter.prefixes(TOP) for meter in meters]),
        skipped=lost / (lost + events) if lost else 0.0,
    )

    def top(counters: list[SpaceSaving]) -> tuple[HotKey, ...]:
        return _top([counter.top(TOP) for counter in counters])

    return Observation(
        evidence=evidence,
        advice=advise(evidence),
        notes=tuple(notes),
        top_gets=top([meter.gets for meter in meters]),
        top_misses=top([meter.misses for meter in meters]),
        top_sets=top([meter.sets for meter in meters]),
        top_bytes=top([meter.bytes for meter in meters]),
    )


def _top(lists: list[list[HotKey]]) -> tuple[HotKey, ...]:
    """The most frequent of several nodes together; a key lies on one, a prefix on all of them."""
    counts: dict[bytes, tuple[float, float]] = {}
    for keys in lists:
        for one in keys:
            count, error = counts.get(one.key, (0.0, 0.0))
            counts[one.key] = (count + one.count, error + one.error)
    kept = [HotKey(key, count, error) for key, (count, error) in counts.items()]
    return tuple(sorted(kept, key=lambda one: one.error - one.count)[:TOP])


def _node(one: NodeLook, share: float, weight: int) -> NodeEvidence:
    def rate(field: str) -> float:
        grown = getattr(one.after, field) - getattr(one.before, field)
        return float(max(grown, 0)) / one.seconds  # a restart meanwhile counts as nothing

    before = {slab.number: slab for slab in one.slabs_before}
    slabs = tuple(
        SlabEvidence(
            number=slab.number,
            chunk_bytes=slab.chunk_size,
            pages=slab.total_pages,
            used_chunks=slab.used_chunks,
            free_chunks=slab.free_chunks,
            chunks_per_page=slab.chunks_per_page,
            evictions_per_s=max(slab.evicted - before.get(slab.number, slab).evicted, 0) / one.seconds,
            item_bytes=slab.mem_requested / slab.used_chunks if slab.used_chunks else 0.0,
        )
        for slab in one.slabs
    )
    meter = one.meter
    return NodeEvidence(
        name=one.name,
        memory_bytes=one.after.limit_maxbytes,
        used_bytes=one.after.bytes,
        gets_per_s=rate("get_hits") + rate("get_misses"),
        misses_per_s=rate("get_misses"),
        sets_per_s=rate("cmd_set"),
        evictions_per_s=rate("evictions"),
        evicted_unfetched_per_s=rate("evicted_unfetched"),
        connections=one.after.curr_connections,
        connections_max=one.after.max_connections,
        share=share,
        weight=weight,
        lru_segmented=one.limits.lru_segmented,
        temp_ttl_s=one.limits.temp_ttl,
        slabs=slabs,
        curve=meter.sampler.memory_curve() if meter is not None and any(meter.counts) else None,
        top_gets=tuple(meter.gets.top(TOP)) if meter is not None else (),
        gets_counted=meter.gets.total if meter is not None else 0.0,
    )
