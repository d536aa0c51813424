"""How a value is stored or counted, whichever protocol asked. Source: memcached.c, ``do_store_item``."""

from __future__ import annotations

from enum import Enum

from iotcache_simulator.cachenode.memory.items import STALE, WON, Item, Items
from iotcache_simulator.cachenode.tokens import UINT64_END, uint64


class Verb(Enum):
    """What is to become of a key's old value."""

    SET = "set"
    ADD = "add"
    REPLACE = "replace"
    APPEND = "append"
    PREPEND = "prepend"
    CAS = "cas"


class Stored(Enum):
    """What became of the new one."""

    STORED = "stored"
    EXISTS = "exists"
    NOT_FOUND = "not found"
    NOT_STORED = "not stored"


class Counted(Enum):
    """How an increment ended."""

    DONE = "done"
    NOT_FOUND = "not found"
    EXISTS = "exists"
    NON_NUMERIC = "non-numeric"


_CREATES = (Verb.SET, Verb.ADD)
_EXTENDS = (Verb.APPEND, Verb.PREPEND)


def store(
    items: Items,
    verb: Verb,
    item: Item,
    *,
    cas: int = 0,
    new_cas: int = 0,
    may_be_stale: bool = False,
    vivify: bool = False,
) -> tuple[Stored, Item]:
    """Store an item as ``verb`` says; gives the outcome, and the item as it now is.

    ``cas`` is the CAS unique the old item must have (0: any), ``new_cas`` the one to give (0: the next).
    ``may_be_stale`` accepts a ``cas`` older than the item's, and marks the result stale. ``vivify`` lets
    append and prepend begin an item.
    """
    items.slabs.holding(item.size_bytes).counters.cmd_set += 1
    old = items.find(item.key)
    if old is None:
        return _store_first(items, verb, item, new_cas, vivify), item
    if verb is Verb.ADD:
        items.promote(old)
        return Stored.NOT_STORED, item
    if verb is Verb.CAS:
        if cas == old.cas:
            old.slab.counters.cas_hits += 1
        elif may_be_stale and 0 < cas < old.cas:
            old.slab.counters.cas_hits += 1
            item.expires_at = old.expires_at
            item.state |= STALE | (old.state & WON)
        else:
            old.slab.counters.cas_badval += 1
            return Stored.EXISTS, item
    elif verb in _EXTENDS:
        if cas not in (0, old.cas):
            return Stored.EXISTS, item
        parts = (old.value, item.value) if verb is Verb.APPEND else (item.value, old.value)
        if not items.fits(old.key, len(old.value) + len(item.value), old.flags):
            return Stored.NOT_STORED, item
        item = Item(old.key, b"".join(parts), old.flags, old.expires_at)
    items.put(item, new_cas)
    return Stored.STORED, item


def _store_first(items: Items, verb: Verb, item: Item, new_cas: int, vivify: bool) -> Stored:
    if verb is Verb.CAS:
        items.counters.cas_misses += 1
        return Stored.NOT_FOUND
    if verb in _CREATES or (vivify and verb in _EXTENDS):
        items.put(item, new_cas)
        return Stored.STORED
    return Stored.NOT_STORED


def count(
    items: Items, key: bytes, *, up: bool, delta: int, cas: int = 0, new_cas: int = 0
) -> tuple[Counted, Item | None]:
    """Add to or take from a decimal value; gives the outcome, and the item when it was counted.

    Counting up wraps at 2**64, counting down stops at 0, and a number that gets shorter is padded with
    spaces. Source: protocol.txt, "Increment/Decrement".
    """
    item = items.find(key)
    if item is None:
        return Counted.NOT_FOUND, None
    if cas not in (0, item.cas):
        return Counted.EXISTS, None
    number = uint64(item.value)
    if number is None:
        return Counted.NON_NUMERIC, None
    if up:
        item.slab.counters.incr_hits += 1
        number = (number + delta) % UINT64_END
    else:
        item.slab.counters.decr_hits += 1
        number = max(0, number - delta)
    digits = b"%d" % number
    if len(digits) <= len(item.value):
        item.value = digits.ljust(len(item.value))
        item.cas = new_cas or items.next_cas()
        items.promote(item)
        return Counted.DONE, item
    grown = Item(item.key, digits, item.flags, item.expires_at)
    items.put(grown, new_cas)
    return Counted.DONE, grown


def note_uncounted(items: Items, *, up: bool) -> None:
    """Count an increment or decrement that found nothing."""
    if up:
        items.counters.incr_misses += 1
    else:
        items.counters.decr_misses += 1
