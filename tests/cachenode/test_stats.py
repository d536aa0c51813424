"""``stats`` says what happened, under memcached's names."""

from __future__ import annotations

import os

from iotcache_simulator.cachenode import VERSION
from tests.cachenode.conftest import Bench


def test_reads_are_counted_by_kind(bench: Bench) -> None:
    bench.put(b"k", flags=b"T50")
    bench.say(b"get k none\r\nmg k\r\nmg none q\r\ntouch k 5\r\ntouch none 5\r\nmg k T9\r\ngat 9 none\r\n")
    assert {name: bench.count(name) for name in ("cmd_get", "get_hits", "get_misses", "cmd_touch")} == {
        "cmd_get": 4,
        "get_hits": 2,
        "get_misses": 2,
        "cmd_touch": 4,
    }
    assert (bench.count("touch_hits"), bench.count("touch_misses")) == (2, 2)


def test_writes_are_counted_by_outcome(bench: Bench) -> None:
    bench.put(b"n", b"1")
    bench.say(b"incr n 1\r\nincr none 1\r\ndecr n 1\r\ndecr none 1\r\ndelete none\r\n")
    bench.say(b"cas n 0 0 1 99\r\nv\r\ncas none 0 0 1 9\r\nv\r\n")
    bench.say(b"ms n 1 C%d\r\nv\r\ndelete n\r\n" % int(bench.say(b"mg n c\r\n")[4:]))
    verbs = ("incr", "decr", "delete", "cas")
    assert all(bench.count(f"{verb}_hits") == bench.count(f"{verb}_misses") == 1 for verb in verbs)
    assert bench.count("cas_badval") == 1
    assert bench.count("cmd_set") == 4


def test_the_node_describes_itself(bench: Bench) -> None:
    bench.clock.advance(77)
    found = bench.stats()
    assert found["version"] == VERSION
    assert int(found["pid"]) == os.getpid()
    assert int(found["uptime"]) == 77
    assert int(found["time"]) == int(bench.clock.now())
    assert int(found["pointer_size"]) in (32, 64)
    assert {"curr_connections", "total_connections", "bytes_read", "bytes_written", "threads"} <= set(found)
    settings = bench.stats(b"stats settings")
    assert settings["item_size_max"] == "1048576"
    assert settings["maxbytes"] == found["limit_maxbytes"]


def test_items_and_slabs_are_told_by_class(bench: Bench) -> None:
    bench.put(b"small", b"x")
    bench.put(b"large", b"x" * 5000)
    bench.clock.advance(12)
    bench.say(b"get small\r\nget small\r\n")
    items, slabs = bench.stats(b"stats items"), bench.stats(b"stats slabs")
    small, large = (
        int(bench.say(b"me %b\r\n" % key).split(b"cls=")[1].split()[0]) for key in (b"small", b"large")
    )
    assert (items[f"items:{small}:age"], items[f"items:{large}:age"]) == ("0", "12")
    assert items[f"items:{large}:number"] == slabs[f"{large}:used_chunks"] == "1"
    assert slabs[f"{small}:get_hits"] == "2"
    assert slabs["active_slabs"] == "2"
    assert int(slabs[f"{large}:chunk_size"]) >= int(items[f"items:{large}:mem_requested"]) > 5000


def test_reset_clears_counters_and_keeps_items(bench: Bench) -> None:
    bench.put(b"k")
    bench.say(b"get k none\r\n")
    assert bench.say(b"stats reset\r\n") == b"RESET\r\n"
    assert bench.count("get_hits") == bench.count("get_misses") == bench.count("cmd_set") == 0
    assert bench.count("curr_items") == 1
    assert bench.say(b"get k\r\ndelete none\r\n") == b"VALUE k 0 1\r\nv\r\nEND\r\nNOT_FOUND\r\n"
    assert (bench.count("get_hits"), bench.count("delete_misses")) == (1, 1)


def test_metadump_lists_the_living(bench: Bench) -> None:
    now = int(bench.clock.now())
    for number in range(200):
        bench.put(b"k%03d" % number, flags=b"T%d" % (5 if number % 2 else 500))
    bench.clock.advance(9)
    lines = bench.say(b"lru_crawler metadump all\r\n").splitlines()
    assert lines.pop() == b"END"
    assert len(lines) == 100
    assert lines[0] == b"key=k000 exp=%d la=%d cas=1 fetch=no cls=1 size=64 flags=0" % (now + 500, now)


def test_what_the_node_cannot_do_it_says(bench: Bench) -> None:
    assert bench.say(b"watch fetchers\r\n") == b"CLIENT_ERROR watch commands not allowed\r\n"
    assert bench.say(b"shutdown\r\n") == b"ERROR: shutdown not enabled\r\n"
    assert bench.say(b"stats nonsense\r\n") == b"ERROR\r\n"
    assert bench.say(b"lru_crawler metadump x\r\n") == b"BADCLASS invalid class id\r\n"
