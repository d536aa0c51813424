"""`DeviceCache.write`: on disk and in the cache after one call."""

from __future__ import annotations

import enum
import time
from typing import Any

import numpy as np
import pytest

from iotcache.errors import ReadingRefused
from iotcache.model import Reading, Series, Source
from tests.cache.conftest import Open
from tests.conftest import Server

NOW_US = round(time.time() * 1e6)


def reading(device: str = "dev", value: Any = 1.5, ts_us: int = NOW_US, **rest: Any) -> Reading:
    return Reading(device, "temp", value, ts_us, **rest)


async def test_a_reading_is_on_disk_and_in_the_cache_afterwards(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    written = await cache.write([reading(), reading("other", 2.0)])
    assert (written.stored, written.cached, written.uncached) == (2, 2, ())
    assert (await cache.read("dev", "temp")).source is Source.CACHE
    (stored,) = (await cache.store.latest_many([Series("dev", "temp")])).values()
    assert stored.reading.value == 1.5
    assert stored.reading.received_us >= NOW_US - 60_000_000
    again = await cache.write([reading()])
    assert (again.stored, again.duplicates) == (0, 1)


async def test_an_older_reading_leaves_the_entry_as_it_is(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await cache.write([reading(value=2.0)])
    written = await cache.write([reading(value=1.0, ts_us=NOW_US - 10_000_000)])
    assert (written.stored, written.cached) == (1, 0)
    assert (await cache.read("dev", "temp")).value == 2.0


async def test_the_interval_is_learnt_and_makes_the_ttl(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    for step in range(4):
        await cache.write([reading(value=float(step), ts_us=NOW_US - (4 - step) * 100_000_000)])
    (info,) = await cache.ttl_many([Series("dev", "temp")])
    assert 200 < info.ttl_s < 400  # three intervals of 100 s


async def test_a_node_that_is_out_is_named_and_no_error(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    memcached.kill()
    written = await cache.write([reading()])
    assert (written.stored, written.cached, written.uncached) == (1, 0, (Series("dev", "temp"),))
    assert (await cache.read("dev", "temp")).value == 1.5


class Mode(enum.StrEnum):
    ECO = "eco"


@pytest.mark.parametrize("value", [np.float64(1.5), np.float32(1.5), np.int16(7), Mode.ECO, True, 1 << 70])
async def test_an_applications_own_types_are_taken_for_what_they_are(
    memcached: Server, open_cache: Open, value: Any
) -> None:
    cache = await open_cache([memcached])
    await cache.write([reading(value=value)])
    assert (await cache.read("dev", "temp")).value == value


@pytest.mark.parametrize(
    "wrong",
    [
        reading(device=""),
        reading(value=float("nan")),
        reading(value=np.float64("inf")),
        reading(value=None),
        reading(value=b"bytes"),
        reading(ts_us=0),
        reading(ts_us=NOW_US + 10**12),
        reading(device="a\0b"),
        reading(device=7),  # type: ignore[arg-type]
        reading(ts_us="now"),  # type: ignore[arg-type]
        reading(device="x" * 10_000),
    ],
)
async def test_one_reading_that_cannot_be_kept_refuses_the_call(
    memcached: Server, open_cache: Open, wrong: Reading
) -> None:
    cache = await open_cache([memcached])
    with pytest.raises(ReadingRefused, match=r"reading no\. 2"):
        await cache.write([reading(), wrong])
    assert await cache.store.directory() == []
