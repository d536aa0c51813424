"""From looks at nodes to evidence, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean, median_low
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from iotcache.advisor.advice import Advice
from iotcache.advisor.curves import MemoryCurve, merged
from iotcache.advisor.evidence import Evidence, GroupEvidence, NodeEvidence, SlabEvidence
from iotcache.advisor.hot_keys import HotKey, SpaceSaving
from iotcache.advisor.predictions import Checked
from iotcache.advisor.rules import advise
from iotcache.advisor.sampler import GROUPS
from iotcache.text import plural
from iotcache.traffic.groups import Groups
from iotcache.traffic.meter import TrafficMeter
from iotcache.traffic.node_watch import NodeLook

TOP: Final = 20


class Observation(Struct, frozen=True, kw_only=True):
    """What was seen, and what follows from it."""

    evidence: Evidence
    advice: list[Advice]
    notes: tuple[str, ...]
    top_gets: tuple[HotKey, ...]
    top_misses: tuple[HotKey, ...]
    top_sets: tuple[HotKey, ...]
    top_bytes: tuple[HotKey, ...]
    checked: tuple[Checked, ...] = ()
    """What was predicted of changes, and what came of them; the newest first."""


def concluded(
    looks: Sequence[NodeLook],
    groups: Groups,
    *,
    notes: Sequence[str] = (),
    shares: Mapping[str, float],
    weights: Mapping[str, int],
    jitter: float,
    own: TrafficMeter | None = None,
) -> Observation:
    """What ``looks`` come to. ``shares`` of all keys and ``weights`` are by the name of the node.

    ``own`` has this program's own requests, for where no node tells of any: each node has its part of that
    curve then.
    """
    notes = [*notes, *(one.note for one in looks if one.note)]
    nodes = [_node(one, shares.get(one.name, 0.0), weights.get(one.name, 1)) for one in looks]
    meters = [one.meter for one in looks if one.meter is not None]
    if own is not None and not meters and own.gets.total:
        meters = [own]
        nodes = _parts_of(nodes, own)
        notes.append("no node tells of its requests: what is advised rests on this program's own")
    lost, events = sum(one.skipped for one in looks), sum(one.events for one in looks)
    if lost:
        notes.append(
            f"{lost:,} of {plural(lost + events, 'request')} were not logged by the nodes (skipped): "
            "rates are by the nodes' own counters, and confidence is lower"
        )
    watched = [one for one in looks if one.meter is not None]
    evidence = Evidence(
        seconds=max(one.seconds for one in looks),
        nodes=tuple(nodes),
        groups=group_evidence(
            meters, meters[0].groups if meters else groups, sum(node.gets_per_s for node in nodes), jitter,
            gets=_sums([one.group_gets for one in watched]), hits=_sums([one.group_hits for one in watched]),
        ),
        prefixes=_top([meter.prefixes(TOP) for meter in meters]),
        skipped=lost / (lost + events) if lost else 0.0,
    )  # fmt: skip

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


def _parts_of(nodes: Sequence[NodeEvidence], own: TrafficMeter) -> list[NodeEvidence]:
    """The curve of all nodes together, divided by their memory."""
    whole = own.sampler.memory_curve()
    parts = [node.memory_bytes / max(whole.now_bytes, 1) for node in nodes]
    return [
        replace(
            node,
            curve=MemoryCurve(
                tuple(round(size * part) for size in whole.sizes), whole.ratios, node.memory_bytes,
                whole.working_set_bytes * part, whole.sampled_gets,
            ),
        )
        for node, part in zip(nodes, parts, strict=True)
        if part > 0
    ]  # fmt: skip


def _sums(columns: Sequence[tuple[float, ...]]) -> list[float]:
    return [sum(numbers) for numbers in zip(*columns, strict=True)]


def group_evidence(
    meters: Sequence[TrafficMeter],
    groups: Groups,
    gets_per_s: float,
    jitter: float,
    *,
    gets: Sequence[float] = (),
    hits: Sequence[float] = (),
) -> tuple[GroupEvidence, ...]:
    """The groups of all nodes together; rates by the nodes' own count of gets.

    ``gets`` and ``hits`` by group are those over the time looked at; without them, all.
    """
    gets = gets or [sum(meter.group_gets[group] for meter in meters) for group in range(GROUPS)]
    hits = hits or [sum(meter.group_hits[group] for meter in meters) for group in range(GROUPS)]
    seen = sum(gets)
    scale = gets_per_s / seen if seen else 0.0
    long_run = sum(meter.sampler.gets_seen(group) for meter in meters for group in range(GROUPS))
    out = []
    for number in range(GROUPS):
        curves = [curve for meter in meters if (curve := meter.sampler.ttl_curve(number)) is not None]
        writes = sum(meter.sampler.writes_estimated(number) for meter in meters)
        unread = [share for meter in meters if (share := meter.sampler.unread_share(number)) is not None]
        lives = [life for meter in meters if (life := meter.set_ttl(number)) is not None]
        if not any(meter.sampler.gets_seen(number) for meter in meters) and not writes:
            continue
        out.append(
            GroupEvidence(
                name=groups.name(number),
                gets_per_s=gets[number] * scale,
                hit_ratio=hits[number] / gets[number] if gets[number] else None,
                set_ttl_s=median_low(lives) if lives else None,
                ttl=merged(curves),
                jitter=jitter,
                writes_per_s=writes * gets_per_s / long_run
                if long_run
                else writes / max(meters[0].seconds, 1.0),
                unread=fmean(unread) if unread else None,
                misses_peak=max(meter.peak(number) for meter in meters),
            )
        )
    return tuple(out)


def _top(lists: list[list[HotKey]]) -> tuple[HotKey, ...]:
    """The most frequent of several nodes together; a key lies on one, a prefix on all of them."""
    counts: dict[bytes, tuple[float, float]] = {}
    for keys in lists:
        for one in keys:
            count, error = counts.get(one.key, (0.0, 0.0))
            counts[one.key] = (count + one.count, error + one.error)
    kept = [HotKey(key, count, error) for key, (count, error) in counts.items()]
    return tuple(sorted(kept, key=lambda one: one.error - one.count)[:TOP])


def _rate(one: NodeLook, field: str) -> float:
    grown = getattr(one.after, field) - getattr(one.before, field)
    return float(max(grown, 0)) / one.seconds  # a restart meanwhile counts as nothing


def _applications(one: NodeLook) -> tuple[float, float, float]:
    """Gets and misses a second of applications, and gets with those of our clients' marks.

    The node counts both together, and its log has some that it does not count (``me``): with all of the log
    read it says how many are the applications'; with a part of it, in what proportion they are.
    """
    misses_per_s = _rate(one, "get_misses")
    all_per_s = _rate(one, "get_hits") + misses_per_s
    if not one.mark_gets:
        return all_per_s, misses_per_s, all_per_s
    gets = sum(one.group_gets)
    misses = gets - sum(one.group_hits)

    def of_applications(logged: float, marks: int, counted_per_s: float) -> float:
        part = counted_per_s * logged / (logged + marks) if logged + marks else counted_per_s
        return min(max(logged / one.seconds, part), counted_per_s)

    gets_per_s = of_applications(gets, one.mark_gets, all_per_s)
    return gets_per_s, min(of_applications(misses, one.mark_misses, misses_per_s), gets_per_s), all_per_s


def _node(one: NodeLook, share: float, weight: int) -> NodeEvidence:
    rate = partial(_rate, one)
    gets_per_s, misses_per_s, all_gets_per_s = _applications(one)
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
        gets_per_s=gets_per_s,
        misses_per_s=misses_per_s,
        marks_per_s=all_gets_per_s - gets_per_s,
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
        curve=meter.sampler.memory_curve() if meter is not None and meter.gets.total else None,
        top_gets=tuple(meter.gets.top(TOP)) if meter is not None else (),
        compression=one.compression,
        gets_counted=meter.gets.total if meter is not None else 0.0,
    )
