"""How much memory, how it is divided among slab classes and segments, and how many nodes."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from iotcache.advisor.advice import MEBIBYTE, Advice, Confidence, Subject
from iotcache.advisor.curves import MemoryCurve, ring_curve
from iotcache.advisor.evidence import Evidence, NodeEvidence, SlabEvidence
from iotcache.text import plural

GAIN_LEAST: Final = 0.01
"""A point of hit ratio: less is within the prediction's own error."""
LOSS_MOST: Final = 0.001
"""Memory counts as wasted when doing without it costs no more than this."""
WASTE_LEAST: Final = 0.4
"""Of a node's memory; a quarter to spare is what growth needs."""
HEADROOM: Final = 1.25
MEMORY_LEAST_BYTES: Final = 64 * MEBIBYTE
"""Smaller nodes are not worth the trouble of making them smaller."""
GETS_FOR_HIGH: Final = 20_000
GETS_FOR_MEDIUM: Final = 2_000
GETS_LEAST: Final = 500
"""Fewer sampled gets are no curve."""
LONG_S: Final = 300.0
"""A shorter look may have missed what is asked for now and then."""
EVICTIONS_LEAST: Final = 0.01
"""Share of sets that evict something; below it the memory is enough."""
PAGES_GAIN_LEAST: Final = 0.005
"""Of the node's gets, that pages given to another class have to spare the store."""
NODES_LEAST: Final = 3
"""Of fewer none is taken away: the last one's failure would leave nothing."""
NODE_GETS_MOST_PER_S: Final = 500_000
"""What one memcached with four threads is planned for (docs/scaling.md)."""


def confidence(curve: MemoryCurve, measured: float | None, skipped: float) -> Confidence:
    """By how many gets were sampled, and how near the prediction for today comes to what is measured."""
    off = abs(curve.now - measured) if measured is not None else 0.05
    if curve.sampled_gets >= GETS_FOR_HIGH and off <= 0.02 and skipped < 0.2:
        return Confidence.HIGH
    if curve.sampled_gets >= GETS_FOR_MEDIUM and off <= 0.05 and skipped < 0.5:
        return Confidence.MEDIUM
    return Confidence.LOW


def memory(evidence: Evidence) -> Iterator[Advice]:
    """More where more would hit, less where less would do."""
    for node in evidence.nodes:
        curve = node.curve
        if curve is None or not node.gets_per_s or curve.sampled_gets < GETS_LEAST:
            continue
        sure = confidence(curve, node.hit_ratio, evidence.skipped)
        if sure is Confidence.HIGH and evidence.seconds < LONG_S:
            sure = Confidence.MEDIUM
        evicts = evicting(node)
        wanted = _megabytes(curve.knee_bytes)
        gain = curve.at(wanted * MEBIBYTE) - curve.now
        if evicts and gain >= GAIN_LEAST and wanted * MEBIBYTE > node.memory_bytes:
            yield _more(node, curve, wanted, gain, sure)
            continue
        enough = curve.smallest_for(curve.now - LOSS_MOST) or node.memory_bytes
        needs = [(float(enough), "{:.0f} MB would hit as often")]
        if not evicts:
            needs.append((curve.working_set_bytes, "entries in use take {:.0f} MB"))
        if evidence.seconds < LONG_S:
            # What was not asked for in so short a time may be in use all the same.
            needs.append((float(node.used_bytes), "all its entries take {:.0f} MB"))
        need, reason = max(needs)
        least = _megabytes(need * HEADROOM)
        saved = node.memory_bytes - least * MEBIBYTE
        if node.memory_bytes >= MEMORY_LEAST_BYTES and saved >= WASTE_LEAST * node.memory_bytes:
            yield _less(node, curve, least, sure, reason.format(ceil(need / MEBIBYTE)))


def evicting(node: NodeEvidence) -> bool:
    """Whether it has less memory than it could use."""
    return node.evictions_per_s > EVICTIONS_LEAST * max(node.sets_per_s, 1.0)


