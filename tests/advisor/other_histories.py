"""Histories one step beside those of `histories`: other sizes and rates, two causes, mixed lives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from msgspec.structs import replace

from iotcache.advisor.advice import Subject
from iotcache.advisor.curves import MemoryCurve, TtlCurve
from iotcache.advisor.evidence import Evidence, GroupEvidence, NodeEvidence, SlabEvidence
from iotcache.advisor.hot_keys import HotKey
from iotcache.advisor.references import Kind, Reference, mixed
from tests.advisor.histories import MB, changed, just_too_long, observed, one_hot_key, sound, written_in_vain
from tests.advisor.traces import trace

GB = 1 << 30


def scaled(evidence: Evidence, *, rate: float = 1.0, size: float = 1.0) -> Evidence:
    """The same cache, asked ``rate`` times as often, and ``size`` times as large in all it holds."""

    def node(one: NodeEvidence) -> NodeEvidence:
        curve = one.curve and replace(
            one.curve,
            sizes=tuple(round(size * at) for at in one.curve.sizes),
            now_bytes=round(size * one.curve.now_bytes),
            working_set_bytes=size * one.curve.working_set_bytes,
        )
        return replace(
            one, curve=curve, memory_bytes=round(size * one.memory_bytes),
            used_bytes=round(size * one.used_bytes), gets_per_s=rate * one.gets_per_s,
            misses_per_s=rate * one.misses_per_s, sets_per_s=rate * one.sets_per_s,
            evictions_per_s=rate * one.evictions_per_s,
            evicted_unfetched_per_s=rate * one.evicted_unfetched_per_s,
        )  # fmt: skip

    groups = [
        replace(one, gets_per_s=rate * one.gets_per_s, writes_per_s=rate * one.writes_per_s)
        for one in evidence.groups
    ]
    return replace(evidence, nodes=tuple(map(node, evidence.nodes)), groups=tuple(groups))


def ring_of(number: int, evidence: Evidence) -> Evidence:
    """``number`` nodes that are each as the one of ``evidence``."""
    (node,) = evidence.nodes
    names = [f"cache{at:02}:11211" for at in range(number)]
    return replace(
        scaled(evidence, rate=1.0),
        nodes=tuple(replace(node, name=name, share=1 / number) for name in names),
        groups=tuple(
            replace(one, gets_per_s=number * one.gets_per_s, writes_per_s=number * one.writes_per_s)
            for one in evidence.groups
        ),
    )


@cache
def short_memory() -> Evidence:
    return observed(trace(keys=2_000, gets=5_000, writes=0.2, seed=3), 80_000)


def twelve_nodes_short_of_memory() -> Evidence:
    """Each has only a twelfth of the loss; beside it is a TTL that could be a bit longer."""
    ring = ring_of(12, short_memory())
    gets = ring.gets_per_s
    slow = GroupEvidence(
        name="device:meta",
        gets_per_s=0.4 * gets,
        ttl=TtlCurve(
            ttl_s=300.0,
            factors=(0.5, 1.0, 2.0, 4.0),
            ratios=(0.6, 0.66, 0.80, 0.80),
            ages_p99_s=(150.0, 300.0, 600.0, 900.0),
            live_bytes=(0.8, 1.0, 1.2, 1.3),
            sampled_gets=9_000.0,
        ),
    )
    return replace(ring, groups=(slow,))


def a_large_node_short_of_memory() -> Evidence:
    """64 GB, ten times the requests."""
    evidence = short_memory()
    return scaled(evidence, rate=10.0, size=64 * GB / evidence.nodes[0].memory_bytes)


def a_small_node_short_of_memory() -> Evidence:
    """64 MB, a few requests a second, looked at for a minute."""
    evidence = short_memory()
    small = scaled(evidence, rate=0.001, size=64 * MB / evidence.nodes[0].memory_bytes)
    return replace(small, seconds=60.0)


def a_large_ring_half_empty() -> Evidence:
    """Two nodes of 64 GB with a tenth of it in use."""
    evidence = observed(trace(keys=800, gets=3_000, writes=0.5, seed=4), 2_600_000)
    return ring_of(2, scaled(evidence, size=64 * GB / evidence.nodes[0].memory_bytes))


def one_of_two_lives_too_short() -> Evidence:
    """Readings live for 8 s and are put back by reads; what is known of devices lives for an hour."""
    rng = np.random.default_rng(11)
    out = []
    known: set[int] = set()
    for number in range(2_500):
        at_s = number * 0.32
        device = int(rng.zipf(1.4)) % 200
        out.append(Reference(mixed(device), Kind.GET, at_s))
        if device not in known:
            out.append(Reference(mixed(device), Kind.FILL, at_s, 240, 8.0))
        other = 10**6 + int(rng.integers(300))
        out.append(Reference(mixed(other), Kind.GET, at_s, group=1))
        if other not in known:
            out.append(Reference(mixed(other), Kind.FILL, at_s, 480, 3_600.0, group=1))
        known |= {device, other}
    return scaled(observed(out, 480 * 700), rate=0.1)


def lives_mixed_and_too_long() -> Evidence:
    """Events are read at once and kept for half an hour; the readings beside them are asked for again."""
    rng = np.random.default_rng(12)
    out = []
    known: set[int] = set()
    for number in range(1_500):
        at_s = number * 1.3
        life_s = (900.0, 1_800.0, 2_700.0)[number % 3]
        out.append(Reference(mixed(number), Kind.WRITE, at_s, 240, life_s))
        if number:
            out.append(Reference(mixed(number - 1), Kind.GET, at_s))
        for _ in range(2):
            key = 10**6 + int(rng.integers(350))
            out.append(Reference(mixed(key), Kind.GET, at_s, group=1))
            if key not in known:
                out.append(Reference(mixed(key), Kind.FILL, at_s, 240, group=1))
                known.add(key)
    return scaled(observed(out, 240 * 700), rate=10.0)


def a_hot_key_on_one_of_twelve() -> Evidence:
    """A tenth of all gets, which is more than a whole node's part."""
    ring = ring_of(12, sound())
    total = ring.gets_per_s
    first, *others = ring.nodes
    hot = HotKey(b"site:overview", 60_000.0, 20.0)
    first = replace(
        first, gets_per_s=first.gets_per_s + 0.1 * total, top_gets=(hot, HotKey(b"other", 900.0, 20.0)),
        gets_counted=60_000.0 * (first.gets_per_s + 0.1 * total) / (0.1 * total),
    )  # fmt: skip
    return replace(ring, nodes=(first, *others))


