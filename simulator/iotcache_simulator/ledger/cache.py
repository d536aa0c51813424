"""What the cache has of a run: looked at from the run's end on, before short-lived entries expire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Self

from msgspec import Struct

from iotcache.cluster import Cluster
from iotcache.entry_codec import decode_reading
from iotcache.errors import CorruptValue, NodeError
from iotcache.keys import Keys
from iotcache.model import MissReason, Reading, Series
from iotcache.ttl import TtlPolicy
from iotcache_simulator.ledger.reconcile import NAMED_MAX, Balance, Newest
from iotcache_simulator.ledger.sightings import Content, Track, differences, reboots
from iotcache_simulator.report.simulate import CacheBalance

_BATCH = 1_000
_POLL_S = 0.2
_POLL_SHARE = 4.0
"""A look at a large fleet takes its time; the next one begins after this many times as long."""
_CORRUPT = (-1, -1)


class Entry(Struct, frozen=True):
    """What lay under a series' key at one look."""

    reboots: int | None
    """``None``: another run's."""
    seq: int
    content: Content
    ts_us: int = 0

    @property
    def place(self) -> tuple[int | None, int]:
        return self.reboots, self.seq


class _Observed(Struct):
    """What all looks together saw of one series."""

    last: Entry | None = None
    seen: set[tuple[int | None, int]] = set()
    missed_at_s: float | None = None
    """The first look that found nothing (`time.monotonic`)."""


