"""Several writers of one series: an older reading never lies where a newer one was written.

Two workers commit one after the other, but their sets may reach the node the other way round, and until the
older one were mended every reader would see it. So a set is a compare-and-set:

1. Look at the entry, with its CAS unique. Where there is none, a lease's empty item holds the place.
2. A newer entry stays. Over an older one goes our reading. Where nothing readable is, goes what the store has
   *after* the look: a newer reading may have been written and removed again since our commit.
3. Set, where the entry still is the one looked at. Where it is not, look again.

So whatever a write puts there is at least as new as all that was written when it looked; and what was written
after the look has changed the CAS unique, so that the set is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from iotcache.codec import CachedReading, decode_cached
from iotcache.errors import CorruptValue, StoreError
from iotcache.keys import Keys
from iotcache.model import NodeState, Series, StoredReading
from iotcache.store.rows import NO_SEQ, age_key

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, GetResult, SetItem, WriteResult
    from iotcache.store.base import Store

ROUNDS: Final = 4
"""More rounds than this means a series that others write faster than we can follow."""
_PLACE_S: Final = 2
"""Life of the empty item that holds a place; see `iotcache.cache.fallback.LEASE_S`."""
_NEWER: Final = "a newer reading is there already"


class Settled(Struct):
    """What became of the readings, by their positions."""

    outcomes: dict[int, WriteResult] = field(default_factory=dict)
    """Of those that are in the cache now, or for which a newer one is; of refused ones why."""
    set_to: dict[int, SetItem] = field(default_factory=dict)
    """What was set for them."""
    contested: dict[int, StoredReading] = field(default_factory=dict)
    """Others were faster, time and again, or it could not be found out what is newest: to be deleted."""
    away: dict[int, StoredReading] = field(default_factory=dict)
    """Their node does not answer: there is nothing to compare with."""
    same_as: dict[int, int] = field(default_factory=dict)
    """Where one series came more than once: the position of its newest reading, whose outcome serves all."""


class OrderedSets:
    """Compare-and-sets of ``latest`` entries by the age of their readings."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        keys: Keys,
        item: Callable[[StoredReading], SetItem],
        max_value_bytes: int,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._keys = keys
        self._item = item
        self._max_value_bytes = max_value_bytes
        self.hold_places = True
        """Whether a place may be held by an empty item. If not, an entry set *and* removed between our look
        and our set goes unnoticed."""

    async def set_many(self, newest: Sequence[StoredReading]) -> Settled:
        """Set each reading where nothing newer is. Never raises for a node's or the store's sake."""
        settled = Settled()
        by_series: dict[Series, int] = {}
        for at, stored in enumerate(newest):
            before = by_series.setdefault(stored.reading.series, at)
            if age_key(newest[before].reading) <= age_key(stored.reading):
                by_series[stored.reading.series] = at
        left = {at: newest[at] for at in by_series.values()}
        for _ in range(ROUNDS):
            if not left:
                break
            left = await self._round(left, settled)
        settled.contested.update(left)
        if len(by_series) < len(newest):
            settled.same_as = {at: by_series[stored.reading.series] for at, stored in enumerate(newest)}
        return settled

    async def _round(self, left: Mapping[int, StoredReading], settled: Settled) -> dict[int, StoredReading]:
        """One look and one set; those whose entry has changed in between."""
        from iotcache.cluster import WriteResult

        keys = self._keys.latest_many([stored.reading.series for stored in left.values()])
        if self.hold_places:
            gots = await self._cluster.lease_many(keys, stub_s=_PLACE_S)
        else:
            gots = await self._cluster.get_many(keys, cas=True)
        seen: dict[int, GetResult] = {}
        to_ask: list[int] = []
        for (at, stored), key, got in zip(left.items(), keys, gots, strict=True):
            if got.failure is not None or got.node != self._cluster.node_of(key):
                settled.away[at] = stored
                continue
            kept = _reading_of(got)
            if kept is None:
                to_ask.append(at)
            elif _age(kept) >= age_key(stored.reading):
                newer = _age(kept) > age_key(stored.reading)
                settled.outcomes[at] = WriteResult(True, got.node, _NEWER if newer else "")
                continue
            seen[at] = got
        wanted = {at: left[at] for at in seen}
        if to_ask:
            try:
                latest = await self._store.latest_many([left[at].reading.series for at in to_ask])
            except StoreError:
                for at in to_ask:
                    settled.contested[at] = wanted.pop(at)
            else:
                wanted.update((at, _newer(left[at], latest)) for at in to_ask)
        return await self._set(wanted, seen, settled)

    async def _set(
        self, wanted: Mapping[int, StoredReading], seen: Mapping[int, GetResult], settled: Settled
    ) -> dict[int, StoredReading]:
        from iotcache.cluster import CONFLICTS, Mode

        items: dict[int, SetItem] = {}
        for at, stored in wanted.items():
            item = self._item(stored)
            if len(item.value) <= self._max_value_bytes:
                items[at] = item
            else:
                settled.contested[at] = stored
        swapped = [at for at in items if seen[at].cas]
        added = [at for at in items if not seen[at].cas]
        outcomes = list(
            await self._cluster.cas_many([items[at] for at in swapped], [seen[at] for at in swapped])
        )
        if added:
            outcomes += await self._cluster.set_many([replace(items[at], mode=Mode.ADD) for at in added])
        again: dict[int, StoredReading] = {}
        out = {node.name for node in self._cluster.health() if node.state is not NodeState.UP}
        for at, outcome in zip([*swapped, *added], outcomes, strict=True):
            if outcome.ok:
                settled.outcomes[at] = outcome
                settled.set_to[at] = items[at]
            elif outcome.node in out:
                settled.away[at] = wanted[at]
            elif outcome.reason in CONFLICTS:
                again[at] = wanted[at]
            else:
                settled.outcomes[at] = outcome
                settled.set_to[at] = items[at]
        return again


def _reading_of(got: GetResult) -> CachedReading | None:
    """What an entry holds; ``None`` for none, and for one that cannot be read."""
    if not got.hit:
        return None
    try:
        return decode_cached(got.value, got.flags)
    except CorruptValue:
        return None


def _age(kept: CachedReading) -> tuple[int, int, str]:
    """As `age_key`."""
    return kept.ts, NO_SEQ if kept.seq is None else kept.seq, kept.boot


def _newer(stored: StoredReading, latest: Mapping[Series, StoredReading]) -> StoredReading:
    found = latest.get(stored.reading.series, stored)
    return found if age_key(found.reading) > age_key(stored.reading) else stored
