"""What the store has of a run."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.model import Series
from iotcache.store.base import Store
from iotcache_simulator.ledger.sightings import Content, Sightings, Track, reboots

_PAGE = 10_000


async def stored(store: Store, series: Sequence[Series], boot: str, span_us: tuple[int, int]) -> Sightings:
    """The readings of one boot that the store has, with the times at which it took them in."""
    seen = Sightings()
    since_us, until_us = span_us
    for name in series:
        until = until_us
        while rows := await store.history(name, since_us, until, _PAGE):
            for reading in rows:
                boots = reboots(reading.boot, boot)
                if boots is not None and reading.seq is not None:
                    topic = f"iot/{reading.site}/{name.device}/{name.sensor}"
                    content = Content(reading.value, reading.ts_us, reading.unit, topic)
                    track = Track(name.device, name.sensor, boots)
                    seen.add(track, reading.seq, reading.received_us or 1, content)
            if len(rows) < _PAGE:
                break
            until = rows[0].ts_us
    return seen
