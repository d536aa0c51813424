"""Keys that are asked for too often, nodes that have more than their part, sizes and writes in vain."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from iotcache.advisor.advice import Advice, Confidence, Subject
from iotcache.advisor.evidence import Evidence, NodeEvidence
from iotcache.advisor.hot_keys import HotKey
from iotcache.advisor.item_size import DEFAULT_CHUNKS
from iotcache.text import plural, printable_bytes

HOT_SHARE: Final = 0.2
"""Of all gets, for one key: no placement can spread it."""
UNEVEN: Final = 1.4
"""A node's gets as a multiple of what its weight promises, from which on that matters."""
HOT_OF_NODE: Final = 0.2
"""Of a node's gets, for one key that may be why the node has more than its part."""
BUSY_PER_S: Final = 100.0
"""Fewer gets are no load worth spreading."""
CLOSE: Final = 0.08
"""How far above a chunk's end an item may be to be worth shortening, as a share of its size."""
SHORTER_LEAST: Final = 0.12
PACKED_LEAST: Final = 0.2
"""Of the memory in use, that packing has to save to be worth its time."""
UNREAD: Final = 0.6
UNREAD_SHARE: Final = 0.3
"""Of all sets, that are written in vain."""


def hot_keys(evidence: Evidence) -> Iterator[Advice]:
    """One key that is a good part of all gets, of a ring of several nodes or of one."""
    total = evidence.gets_per_s
    for node in evidence.nodes:
        for hot in node.top_gets[:3]:
            if not node.gets_counted or total < BUSY_PER_S:
                continue
            per_s = _gets_of(hot, node)
            if per_s < HOT_SHARE * total and not _makes_uneven(per_s, node, evidence):
                continue
            name = printable_bytes(hot.key, 80)
            yield Advice(
                subject=Subject.HOT_KEY,
                about=name,
                text=f"{name}: {per_s:.0f} gets/s are {100 * per_s / total:.0f} % of all, and all at "
                f"{node.name}: kept in the readers for a second, it is one get a second for each of them",
                reason="a key lies on one node: " + _spread(evidence, node, per_s),
                do=f"readers keep {name} for 1 s",
                undo=f"readers ask for {name} each time",
                confidence=Confidence.HIGH,
                # It spares the node, not the store: worth as much as the tenth of it.
                store_reads_per_s=0.1 * per_s,
                now=per_s,
            )


def _gets_of(hot: HotKey, node: NodeEvidence) -> float:
    """Gets a second of one key, at the least."""
    return (hot.count - hot.error) / node.gets_counted * node.gets_per_s if node.gets_counted else 0.0


def _promised(node: NodeEvidence, evidence: Evidence) -> float:
    """Gets a second that it would have by its weight."""
    return evidence.gets_per_s * node.weight / max(sum(one.weight for one in evidence.nodes), 1)


def _makes_uneven(per_s: float, node: NodeEvidence, evidence: Evidence) -> bool:
    """Whether a key with so many gets is why its node has far more than its part of a ring."""
    if len(evidence.nodes) < 2 or per_s < HOT_OF_NODE * node.gets_per_s:
        return False
    most = UNEVEN * _promised(node, evidence)
    without = node.gets_per_s - sum(_gets_of(one, node) for one in node.top_gets[:3])
    return node.gets_per_s >= most > without


def _spread(evidence: Evidence, node: NodeEvidence, per_s: float) -> str:
    """What copies of the key, and another weight of its node, would do."""
    number = len(evidence.nodes)
    if number < 2:
        return "copies under other keys would lie on the same one"
    mean = evidence.gets_per_s / number
    copies = min(number, max(2, ceil(2 * per_s / mean)))
    text = f"{copies} copies (cache.hot_replicas, or other keys) would have {per_s / copies:.0f} gets/s each"
    if per_s >= mean:
        return f"{text}; no weight brings it to the mean of {mean:.0f}, as this key alone is more"
    wanted = max(round(10 * node.weight * (mean - per_s) / max(node.gets_per_s - per_s, 1.0)), 1)
    if wanted >= 10 * node.weight:
        return f"{text}; its weight is well as it is"
    return (
        f"{text}; weight {10 * node.weight} → {wanted}, with 10 times today's of the others, would leave it "
        f"the key and take others away: {node.gets_per_s:.0f} → about {mean:.0f} gets/s"
    )


