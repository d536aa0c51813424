"""The commands memcached has always had. Source: protocol.txt, and ``process_command_ascii``.

Each function takes the words of its line and gives a :data:`~.replies.Reply`. A word ``noreply`` at the end
silences the answer, errors of these commands included; the protocol warns of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import quote_from_bytes

from iotcache_simulator.cachenode import VERSION
from iotcache_simulator.cachenode.memory.items import FETCHED, KEY_MAX_BYTES, Item, Items
from iotcache_simulator.cachenode.memory.storage import Counted, Stored, Verb, count, note_uncounted, store
from iotcache_simulator.cachenode.node import MIB, BundledNode
from iotcache_simulator.cachenode.protocol.replies import (
    BAD_CHUNK,
    BAD_DELTA,
    BAD_EXPTIME,
    BAD_FORMAT,
    ERROR,
    NON_NUMERIC,
    TOO_LARGE,
    Refusal,
    Reply,
    Upload,
)
from iotcache_simulator.cachenode.tokens import int32, uint32, uint64

_MEMLIMIT_MIN_MB = 8
_MEMLIMIT_MAX_MB = 1_000_000_000  # memcached takes more for bytes given by mistake
_METADUMP_KEYS = 64  # a step of the dump, so that its text is built as the client reads

_ANSWERS = {
    Stored.STORED: b"STORED\r\n",
    Stored.EXISTS: b"EXISTS\r\n",
    Stored.NOT_FOUND: b"NOT_FOUND\r\n",
    Stored.NOT_STORED: b"NOT_STORED\r\n",
}


def _silenced(tokens: list[bytes]) -> bool:
    return tokens[-1] == b"noreply"


def _unless_silenced(tokens: list[bytes], answer: bytes) -> bytes:
    return b"" if tokens[-1] == b"noreply" else answer


def _update(verb: Verb, node: BundledNode, tokens: list[bytes]) -> Reply:
    """``<verb> <key> <flags> <exptime> <bytes> [<cas unique>] [noreply]``"""
    words_wanted = 6 if verb is Verb.CAS else 5
    if len(tokens) not in (words_wanted, words_wanted + 1):
        return ERROR
    key, flags, exptime, value_bytes = tokens[1], uint32(tokens[2]), int32(tokens[3]), int32(tokens[4])
    cas = uint64(tokens[5]) if verb is Verb.CAS else 0
    if len(key) > KEY_MAX_BYTES or flags is None or exptime is None or value_bytes is None or cas is None:
        return _unless_silenced(tokens, BAD_FORMAT)
    if value_bytes < 0:
        return _unless_silenced(tokens, BAD_FORMAT)
    items = node.items
    if not items.fits(key, value_bytes, flags):
        return _too_large(verb, node, tokens, value_bytes)
    expires_at = items.expiry(exptime)
    silent = _silenced(tokens)

    def finish(value: bytes) -> bytes:
        outcome, _ = store(items, verb, Item(key, value, flags, expires_at), cas=cas)
        return b"" if silent else _ANSWERS[outcome]

    return Upload(value_bytes, finish, b"" if silent else BAD_CHUNK)


def _too_large(verb: Verb, node: BundledNode, tokens: list[bytes], value_bytes: int) -> Refusal:
    node.counters.store_too_large += 1
    if verb is Verb.SET:  # rather no value than the one that should have been replaced
        old = node.items.find(tokens[1])
        if old is not None:
            node.items.drop(old)
    return Refusal(_unless_silenced(tokens, TOO_LARGE), value_bytes)


def _retrieve(node: BundledNode, keys: list[bytes], *, with_cas: bool, exptime: int | None = None) -> Reply:
    """``get``, ``gets``, ``gat`` and ``gats``: the values of the keys that are there."""
    if any(len(key) > KEY_MAX_BYTES for key in keys):
        return BAD_FORMAT
    if len(keys) == 1:
        return _value(node, keys[0], with_cas, exptime) + b"END\r\n"
    return _values(node, keys, with_cas, exptime)


def _values(node: BundledNode, keys: list[bytes], with_cas: bool, exptime: int | None) -> Iterator[bytes]:
    for key in keys:
        yield _value(node, key, with_cas, exptime)
    yield b"END\r\n"


def _value(node: BundledNode, key: bytes, with_cas: bool, exptime: int | None) -> bytes:
    item = node.items.find(key)
    _count_retrieval(node, item, touching=exptime is not None)
    if item is None:
        return b""
    node.items.bump(item)
    if exptime is not None:
        item.expires_at = node.items.expiry(exptime)
    value = item.value
    if with_cas:
        return b"VALUE %b %d %d %d\r\n%b\r\n" % (key, item.flags, len(value), item.cas, value)
    return b"VALUE %b %d %d\r\n%b\r\n" % (key, item.flags, len(value), value)


def _count_retrieval(node: BundledNode, item: Item | None, *, touching: bool) -> None:
    counters = node.counters
    if touching:
        counters.cmd_touch += 1
        if item is None:
            counters.touch_misses += 1
        else:
            item.slab.counters.touch_hits += 1
    else:
        counters.cmd_get += 1
        if item is None:
            counters.get_misses += 1
        else:
            item.slab.counters.get_hits += 1


def _get(node: BundledNode, tokens: list[bytes]) -> Reply:
    return _retrieve(node, tokens[1:], with_cas=False) if len(tokens) > 1 else ERROR


def _gets(node: BundledNode, tokens: list[bytes]) -> Reply:
    return _retrieve(node, tokens[1:], with_cas=True) if len(tokens) > 1 else ERROR


def _get_and_touch(with_cas: bool, node: BundledNode, tokens: list[bytes]) -> Reply:
    """``gat <exptime> <key>*``; as in memcached, no key at all is no mistake."""
    if len(tokens) < 2:
        return ERROR
    exptime = int32(tokens[1])
    if exptime is None:
        return BAD_EXPTIME
    return _retrieve(node, tokens[2:], with_cas=with_cas, exptime=exptime)


def _touch(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``touch <key> <exptime> [noreply]``"""
    if len(tokens) not in (3, 4):
        return ERROR
    if len(tokens[1]) > KEY_MAX_BYTES:
        return _unless_silenced(tokens, BAD_FORMAT)
    exptime = int32(tokens[2])
    if exptime is None:
        return _unless_silenced(tokens, BAD_EXPTIME)
    item = node.items.find(tokens[1])
    _count_retrieval(node, item, touching=True)
    if item is None:
        return _unless_silenced(tokens, b"NOT_FOUND\r\n")
    node.items.bump(item)
    item.expires_at = node.items.expiry(exptime)
    return _unless_silenced(tokens, b"TOUCHED\r\n")


