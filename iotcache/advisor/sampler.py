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
from math import inf, isfinite, isnan
from typing import Final

import numpy as np

from iotcache.advisor.ages import Ages
from iotcache.advisor.curves import MemoryCurve, TtlCurve, default_sizes
from iotcache.advisor.expiries import NEVER, UNKNOWN, Expiries
from iotcache.advisor.recency import Recency
from iotcache.advisor.references import HASH_SPACE, Batch, Found, Kind, Reference
from iotcache.advisor.tallies import Tallies
from iotcache.advisor.ttl_memory import TtlMemory
from iotcache.advisor.waiting_fills import WaitingFills

MAX_KEYS: Final = 3_500
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
_SLACK: Final = 1 / 16
"""Of the smallest cache on paper: a key that was moved to the front so few bytes ago is left where it is."""
_LONG_AGO: Final = -(1 << 62)
_LOOKED_EVERY: Final = 128
"""Of the gets that are counted without a look, one is looked at all the same: for its age."""


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
        self._taken = TtlMemory(columns, len(self.sizes), GROUPS)
        self._tick_s = tick_s
        """Step of the cache's own clock: a life begins at the last one before its set."""
        self.lossy = False
        """Whether requests were lost on the way: a hit on what should have expired then tells of a set."""
        self._slots: dict[int, int] = {}
        self._free = array("H", range(max_keys))
        self._recency = Recency(max_keys)
        self._clock = 0
        """Bytes moved to the front of the recency until now."""
        self._moved = array("q", [_LONG_AGO]) * max_keys
        """The clock when the slot was moved last."""
        self._slack = self._least_cap * self.rate * _SLACK
        """So many bytes of the clock later a slot still counts as moved just now."""
        self._ends = Expiries(max_keys, self._factors)
        self._soonest, self._ttl = self._ends.soonest, self._ends.ttl_s
        self._fills = WaitingFills(max_keys, columns)
        self._unread = bytearray(max_keys)
        """1 when a write of it has not been read yet."""
        self._group = bytearray(max_keys)
        self._unsure = bytearray(max_keys)
        """1 after a gap: what became of it meanwhile is not known until its next request."""
        self._began_s: float | None = None
        self._swept_s = 0.0
        self.tallies = Tallies(GROUPS, columns)
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
            self.tallies.seen[min(group, GROUPS - 1)] += number

    def feed(self, references: Iterable[Reference]) -> None:
        """Take in references of all keys, and count them."""
        for one in references:
            if one.kind is Kind.GET:
                self.tallies.seen[min(one.group, GROUPS - 1)] += 1
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
        now_s = self._now_s(one.time_s)
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
            self._ends.end_at(slot, NEVER)
            self._drop(slot)
        else:
            self._set(slot, one, group, now_s)

    def hits(self, hashes: Sequence[int], time_s: float) -> list[int]:
        """Count gets that were hits, of sampled keys; returns the places of those that `take` has to look at.

        Counted are those that every cache on paper has, as they were used and stored lately: most of them, at
        a tenth of the price.
        """
        now_s, since = self._now_s(time_s), self._clock - self._slack
        find, soonest, moved, unread = self._slots.get, self._soonest, self._moved, self._unread
        counted, look = [0] * GROUPS, []
        looked = self._ages.next_due(len(hashes), _LOOKED_EVERY)
        for at, key_hash in enumerate(hashes):
            slot = find(key_hash)
            if slot is None or moved[slot] <= since or soonest[slot] <= now_s or at == looked:
                look.append(at)
            else:
                unread[slot] = 0
                counted[self._group[slot]] += 1
        for group, number in enumerate(counted):
            if number:
                self.tallies.gets[group] += number
                self.tallies.hits_of_all[group] += number
        return look

    def rewrites(
        self, hashes: Sequence[int], chunks: Sequence[int], ttls_s: Sequence[float], time_s: float
    ) -> list[int]:
        """Count writes of sampled keys; returns the places of those that `take` has to look at.

        Counted are those of entries that were stored before, in the same size, and used lately: all that
        changes is when they end.
        """
        now_s, since = self._now_s(time_s), self._clock - self._slack
        find, moved, unsure, asked_s = self._slots.get, self._moved, self._unsure, self._fills.missed_s
        size, unread, groups, filling = self._recency.size, self._unread, self._group, self._fills.columns
        ttl_of, stored_s, soonest, least = self._ttl, self._ends.stored_s, self._soonest, self._ends.least
        from_s = self._from(now_s)
        written, in_vain, look = [0] * GROUPS, [0] * GROUPS, []
        for at, (key_hash, chunk, ttl_s) in enumerate(zip(hashes, chunks, ttls_s, strict=True)):
            slot = find(key_hash)
            if (
                slot is None
                or moved[slot] <= since
                or unsure[slot]
                or asked_s[slot] != inf
                or size(slot) != chunk
            ):
                look.append(at)
                continue
            group = groups[slot]
            written[group] += 1
            in_vain[group] += unread[slot]
            unread[slot], filling[slot] = 1, 0
            # What `Expiries.store` does, without a call a key.
            ttl_of[slot], stored_s[slot] = ttl_s or inf, from_s
            soonest[slot] = from_s + least * (ttl_s or inf)
        for group, number in enumerate(written):
            if number:
                self.tallies.writes[group] += number
                self.tallies.unread_writes[group] += in_vain[group]
        return look

    def gap(self) -> None:
        """Requests went by unseen: how far the next one of each key is from its last is not known.

        Call it when requests are seen again. Gets that hit are left out then, once a key, like those of
        entries that were there before the first request.
        """
        slots = len(self._unsure)
        self._unsure = bytearray(b"\1") * slots
        self._moved = array("q", [_LONG_AGO]) * slots

    def _now_s(self, time_s: float) -> float:
        """By the sampler's own clock; what has expired gives its memory back now and then."""
        if self._began_s is None:
            self._began_s = self._swept_s = time_s
        if time_s - self._swept_s >= RECLAIM_S:
            self._swept_s = time_s
            self._reclaim(time_s - self._began_s)
        return time_s - self._began_s

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
            self._ends.end_at(slot, expires_s - self._began_s)
            # What it was given is not listed; the rest of its life is the least that it can have been.
            self._ttl[slot] = max(expires_s - used_s, 1.0)
            self._use(slot, max(one.chunk_bytes, 1))

    # One request

    def _first_get(self, slot: int, one: Reference, group: int, now_s: float) -> None:
        self._ttl[slot] = UNKNOWN
        if one.found is Found.HIT:
            self.tallies.censored[group] += 1
            self._ends.end_at(slot, np.inf)
            self._use(slot, one.chunk_bytes or 1)
            return
        self.tallies.gets[group] += 1
        if one.found is Found.MISS:
            self.tallies.misses[group] += 1
            self._fills.miss(slot, now_s)

    def _after_gap(self, slot: int, one: Reference, group: int, now_s: float) -> None:
        """The first get of a key: it is there now, and was used we do not know when."""
        self.tallies.censored[group] += 1
        row = self._ends.row(slot)
        if row[self._now] < now_s:
            left_s = self._factors * self._ttl[slot] / 2 if self._ttl[slot] >= 0.0 else np.inf
            np.maximum(row, now_s + left_s, out=row)
            self._soonest[slot] = row.min()
        self._use(slot, self._recency.size(slot) or one.chunk_bytes or 1)

    def _get(self, slot: int, one: Reference, group: int, now_s: float) -> None:
        if self._unsure[slot]:
            self._unsure[slot] = 0
            if one.found is not Found.MISS:
                self._after_gap(slot, one, group, now_s)
                return
            self._ends.end_at(slot, NEVER)
        self.tallies.gets[group] += 1
        self._unread[slot] = 0
        if one.found is Found.MISS:
            self.tallies.misses[group] += 1
            self._fills.miss(slot, now_s)
        if now_s < self._soonest[slot] and self._moved[slot] > self._clock - self._slack:
            self.tallies.hits_of_all[group] += 1
            if self._ages.due(_AGE_EVERY):
                self._note_ages(slot, group, now_s)
            return
        recency = self._recency
        since = recency.since(slot)
        if since is None:
            return
        size = recency.size(slot) or one.chunk_bytes or 1
        distance = since / self.rate + size
        if self._ages.due(_AGE_EVERY):
            self._note_ages(slot, group, now_s)
        if distance <= self._least_cap and now_s < self._soonest[slot]:
            self.tallies.hits_of_all[group] += 1
        else:
            row = self._ends.row(slot)
            if self.lossy and one.found is Found.HIT and row[self._now] < now_s - _LATE_S:
                np.maximum(row, now_s + self._factors * self._ttl[slot] / 2, out=row)
            expired = (recency.all_since(slot) - since) / self.rate
            hit = (row > now_s) & (distance * self._taken.swell + expired * self._taken.undead <= self._caps)
            waiting = self._fills.at(slot, now_s)
            if waiting:
                hit &= self._fills.others(waiting)
            self.tallies.hits[group] += hit
            ttl_s = self._ttl[slot]
            if not isnan(ttl_s):
                fills = self._fills_misses(group)
                filled = self._from(now_s) + self._factors * ttl_s if fills else NEVER
                missed = ~hit if not waiting else ~hit & self._fills.others(waiting)
                np.copyto(row, filled, where=missed)
                # While some wait every get has to look.
                some = self._fills.wait(slot, missed, now_s, waiting)
                self._soonest[slot] = NEVER if some else row.min()
            if not recency.is_live(slot) and not self._fills_misses(group):
                return
        self._use(slot, size)

    def _use(self, slot: int, size: int) -> None:
        """It is the newest now."""
        self._recency.use(slot, size)
        self._clock += size
        # An entry of a good part of the smallest cache is none of those that it has for sure.
        self._moved[slot] = self._clock if 2 * size < self._least_cap else _LONG_AGO

    def _drop(self, slot: int) -> None:
        self._recency.drop(slot)
        self._moved[slot] = _LONG_AGO

    def _fills_misses(self, group: int) -> bool:
        """Whether the application puts back what it missed: half of the misses seen are, or none was seen."""
        return self.tallies.fills[group] >= 0.5 * self.tallies.misses[group] - 8

    def _set(self, slot: int, one: Reference, group: int, now_s: float) -> None:
        ttl_s = one.ttl_s or np.inf
        self._unsure[slot] = 0
        fill = one.kind is Kind.FILL
        self._fills.put(slot, now_s, fill=fill)
        if fill:
            self.tallies.fills[group] += 1
            self._fill(slot, now_s, ttl_s)
        else:
            self.tallies.writes[group] += 1
            self.tallies.unread_writes[group] += self._unread[slot]
            self._unread[slot] = 1
            self._fills.columns[slot] = 0
            self._ends.store(slot, self._from(now_s), ttl_s)
        size = one.chunk_bytes or 1
        if size != self._recency.size(slot) or self._moved[slot] <= self._clock - self._slack:
            self._use(slot, size)

    def _fill(self, slot: int, now_s: float, ttl_s: float) -> None:
        row = self._ends.row(slot)
        # A cache on paper that had the entry sees no fill, and `_get` has filled those that had not.
        if not self._ttl[slot] >= 0.0 or row[self._now] == NEVER:
            row[row <= now_s] = NEVER
            np.copyto(row, self._from(now_s) + self._factors * ttl_s, where=row == NEVER)
            self._soonest[slot] = row.min()
            self._fills.columns[slot] = 0
        self._ttl[slot] = ttl_s

    def _from(self, now_s: float) -> float:
        return now_s - now_s % self._tick_s if self._tick_s else now_s

    def _note_ages(self, slot: int, group: int, now_s: float) -> None:
        ttl_s = self._ttl[slot]
        if self.ttl_factors and isfinite(ttl_s):
            first = len(self.sizes)
            left = self._ends.row(slot)[first:] - now_s
            self._ages.add(group, self._factors[first:] * ttl_s - left, left > 0)

    # The sample

    def _admit(self, key_hash: int) -> int | None:
        """A slot for a new key; ``None`` when the threshold has fallen below it."""
        if not self._free:
            self.thin(KEEP)
            if key_hash >= self.threshold:
                return None
        slot = self._slots[key_hash] = self._free.pop()
        self._ends.end_at(slot, NEVER)
        self._ttl[slot] = UNKNOWN
        self._moved[slot] = _LONG_AGO
        self._unsure[slot] = 0
        self._unread[slot] = 0
        self._fills.forget(slot)
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
        self._slack = self._least_cap * self.rate * _SLACK
        self.tallies.scale(share)

    def fade(self, share: float, groups: Sequence[int] | None = None) -> None:
        """Let what was counted until now weigh only ``share`` of what it does; 0 begins anew.

        What the caches on paper hold stays as it is.
        """
        self.tallies.fade(share, groups)

    def _reclaim(self, now_s: float) -> None:
        """Expired entries give their memory back; and see how much the live ones take under each TTL."""
        recency = self._recency
        live = self._ends.table() > now_s
        for slot in np.flatnonzero(recency.live() & ~live[:, self._now]):
            self._drop(int(slot))
        self._taken.look(live, recency.sizes(), np.frombuffer(self._group, np.uint8), self._now)

    # Results

    def memory_curve(self) -> MemoryCurve:
        """Hit ratio against memory, all groups together."""
        hits, gets = self.tallies.corrected(self.rate)
        ratios = hits[: len(self.sizes)] / gets if gets else np.zeros(len(self.sizes))
        ratios = np.maximum.accumulate(np.clip(ratios, 0.0, 1.0))
        working = self._recency.live_bytes / self.rate
        return MemoryCurve(
            tuple(self.sizes), tuple(map(float, ratios)), self.now_bytes, working, sum(self.tallies.gets)
        )

    def ttl_curve(self, group: int) -> TtlCurve | None:
        """Hit ratio and age served against the TTL, of one group; ``None`` where nothing of it expires."""
        lives = [self._ttl[slot] for slot in self._slots.values() if self._group[slot] == group]
        lives = [ttl_s for ttl_s in lives if 0.0 < ttl_s < np.inf]
        hits, gets = self.tallies.corrected(self.rate, (group,))
        if not lives or not gets or not self.ttl_factors:
            return None
        first = len(self.sizes)
        ratios = np.maximum.accumulate(np.clip(hits[first:] / gets, 0.0, 1.0))
        return TtlCurve(
            ttl_s=float(np.median(lives)),
            factors=self.ttl_factors,
            ratios=tuple(map(float, ratios)),
            ages_p99_s=self._ages.quantiles(group, 0.99),
            live_bytes=tuple(map(float, self._taken.shares[group])),
            sampled_gets=self.tallies.gets[group],
        )

    def gets_seen(self, group: int) -> float:
        """Gets of all its keys."""
        return self.tallies.seen[group]

    def writes_estimated(self, group: int) -> float:
        """Writes of all its keys."""
        return self.tallies.writes[group] / self.rate

    def unread_share(self, group: int) -> float | None:
        """Share of writes that were overwritten without having been read; ``None`` without writes."""
        writes = self.tallies.writes[group]
        return self.tallies.unread_writes[group] / writes if writes else None
