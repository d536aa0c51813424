"""The sampler: a bounded sample of keys, and for each what every cache of a grid would hold of it now.

Spatial sampling and its correction are those of SHARDS (Waldspurger, Park, Garthwaite and Ahmad, FAST '15): a
key is sampled when its hash is below a threshold, which falls when the sample is full. Beside the stack
distance, which is the same for all sizes, each sampled key has one expiry per cache on paper, as a fill
happens only in those caches that missed. The caches are those of other sizes under today's TTLs, and those
of today's size under other TTLs.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, isnan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iotcache.advisor.ages import Ages
from iotcache.advisor.curves import MemoryCurve, TtlCurve, default_sizes
from iotcache.advisor.recency import Recency
from iotcache.advisor.references import HASH_SPACE, Batch, Found, Kind, Reference

MAX_KEYS: Final = 3_600
"""Sampled at a time; with `DEFAULT_SIZES` and `TTL_FACTORS` the whole takes less than 1 MiB."""
TTL_FACTORS: Final = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
GROUPS: Final = 16
"""Most groups of keys with a TTL curve of their own; the last takes all others."""
KEEP: Final = 7 / 8
"""Share of a full sample that stays when its threshold falls."""
RECLAIM_S: Final = 5.0
"""memcached's crawler looks at a class with entries about to expire every 5 s (``items.c``,
``lru_maintainer_crawler_check``); until then an expired entry still takes its memory."""
_LATE_S: Final = 2.0
"""An entry may be served so long after its end, by the coarseness of the clocks."""
_AGE_EVERY: Final = 16
_SMOOTH: Final = 0.25
"""Weight of the newest look at how much memory each TTL takes."""
_SMOOTH_DELAY: Final = 0.02
_DELAY_MOST_S: Final = 5.0
_NEVER: Final = -np.inf
_UNKNOWN: Final = np.nan


class Sampler:
    """Feed it references in their order; take curves at any time."""

    def __init__(
        self,
        now_bytes: int,
        *,
        sizes: Sequence[int] = (),
        ttl_factors: Sequence[float] = TTL_FACTORS,
        max_keys: int = MAX_KEYS,
        rate: float = 1.0,
        tick_s: float = 0.0,
    ) -> None:
        self.sizes = tuple(sorted(sizes or default_sizes(now_bytes)))
        self.now_bytes = now_bytes
        self.ttl_factors = tuple(ttl_factors)
        self.threshold = max(1, int(HASH_SPACE * rate))
        """Keys whose hash is below it are sampled."""
        columns = len(self.sizes) + len(self.ttl_factors)
        self._caps = np.array([*self.sizes, *[now_bytes] * len(self.ttl_factors)], np.float64)
        self._factors = np.array([*[1.0] * len(self.sizes), *self.ttl_factors], np.float32)
        self._now = int(np.argmin(np.abs(self._caps[: len(self.sizes)] - now_bytes)))
        self._least_cap = float(self._caps.min())
        self._swell = np.ones(columns)
        """How many times as much memory live entries take under a shorter TTL as under today's."""
        self._memory = np.ones(columns)
        """The same, for longer TTLs too."""
        self._undead = np.zeros(columns)
        """Share of the entries expired under today's TTL that would still live under the column's."""
        self._tick_s = tick_s
        """Step of the cache's own clock: a life begins at the last one before its set."""
        self.lossy = False
        """Whether requests were lost on the way: a hit on what should have expired then tells of a set."""
        self._slots: dict[int, int] = {}
        self._free = array("H", range(max_keys))
        self._recency = Recency(max_keys)
        self._expiry = np.full((max_keys, columns), _NEVER, np.float32)
        self._soonest = array("f", [0.0]) * max_keys
        """The least of the slot's row: until then all columns hold it, memory permitting."""
        self._ttl = array("f", [0.0]) * max_keys
        """NaN: no set of it has been seen yet."""
        self._missed_s = array("f", [np.inf]) * max_keys
        """When the first get missed it that no fill has followed yet; ``inf``: none."""
        self._filled_s = array("f", [_NEVER]) * max_keys
        """When the fill comes that the caches in `_filling` wait for."""
        self._filling = array("I", [0]) * max_keys
        """Bit n: the cache on paper of column n has missed it and is waiting for its fill."""
        self._bits = 1 << np.arange(columns, dtype=np.uint32)
        self._fill_delay_s = 0.0
        """From a get's miss to its fill: gets in between miss as well."""
        self._unread = bytearray(max_keys)
        """1 when a write of it has not been read yet."""
        self._group = bytearray(max_keys)
        self._began_s: float | None = None
        self._swept_s = 0.0
        self._hits = np.zeros((GROUPS, columns))
        # By group: hits in every column (kept apart, as they are the most); gets; gets of entries that were
        # there before we looked, of unknown distance and left out; writes, those in vain; misses, fills.
        counts = ([0.0] * GROUPS for _ in range(7))
        self._hits_of_all, self._gets, self._censored, self._writes, *rest = counts
        self._unread_writes, self._misses, self._fills = rest
        self._seen = [0.0] * GROUPS
        """Gets of all keys, sampled or not."""
        self._ages = Ages(GROUPS, len(self.ttl_factors))

    @property
    def rate(self) -> float:
        """Share of all keys that is sampled."""
        return self.threshold / HASH_SPACE

    @property
    def keys(self) -> int:
        """Keys in the sample now."""
        return len(self._slots)

    def count(self, gets: Mapping[int, int] | Iterable[tuple[int, float]]) -> None:
        """Gets of all keys by group, sampled or not: what the sample is corrected by."""
        for group, number in gets.items() if isinstance(gets, Mapping) else gets:
            self._seen[min(group, GROUPS - 1)] += number

    def feed(self, references: Iterable[Reference]) -> None:
        """Take in references of all keys, and count them."""
        for one in references:
            if one.kind is Kind.GET:
                self._seen[min(one.group, GROUPS - 1)] += 1
            if one.key_hash < self.threshold:
                self.take(one)

    def feed_arrays(self, batch: Batch) -> None:
        """`feed` for many references at once; those of keys that are not sampled cost next to nothing."""
        is_get = batch.kinds == Kind.GET
        groups, numbers = np.unique(np.minimum(batch.groups[is_get], GROUPS - 1), return_counts=True)
        self.count(zip(groups.tolist(), numbers.tolist(), strict=True))
        for at in np.flatnonzero(batch.hashes < self.threshold).tolist():
            if batch.hashes[at] < self.threshold:
                self.take(batch.reference(at))

    def take(self, one: Reference) -> None:
        """Take in one reference of a sampled key, which `count` was told or will be told of."""
        if self._began_s is None:
            self._began_s = self._swept_s = one.time_s
        now_s = one.time_s - self._began_s
        if one.time_s - self._swept_s >= RECLAIM_S:
            self._swept_s = one.time_s
            self._reclaim(now_s)
        group = min(one.group, GROUPS - 1)
        slot = self._slots.get(one.key_hash)
        if slot is None:
            slot = self._admit(one.key_hash)
            if slot is None:
                return
            self._group[slot] = group
            if one.kind is Kind.GET:
                self._first_get(slot, one, group, now_s)
                return
        if one.kind is Kind.GET:
            self._get(slot, one, group, now_s)
        elif one.kind is Kind.DELETE:
            self._expiry[slot] = self._soonest[slot] = _NEVER
            self._recency.drop(slot)
        else:
            self._set(slot, one, group, now_s)

    def seed(self, one: Reference, used_s: float, expires_s: float) -> None:
        """Put in an entry that was there before the first reference; the one used longest ago comes first.

        ``used_s`` and ``expires_s`` by the references' clock, ``inf`` for one that does not expire.
        """
        if one.key_hash >= self.threshold or one.key_hash in self._slots:
            return
        if self._began_s is None:
            self._began_s = self._swept_s = one.time_s
        slot = self._admit(one.key_hash)
        if slot is not None:
            self._group[slot] = min(one.group, GROUPS - 1)
            self._expiry[slot] = self._soonest[slot] = expires_s - self._began_s
            # What it was given is not listed; the rest of its life is the least that it can have been.
            self._ttl[slot] = max(expires_s - used_s, 1.0)
            self._recency.use(slot, max(one.chunk_bytes, 1))

    # One request

    def _first_get(self, slot: int, one: Reference, group: int, now_s: float) -> None:
        self._ttl[slot] = _UNKNOWN
        if one.found is Found.HIT:
            self._censored[group] += 1
            self._expiry[slot] = self._soonest[slot] = np.inf
            self._recency.use(slot, one.chunk_bytes or 1)
            return
        self._gets[group] += 1
        if one.found is Found.MISS:
            self._misses[group] += 1
            self._missed_s[slot] = now_s

    def _get(self, slot: int, one: Reference, group: int, now_s: float) -> None:
        self._gets[group] += 1
        self._unread[slot] = 0
        if one.found is Found.MISS:
            self._misses[group] += 1
            self._missed_s[slot] = min(self._missed_s[slot], now_s)
        recency = self._recency
        since = recency.since(slot)
        if since is None:
            return
        size = recency.size(slot) or one.chunk_bytes or 1
        distance = since / self.rate + size
        if self._ages.due(_AGE_EVERY):
            self._note_ages(slot, group, now_s)
        if distance <= self._least_cap and now_s < self._soonest[slot]:
            self._hits_of_all[group] += 1
        else:
            row = self._expiry[slot]
            if self.lossy and one.found is Found.HIT and row[self._now] < now_s - _LATE_S:
                np.maximum(row, now_s + self._factors * self._ttl[slot] / 2, out=row)
            expired = (recency.all_since(slot) - since) / self.rate
            hit = (row > now_s) & (distance * self._swell + expired * self._undead <= self._caps)
            waiting = 0
            if self._filling[slot] and now_s < self._filled_s[slot]:
                waiting = self._filling[slot]
                hit &= (self._bits & np.uint32(waiting)) == 0
            self._hits[group] += hit
            ttl_s = self._ttl[slot]
            if not isnan(ttl_s):
                fills = self._fills_misses(group)
                filled = self._from(now_s) + self._factors * ttl_s if fills else _NEVER
                missed = ~hit if not waiting else ~hit & ((self._bits & np.uint32(waiting)) == 0)
                np.copyto(row, filled, where=missed)
                self._wait(slot, missed, now_s, waiting)
            if not recency.is_live(slot) and not self._fills_misses(group):
                return
        recency.use(slot, size)

    def _wait(self, slot: int, missed: NDArray[np.bool_], now_s: float, waiting: int) -> None:
        """Let the caches that missed wait for their fill, together with those that wait already."""
        fresh = int(self._bits[missed].sum())
        self._filling[slot] = waiting | fresh
        if fresh and not waiting:
            self._filled_s[slot] = now_s + self._fill_delay_s
        # While some wait every get has to look.
        self._soonest[slot] = _NEVER if self._filling[slot] else self._expiry[slot].min()

    def _fills_misses(self, group: int) -> bool:
        """Whether the application puts back what it missed: half of the misses seen are, or none was seen."""
        return self._fills[group] >= 0.5 * self._misses[group] - 8

    def _set(self, slot: int, one: Reference, group: int, now_s: float) -> None:
        ttl_s = one.ttl_s or np.inf
        fill = one.kind is Kind.FILL
        asked_s, self._missed_s[slot] = self._missed_s[slot], np.inf
        if fill and asked_s <= now_s:
            self._fill_delay_s += _SMOOTH_DELAY * (min(now_s - asked_s, _DELAY_MOST_S) - self._fill_delay_s)
        if fill:
            self._fills[group] += 1
        else:
            self._writes[group] += 1
            self._unread_writes[group] += self._unread[slot]
            self._unread[slot] = 1
        # A cache on paper that had the entry sees no fill, and `_get` has filled those that had not.
        if not fill or not self._ttl[slot] >= 0.0 or self._expiry[slot, self._now] == _NEVER:
            row = self._expiry[slot]
            if fill:
                row[row <= now_s] = _NEVER
                np.copyto(row, self._from(now_s) + self._factors * ttl_s, where=row == _NEVER)
            else:
                row[:] = self._from(now_s) + self._factors * ttl_s
            self._soonest[slot] = row.min()
            self._filling[slot] = 0
        self._ttl[slot] = ttl_s
        self._recency.use(slot, one.chunk_bytes or 1)

    def _from(self, now_s: float) -> float:
        return now_s - now_s % self._tick_s if self._tick_s else now_s

    def _note_ages(self, slot: int, group: int, now_s: float) -> None:
        ttl_s = self._ttl[slot]
        if self.ttl_factors and isfinite(ttl_s):
            first = len(self.sizes)
            left = self._expiry[slot, first:] - now_s
            self._ages.add(group, self._factors[first:] * ttl_s - left, left > 0)

    # The sample

    def _admit(self, key_hash: int) -> int | None:
        """A slot for a new key; ``None`` when the threshold has fallen below it."""
        if not self._free:
            self.thin(KEEP)
            if key_hash >= self.threshold:
                return None
        slot = self._slots[key_hash] = self._free.pop()
        self._expiry[slot] = self._soonest[slot] = _NEVER
        self._ttl[slot] = _UNKNOWN
        self._unread[slot] = 0
        self._missed_s[slot], self._filling[slot] = np.inf, 0
        return slot

    def thin(self, keep: float) -> None:
        """Sample only ``keep`` (0 to 1) of the keys sampled now, and count what was counted as if it had been
        so from the start."""
        hashes = sorted(self._slots)
        if not hashes:
            return
        first = min(int(len(hashes) * keep), len(hashes) - 1)
        lower = hashes[first]
        for key_hash in hashes[first:]:
            slot = self._slots[key_hash]
            self._recency.forget(slot)
            self._free.append(slot)
        # Made anew: a dict that was only emptied keeps the room of its greatest size.
        self._slots = {key_hash: slot for key_hash, slot in self._slots.items() if key_hash < lower}
        share = lower / self.threshold
        self.threshold = max(lower, 1)
        self._scale(share, range(GROUPS))

    def _scale(self, share: float, groups: Sequence[int]) -> None:
        self._hits[list(groups)] *= share
        for counts in (
            self._hits_of_all, self._gets, self._censored, self._writes, self._unread_writes,
            self._misses, self._fills,
        ):  # fmt: skip
            for group in groups:
                counts[group] *= share

    def fade(self, share: float, groups: Sequence[int] = range(GROUPS)) -> None:
        """Let what was counted until now weigh only ``share`` of what it does; 0 begins anew.

        What the caches on paper hold stays as it is.
        """
        self._scale(share, groups)
        for group in groups:
            self._seen[group] *= share

    def _reclaim(self, now_s: float) -> None:
        """Expired entries give their memory back; and see how much the live ones take under each TTL."""
        recency = self._recency
        live = self._expiry > now_s
        for slot in np.flatnonzero(recency.live() & ~live[:, self._now]):
            recency.drop(int(slot))
        first, sizes = len(self.sizes), recency.sizes()
        taken = np.array([sizes[column].sum() for column in live[:, first:].T], np.float64)
        now, every = float(sizes[live[:, self._now]].sum()), float(sizes.sum())
        if now > 0:
            self._swell[first:] += _SMOOTH * (np.clip(taken / now, 1e-3, 1.0) - self._swell[first:])
        if every > now:
            share = np.clip((taken - now) / (every - now), 0.0, 1.0)
            self._undead[first:] += _SMOOTH * (share - self._undead[first:])
        if now > 0:
            self._memory[first:] += _SMOOTH * (taken / now - self._memory[first:])

    # Results

    def memory_curve(self) -> MemoryCurve:
        """Hit ratio against memory, all groups together."""
        hits, gets = self._corrected(range(GROUPS))
        ratios = hits[: len(self.sizes)] / gets if gets else np.zeros(len(self.sizes))
        ratios = np.maximum.accumulate(np.clip(ratios, 0.0, 1.0))
        working = self._recency.live_bytes / self.rate
        return MemoryCurve(
            tuple(self.sizes), tuple(map(float, ratios)), self.now_bytes, working, self._evidence()
        )

    def ttl_curve(self, group: int) -> TtlCurve | None:
        """Hit ratio and age served against the TTL, of one group; ``None`` where nothing of it expires."""
        lives = [self._ttl[slot] for slot in self._slots.values() if self._group[slot] == group]
        lives = [ttl_s for ttl_s in lives if 0.0 < ttl_s < np.inf]
        hits, gets = self._corrected((group,))
        if not lives or not gets or not self.ttl_factors:
            return None
        first = len(self.sizes)
        ratios = np.maximum.accumulate(np.clip(hits[first:] / gets, 0.0, 1.0))
        return TtlCurve(
            ttl_s=float(np.median(lives)),
            factors=self.ttl_factors,
            ratios=tuple(map(float, ratios)),
            ages_p99_s=self._ages.quantiles(group, 0.99),
            live_bytes=tuple(float(share) for share in self._memory[first:]),
            sampled_gets=self._gets[group],
        )

    def gets_seen(self, group: int) -> float:
        """Gets of all its keys."""
        return self._seen[group]

    def writes_estimated(self, group: int) -> float:
        """Writes of all its keys."""
        return self._writes[group] / self.rate

    def unread_share(self, group: int) -> float | None:
        """Share of writes that were overwritten without having been read; ``None`` without writes."""
        return self._unread_writes[group] / self._writes[group] if self._writes[group] else None

    def _corrected(self, groups: Iterable[int]) -> tuple[NDArray[np.float64], float]:
        """Hits by column and gets, at the sample's scale, as they would be were the sample a fair one.

        What the sample should have seen and did not is gets of the most popular keys, which by chance are in
        it or not: they are hits at distance zero (SHARDS-adj, section 4.2 of the paper).
        """
        hits, gets = np.zeros(len(self._caps)), 0.0
        for group in groups:
            sampled = self._gets[group] + self._censored[group]
            expected = self._seen[group] * self.rate
            hits += self._hits[group] + self._hits_of_all[group] + (expected - sampled)
            gets += expected - self._censored[group]
        return np.maximum(hits, 0.0), max(gets, 0.0)

    def _evidence(self) -> float:
        return sum(self._gets)
