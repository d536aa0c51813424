"""The byte limit holds, and the least recently used items pay for it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache_simulator.cachenode.node import MIB
from tests.cachenode.conftest import Bench

VALUE = b"x" * 1000


def full(limit_bytes: int = 100_000) -> Bench:
    """A node that holds as many items ``k0``, ``k1`` … as it can."""
    bench = Bench(limit_bytes=limit_bytes)
    number = 0
    while bench.count("evictions") == 0:
        bench.put(b"k%d" % number, VALUE)
        number += 1
    return bench


def test_the_least_recently_used_goes_first() -> None:
    bench = full()
    assert bench.say(b"mg k0\r\nmg k1\r\n") == b"EN\r\nHD\r\n"
    bench.put(b"next", VALUE)
    assert bench.say(b"mg k1\r\nmg k2\r\n") == b"HD\r\nEN\r\n"


def test_looking_with_u_or_me_does_not_save_an_item() -> None:
    bench = full()
    assert bench.say(b"mg k1 u v\r\nme k1\r\n").startswith(b"VA 1000")
    bench.put(b"next", VALUE)
    assert bench.say(b"mg k1\r\n") == b"EN\r\n"


def test_what_was_evicted_is_told_apart() -> None:
    bench = full()
    evictions = bench.count("evictions")
    assert bench.count("evicted_unfetched") == evictions
    bench.say(b"mg k1\r\nmg k1\r\n")
    bench.clock.advance(42)
    for number in range(200):
        bench.put(b"flood%d" % number, VALUE, b"T1000")
    assert bench.count("evicted_active") == 1
    assert bench.count("evictions") - bench.count("evicted_unfetched") == 1
    items = bench.stats(b"stats items")
    assert any(int(items[name]) for name in items if name.endswith(":evicted_nonzero"))


def test_a_dead_item_at_the_end_is_reclaimed_not_evicted() -> None:
    bench = Bench(limit_bytes=100_000)
    for number in range(50):
        bench.put(b"short%d" % number, VALUE, b"T5")
    bench.clock.advance(10)
    for number in range(80):
        bench.put(b"k%d" % number, VALUE)
    assert bench.count("reclaimed") > 0
    assert bench.count("evictions") == 0
    assert bench.count("expired_unfetched") == bench.count("reclaimed")


def test_an_item_counts_what_memcached_counts() -> None:
    bench = Bench()
    bench.put(b"key1", b"x" * 100)
    assert bench.count("bytes") == 48 + 8 + 5 + 100 + 2
    bench.put(b"key1", b"x" * 100, b"F1")
    assert bench.count("bytes") == 48 + 8 + 5 + 4 + 100 + 2
    bench.say(b"delete key1\r\n")
    assert bench.count("bytes") == bench.count("curr_items") == 0


def test_a_lower_limit_evicts_at_once() -> None:
    bench = Bench(limit_bytes=20 * MIB)
    for number in range(19):
        bench.put(b"k%d" % number, b"x" * 1_000_000)
    assert bench.say(b"cache_memlimit 7\r\n").startswith(b"MEMLIMIT_TOO_SMALL")
    assert bench.say(b"cache_memlimit 8\r\n") == b"OK\r\n"
    assert bench.count("limit_maxbytes") == 8 * MIB >= bench.count("bytes")
    assert bench.say(b"mg k18\r\nmg k0\r\n") == b"HD\r\nEN\r\n"


def test_an_oversize_set_deletes_the_old_value_and_swallows_the_new() -> None:
    bench = Bench(max_item_bytes=2000)
    large = b"get victim\r\n" * 200
    for command in (b"set k 0 0 %d\r\n", b"ms k %d\r\n"):
        bench.put(b"k")
        bench.put(b"victim")
        answer = bench.say(command % len(large) + large + b"\r\nget k\r\n")
        assert answer == b"SERVER_ERROR object too large for cache\r\nEND\r\n"
    bench.put(b"k")
    assert bench.say(b"add k 0 0 %d\r\n%b\r\nget k\r\n" % (len(large), large)) == (
        b"SERVER_ERROR object too large for cache\r\nVALUE k 0 1\r\nv\r\nEND\r\n"
    )
    assert bench.count("store_too_large") == 3


def test_append_does_not_grow_an_item_past_its_limit() -> None:
    bench = Bench(max_item_bytes=2000)
    bench.put(b"k", b"a" * 1500)
    assert bench.say(b"append k 0 0 500\r\n" + b"b" * 500 + b"\r\n") == b"NOT_STORED\r\n"
    assert bench.say(b"mg k s\r\n") == b"HD s1500\r\n"


_KEYS = st.sampled_from([b"a", b"bb", b"ccc", b"dddd", b"eeeee"])
_SIZES = st.integers(0, 900)
_STEPS = st.lists(
    st.one_of(
        st.builds(lambda k, n: b"set %b 0 0 %d\r\n%b\r\n" % (k, n, b"1" * n), _KEYS, _SIZES),
        st.builds(lambda k, n: b"append %b 0 0 %d\r\n%b\r\n" % (k, n, b"2" * n), _KEYS, _SIZES),
        st.builds(lambda k: b"incr %b 18446744073709551615\r\n" % k, _KEYS),
        st.builds(lambda k: b"mg %b N5\r\n" % k, _KEYS),
        st.builds(lambda k: b"md %b x T5\r\n" % k, _KEYS),
        st.builds(lambda k: b"md %b\r\n" % k, _KEYS),
        st.just(b"flush_all\r\n"),
        st.just(b"lru_crawler crawl all\r\n"),
    ),
    max_size=40,
)


@given(_STEPS, st.lists(st.integers(0, 7), min_size=40, max_size=40))
@settings(max_examples=150, deadline=None)
def test_the_books_always_balance(steps: list[bytes], waits: list[int]) -> None:
    bench = Bench(limit_bytes=2500, max_item_bytes=1000)
    for step, wait in zip(steps, waits, strict=False):
        bench.say(step)
        bench.clock.advance(wait)
        items = bench.node.items
        held = [item for key in items.keys() if (item := items._by_use[key])]  # noqa: SIM118
        assert items.bytes == sum(item.size_bytes for item in held) <= 2500
        assert sum(slab.items for slab in items.slabs.used()) == len(items) == len(held)
        assert sum(slab.item_bytes for slab in items.slabs.used()) == items.bytes