def _delete(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``delete <key> [0] [noreply]``; the 0 is a remnant of a delay that no longer exists."""
    if len(tokens) not in (2, 3, 4):
        return ERROR
    if tokens[2:] not in ([], [b"0"], [b"noreply"], [b"0", b"noreply"]):
        bad = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
        return _unless_silenced(tokens, bad)
    if len(tokens[1]) > KEY_MAX_BYTES:
        return _unless_silenced(tokens, BAD_FORMAT)
    item = node.items.find(tokens[1])
    if item is None:
        node.counters.delete_misses += 1
        return _unless_silenced(tokens, b"NOT_FOUND\r\n")
    item.slab.counters.delete_hits += 1
    node.items.drop(item)
    return _unless_silenced(tokens, b"DELETED\r\n")


def _arithmetic(up: bool, node: BundledNode, tokens: list[bytes]) -> bytes:
    """``incr|decr <key> <value> [noreply]``"""
    if len(tokens) not in (3, 4):
        return ERROR
    if len(tokens[1]) > KEY_MAX_BYTES:
        return _unless_silenced(tokens, BAD_FORMAT)
    delta = uint64(tokens[2])
    if delta is None:
        return _unless_silenced(tokens, BAD_DELTA)
    outcome, item = count(node.items, tokens[1], up=up, delta=delta)
    if outcome is Counted.NON_NUMERIC:
        return _unless_silenced(tokens, NON_NUMERIC)
    if item is None:
        note_uncounted(node.items, up=up)
        return _unless_silenced(tokens, b"NOT_FOUND\r\n")
    return _unless_silenced(tokens, item.value.rstrip(b" ") + b"\r\n")


def _flush_all(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``flush_all [delay] [noreply]``"""
    if len(tokens) > 3:
        return ERROR
    node.counters.cmd_flush += 1
    exptime: int | None = 0
    if len(tokens) == 3 or (len(tokens) == 2 and not _silenced(tokens)):
        exptime = int32(tokens[1])
    if exptime is None:
        return _unless_silenced(tokens, BAD_EXPTIME)
    node.items.flush(exptime)
    return _unless_silenced(tokens, b"OK\r\n")


def _version(node: BundledNode, tokens: list[bytes]) -> bytes:
    return b"VERSION %b\r\n" % VERSION.encode("ascii")


def _verbosity(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``verbosity <level> [noreply]``: kept and shown; this node prints nothing in any case."""
    if len(tokens) not in (2, 3):
        return ERROR
    level = uint32(tokens[1])
    if level is None:
        return _unless_silenced(tokens, BAD_FORMAT)
    node.verbosity = min(level, 3)
    return _unless_silenced(tokens, b"OK\r\n")


def _cache_memlimit(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``cache_memlimit <megabytes> [noreply]``"""
    if len(tokens) not in (2, 3):
        return ERROR
    megabytes = uint32(tokens[1])
    if megabytes is None:
        return _unless_silenced(tokens, ERROR)
    if megabytes < _MEMLIMIT_MIN_MB:
        small = b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
        return _unless_silenced(tokens, small)
    if megabytes > _MEMLIMIT_MAX_MB:
        return _unless_silenced(tokens, b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n")
    node.items.resize(megabytes * MIB)
    return _unless_silenced(tokens, b"OK\r\n")


def _lru_crawler(node: BundledNode, tokens: list[bytes]) -> Reply:
    """``lru_crawler metadump|crawl all``; the crawler's tuning is not there."""
    if len(tokens) != 3 or tokens[1] not in (b"metadump", b"crawl"):
        return ERROR
    if tokens[2] not in (b"all", b"hash"):
        return b"BADCLASS invalid class id\r\n"
    keys = node.items.keys()
    if tokens[1] == b"crawl":
        node.items.crawl(keys)
        return b"OK\r\n"
    return _metadump(node.items, keys)


def _metadump(items: Items, keys: list[bytes]) -> Iterator[bytes]:
    """A line for each live item, then ``END``. Source: ``crawler.c``, ``crawler_metadump_eval``."""
    for start in range(0, len(keys), _METADUMP_KEYS):
        found = (items.peek(key) for key in keys[start : start + _METADUMP_KEYS])
        yield b"".join(_metadump_line(item) for item in found if item is not None)
    yield b"END\r\n"


def _metadump_line(item: Item) -> bytes:
    return (
        f"key={quote_from_bytes(item.key, safe='')} exp={item.expires_at or -1} la={item.used_at}"
        f" cas={item.cas} fetch={'yes' if item.state & FETCHED else 'no'} cls={item.slab.number}"
        f" size={item.size_bytes} flags={item.flags}\n"
    ).encode("ascii")


def _watch(node: BundledNode, tokens: list[bytes]) -> bytes:
    """What memcached says when it was started with ``-W``."""
    return b"CLIENT_ERROR watch commands not allowed\r\n"


def _shutdown(node: BundledNode, tokens: list[bytes]) -> bytes:
    return b"ERROR: shutdown not enabled\r\n"


COMMANDS: dict[bytes, Callable[[BundledNode, list[bytes]], Reply]] = {
    b"get": _get,
    b"gets": _gets,
    b"gat": partial(_get_and_touch, False),
    b"gats": partial(_get_and_touch, True),
    b"set": partial(_update, Verb.SET),
    b"add": partial(_update, Verb.ADD),
    b"replace": partial(_update, Verb.REPLACE),
    b"append": partial(_update, Verb.APPEND),
    b"prepend": partial(_update, Verb.PREPEND),
    b"cas": partial(_update, Verb.CAS),
    b"touch": _touch,
    b"delete": _delete,
    b"incr": partial(_arithmetic, True),
    b"decr": partial(_arithmetic, False),
    b"flush_all": _flush_all,
    b"version": _version,
    b"verbosity": _verbosity,
    b"cache_memlimit": _cache_memlimit,
    b"lru_crawler": _lru_crawler,
    b"watch": _watch,
    b"shutdown": _shutdown,
}
