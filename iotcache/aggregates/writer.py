"""The ingest worker's aggregates: counted as batches are committed, written to the cache once a second.

A single worker sets the entries as it counts. Workers of a group each see a share of the readings: an entry
then holds the part of every worker, each puts its own by compare-and-swap, and the figures are of all parts
together. At the end of a window, a worker whose part is doubtful counts the window anew from the store, and
that result is final.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from random import Random
from typing import TYPE_CHECKING, Final

from iotcache.aggregates.buckets import OutdatedBuckets
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
from iotcache.cluster import CONFLICTS
from iotcache.cluster.types import GetResult, Mode, SetItem
from iotcache.errors import CorruptValue, IotCacheError, StoreError
from iotcache.faults import Faults
from iotcache.quantile_sketch import QuantileSketch

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.config.schema import Settings
    from iotcache.model.batches import CommittedBatch

log = logging.getLogger(__name__)

WRITE_EVERY_S: Final = 1.0
PAIRS_PER_TURN: Final = 200
"""So many entries are written in one turn; with more pairs, each is written less often than every second."""
RECOUNTS_PER_TURN: Final = 20
BUCKETS_PER_TURN: Final = 2_000
MAX_CAS_ROUNDS: Final = 4
GIVE_UP_US: Final = 3 * WINDOW_US
"""A window in doubt that cannot be counted anew for so long, as the store is away, stays as it is."""


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
        every_s: float = WRITE_EVERY_S,
        faults: Faults | None = None,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._faults = faults or Faults(clock)
        self._rng = rng or Random()
        self.every_s = every_s
        self._enabled = settings.aggregates.enabled
        self._shared = bool(settings.ingest.group)
        # A restarted worker has a new part: what it counted before stays counted.
        self._part = f"{instance}~{secrets.token_hex(4)}"
        self._compress_min_bytes = settings.cache.compress_min_bytes
        self._windows = Windows(settings.aggregates.late_s, self._now_us())
        self._outdated = OutdatedBuckets(cache.keys.bucket_s)
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
        self._outdated.follow(batch.readings, now_us)
        if self._enabled:
            self._windows.follow(batch.readings, now_us, doubtful=batch.duplicates > 0)

    def missed(self, batches: int) -> None:
        """Batches were dropped, uncounted."""
        self._windows.doubt(self._now_us())

    async def run(self) -> None:
        """Write once a second until cancelled."""
        while True:
            await asyncio.sleep(self.every_s)
            try:
                with self._faults.contained("a turn of the aggregates"):
                    await self.write_changes()
            except IotCacheError as error:
                log.debug("aggregates wait: %s", error)

    async def write_changes(self) -> None:
        """One turn of `run`: delete outdated buckets, close windows, write what has changed."""
        outdated = self._outdated.due(self._clock.monotonic(), BUCKETS_PER_TURN)
        faults = self._faults
        await faults.all_or_each("deleting outdated buckets", self._cache.invalidate_buckets, outdated)
        with faults.contained("closing windows of aggregates"):
            await self._close()
        pairs = self._windows.take_changed(PAIRS_PER_TURN)
        await faults.all_or_each("writing aggregates", self._merge if self._shared else self._set, pairs)
        with faults.contained("forgetting windows of aggregates"):
            self._windows.forget(self._now_us())

    # A single worker

    async def _set(self, pairs: list[Pair]) -> None:
        items = []
        for pair in pairs:
            newest = self._windows.newest(pair)
            if newest is not None:
                items.append(self._item(pair, CachedAggregate(*newest)))
        for result in await self._cache.cluster.set_many(items):
            self.written += result.ok

    # Several workers

    async def _merge(self, pairs: list[Pair]) -> None:
        """Add our parts to those of others; an entry that changes meanwhile is read and written again."""
        cluster, remaining = self._cache.cluster, pairs
        for _ in range(MAX_CAS_ROUNDS):
            results = await cluster.get_many([self._key(pair) for pair in remaining], cas=True)
            swaps: list[tuple[Pair, SetItem, GetResult]] = []
            adds: list[tuple[Pair, SetItem]] = []
            for pair, result in zip(remaining, results, strict=True):
                content = self._with_ours(pair, _content(result))
                if content is None:
                    continue
                if result.hit or result.cas:  # an entry, or the lease of a reader that is loading one
                    swaps.append((pair, self._item(pair, content), result))
                else:
                    adds.append((pair, self._item(pair, content, Mode.ADD)))
            swapped = await cluster.cas_many(
                [item for _, item, _ in swaps], [result for _, _, result in swaps]
            )
            added = await cluster.set_many([item for _, item in adds])
            tried = [pair for pair, *_ in swaps] + [pair for pair, _ in adds]
            remaining = []
            for pair, write in zip(tried, [*swapped, *added], strict=True):
                if write.ok:
                    self.written += 1
                    for open_window in self._windows.open_of(pair):
                        open_window.written = True
                elif write.reason in CONFLICTS:
                    remaining.append(pair)
            if not remaining:
                return
        for pair in remaining:
            self._windows.changed_again(pair)

    def _with_ours(self, pair: Pair, content: CachedAggregate | None) -> CachedAggregate | None:
        windows: dict[int, Window] = {}
        if content is not None:
            windows = {window.start: window for window in (content.last, content.before) if window}
        for open_window in self._windows.open_of(pair):
            window = windows.get(open_window.start)
            if window is None or not window.settled:
                windows[open_window.start] = self._joined(window, open_window)
        return _newest(windows)

    def _joined(self, window: Window | None, open_window: OpenWindow) -> Window:
        parts = dict(window.parts) if window is not None else {}
        if open_window.written and self._part not in parts:
            open_window.doubtful = True  # the entry was lost, and with it parts of others
        parts[self._part] = open_window.sketch
        doubts = {name for name in window.doubts if name in parts} if window is not None else set()
        if open_window.doubtful:
            doubts.add(self._part)
        whole = QuantileSketch()
        for part in parts.values():
            whole.merge(part)
        joined = window_of(open_window.start, WINDOW_S, whole, exact=not doubts)
        joined.parts, joined.doubts = parts, sorted(doubts)
        return joined

    # The end of a window

    async def _close(self) -> None:
        """Close windows that have ended; doubtful ones are counted anew, a few in a turn."""
        recounts = 0
        now_us = self._now_us()
        for pair, open_window in self._windows.ended(now_us):
            recount = open_window.doubtful and now_us - open_window.start < GIVE_UP_US
            if recount and recounts >= RECOUNTS_PER_TURN:
                continue
            recounts += recount
            try:
                await self._close_one(pair, open_window, recount=recount)
            except IotCacheError:
                raise
            except Exception as error:
                self._faults.note("closing a window of aggregates", error)
                self._windows.drop(pair, open_window.start)

    async def _close_one(self, pair: Pair, open_window: OpenWindow, *, recount: bool) -> None:
        """Close one window; one whose ``recount`` the store cannot answer now stays open."""
        window = window_of(open_window.start, WINDOW_S, open_window.sketch, exact=not open_window.doubtful)
        if recount:
            try:
                sketches = await count_windows(self._cache.store, *pair, (open_window.start,))
            except StoreError as error:
                log.debug("a window is not counted anew: %s", error)
                return
            window = window_of(open_window.start, WINDOW_S, sketches[open_window.start], settled=True)
            self.recounted += 1
            await self._settle(pair, window)
            if not self._shared:
                self._windows.changed_again(pair)
        self._windows.close(pair, window)

    async def _settle(self, pair: Pair, window: Window) -> None:
        """In a group: replace all parts by what the store has."""
        if not self._shared:
            return
        cluster, key = self._cache.cluster, self._key(pair)
        for _ in range(MAX_CAS_ROUNDS):
            (result,) = await cluster.get_many([key], cas=True)
            content = _content(result)
            if content is None:
                return  # it has expired; its next reader counts from the store
            windows = {window.start: window for window in (content.last, content.before) if window}
            if window.start not in windows:
                return
            windows[window.start] = window
            settled = _newest(windows)
            assert settled is not None
            (write,) = await cluster.cas_many([self._item(pair, settled)], [result])
            if write.ok:
                return

    def _item(self, pair: Pair, content: CachedAggregate, mode: Mode = Mode.SET) -> SetItem:
        value, flags = encode_value(content, self._compress_min_bytes)
        ttl = self._cache.ttl
        ttl_s = ttl.jittered(ttl.aggregate_s, self._rng)
        return SetItem(self._key(pair), value, flags, ttl_s, mode)

    def _key(self, pair: Pair) -> str:
        return self._cache.keys.aggregate(*pair)

    def _now_us(self) -> int:
        return round(self._clock.now() * 1e6)


def _content(result: GetResult) -> CachedAggregate | None:
    if not result.hit:
        return None
    try:
        return decode_aggregate(result.value, result.flags)
    except CorruptValue:
        return None


def _newest(windows: dict[int, Window]) -> CachedAggregate | None:
    if not windows:
        return None
    newest = max(windows)
    return CachedAggregate(windows[newest], windows.get(newest - WINDOW_US))
