"""All figures of a site's sensor in a stretch of time, whichever store keeps them."""

from __future__ import annotations

from iotcache.model import Reading, StoredReading
from iotcache.store.base import Store


def reading(device: str, value: object, ts_us: int, site: str = "north", sensor: str = "t") -> StoredReading:
    return StoredReading(Reading(device, sensor, value, ts_us, site=site))  # type: ignore[arg-type]


async def figures(
    store: Store, site: str, sensor: str, since_us: int, until_us: int
) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    above, first = 0, True
    while first or above:
        page = await store.window(site, sensor, since_us, until_us, above, series_limit=2)
        found += page.figures
        above, first = page.last, False
    return sorted(found)


async def test_figures_of_one_sensor_of_all_devices_of_a_site(store: Store) -> None:
    await store.commit(
        [
            *(reading(f"d{n}", n + 0.5, 100 + n) for n in range(7)),
            reading("d1", 7, 200), reading("d1", True, 201), reading("d1", "text", 202),
            reading("d1", 9, 99), reading("d1", 9, 300),
            reading("d1", 9, 150, sensor="u"), reading("s1", 9, 150, site="south"),
        ]
    )  # fmt: skip
    assert await figures(store, "north", "t", 100, 300) == [
        *((100 + n, n + 0.5) for n in range(7)), (200, 7.0), (201, 1.0)
    ]  # fmt: skip
    assert await figures(store, "south", "t", 100, 300) == [(150, 9.0)]
    assert await figures(store, "west", "t", 100, 300) == []


async def test_a_device_that_moved_counts_where_it_was_when_it_spoke(store: Store) -> None:
    await store.commit([reading("d1", 1, 100), reading("d1", 2, 101, site="s \\ \x00")])
    assert await figures(store, "north", "t", 0, 1_000) == [(100, 1.0)]
    assert await figures(store, "s \\ \x00", "t", -(2**70), 2**70) == [(101, 2.0)]