def a_hot_key_and_too_little_memory() -> Evidence:
    """Half of all gets are for one key, and the others would gain two points by twice the memory."""
    node = one_hot_key().nodes[0]
    curve = node.curve
    assert curve is not None
    ratios = (0.70, 0.74, 0.78, 0.82, 0.86, 0.90, 0.92, 0.92, 0.92, 0.92)
    return changed(
        one_hot_key(), curve=replace(curve, ratios=ratios), evictions_per_s=0.3 * node.sets_per_s,
        misses_per_s=0.1 * node.gets_per_s,
    )  # fmt: skip


def an_uneven_ring_of_twelve() -> Evidence:
    ring = ring_of(12, sound())
    return replace(ring, nodes=tuple(
        replace(node, gets_per_s=node.gets_per_s * (2.4 if at == 7 else 0.87 + 0.01 * (at % 3)))
        for at, node in enumerate(ring.nodes)
    ))  # fmt: skip


def a_byte_too_long() -> Evidence:
    """Every other entry ends just above a chunk, in a node of 64 GB."""
    evidence = just_too_long()
    node = evidence.nodes[0]
    assert node.slabs
    slab = replace(node.slabs[0], item_bytes=192.3)
    return scaled(changed(evidence, slabs=(slab,)), rate=10.0)


def written_in_vain_beside_a_fine_group() -> Evidence:
    """Twelve nodes; telemetry is hardly ever read, what is known of devices is."""
    ring = ring_of(12, written_in_vain())
    fine = GroupEvidence(
        name="device:meta", gets_per_s=0.5 * ring.gets_per_s, writes_per_s=0.1 * ring.groups[0].writes_per_s,
        unread=0.05,
    )  # fmt: skip
    return replace(ring, groups=(ring.groups[0], fine))


def out_of_connections() -> Evidence:
    """Few requests, over more connections than it takes."""
    evidence = scaled(ring_of(2, sound()), rate=0.1)
    first, second = evidence.nodes
    return replace(evidence, nodes=(replace(first, connections=1_000, connections_max=1_024), second))


def now_and_then_one_is_evicted() -> Evidence:
    """A class with a few large entries evicts one a minute, while another has pages to spare."""
    slabs = (
        SlabEvidence(
            number=3, chunk_bytes=152, pages=40, used_chunks=6_898 * 30, free_chunks=6_898 * 10,
            chunks_per_page=6_898,
        ),
        SlabEvidence(
            number=30, chunk_bytes=60_000, pages=1, used_chunks=17, chunks_per_page=17,
            evictions_per_s=1 / 60,
        ),
    )  # fmt: skip
    return changed(sound(), slabs=slabs, evictions_per_s=1 / 60)


def large_nodes_of_more_weight() -> Evidence:
    """One node has three times the memory, and by its weight three times the keys."""
    ring = ring_of(3, sound())
    first, *others = ring.nodes
    large = scaled(replace(ring, nodes=(first,)), rate=3.0, size=3.0).nodes[0]
    return replace(ring, nodes=(
        replace(large, weight=3, share=0.6), *(replace(node, share=0.2) for node in others),
    ))  # fmt: skip


def looked_at_for_half_a_minute() -> Evidence:
    """A node of 64 GB, nine tenths full; of what lies in it little was asked for meanwhile."""
    node = sound().nodes[0]
    curve = MemoryCurve(
        sizes=tuple(GB * size for size in (4, 8, 16, 32, 64, 128)),
        ratios=(0.96, 0.97, 0.97, 0.97, 0.97, 0.97),
        now_bytes=64 * GB,
        working_set_bytes=5.0 * GB,
        sampled_gets=4_000.0,
    )
    evidence = changed(
        sound(), memory_bytes=64 * GB, used_bytes=58 * GB, curve=curve, misses_per_s=0.03 * node.gets_per_s
    )
    return replace(evidence, seconds=30.0)


OTHERS: tuple[tuple[Callable[[], Evidence], Subject], ...] = (
    (twelve_nodes_short_of_memory, Subject.MEMORY),
    (a_large_node_short_of_memory, Subject.MEMORY),
    (a_small_node_short_of_memory, Subject.MEMORY),
    (a_large_ring_half_empty, Subject.MEMORY),
    (one_of_two_lives_too_short, Subject.TTL),
    (lives_mixed_and_too_long, Subject.TTL),
    (a_hot_key_on_one_of_twelve, Subject.HOT_KEY),
    (a_hot_key_and_too_little_memory, Subject.HOT_KEY),
    (an_uneven_ring_of_twelve, Subject.WEIGHT),
    (a_byte_too_long, Subject.ITEM_SIZE),
    (written_in_vain_beside_a_fine_group, Subject.WRITES),
    (out_of_connections, Subject.NODES),
)
HEALTHY_TOO = (now_and_then_one_is_evicted, large_nodes_of_more_weight, looked_at_for_half_a_minute)