def _megabytes(size: float) -> int:
    return max(ceil(size / MEBIBYTE), 8)


def _more(node: NodeEvidence, curve: MemoryCurve, wanted: int, gain: float, sure: Confidence) -> Advice:
    today = node.memory_bytes // MEBIBYTE
    reads = gain * node.gets_per_s
    return Advice(
        subject=Subject.MEMORY,
        about=node.name,
        text=f"{node.name}: {today} → {wanted} MB: hit ratio {100 * curve.now:.1f} → "
        f"{100 * (curve.now + gain):.1f} %, {reads:.0f} store reads/s fewer",
        reason=f"it evicts {node.evictions_per_s:.1f} entries/s that are asked for again; "
        f"entries in use take {curve.working_set_bytes / MEBIBYTE:.0f} MB",
        do=f"cache_memlimit {wanted}",
        target=float(wanted),
        undo=f"cache_memlimit {today}",
        confidence=sure,
        store_reads_per_s=reads,
        now=curve.now,
        predicted=curve.now + gain,
        lasting=False,
    )


def _less(node: NodeEvidence, curve: MemoryCurve, least: int, sure: Confidence, reason: str) -> Advice:
    today = node.memory_bytes // MEBIBYTE
    saved = float(node.memory_bytes - least * MEBIBYTE)
    return Advice(
        subject=Subject.MEMORY,
        about=node.name,
        text=f"{node.name}: {today} → {least} MB: {saved / MEBIBYTE:.0f} MB saved, "
        f"hit ratio stays {100 * curve.now:.1f} %",
        reason=f"{reason}; {100 * (HEADROOM - 1):.0f} % of that are left for growth",
        do=f"cache_memlimit {least}",
        target=float(least),
        undo=f"cache_memlimit {today}",
        confidence=sure,
        saved_bytes=saved,
        now=curve.now,
        predicted=curve.at(least * MEBIBYTE),
        lasting=False,
    )


def slabs(evidence: Evidence) -> Iterator[Advice]:
    """A class that evicts while another holds whole pages that it does not use."""
    for node in evidence.nodes:
        idle = [one for one in node.slabs if _idle_pages(one) >= 2]
        starved = [one for one in node.slabs if one.evictions_per_s > 0]
        if not idle or not starved:
            continue
        source = max(idle, key=_idle_pages)
        target = max(starved, key=lambda one: one.evictions_per_s)
        if source.number == target.number:
            continue
        pages = _idle_pages(source)
        # Evicted entries are asked for again about as often as any other is.
        reads = target.evictions_per_s * min(pages / max(target.pages, 1), 1.0) * (node.hit_ratio or 0.0)
        if reads <= PAGES_GAIN_LEAST * node.gets_per_s:
            continue
        yield Advice(
            subject=Subject.SLABS,
            about=node.name,
            text=f"{node.name}: move {plural(pages, 'page')} from class {source.number} "
            f"({source.chunk_bytes} B) to class {target.number} ({target.chunk_bytes} B): "
            f"about {reads:.0f} store reads/s fewer",
            reason=f"class {target.number} evicts {target.evictions_per_s:.1f} entries/s while "
            f"{pages} of {plural(source.pages, 'page')} of class {source.number} are empty",
            do=f"slabs reassign {source.number} {target.number}",
            undo=f"slabs reassign {target.number} {source.number}",
            confidence=Confidence.MEDIUM,
            store_reads_per_s=reads,
            lasting=False,
        )


def _idle_pages(one: SlabEvidence) -> int:
    return one.free_chunks // one.chunks_per_page if one.chunks_per_page else 0


