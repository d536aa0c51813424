"""The ingest worker's aggregates: counted as batches are committed, written to the cache once a second.

A worker that works alone sets the entries as it counts. Workers of a group each see a share of the readings:
an entry then holds every worker's part, each puts its own by compare-and-swap, and the figures are of all
parts together. At a window's end, whoever is in doubt counts the window anew from the store, and what it
finds is final.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

from iotcache.aggregates.buckets import OldBuckets
from iotcache.aggregates.windows import OpenWindow, Pair, Windows
from iotcache.cache.aggregates.recount import WINDOW_S, WINDOW_US, count_windows
from iotcache.cache.aggregates.values import (
    CachedAggregate,
    Window,
    decode_aggregate,
    encode_value,
    window_of,
)
from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.errors import CorruptValue, IotCacheError, StoreError
from iotcache.quantile_sketch import QuantileSketch

if TYPE_CHECKING:
    from random import Random

    from iotcache.cache import DeviceCache
    from iotcache.cluster import GetResult, Mode, SetItem
    from iotcache.config.schema import Settings
    from iotcache.model.batches import CommittedBatch

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
PAIRS_PER_TURN: Final = 200
"""So many entries are written in one turn; with more pairs, each is written less often than every second."""
RECOUNTS_PER_TURN: Final = 20
BUCKETS_PER_TURN: Final = 2_000
CAS_ROUNDS: Final = 4
GIVE_UP_US: Final = 3 * WINDOW_US
"""A window in doubt that cannot be counted anew for so long, as the store is away, is left as it is."""


class Aggregates:
    """A follower of the committed batches (`iotcache.model.Follower`)."""

    def __init__(
        self,
        cache: DeviceCache,
        settings: Settings,
        *,
        instance: str = "",
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        from random import Random

        self._cache = cache
        self._clock = clock
        self._rng = rng or Random()
        self._every_s = every_s
        self._enabled = settings.aggregates.enabled
        self._shared = bool(settings.ingest.group)
        # A worker that starts anew has a part of its own: what its former self counted stays counted.
        self._part = f"{instance}~{secrets.token_hex(4)}"
        self._compress_min_bytes = settings.cache.compress_min_bytes
        self._windows = Windows(settings.aggregates.late_s, self._now_us())
        self._old = OldBuckets(cache.keys.bucket_s)
        self.written = 0
        """Entries written."""
        self.recounted = 0
        """Windows that were counted anew from the store."""

    @property
    def outside(self) -> int:
        """Readings that were too late for their window, or too far in the future."""
        return self._windows.outside

    @property
    def pairs(self) -> int:
        """Sites' sensors that have an aggregate now."""
        return len(self._windows)

    def follow(self, batch: CommittedBatch) -> None:
        """Count a batch."""
        now_us = self._now_us()
        self._old.follow(batch.readings, now_us)
        if self._enabled:
            self._windows.follow(batch.readings, now_us, doubtful=batch.duplicates > 0)

    def missed(self, batches: int) -> None:
        """Batches passed by uncounted."""
        self._windows.doubt(self._now_us())

    async def run(self) -> None:
        """Write once a second until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._turn()
            except IotCacheError as error:
                log.debug("aggregates wait: %s", error)

    async def _turn(self) -> None:
        old = self._old.due(self._clock.monotonic(), BUCKETS_PER_TURN)
        if old:
            await self._cache.invalidate_buckets(old)
        await self._close()
        pairs = self._windows.take_changed(PAIRS_PER_TURN)
        if pairs:
            await (self._merge(pairs) if self._shared else self._set(pairs))
        self._windows.forget(self._now_us())

    # Alone

    async def _set(self, pairs: list[Pair]) -> None:
        items = []
        for pair in pairs:
            shown = self._windows.shown(pair)
            if shown is not None:
                items.append(self._item(pair, CachedAggregate(*shown)))
        for outcome in await self._cache.cluster.set_many(items):
            self.written += outcome.ok

    # With others

    async def _merge(self, pairs: list[Pair]) -> None:
        """Put our parts to those of others; what changes under our hands is read and written again."""
        from iotcache.cluster import Mode
        from iotcache.cluster.writing import CONFLICTS

        cluster, left = self._cache.cluster, pairs
        for _ in range(CAS_ROUNDS):
            gots = await cluster.get_many([self._key(pair) for pair in left], cas=True)
            swaps: list[tuple[Pair, SetItem, GetResult]] = []
            adds: list[tuple[Pair, SetItem]] = []
            for pair, got in zip(left, gots, strict=True):
                content = self._with_ours(pair, _content(got))
                if content is None:
                    continue
                if got.hit or got.cas:  # an entry, or the lease of a reader that is loading one
                    swaps.append((pair, self._item(pair, content), got))
                else:
                    adds.append((pair, self._item(pair, content, Mode.ADD)))
            swapped = await cluster.cas_many([item for _, item, _ in swaps], [got for _, _, got in swaps])
            added = await cluster.set_many([item for _, item in adds])
            written = [pair for pair, *_ in swaps] + [pair for pair, _ in adds]
            outcomes = [*swapped, *added]
            for pair, outcome in zip(written, outcomes, strict=True):
                if outcome.ok:
                    self.written += 1
                    for tally in self._windows.open_of(pair):
                        tally.told = True
            left = [
                pair
                for pair, outcome in zip(written, outcomes, strict=True)
                if not outcome.ok and outcome.reason in CONFLICTS
            ]
            if not left:
                return
        for pair in left:
            self._windows.changed_again(pair)

    def _with_ours(self, pair: Pair, content: CachedAggregate | None) -> CachedAggregate | None:
        windows: dict[int, Window] = {}
        if content is not None:
            windows = {window.start: window for window in (content.last, content.before) if window}
        for tally in self._windows.open_of(pair):
            window = windows.get(tally.start)
            if window is None or not window.settled:
                windows[tally.start] = self._joined(window, tally)
        return _newest(windows)

    def _joined(self, window: Window | None, tally: OpenWindow) -> Window:
        parts = dict(window.parts) if window is not None else {}
        if tally.told and self._part not in parts:
            tally.doubtful = True  # the entry was lost, and with it what others may not tell again
        parts[self._part] = tally.sketch
        doubts = {name for name in window.doubts if name in parts} if window is not None else set()
        if tally.doubtful:
            doubts.add(self._part)
        whole = QuantileSketch()
        for part in parts.values():
            whole.merge(part)
        joined = window_of(tally.start, WINDOW_S, whole, exact=not doubts)
        joined.parts, joined.doubts = parts, sorted(doubts)
        return joined

    # The end of a window

    async def _close(self) -> None:
        """Let go of windows that are over; those in doubt are counted anew, a few in a turn."""
        recounts = 0
        now_us = self._now_us()
        for pair, tally in self._windows.over(now_us):
            window = window_of(tally.start, WINDOW_S, tally.sketch, exact=not tally.doubtful)
            if tally.doubtful and now_us - tally.start < GIVE_UP_US:
                if recounts >= RECOUNTS_PER_TURN:
                    continue
                recounts += 1
                try:
                    sketches = await count_windows(self._cache.store, *pair, (tally.start,))
                except StoreError as error:
                    log.debug("a window is not counted anew: %s", error)
                    continue
                window = window_of(tally.start, WINDOW_S, sketches[tally.start], settled=True)
                self.recounted += 1
                await self._settle(pair, window)
                if not self._shared:
                    self._windows.changed_again(pair)
            self._windows.close(pair, window)

    async def _settle(self, pair: Pair, window: Window) -> None:
        """In a group: put what the store says in the place of all parts."""
        if not self._shared:
            return
        cluster, key = self._cache.cluster, self._key(pair)
        for _ in range(CAS_ROUNDS):
            (got,) = await cluster.get_many([key], cas=True)
            content = _content(got)
            if content is None:
                return  # it has expired; who asks for it counts from the store
            windows = {one.start: one for one in (content.last, content.before) if one}
            if window.start not in windows:
                return
            windows[window.start] = window
            settled = _newest(windows)
            assert settled is not None
            (outcome,) = await cluster.cas_many([self._item(pair, settled)], [got])
            if outcome.ok:
                return

    def _item(self, pair: Pair, content: CachedAggregate, mode: Mode | None = None) -> SetItem:
        from iotcache.cluster import Mode, SetItem

        value, flags = encode_value(content, self._compress_min_bytes)
        ttl = self._cache.ttl
        life_s = ttl.jittered(ttl.aggregate_s, self._rng)
        return SetItem(self._key(pair), value, flags, life_s, mode or Mode.SET)

    def _key(self, pair: Pair) -> str:
        return self._cache.keys.aggregate(*pair)

    def _now_us(self) -> int:
        return round(self._clock.now() * 1e6)


def _content(got: GetResult) -> CachedAggregate | None:
    if not got.hit:
        return None
    try:
        return decode_aggregate(got.value, got.flags)
    except CorruptValue:
        return None


def _newest(windows: dict[int, Window]) -> CachedAggregate | None:
    if not windows:
        return None
    newest = max(windows)
    return CachedAggregate(windows[newest], windows.get(newest - WINDOW_US))
