"""What the store has of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from iotcache.model import Reading, Series
from iotcache.store.base import Store
from iotcache_simulator.ledger.sightings import Content, Sightings, Track, reboots
from iotcache_simulator.ledger.unnumbered import Unnumbered

_PAGE = 10_000


async def stored(
    store: Store, series: Sequence[Series], boot: str, span_us: tuple[int, int],
    place_of: Mapping[Series, str] | None = None,
) -> Sightings:  # fmt: skip
    """The readings of one boot that the store has, with the times at which it took them in.

    ``place_of`` stands in for the sites in the store, where those are not told in messages.
    """
    seen = Sightings()
    for name in series:
        async for reading in _rows(store, name, span_us):
            boots = reboots(reading.boot, boot)
            if boots is not None and reading.seq is not None:
                topic = (
                    f"iot/{reading.site}/{name.device}/{name.sensor}" if place_of is None else place_of[name]
                )
                content = Content(reading.value, reading.ts_us, reading.unit, topic)
                track = Track(name.device, name.sensor, boots)
                seen.add(track, reading.seq, reading.received_us or 1, content)
    return seen


async def stored_unnumbered(
    store: Store, place_of: Mapping[Series, str], span_us: tuple[int, int], *, timed: bool
) -> Unnumbered:
    """The readings without a number that the store has of these series, in the order of their times."""
    seen = Unnumbered()
    for name, place in place_of.items():
        rows = [row async for row in _rows(store, name, span_us) if row.seq is None]
        for row in sorted(rows, key=lambda row: row.ts_us):
            # Times of Sparkplug are whole milliseconds; a worker tells values of one apart by microseconds.
            ts_us = row.ts_us // 1_000 * 1_000 if timed else None
            seen.add(name, row.received_us or row.ts_us, Content(row.value, ts_us, row.unit, place))
    return seen


async def _rows(store: Store, name: Series, span_us: tuple[int, int]) -> AsyncIterator[Reading]:
    since_us, until = span_us
    while rows := await store.history(name, since_us, until, _PAGE):
        for reading in rows:
            yield reading
        if len(rows) < _PAGE:
            return
        until = rows[0].ts_us
