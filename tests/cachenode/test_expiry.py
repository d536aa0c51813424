"""Items die when they should, and flushing spares what comes after it."""

from __future__ import annotations

import pytest

from iotcache_simulator.cachenode.memory.counters import NodeCounters
from iotcache_simulator.cachenode.memory.items import Items
from tests.cachenode.conftest import Bench

THIRTY_DAYS_S = 2_592_000


def test_zero_is_for_ever(bench: Bench) -> None:
    bench.put(b"k", flags=b"T0")
    bench.clock.advance(10 * 365 * 86_400)
    assert bench.say(b"mg k t v\r\n") == b"VA 1 t-1\r\nv\r\n"


def test_a_negative_time_is_dead_at_once(bench: Bench) -> None:
    assert bench.say(b"set k 0 -1 1\r\nv\r\nget k\r\n") == b"STORED\r\nEND\r\n"


@pytest.mark.parametrize("seconds", [1, 60, THIRTY_DAYS_S])
def test_a_relative_time_ends_on_its_second(bench: Bench, seconds: int) -> None:
    bench.put(b"k", flags=b"T%d" % seconds)
    bench.clock.advance(seconds - 1)
    assert bench.say(b"mg k t u\r\n") == b"HD t1\r\n"
    bench.clock.advance(1)
    assert bench.say(b"mg k t u\r\n") == b"EN\r\n"
    assert bench.count("get_expired") == 1


def test_more_than_thirty_days_is_an_epoch_time(bench: Bench) -> None:
    bench.put(b"past", flags=b"T%d" % (THIRTY_DAYS_S + 1))
    assert bench.say(b"mg past v\r\n") == b"EN\r\n"
    bench.put(b"future", flags=b"T%d" % (int(bench.clock.now()) + 90))
    assert bench.say(b"mg future t\r\n") == b"HD t90\r\n"


def test_touch_gat_and_mg_change_the_time_left(bench: Bench) -> None:
    bench.put(b"k", flags=b"T10")
    assert bench.say(b"touch k 20\r\nmg k t\r\n") == b"TOUCHED\r\nHD t20\r\n"
    assert bench.say(b"gat 30 k\r\nmg k t\r\n") == b"VALUE k 0 1\r\nv\r\nEND\r\nHD t30\r\n"
    assert bench.say(b"mg k T40 t\r\n") == b"HD t40\r\n"


def test_append_and_incr_keep_the_time_left(bench: Bench) -> None:
    bench.put(b"k", b"9", b"T10 F7")
    assert bench.say(b"incr k 1\r\nappend k 0 0 1\r\n1\r\nmg k t f v\r\n") == (
        b"10\r\nSTORED\r\nVA 3 t10 f7\r\n101\r\n"
    )


def test_the_clock_never_goes_back() -> None:
    items = Items(NodeCounters(), limit_bytes=1 << 20, max_item_bytes=1 << 20, now=100.9)
    items.advance(50.0)
    assert items.now == 100


def test_flush_all_spares_what_is_stored_after_it(bench: Bench) -> None:
    bench.put(b"old")
    bench.clock.advance(5)
    bench.put(b"this-second")
    assert bench.say(b"flush_all\r\n") == b"OK\r\n"
    bench.put(b"new")
    assert bench.say(b"get old this-second new\r\n") == b"VALUE new 0 1\r\nv\r\nEND\r\n"
    assert bench.count("get_flushed") == 1
    assert bench.count("cmd_flush") == 1


def test_a_delayed_flush_takes_what_was_stored_before_its_time(bench: Bench) -> None:
    bench.put(b"before")
    assert bench.say(b"flush_all 10\r\nget before\r\n") == b"OK\r\nVALUE before 0 1\r\nv\r\nEND\r\n"
    bench.clock.advance(10)
    bench.put(b"after")
    assert bench.say(b"get before after\r\n") == b"VALUE after 0 1\r\nv\r\nEND\r\n"


def test_dead_items_stay_until_asked_for_or_crawled(bench: Bench) -> None:
    for number in range(10):
        bench.put(b"short%d" % number, flags=b"T5")
    bench.put(b"long", flags=b"T500")
    bench.clock.advance(6)
    assert bench.count("curr_items") == 11
    assert bench.say(b"get short0\r\n") == b"END\r\n"
    assert bench.count("curr_items") == 10
    assert bench.say(b"lru_crawler crawl all\r\n") == b"OK\r\n"
    assert bench.count("curr_items") == 1
    assert bench.count("crawler_reclaimed") == 9
    assert bench.count("expired_unfetched") == 9
    assert bench.say(b"mg long t\r\n") == b"HD t494\r\n"


def test_a_dead_item_counts_nowhere_as_a_value(bench: Bench) -> None:
    bench.put(b"k", b"5", b"T5")
    bench.clock.advance(5)
    assert bench.say(
        b"append k 0 0 1\r\nx\r\nincr k 1\r\ntouch k 9\r\ndelete k\r\nreplace k 0 0 1\r\nx\r\n"
    ) == (b"NOT_STORED\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_STORED\r\n")
    assert bench.say(b"add k 0 0 1\r\nx\r\n") == b"STORED\r\n"
