"""``stats`` and its sub-commands, with memcached's names (protocol.txt, "General-purpose statistics").

Figures that only memcached's own memory pages and threads have are left out rather than made up.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from iotcache_simulator.cachenode import VERSION
from iotcache_simulator.cachenode.memory.counters import Slab
from iotcache_simulator.cachenode.memory.items import Item
from iotcache_simulator.cachenode.node import BundledNode
from iotcache_simulator.cachenode.protocol.replies import ERROR

_AGE_SEARCH = 2000
"""Items looked at for the oldest of each class; a class older than none of them has no ``age`` line."""

_Fields = Iterator[tuple[str, object]]


def stats(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``stats [items|slabs|settings|sizes|reset|…]``"""
    if len(tokens) == 1:
        return _lines(_general(node))
    match tokens[1]:
        case b"items":
            return _lines(_items(node))
        case b"slabs":
            return _lines(_slabs(node))
        case b"settings":
            return _lines(_settings(node))
        case b"sizes":
            return _lines(iter([("sizes_status", "disabled")]))
        case b"reset":
            node.reset_counters()
            return b"RESET\r\n"
        case b"detail" | b"cachedump" as dump:
            return b"CLIENT_ERROR stats %b not allowed\r\n" % dump
        case _:
            return ERROR


def _lines(fields: _Fields) -> bytes:
    return "".join(f"STAT {name} {value}\r\n" for name, value in fields).encode("ascii") + b"END\r\n"


def _general(node: BundledNode) -> _Fields:
    items, counters, slabs = node.items, node.counters, node.items.slabs
    times = os.times()
    yield "pid", node.pid
    yield "uptime", items.now - node.started_at
    yield "time", items.now
    yield "version", VERSION
    yield "pointer_size", struct.calcsize("P") * 8
    yield "rusage_user", f"{times.user:.6f}"
    yield "rusage_system", f"{times.system:.6f}"
    yield "max_connections", node.max_connections
    yield "curr_connections", node.connections
    for name in ("total_connections", "rejected_connections"):
        yield name, getattr(counters, name)
    yield "cmd_get", counters.cmd_get
    yield "cmd_set", slabs.total("cmd_set")
    for name in ("cmd_flush", "cmd_touch", "cmd_meta"):
        yield name, getattr(counters, name)
    yield "get_hits", slabs.total("get_hits")
    for name in ("get_misses", "get_expired", "get_flushed"):
        yield name, getattr(counters, name)
    for verb in ("delete", "incr", "decr", "cas", "touch"):
        yield f"{verb}_misses", getattr(counters, f"{verb}_misses")
        yield f"{verb}_hits", slabs.total(f"{verb}_hits")
    yield "cas_badval", slabs.total("cas_badval")
    for name in ("store_too_large", "bytes_read", "bytes_written"):
        yield name, getattr(counters, name)
    yield "limit_maxbytes", items.limit_bytes
    yield "accepting_conns", 1
    yield "threads", 1
    yield "conn_yields", counters.conn_yields
    yield "bytes", items.bytes
    yield "curr_items", len(items)
    yield "total_items", counters.total_items
    for name in ("expired_unfetched", "evicted_unfetched", "evicted_active"):
        yield name, slabs.total(name)
    yield "evictions", slabs.total("evicted")
    for name in ("reclaimed", "crawler_reclaimed", "crawler_items_checked"):
        yield name, slabs.total(name)


def _oldest_by_class(node: BundledNode) -> dict[int, Item]:
    found: dict[int, Item] = {}
    for item in node.items.oldest(_AGE_SEARCH):
        found.setdefault(item.slab.number, item)
    return found


def _items(node: BundledNode) -> _Fields:
    oldest = _oldest_by_class(node)
    for slab in node.items.slabs.used():
        prefix = f"items:{slab.number}:"
        yield prefix + "number", slab.items
        item = oldest.get(slab.number)
        if item is not None:
            yield prefix + "age", node.items.now - item.used_at
        yield prefix + "mem_requested", slab.item_bytes
        for name in (
            "evicted",
            "evicted_nonzero",
            "evicted_time",
            "reclaimed",
            "expired_unfetched",
            "evicted_unfetched",
            "evicted_active",
            "crawler_reclaimed",
            "crawler_items_checked",
        ):
            yield prefix + name, getattr(slab.counters, name)


def _slabs(node: BundledNode) -> _Fields:
    used: list[Slab] = node.items.slabs.used()
    for slab in used:
        yield f"{slab.number}:chunk_size", slab.chunk_bytes
        yield f"{slab.number}:used_chunks", slab.items
        for name in (
            "get_hits",
            "cmd_set",
            "delete_hits",
            "incr_hits",
            "decr_hits",
            "cas_hits",
            "cas_badval",
            "touch_hits",
        ):
            yield f"{slab.number}:{name}", getattr(slab.counters, name)
    yield "active_slabs", len(used)
    yield "total_malloced", node.items.bytes


def _settings(node: BundledNode) -> _Fields:
    interface, port = node.listening
    yield "maxbytes", node.items.limit_bytes
    yield "maxconns", node.max_connections
    yield "tcpport", port
    yield "udpport", 0
    yield "inter", interface or "NULL"
    yield "verbosity", node.verbosity
    yield "evictions", "on"
    yield "domain_socket", "NULL"
    yield "shutdown_command", "no"
    yield "num_threads", 1
    yield "detail_enabled", "no"
    yield "cas_enabled", "yes"
    yield "auth_enabled_sasl", "no"
    yield "auth_enabled_ascii", "no"
    yield "item_size_max", node.items.max_item_bytes
    yield "lru_crawler", "yes"
    yield "flush_enabled", "yes"
    yield "dump_enabled", "yes"
    yield "lru_segmented", "no"
