"""Documents of devices, whichever store keeps them."""

from __future__ import annotations

import asyncio

import pytest

from iotcache.config.schema import StoreSettings
from iotcache.errors import StoreError
from iotcache.model import Document, DocumentKind, DocumentName, Reading, Series, StoredReading
from iotcache.store import open_store
from iotcache.store.base import Store

META, CONFIG = DocumentKind.META, DocumentKind.CONFIG


def cfg(version: int, content: str = "", device: str = "dev-1", at_us: int = 0) -> Document:
    return Document(device, CONFIG, version, content or f'{{"version":{version}}}', "north", at_us)


def meta(version: int, device: str = "dev-1", at_us: int = 0) -> Document:
    return Document(device, META, version, f'{{"model":{version}}}', "north", at_us)


async def test_a_document_comes_back_as_it_was(store: Store) -> None:
    given = [cfg(3, at_us=77), meta(1, at_us=78), cfg(1, device="dev \x00 \ud800 \\ %é")]
    assert sorted(await store.documents.upsert(given), key=lambda one: one.name) == sorted(
        given, key=lambda one: one.name
    )
    assert await store.documents.find([one.name for one in given]) == {one.name: one for one in given}
    assert await store.documents.find([DocumentName("nobody", META)]) == {}
    assert await store.documents.find([]) == {}
    assert await store.documents.upsert([]) == []


async def test_an_older_version_never_wins_and_of_equal_ones_the_first_stands(store: Store) -> None:
    await store.documents.upsert([cfg(5)])
    assert await store.documents.upsert([cfg(4)]) == []
    assert await store.documents.upsert([cfg(5, '{"other":1}')]) == []
    assert await store.documents.upsert([cfg(5)]) == [cfg(5)], "said again, it stands"
    assert await store.documents.find([cfg(5).name]) == {cfg(5).name: cfg(5)}
    assert await store.documents.upsert([cfg(6), cfg(8), cfg(7), cfg(8, '{"late":1}')]) == [cfg(8)]


async def test_many_writers_leave_the_highest_version(store_settings: StoreSettings) -> None:
    settings = StoreSettings(url=store_settings.url, password=store_settings.password, busy_timeout_s=10)
    async with open_store(settings) as a, open_store(settings) as b:
        names = [f"d{n}" for n in range(20)]
        await asyncio.gather(
            *(
                (a, b)[version % 2].documents.upsert([cfg(version, device=name) for name in names])
                for version in (3, 9, 1, 8, 7, 2)
            )
        )
        found = await a.documents.find([DocumentName(name, CONFIG) for name in names])
        assert {one.version for one in found.values()} == {9}
        assert len(found) == 20


async def test_a_number_beyond_64_bits_is_refused_for_good(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        await store.documents.upsert([cfg(2**63)])
    assert not caught.value.retryable
    assert await store.documents.find([cfg(1).name]) == {}


async def test_a_device_out_of_service_has_no_documents_until_it_says_a_later_birth(store: Store) -> None:
    await store.documents.upsert([meta(1, at_us=100), cfg(4, at_us=100)])
    await store.documents.decommission({"dev-1": 200, "dev-2": 201})
    assert await store.documents.decommissioned() == ["dev-1", "dev-2"]
    assert await store.documents.decommissioned("dev-1") == ["dev-2"]
    assert await store.documents.find([meta(1).name, cfg(4).name]) == {}
    assert await store.documents.names() == []
    assert await store.documents.upsert([meta(1, at_us=100), cfg(5, at_us=300)]) == []
    assert await store.documents.decommissioned() == ["dev-1", "dev-2"], (
        "an old birth, or a push, is no return"
    )
    back = meta(2, at_us=300)
    assert await store.documents.upsert([back]) == [back]
    assert await store.documents.decommissioned() == ["dev-2"]
    assert set(await store.documents.find([meta(1).name, cfg(4).name])) == {meta(1).name, cfg(4).name}
    await store.documents.decommission({"dev-1": 250})
    assert await store.documents.decommissioned() == ["dev-2"], "the birth came after that"
    await store.documents.recommission(["dev-2", "dev-9"])
    assert await store.documents.decommissioned() == []


async def test_names_come_in_pages(store: Store) -> None:
    every = [one for n in (2, 10, 1) for one in (meta(1, device=f"d{n}"), cfg(1, device=f"d{n}"))]
    await store.documents.upsert(every)
    seen: list[DocumentName] = []
    while page := await store.documents.names(seen[-1] if seen else None, limit=4):
        assert len(page) <= 4
        seen += page
    assert seen == sorted(one.name for one in every)


async def test_the_sensors_of_devices(store: Store) -> None:
    await store.commit(
        [
            StoredReading(Reading(device, sensor, 1.0, 10, unit="K", site="s", interval_s=2.0))
            for device in ("a", "b", "c")
            for sensor in ("x", "y")
        ]
    )
    found = await store.documents.sensors(["a", "c", "nobody"])
    assert {info.series for info in found} == {Series(d, s) for d in ("a", "c") for s in ("x", "y")}
    assert {(info.site, info.unit, info.interval_s) for info in found} == {("s", "K", 2.0)}


async def test_a_store_opened_for_reading_refuses_to_keep(store_settings: StoreSettings) -> None:
    async with open_store(store_settings) as store:
        await store.documents.upsert([cfg(1)])
    async with open_store(store_settings, read_only=True) as store:
        assert len(await store.documents.names()) == 1
        with pytest.raises(StoreError, match="reading only"):
            await store.documents.upsert([cfg(2)])
