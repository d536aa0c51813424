"""The sampler against exact caches, in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.advisor.references import Batch, Found, Kind, Reference, mixed
from iotcache.advisor.sampler import MAX_KEYS, Sampler
from tests.advisor.oracle import ExactLru, ratios
from tests.advisor.traces import trace

SIZES = (200, 400, 800, 1_600, 10**9)
KEYS = st.integers(0, 11).map(mixed)
REQUESTS = st.lists(
    st.tuples(st.sampled_from([Kind.GET, Kind.GET, Kind.WRITE, Kind.DELETE]), KEYS, st.integers(0, 3)),
    max_size=120,
)


def references(requests: list[tuple[Kind, int, int]], ttl_s: float = 0.0) -> list[Reference]:
    """One every so many seconds; a key's size hangs on its hash, and its first get brings a fill."""
    out: list[Reference] = []
    now_s, known = 0.0, set()
    for kind, key, pause in requests:
        now_s += pause / 4
        size = 96 + key % 3 * 24
        out.append(Reference(key, kind, now_s, size if kind is Kind.WRITE else 0, ttl_s))
        if kind is Kind.GET and key not in known:
            out.append(Reference(key, Kind.FILL, now_s, size, ttl_s))
        if kind is not Kind.DELETE:
            known.add(key)
    return out


@given(REQUESTS)
@settings(max_examples=25, deadline=None)
def test_unsampled_it_is_an_exact_lru_of_every_size(requests: list[tuple[Kind, int, int]]) -> None:
    """But for deletions, which give a real LRU room that stack distances do not know of."""
    stream = references([one for one in requests if one[0] is not Kind.DELETE])
    sampler = Sampler(1_600, sizes=SIZES, max_keys=64)
    sampler.feed(stream)
    assert list(sampler.memory_curve().ratios) == pytest.approx(ratios(stream, SIZES))


@given(REQUESTS)
@settings(max_examples=25, deadline=None)
def test_with_memory_to_spare_every_ttl_is_exact(requests: list[tuple[Kind, int, int]]) -> None:
    """Write, fill and expiry are one cache's: a fill happens only in the caches that missed."""
    stream = references(requests, ttl_s=1.0)
    sampler = Sampler(10**9, sizes=SIZES, max_keys=64)
    sampler.feed(stream)
    curve = sampler.ttl_curve(0)
    exact = []
    for factor in sampler.ttl_factors:
        cache = ExactLru(10**9, factor)
        cache.feed(stream)
        exact.append(cache.ratio)
    if curve is not None:
        assert list(curve.ratios) == pytest.approx(exact)
    assert sampler.memory_curve().ratios[-1] == pytest.approx(exact[sampler.ttl_factors.index(1.0)])


@given(REQUESTS)
@settings(max_examples=25, deadline=None)
def test_writes_that_are_counted_in_short_come_to_the_same(requests: list[tuple[Kind, int, int]]) -> None:
    stream = references(requests, ttl_s=1.0)
    plain, short = (Sampler(10**6, max_keys=64) for _ in range(2))
    for at, one in enumerate(stream):
        if at == 60:
            plain.gap()
            short.gap()
        plain.feed([one])
        if one.kind is not Kind.WRITE:
            short.feed([one])
        elif short.rewrites([one.key_hash], [one.chunk_bytes], [one.ttl_s], one.time_s):
            short.take(one)
    assert short.memory_curve() == plain.memory_curve()
    assert short.ttl_curve(0) == plain.ttl_curve(0)
    assert short.unread_share(0) == plain.unread_share(0)


@pytest.mark.parametrize("ttl_s", [0.0, 60.0])
def test_a_sample_of_one_key_in_five_is_within_a_point_of_the_exact_curve(ttl_s: float) -> None:
    stream = trace(ttl_s=ttl_s, gets=40_000, keys=20_000)
    sampler = Sampler(1_000_000)
    sampler.feed(stream)
    assert sampler.rate < 0.3
    sizes = sampler.sizes[::3]
    curve, exact = sampler.memory_curve(), ratios(stream, sizes)
    errors = [abs(curve.at(size) - ratio) for size, ratio in zip(sizes, exact, strict=True)]
    assert sum(errors) / len(errors) <= 0.01
    assert max(errors) <= 0.02


def test_a_full_sample_takes_less_than_a_mebibyte_however_many_keys_there_are() -> None:
    tracemalloc.start()
    try:
        sampler = Sampler(1_000_000)
        for number in range(MAX_KEYS * 2):
            sampler.feed([Reference(mixed(number), Kind.WRITE, number / 100, 96, 60.0)])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sampler.rate < 0.6
    assert held <= 1 << 20