class CacheWatch:
    """Looks at the ``latest`` entries of all series again and again while it is entered.

    What is asked for once is its state when the run ended: entries live for a few intervals of their series
    only, and by the time that the store has settled many of them have expired as they should.
    """

    def __init__(
        self, cluster: Cluster, keys: Keys, series: Sequence[Series], boot: str, *,
        place_of: Mapping[Series, str] | None = None, numbered: bool = True,
    ) -> None:  # fmt: skip
        """``place_of`` stands in for sites that messages do not tell; readings that are not ``numbered`` are
        known by their times."""
        self._place_of = place_of
        self._numbered = numbered
        self._cluster = cluster
        self._keys = keys
        self._series = series
        self._boot = boot
        self._observed = {name: _Observed(seen=set()) for name in series}
        self._task: asyncio.Task[None] | None = None
        self.looks = 0

    async def __aenter__(self) -> Self:
        """Raises `NodeError` when no node answers."""
        await self.look()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, NodeError):
                await self._task

    async def _follow(self) -> None:
        took_s = 0.0
        while True:
            await asyncio.sleep(max(_POLL_S, took_s * _POLL_SHARE))
            began_s = time.monotonic()
            with suppress(NodeError):  # the last look counts, and raises
                await self.look()
            took_s = time.monotonic() - began_s

    async def look(self) -> None:
        """One look at every series. Raises `NodeError` when no node answered for any of them."""
        unanswered = 0
        for at in range(0, len(self._series), _BATCH):
            part = self._series[at : at + _BATCH]
            answers = await self._cluster.get_many(self._keys.latest_many(part))
            now_s = time.monotonic()
            for name, answer in zip(part, answers, strict=True):
                observed = self._observed[name]
                if not answer.hit:
                    unanswered += answer.failure in {MissReason.NODE_DOWN, MissReason.TIMEOUT}
                    observed.last = None
                    if observed.missed_at_s is None:
                        observed.missed_at_s = now_s
                    continue
                observed.last = entry = self._entry(name, answer.value, answer.flags)
                observed.seen.add(entry.place)
        if self._series and unanswered == len(self._series):
            raise NodeError("none of the cache nodes answered")
        self.looks += 1

    def _entry(self, name: Series, value: bytes, flags: int) -> Entry:
        try:
            reading: Reading = decode_reading(name.device, name.sensor, value, flags)
        except CorruptValue:
            return Entry(*_CORRUPT, Content("(not a reading)"))
        site = f"iot/{reading.site}/{name.device}/{name.sensor}"
        topic = site if self._place_of is None else self._place_of[name]
        if not self._numbered:
            ts_us = reading.ts_us // 1_000 * 1_000
            return Entry(0, ts_us, Content(reading.value, ts_us, reading.unit, topic), reading.ts_us)
        content = Content(reading.value, reading.ts_us, reading.unit, topic)
        boots = reboots(reading.boot, self._boot)
        return Entry(boots, -1 if reading.seq is None else reading.seq, content, reading.ts_us)

    def settled(self, newest: Mapping[Series, Newest]) -> bool:
        """Whether every entry was seen fresh, and none is old now."""
        return all(
            (last.reboots, last.seq) in self._observed[name].seen
            and self._state(name, last) in ("fresh", "others", "absent")
            for name, last in newest.items()
        )

    def _state(self, name: Series, newest: Newest) -> str:
        entry = self._observed[name].last
        if entry is None:
            return "absent"
        if entry.place == (newest.reboots, newest.seq):
            return "fresh"
        if entry.reboots is None:
            return "others"
        return "foreign" if entry.place > (newest.reboots, newest.seq) else "stale"

    def balance(
        self, newest: Mapping[Series, Newest], ledger: Balance, *,
        since_us: int, lives_until_s: Callable[[Series, Newest], float], births: bool = False,
        kept_back: Collection[Series] = (),
    ) -> CacheBalance:  # fmt: skip
        """The figures, and what is altered or foreign into the ledger's.

        ``since_us``: when the run began, by the times in its payloads: another run's entry from before is
        stale. ``lives_until_s`` (`time.monotonic`): how long an entry must be there, once written.
        ``births``: devices tell values when they are born, too, which no reading that was due has.
        ``kept_back``: series whose newest reading may have been told as historical, which is never cached.
        """
        ledger.altered_in["cache"] = ledger.misplaced_in["cache"] = ledger.foreign_in["cache"] = 0
        counts = dict.fromkeys(("fresh", "stale", "absent", "others", "expired"), 0)
        stale: list[str] = []
        absent: list[str] = []
        for name, last in newest.items():
            observed, state = self._observed[name], self._state(name, last)
            entry = observed.last
            if state == "absent":
                if (last.reboots, last.seq) in observed.seen:
                    state = "fresh"  # it was there, and has expired since
                elif name in kept_back or (
                    observed.missed_at_s is not None and observed.missed_at_s >= lives_until_s(name, last)
                ):
                    state = "expired"
                elif births and observed.seen:
                    # The death of its edge node, told right after the last reading, ends its entries at once.
                    state = "expired"
                else:
                    absent.append(" ".join(name))
            elif state == "others" and entry is not None and entry.ts_us < since_us:
                state = "stale"
            elif state == "foreign" and births:
                state = "fresh"
            elif state == "stale" and name in kept_back and entry is not None and entry.reboots is not None:
                state = "expired"
            elif state == "foreign" and entry is not None:
                ledger.note_foreign(Track(name.device, name.sensor, entry.reboots or 0), entry.seq, "cache")
                state = "stale"
            elif state == "fresh" and entry is not None and differences(last.content, entry.content):
                track = Track(name.device, name.sensor, last.reboots)
                ledger.deviates(track, last.seq, {"cache": [(last.content, entry.content)]})
            if state == "stale":
                stale.append(" ".join(name))
            counts[state] += 1
        return CacheBalance(
            **counts, stale_series=tuple(stale[:NAMED_MAX]), absent_series=tuple(absent[:NAMED_MAX])
        )


def least_ttl_s(policy: TtlPolicy, interval_s: float) -> float:
    """The shortest time that an entry of a series which reports every ``interval_s`` lives, once written.

    A worker may know the interval only roughly, so half of it counts; memcached counts in whole seconds and
    may end an entry one second early (doc/protocol.txt, "Expiration times").
    """
    return policy.volatile_s(interval_s / 2) * (1.0 - policy.jitter) - 1.5