def lru(evidence: Evidence) -> Iterator[Advice]:
    """One list for all, under a load that is mostly read once."""
    for node in evidence.nodes:
        once = node.evicted_unfetched_per_s
        if node.lru_segmented or once < 0.5 * node.evictions_per_s or not node.evictions_per_s:
            continue
        if not evicting(node):
            continue
        reads = 0.1 * node.misses_per_s
        yield Advice(
            subject=Subject.LRU,
            about=node.name,
            text=f"{node.name}: keep entries that are read again apart from those that never are "
            f"(segmented LRU): in the order of {reads:.0f} store reads/s fewer",
            reason=f"{100 * once / node.evictions_per_s:.0f} % of what it evicts was never read, and pushes "
            "out what is",
            do="lru mode segmented",
            undo="lru mode flat",
            confidence=Confidence.LOW,
            store_reads_per_s=reads,
            lasting=False,
        )


def nodes(evidence: Evidence) -> Iterator[Advice]:
    """One more where a node has all that it can bear; one less where the rest would do."""
    number = len(evidence.nodes)
    if not number:
        return
    yield from _one_less(evidence)
    busiest = max(evidence.nodes, key=lambda node: node.gets_per_s + node.sets_per_s)
    load = busiest.gets_per_s + busiest.sets_per_s
    full = busiest.connections_max and busiest.connections > 0.9 * busiest.connections_max
    if load > 0.8 * NODE_GETS_MOST_PER_S or full:
        what = (
            f"{busiest.connections} of {plural(busiest.connections_max, 'connection')}"
            if full
            else f"{load:.0f} requests/s, of some {NODE_GETS_MOST_PER_S} that one bears"
        )
        moved = 1.0 / (number + 1)
        yield Advice(
            subject=Subject.NODES,
            about=busiest.name,
            text=f"one node more: {busiest.name} would have {load * number / (number + 1):.0f} requests/s "
            f"instead of {load:.0f}; {100 * moved:.0f} % of all keys move and are missed once",
            reason=f"{busiest.name} has {what}",
            do="cache.nodes += one more host:port",
            undo="cache.nodes as before",
            confidence=Confidence.MEDIUM,
            store_reads_per_s=0.1 * load,
            now=load,
            predicted=load * number / (number + 1),
        )


def _one_less(evidence: Evidence) -> Iterator[Advice]:
    """Where the others would hold all that is used, and bear its load with as much again to spare."""
    nodes = evidence.nodes
    number = len(nodes)
    if number < NODES_LEAST or evidence.seconds < LONG_S:
        return
    parts = [(node.curve, node.gets_per_s) for node in nodes if node.curve is not None]
    ring = ring_curve(parts)
    short = any(map(evicting, nodes))
    if ring is None or len(parts) < number or short or ring.sampled_gets < GETS_FOR_MEDIUM:
        return
    least = min(nodes, key=lambda node: node.memory_bytes)
    rest = evidence.memory_bytes - least.memory_bytes
    load = sum(node.gets_per_s + node.sets_per_s for node in nodes) / (number - 1)
    fits = ring.working_set_bytes * HEADROOM <= rest and ring.now - ring.at(rest) <= LOSS_MOST
    if not fits or load > 0.4 * NODE_GETS_MOST_PER_S:
        return
    yield Advice(
        subject=Subject.NODES,
        about=least.name,
        text=f"one node less, {least.name}: {least.memory_bytes / MEBIBYTE:.0f} MB saved, hit ratio stays "
        f"{100 * ring.now:.1f} %, {load:.0f} requests/s each; its {100 / number:.0f} % of the keys move and "
        "are missed once",
        reason=f"entries in use take {ring.working_set_bytes / MEBIBYTE:.0f} MB of "
        f"{plural(number, 'node')} together; with one out, {100 / (number - 1):.0f} % of the keys are missed "
        f"instead of {100 / number:.0f} %",
        do=f"cache.nodes without {least.name}",
        undo="cache.nodes as before",
        confidence=Confidence.MEDIUM,
        saved_bytes=float(least.memory_bytes),
        now=ring.now,
        predicted=ring.at(rest),
    )