def test_without_the_correction_a_sample_that_lacks_the_popular_keys_is_far_off() -> None:
    """What the correction is for: the hits of popular keys that chance left out."""
    stream = trace(exponent=1.2, gets=20_000, keys=20_000, writes=0.2)
    counts: dict[int, int] = {}
    for one in stream:
        counts[one.key_hash] = counts.get(one.key_hash, 0) + 1
    top = sorted(counts, key=lambda name: -counts[name])[:10]
    # The same trace, its most popular keys renamed to ones that no sample takes.
    renamed = {name: (1 << 32) - 1 - at for at, name in enumerate(top)}
    stream = [one._replace(key_hash=renamed.get(one.key_hash, one.key_hash)) for one in stream]
    exact = ratios(stream, (60_000,))[0]
    sampler = Sampler(60_000, max_keys=1_024)
    sampler.feed(stream)
    uncorrected = Sampler(60_000, max_keys=1_024, rate=sampler.rate)
    uncorrected.feed(one for one in stream if one.key_hash < uncorrected.threshold)
    scale = uncorrected.rate
    uncorrected.tallies.seen[0] = round(sum(uncorrected.tallies.gets) / scale)
    assert abs(sampler.memory_curve().now - exact) < 0.03
    assert abs(uncorrected.memory_curve().now - exact) > 0.06


def test_an_expired_entry_is_a_miss_whatever_the_memory() -> None:
    sampler = Sampler(10**9)
    stream = []
    for round_ in range(50):
        stream += [Reference(mixed(key), Kind.GET, round_ * 10.0) for key in range(50)]
        stream += [
            Reference(mixed(key), Kind.FILL, round_ * 10.0, 96, 5.0) for key in range(50) if not round_
        ]
    sampler.feed(stream)
    curve, ttl = sampler.memory_curve(), sampler.ttl_curve(0)
    assert curve.ratios == (0.0,) * len(curve.ratios)
    assert ttl is not None
    assert ttl.now == 0.0
    assert ttl.at(3.0) == pytest.approx(0.5)


def test_writes_that_nobody_reads_are_counted() -> None:
    sampler = Sampler(10**6)
    for second in range(10):
        for key in range(100):
            sampler.feed([Reference(mixed(key), Kind.WRITE, float(second), 96, 60.0)])
            if key < 25:
                sampler.feed([Reference(mixed(key), Kind.GET, second + 0.5, 96)])
    assert sampler.unread_share(0) == pytest.approx(0.75 * 0.9)


def test_an_entry_from_before_is_known_by_its_last_use_and_not_taken_for_a_miss() -> None:
    sampler = Sampler(10_000, sizes=(1_000, 10_000))
    now = Reference(mixed(1), Kind.GET, 100.0, 96)
    for key in range(50):
        one = now._replace(key_hash=mixed(key))
        sampler.seed(one, used_s=50.0 + key, expires_s=float("inf"))
    sampler.feed(Reference(mixed(key), Kind.GET, 100.0 + key, 96, found=Found.HIT) for key in range(50))
    assert sampler.memory_curve().ratios == (0.0, 1.0)


def test_batches_and_single_references_come_to_the_same() -> None:
    stream = trace(keys=2_000, gets=4_000, ttl_s=30.0)
    one, many = Sampler(100_000, max_keys=512), Sampler(100_000, max_keys=512)
    one.feed(stream)
    many.feed_arrays(Batch.of(stream))
    assert many.memory_curve() == one.memory_curve()
    assert many.ttl_curve(0) == one.ttl_curve(0)


def test_after_a_gap_a_key_that_is_there_is_left_out_once_and_not_taken_for_a_miss() -> None:
    sampler = Sampler(10_000, sizes=(1_000, 10_000), tick_s=1.0)
    keys = [mixed(key) for key in range(50)]
    sampler.feed(Reference(key, Kind.WRITE, 1.0, 96, 60.0) for key in keys)
    sampler.gap()
    for at_s in (100.0, 101.0):  # somebody has written them meanwhile
        sampler.feed(Reference(key, Kind.GET, at_s, 96, found=Found.HIT) for key in keys)
    assert sampler.memory_curve().ratios == (0.0, 1.0)
    assert sampler.memory_curve().sampled_gets == 50
    sampler.gap()
    sampler.feed(Reference(key, Kind.GET, 200.0, 0, found=Found.MISS) for key in keys)
    assert sampler.memory_curve().ratios == (0.0, 0.5)


def test_the_memory_that_a_ttl_frees_is_that_of_its_own_group() -> None:
    """One entry in twenty is of group 1, whose lives are the longer ones."""
    sampler = Sampler(10**9)
    for number in range(2_000):
        now_s, group, read = number * 0.1, int(number % 20 == 0), max(number - 20, 0)
        sampler.take(Reference(mixed(number), Kind.WRITE, now_s, 240, 80.0 if group else 40.0, group=group))
        sampler.take(Reference(mixed(read), Kind.GET, now_s, group=int(read % 20 == 0)))
        sampler.count({group: 1})
    many, few = sampler.ttl_curve(0), sampler.ttl_curve(1)
    assert many is not None and few is not None
    assert 0.2 < many.live_bytes[0] < 0.4
    assert 0.85 < few.live_bytes[0] < 0.99
