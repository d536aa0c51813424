"""Aggregates and buckets counted from the store: on a miss, and to settle doubtful windows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from iotcache.cache.aggregates.values import CachedAggregate, CachedBucket, Window, window_of
from iotcache.model import Series, Value, figure_of
from iotcache.quantile_sketch import QuantileSketch

if TYPE_CHECKING:
    from iotcache.store.base import Store

WINDOW_S: Final = 60
WINDOW_US: Final = WINDOW_S * 1_000_000
BUCKET_READINGS: Final = 2_000
"""So many readings a bucket holds, the newest ones; its figures are of `FIGURES_READINGS`."""
FIGURES_READINGS: Final = 20_000
BUCKET_SETTLE_S: Final = 30.0
"""A bucket takes late readings as a matter of course until this long after its end."""
TEXT_LIMIT: Final = 200
_COUNTED_AT_ONCE: Final = 4_000
"""Readings counted before other tasks run."""


def window_start(ts_us: int) -> int:
    """The start of the window that a time lies in."""
    return ts_us // WINDOW_US * WINDOW_US


async def count_windows(
    store: Store, site: str, sensor: str, starts: tuple[int, ...]
) -> dict[int, QuantileSketch]:
    """What each of these windows holds. Raises `StoreError`."""
    sketches = {start: QuantileSketch() for start in starts}
    since, until = min(starts), max(starts) + WINDOW_US
    above = 0
    while True:
        page = await store.window(site, sensor, since, until, above)
        for first in range(0, len(page.figures), _COUNTED_AT_ONCE):
            values: dict[int, list[float]] = {start: [] for start in starts}
            for ts_us, value in page.figures[first : first + _COUNTED_AT_ONCE]:
                start = ts_us // WINDOW_US * WINDOW_US
                if start in values:
                    values[start].append(value)
            for start, of_window in values.items():
                sketches[start].add_all(of_window)
            await asyncio.sleep(0)  # other tasks run
        above = page.last
        if not above:
            return sketches


async def aggregate_from_store(store: Store, site: str, sensor: str, now_us: int) -> CachedAggregate | None:
    """The aggregate as of ``now_us``; ``None`` when its windows are empty. Raises `StoreError`."""
    start = window_start(now_us)
    sketches = await count_windows(store, site, sensor, (start - 2 * WINDOW_US, start - WINDOW_US, start))
    for newest in (start, start - WINDOW_US):
        if sketches[newest].n:
            before = sketches[newest - WINDOW_US]
            return CachedAggregate(
                window_of(newest, WINDOW_S, sketches[newest]),
                window_of(newest - WINDOW_US, WINDOW_S, before) if before.n else None,
            )
    return None


async def bucket_from_store(
    store: Store, series: Series, start_us: int, bucket_s: int, now_us: int
) -> CachedBucket | None:
    """The bucket that begins at ``start_us``; ``None`` when it is empty. Raises `StoreError`."""
    end_us = start_us + bucket_s * 1_000_000
    readings = await store.history(series, start_us, end_us, FIGURES_READINGS)
    if not readings:
        return None
    sketch = QuantileSketch()
    numbers = map(figure_of, (reading.value for reading in readings))
    sketch.add_all([number for number in numbers if number is not None])
    figures: Window | None = window_of(start_us, bucket_s, sketch) if sketch.n else None
    return CachedBucket(
        start_us,
        bucket_s,
        [(reading.ts_us, _short(reading.value)) for reading in readings[-BUCKET_READINGS:]],
        figures,
        left_out=len(readings) > BUCKET_READINGS,
        open=end_us + BUCKET_SETTLE_S * 1e6 > now_us,
    )


def _short(value: Value) -> Value:
    return value[:TEXT_LIMIT] if isinstance(value, str) else value
