"""What the store and the cache have of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from iotcache.cluster import Cluster
from iotcache.codec import decode_reading
from iotcache.errors import CorruptValue, NodeError
from iotcache.keys import Keys
from iotcache.model import MissReason, Series
from iotcache.store.base import Store
from iotcache_simulator.ledger.seen import Seen, Track, reboots

_PAGE = 10_000
_CACHE_BATCH = 1_000


async def stored(store: Store, series: Sequence[Series], boot: str, span_us: tuple[int, int]) -> Seen:
    """The readings of one boot that the store has, with the times at which it took them in."""
    seen = Seen()
    since_us, until_us = span_us
    for one in series:
        until = until_us
        while rows := await store.history(one, since_us, until, _PAGE):
            for reading in rows:
                boots = reboots(reading.boot, boot)
                if boots is not None and reading.seq is not None:
                    seen.add(Track(one.device, one.sensor, boots), reading.seq, reading.received_us or 1)
            if len(rows) < _PAGE:
                break
            until = rows[0].ts_us
    return seen


class Readable(Struct, frozen=True):
    """How the cache stands at the end of a run."""

    fresh: int
    """Series whose newest reading is in the cache."""
    stale: int
    """Series of which the cache has an older one: it would be shown as current."""
    absent: int
    """Series that the cache has nothing of, expired ones included: a read would ask the store."""
    others: int
    """Series of which it has a reading of another run, made since this one began."""


async def readable(
    cluster: Cluster, keys: Keys, newest: Mapping[Series, tuple[int, int]], boot: str, since_us: int
) -> Readable:
    """Hold the cache's ``latest`` values against the newest reading of each series.

    The run began at ``since_us``, by the times in its payloads.

    Raises `NodeError` when no node answered for any of them: nothing was looked at then.
    """
    fresh = stale = absent = others = unanswered = 0
    names = list(newest)
    for at in range(0, len(names), _CACHE_BATCH):
        part = names[at : at + _CACHE_BATCH]
        answers = await cluster.get_many(keys.latest_many(part))
        for series, got in zip(part, answers, strict=True):
            if not got.hit:
                absent += 1
                unanswered += got.failure in {MissReason.NODE_DOWN, MissReason.TIMEOUT}
                continue
            try:
                reading = decode_reading(series.device, series.sensor, got.value, got.flags)
            except CorruptValue:
                stale += 1
                continue
            boots = reboots(reading.boot, boot)
            if (boots, reading.seq) == newest[series]:
                fresh += 1
            elif boots is None and reading.ts_us >= since_us:
                others += 1
            else:
                stale += 1
    if names and unanswered == len(names):
        raise NodeError("none of the cache nodes answered")
    return Readable(fresh, stale, absent, others)
