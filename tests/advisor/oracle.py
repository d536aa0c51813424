"""Exact caches, one a size: what the sampler estimates, simulated key by key without sampling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from math import inf

from iotcache.advisor.references import Kind, Reference
from iotcache.advisor.sampler import RECLAIM_S


class ExactLru:
    """One LRU cache of ``size`` bytes, its TTLs stretched by ``factor``; a miss is filled at once."""

    def __init__(self, size: int, factor: float = 1.0) -> None:
        self.size, self.factor = size, factor
        self.gets = self.hits = 0
        self._items: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self._ttls: dict[int, tuple[int, float]] = {}
        self._used = 0
        self._swept_s: float | None = None

    @property
    def ratio(self) -> float:
        return self.hits / self.gets if self.gets else 0.0

    def feed(self, references: Iterable[Reference]) -> None:
        for one in references:
            self._one(one)

    def _one(self, one: Reference) -> None:
        now_s, key = one.time_s, one.key_hash
        if self._swept_s is None:
            self._swept_s = now_s
        if now_s - self._swept_s >= RECLAIM_S:
            self._swept_s = now_s
            for dead in [name for name, (_, end_s) in self._items.items() if end_s <= now_s]:
                self._drop(dead)
        if one.kind is Kind.GET:
            self.gets += 1
            held = self._items.get(key)
            if held is not None and held[1] > now_s:
                self.hits += 1
                self._items.move_to_end(key)
            elif key in self._ttls:
                self._put(key, *self._ttls[key], now_s)
        elif one.kind is Kind.DELETE:
            self._drop(key)
        else:
            known = key in self._ttls
            self._ttls[key] = (one.chunk_bytes, one.ttl_s or inf)
            if one.kind is Kind.WRITE or not known:
                self._put(key, *self._ttls[key], now_s)

    def _drop(self, key: int) -> None:
        if key in self._items:
            self._used -= self._items.pop(key)[0]

    def _put(self, key: int, size: int, ttl_s: float, now_s: float) -> None:
        self._drop(key)
        self._items[key] = (size, now_s + self.factor * ttl_s)
        self._used += size
        while self._used > self.size and self._items:
            _, (freed, _) = self._items.popitem(last=False)
            self._used -= freed


def ratios(references: list[Reference], sizes: Iterable[int]) -> list[float]:
    """The exact hit ratio for each size."""
    caches = [ExactLru(size) for size in sizes]
    for cache in caches:
        cache.feed(references)
    return [cache.ratio for cache in caches]
