"""Synthetic histories of caches, each with one thing wrong with it, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from msgspec.structs import replace

from iotcache.advisor.advice import Subject
from iotcache.advisor.compression import PackedValue, compression
from iotcache.advisor.evidence import Evidence, GroupEvidence, NodeEvidence, SlabEvidence
from iotcache.advisor.hot_keys import HotKey
from iotcache.advisor.references import Kind, Reference, mixed
from iotcache.advisor.sampler import Sampler
from tests.advisor.oracle import ExactLru
from tests.advisor.traces import trace

MB = 1 << 20
SCALE = 256
"""Traces are small; the histories are of caches so many times as large and busy."""


def observed(references: Sequence[Reference], now_bytes: int, *, name: str = "a:11211") -> Evidence:
    """What would be seen of a node with ``now_bytes`` that is asked just this."""
    sampler = Sampler(
        now_bytes, sizes=tuple(round(now_bytes * 2.0**step) for step in range(-5, 5)), max_keys=2_048
    )
    sampler.feed(references)
    real = ExactLru(now_bytes)
    real.feed(references)
    seconds = references[-1].time_s - references[0].time_s
    sets = sum(one.kind in (Kind.WRITE, Kind.FILL) for one in references)
    writes = sum(one.kind is Kind.WRITE for one in references)
    curve = sampler.memory_curve()
    evicting = curve.working_set_bytes > now_bytes
    gets_per_s = SCALE * real.gets / seconds
    node = NodeEvidence(
        name=name,
        memory_bytes=SCALE * now_bytes,
        used_bytes=round(SCALE * min(now_bytes, curve.working_set_bytes)),
        gets_per_s=gets_per_s,
        misses_per_s=SCALE * (real.gets - real.hits) / seconds,
        sets_per_s=SCALE * sets / seconds,
        evictions_per_s=SCALE * 0.5 * sets / seconds if evicting else 0.0,
        curve=replace(
            curve,
            sizes=tuple(SCALE * size for size in curve.sizes),
            now_bytes=SCALE * now_bytes,
            working_set_bytes=SCALE * curve.working_set_bytes,
        ),
    )
    groups = tuple(
        GroupEvidence(
            name=name,
            gets_per_s=SCALE * sum(one.group == at and one.kind is Kind.GET for one in references) / seconds,
            ttl=sampler.ttl_curve(at),
            writes_per_s=SCALE * writes / seconds,
            unread=sampler.unread_share(at),
        )
        for at, name in enumerate(("cold-room:temperature", "device:meta"))
    )
    return Evidence(seconds=seconds, nodes=(node,), groups=groups)


@cache
def sound() -> Evidence:
    """All that is asked for fits, and the newest reading replaces the one before in time."""
    return observed(trace(keys=1_500, gets=6_000, writes=1.0, ttl_s=600.0), 600_000)


def changed(evidence: Evidence, **changes: object) -> Evidence:
    return replace(evidence, nodes=(replace(evidence.nodes[0], **changes),))


@cache
def too_little_memory() -> Evidence:
    return observed(trace(keys=3_000, gets=9_000, writes=0.2), 120_000)


@cache
def too_much_memory() -> Evidence:
    return observed(trace(keys=1_500, gets=6_000, writes=0.5), 4_000_000)


@cache
def ttl_too_short() -> Evidence:
    return observed(trace(keys=1_500, gets=6_000, writes=0.0, ttl_s=15.0), 200_000)


@cache
def ttl_too_long() -> Evidence:
    """Each entry is read within seconds of its write and then kept for long; others are evicted for it."""
    out = []
    rng = np.random.default_rng(7)
    seen: set[int] = set()
    for number in range(3_000):
        at_s = number * 0.5
        out.append(Reference(mixed(number), Kind.WRITE, at_s, 240, 600.0))
        out += [Reference(mixed(number - back), Kind.GET, at_s) for back in (1, 2) if number >= back]
        key = mixed(10**6 + int(rng.integers(400)))
        out.append(Reference(key, Kind.GET, at_s, group=1))
        if key not in seen:
            seen.add(key)
            out.append(Reference(key, Kind.FILL, at_s, 240, group=1))
    return observed(out, 240 * 900)


@cache
def expiring_together() -> Evidence:
    out = []
    for number in range(6_000):
        at_s = number * 0.1
        key = number * 7 % 500
        out.append(Reference(mixed(key), Kind.GET, at_s))
        if number < 500:
            out.append(Reference(mixed(key), Kind.FILL, at_s, 240, 300.0))
    evidence = observed(out, 240 * 700)
    return replace(evidence, groups=(replace(evidence.groups[0], misses_peak=40.0),))


@cache
def one_hot_key() -> Evidence:
    hot = HotKey(b"site:overview", 45_000.0, 20.0)
    return changed(sound(), top_gets=(hot, HotKey(b"other", 900.0, 20.0)), gets_counted=100_000.0)


def an_uneven_ring() -> Evidence:
    node = sound().nodes[0]
    others = [
        replace(node, name=f"{name}:11211", gets_per_s=node.gets_per_s * share, share=1 / 3)
        for name, share in (("a", 0.7), ("b", 1.7), ("c", 0.6))
    ]
    return replace(sound(), nodes=tuple(others))


@cache
def pages_in_the_wrong_class() -> Evidence:
    slabs = (
        SlabEvidence(
            number=3, chunk_bytes=152, pages=40, used_chunks=6_898 * 12, free_chunks=6_898 * 28,
            chunks_per_page=6_898,
        ),
        SlabEvidence(
            number=9, chunk_bytes=600, pages=20, used_chunks=1_747 * 20, chunks_per_page=1_747,
            evictions_per_s=80.0,
        ),
    )  # fmt: skip
    return changed(sound(), slabs=slabs, evictions_per_s=80.0)


def just_too_long() -> Evidence:
    node = sound().nodes[0]
    chunks = node.memory_bytes // 240
    slab = SlabEvidence(number=5, chunk_bytes=240, pages=64, used_chunks=chunks, item_bytes=196.0)
    return changed(sound(), slabs=(slab,))


def one_list_for_all() -> Evidence:
    """A report reads everything once a day through a flat LRU."""
    node = sound().nodes[0]
    curve = node.curve
    assert curve is not None
    flat = replace(curve, ratios=(0.2, 0.4, 0.52, 0.62, 0.67, 0.7, 0.7, 0.7, 0.7, 0.705))
    return changed(
        sound(), lru_segmented=False, curve=flat, misses_per_s=0.3 * node.gets_per_s,
        evictions_per_s=0.4 * node.sets_per_s, evicted_unfetched_per_s=0.36 * node.sets_per_s,
    )  # fmt: skip


@cache
def written_in_vain() -> Evidence:
    out = []
    for number in range(6_000):
        out.append(Reference(mixed(number % 1_000), Kind.WRITE, number * 0.1, 240, 600.0))
        if number % 20 == 0:
            out.append(Reference(mixed(number % 1_000), Kind.GET, number * 0.1))
    return observed(out, 240 * 1_400)


def long_texts() -> Evidence:
    """Documents of a kilobyte of JSON, stored as they are."""
    values = [PackedValue(20, 900 + number % 200, 300) for number in range(60)]
    return changed(sound(), compression=compression(values))


def more_than_a_node_bears() -> Evidence:
    return changed(sound(), gets_per_s=520_000.0, misses_per_s=2_000.0, sets_per_s=30_000.0)


def quiet_night() -> Evidence:
    """Nearly nobody asks for anything."""
    node = sound().nodes[0]
    return changed(sound(), gets_per_s=node.gets_per_s / 1_000, misses_per_s=0.1, sets_per_s=0.5)


def never_read_twice() -> Evidence:
    """It evicts, and no memory would help: what comes is new each time."""
    rng = np.random.default_rng(5)
    out = []
    for number in range(5_000):
        key = mixed(number) if number % 2 else mixed(10**6 + int(rng.integers(100)))
        out.append(Reference(key, Kind.GET, number * 0.1))
        if number % 2 or number < 1_000:
            out.append(Reference(key, Kind.FILL, number * 0.1, 240))
    return observed(out, 240 * 1_000)


def packed_already() -> Evidence:
    values = [PackedValue(20, 300, 310) for _ in range(60)]
    return changed(sound(), compression=compression(values))


WRONG: tuple[tuple[Callable[[], Evidence], Subject], ...] = (
    (too_little_memory, Subject.MEMORY),
    (too_much_memory, Subject.MEMORY),
    (ttl_too_short, Subject.TTL),
    (ttl_too_long, Subject.TTL),
    (expiring_together, Subject.JITTER),
    (one_hot_key, Subject.HOT_KEY),
    (an_uneven_ring, Subject.WEIGHT),
    (pages_in_the_wrong_class, Subject.SLABS),
    (just_too_long, Subject.ITEM_SIZE),
    (one_list_for_all, Subject.LRU),
    (written_in_vain, Subject.WRITES),
    (more_than_a_node_bears, Subject.NODES),
    (long_texts, Subject.COMPRESSION),
)
HEALTHY = (sound, quiet_night, never_read_twice, packed_already)