def weights(evidence: Evidence) -> Iterator[Advice]:
    """A node that has far more gets than its weight promises, without a few keys being the cause."""
    nodes = evidence.nodes
    if len(nodes) < 2 or evidence.gets_per_s < BUSY_PER_S * len(nodes):
        return
    node = max(nodes, key=lambda one: one.gets_per_s / max(_promised(one, evidence), 1e-9))
    part = _promised(node, evidence)
    hot = any(
        _gets_of(one, node) >= HOT_SHARE * evidence.gets_per_s
        or _makes_uneven(_gets_of(one, node), node, evidence)
        for one in node.top_gets[:3]
    )
    if node.gets_per_s < UNEVEN * part or hot:
        return
    share = node.share or 1.0 / len(nodes)
    wanted = max(round(10 * node.weight * part / node.gets_per_s), 1)
    yield Advice(
        subject=Subject.WEIGHT,
        about=node.name,
        text=f"{node.name}: weight {10 * node.weight} → {wanted}, with 10 times today's of the others: "
        f"{node.gets_per_s:.0f} → about {part:.0f} gets/s",
        reason=f"it has {node.gets_per_s / part:.1f} times the gets that its weight promises, "
        f"and {100 * share:.0f} % of the keys",
        do=f"weight of {node.name} in cache.nodes: {wanted}, the others' × 10",
        undo="the weights of cache.nodes as before",
        confidence=Confidence.MEDIUM,
        store_reads_per_s=0.1 * (node.gets_per_s - part),
        now=node.gets_per_s,
        predicted=part,
    )


def item_sizes(evidence: Evidence) -> Iterator[Advice]:
    """Items a few bytes too long for the chunk below theirs."""
    for node in evidence.nodes:
        sizes = tuple(sorted(one.chunk_bytes for one in node.slabs))
        for slab in node.slabs:
            below = max((size for size in sizes if size < slab.chunk_bytes), default=0)
            below = max(below, DEFAULT_CHUNKS.below(slab.chunk_bytes))
            excess = slab.item_bytes - below
            saved = (slab.chunk_bytes - below) * slab.used_chunks
            if not below or not 0 < excess <= CLOSE * slab.item_bytes:
                continue
            if saved < SHORTER_LEAST * node.memory_bytes:
                continue
            percent = 100 * (slab.chunk_bytes - below) / slab.chunk_bytes
            yield Advice(
                subject=Subject.ITEM_SIZE,
                about=f"{node.name} class {slab.number}",
                text=f"{node.name}: entries of {slab.item_bytes:.0f} B take chunks of {slab.chunk_bytes}: "
                f"{plural(ceil(excess), 'byte')} shorter saves {percent:.0f} %, {saved / (1 << 20):.0f} MB",
                reason=f"the chunk below has {below} B; keys and values count alike",
                do=f"shorten key or value by {plural(ceil(excess), 'byte')}",
                undo="the longer form",
                confidence=Confidence.MEDIUM,
                saved_bytes=float(saved),
            )


def unread_writes(evidence: Evidence) -> Iterator[Advice]:
    """Entries that are written again and again between two reads, if there are any reads."""
    sets = sum(node.sets_per_s for node in evidence.nodes)
    used = sum(node.used_bytes for node in evidence.nodes)
    writes = sum(group.writes_per_s for group in evidence.groups)
    for group in evidence.groups:
        if group.unread is None or group.unread < UNREAD or not writes:
            continue
        vain = group.unread * group.writes_per_s
        if vain < UNREAD_SHARE * sets:
            continue
        freed = used * group.unread * group.writes_per_s / writes
        yield Advice(
            subject=Subject.WRITES,
            about=group.name,
            text=f"{group.name}: write around the cache, let readers fill it: {vain:.0f} of "
            f"{group.writes_per_s:.0f} writes/s spared, up to {freed / (1 << 20):.0f} MB",
            reason=f"{100 * group.unread:.0f} % of its writes are replaced before anybody reads them",
            do=f"stop writing {group.name} through",
            undo=f"write {group.name} through",
            confidence=Confidence.MEDIUM,
            saved_bytes=freed,
        )


def compressible(evidence: Evidence) -> Iterator[Advice]:
    """Values that take far less room when they are packed."""
    for node in evidence.nodes:
        found = node.compression
        if found is None or found.share < PACKED_LEAST:
            continue
        saved = found.share * node.used_bytes
        if saved < SHORTER_LEAST * node.memory_bytes:
            continue
        yield Advice(
            subject=Subject.COMPRESSION,
            about=node.name,
            text=f"{node.name}: compress values of more than {found.min_bytes} B: entries take "
            f"{100 * found.share:.0f} % less, {saved / (1 << 20):.0f} MB",
            reason=f"so much zlib made of {found.values} of its values, in whole chunks; packing takes the "
            "programs some microseconds a value",
            do=f"cache.compress_min_bytes = {found.min_bytes}",
            undo="cache.compress_min_bytes as before",
            confidence=Confidence.MEDIUM,
            saved_bytes=saved,
        )
