"""What a scenario's policies do to real nodes and a real store: connections, refreshing, sides, writing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from iotcache.cache import loading
from iotcache.cluster.types import GetResult
from iotcache.config.schema import Settings, StoreSettings
from iotcache.errors import StoreError
from iotcache.model import Reading, Series, Source, StoredReading
from iotcache.store import open_store
from iotcache.store.base import Store
from iotcache_simulator.lab import node_stats, writers
from iotcache_simulator.lab.application import ArmPolicy
from iotcache_simulator.lab.arm import PROBE, Arm
from iotcache_simulator.lab.definition.spec import ArmSpec
from iotcache_simulator.lab.probe import Probe
from iotcache_simulator.lab.slow_store import SlowStoreAccess, StoreConnections
from iotcache_simulator.readers.workload import ReadSpec
from tests.conftest import Server

POLICY = ArmPolicy(ttl_s=60, config_ttl_s=None, jitter=0.0, lease=True, failover=True, placement="ketama")
SERIES = [Series(f"d-{n}", "t") for n in range(6)]


@asynccontextmanager
async def stored(folder: Path) -> AsyncIterator[Store]:
    async with open_store(StoreSettings(url=f"sqlite:///{folder}/s.db")) as store:
        await store.commit([StoredReading(Reading(*one, 1.0, 1_000_000)) for one in SERIES])
        yield store


@asynccontextmanager
async def reading(server: Server, store: Store, policy: ArmPolicy, name: str = "") -> AsyncIterator[Arm]:
    arm = Arm(name, Settings(), store, prefix=f"{name}:", policy=policy, clients=1, seed=1)
    try:
        await arm.use_nodes((server.address,))
        yield arm
    finally:
        await arm.close()


async def until(wanted: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not wanted():
            await asyncio.sleep(0.01)


async def test_a_store_serves_so_many_at_a_time_refuses_beyond_its_queue_and_finishes_for_nobody(
    tmp_path: Path,
) -> None:
    async with stored(tmp_path) as store:
        connections = StoreConnections(1, queue=2)
        one, other = SlowStoreAccess(store, connections), SlowStoreAccess(store, connections)
        one.delay_s = other.delay_s = 0.2
        asking = [asyncio.create_task(side.latest_many(SERIES[:1])) for side in (one, other, one)]
        await until(lambda: connections.waiting == 2)
        assert (one.waiting, other.waiting) == (1, 1), "each side knows its own"
        with pytest.raises(StoreError, match="queue is full"):
            await other.latest_many(SERIES[:1])
        asking[0].cancel()
        await asyncio.wait(asking[:1])
        assert connections.waiting == 2, "who gave up still has the connection"
        assert [len(await answer) for answer in asking[1:]] == [1, 1]
        assert one.requested[SERIES[0]] == 2
        one.close()
        other.close()


@pytest.mark.real("memcached")
async def test_an_entry_with_little_life_left_is_loaded_anew_behind_the_reader(
    memcached: Server, tmp_path: Path
) -> None:
    policy = structs.replace(POLICY, ttl_s=5, refresh_s=30)
    async with stored(tmp_path) as store, reading(memcached, store, policy, "refresh") as arm:
        (application,) = arm.applications
        (first,) = await application.read_many(SERIES[:1])
        assert first.source is not Source.CACHE
        arm.store.delay_s = 0.1
        await arm.set_policy(structs.replace(policy, ttl_s=300))
        (second,) = await application.read_many(SERIES[:1])
        assert (second.source, second.value) == (Source.CACHE, 1.0), "nobody waits for it"
        await until(lambda: application.totals.refreshed == 1)

        async def renewed() -> bool:
            (info,) = await arm.cache.ttl_many(SERIES[:1])
            return info.ttl_s > 250

        async with asyncio.timeout(10):
            while not await renewed():  # though the value is what it was
                await asyncio.sleep(0.01)
        await arm.set_policy(policy)
        await arm.cache.cluster.touch_many(arm.keys.latest_many(SERIES[:1]), 5)
        arm.store.stopped = True
        await application.read_many(SERIES[:1])
        assert application.totals.refreshed == 1, "another has the right to, for a while"


@pytest.mark.real("memcached")
@pytest.mark.parametrize("connections", [0, 1])
async def test_the_end_waits_for_no_answer_of_the_store(
    memcached: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    monkeypatch.setattr(loading, "STORE_TIMEOUT_S", 3_600.0)
    async with stored(tmp_path) as store:
        arm = Arm(
            "", Settings(), store, prefix=f"end-{connections}:", policy=POLICY, clients=8, seed=1,
            connections=StoreConnections(connections, 400) if connections else None,
        )  # fmt: skip
        arm.store.delay_s = 3_600.0
        await arm.use_nodes((memcached.address,))
        await arm.read(SERIES, ReadSpec(rate=800, batch=1), "uniform")
        await until(lambda: len(arm.store.requested) == len(SERIES))
        await arm.close()
        with pytest.raises(StoreError, match="cut off"):
            await arm.store.latest_many(SERIES)


@pytest.mark.real("memcached")
async def test_a_read_that_outlasts_a_look_counts_in_the_one_in_which_it_ends(
    memcached: Server, tmp_path: Path
) -> None:
    async with stored(tmp_path) as store, reading(memcached, store, POLICY, "slow") as arm:
        (application,) = arm.applications
        arm.store.delay_s = 0.2
        slow = asyncio.create_task(application.read_many(SERIES))
        await until(lambda: arm.store.requested)
        assert arm.figures()["reads_per_s"] == 0
        await slow
        figures = arm.figures()
        assert (figures["reads_per_s"], figures["hit_percent"]) == (len(SERIES), 0)
        assert figures["node_gets_per_s"] == len(SERIES)


async def test_values_are_as_large_and_answers_as_late_as_asked_for(tmp_path: Path) -> None:
    async with stored(tmp_path) as store:
        access = SlowStoreAccess(store)
        access.value_bytes, access.answer_delay_s = 700, 0.3
        asking = asyncio.create_task(access.latest_many(SERIES[:1]))
        await asyncio.sleep(0.15)
        await store.commit([StoredReading(Reading(*SERIES[0], 2.0, 2_000_000))])
        (found,) = (await asking).values()
        assert found.reading.ts_us == 1_000_000, "it was asked for before"
        assert found.reading.value == "x" * 700


def test_a_side_reads_as_all_do_but_for_what_is_its_own() -> None:
    common = ReadSpec(rate=100, batch=5, in_flight=7)
    assert ArmSpec("a").reads(common) == common
    assert ArmSpec("a", reads_per_s=3, batch=2).reads(common) == ReadSpec(rate=3, batch=2, in_flight=7)


@pytest.mark.real("memcached")
@pytest.mark.parametrize("lease", [False, True], ids=["plain", "lease"])
async def test_a_slow_reader_puts_a_deleted_value_back_unless_it_has_a_lease(
    memcached: Server, tmp_path: Path, lease: bool
) -> None:
    policy = structs.replace(POLICY, lease=lease)
    async with stored(tmp_path) as store, reading(memcached, store, policy, f"race-{lease}") as arm:
        probe = Probe(store, [arm])
        await probe.write(1, behind=False, invalidate=True)
        arm.store.answer_delay_s = 0.4
        slow = asyncio.create_task(arm.cache.read(*PROBE))
        await until(lambda: arm.store.requested[PROBE])
        await asyncio.sleep(0.1)
        await probe.write(2, behind=False, invalidate=True)
        assert (await slow).value == 1
        arm.store.answer_delay_s = 0.0
        assert (await arm.cache.read(*PROBE)).value == (2 if lease else 1)


@pytest.mark.real("memcached")
async def test_a_push_that_comes_too_late_is_counted(memcached: Server, tmp_path: Path) -> None:
    async with stored(tmp_path) as store, reading(memcached, store, POLICY, "pushes") as arm:
        probe = Probe(store, [arm])
        for version, refused in ((3, 0), (2, 1), (3, 1)):
            await probe.configure(version, behind=False)
            figures = await probe.figures()
            assert (figures["pushes_refused"], figures["pushes.config_version"]) == (refused, 3)


@pytest.mark.real("memcached")
@pytest.mark.parametrize(
    ("writing", "cached", "in_store"),
    [("through", True, True), ("aside", False, True), ("around", False, True), ("behind", True, False)],
)
async def test_a_write_goes_where_its_policy_says(
    memcached: Server, tmp_path: Path, writing: str, cached: bool, in_store: bool,
) -> None:  # fmt: skip
    policy = structs.replace(POLICY, writing=writing)
    async with stored(tmp_path) as store, reading(memcached, store, policy, writing) as arm:
        arm.write(200)
        await until(lambda: len(arm.writers.acknowledged) == writers.SERIES)
        await arm.writers.stop()
        infos = await arm.cache.ttl_many(arm.writers.series)
        assert {info.present for info in infos} == {cached}
        assert bool(await store.latest_many(arm.writers.series)) == in_store
        own = arm.figures()
        assert (own["writes_per_s"] or 0) >= writers.SERIES
        assert ((own["store_writes_per_s"] or 0) > 0) == in_store


@pytest.mark.real("memcached")
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "flushed"])
async def test_what_is_written_behind_reaches_the_store_unless_the_node_loses_it(
    memcached: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(writers, "BEHIND_S", 3_600.0)
    monkeypatch.setattr(writers, "FLUSHED_AT_A_TIME", writers.SERIES)
    policy = structs.replace(POLICY, writing="behind")
    async with stored(tmp_path) as store, reading(memcached, store, policy, f"behind-{kept}") as arm:
        arm.write(400)
        await until(lambda: len(arm.writers.acknowledged) == writers.SERIES)
        await arm.writers.stop()  # with all that is under way: nothing is written after what follows
        if not kept:
            await arm.cache.invalidate(arm.writers.series)
        monkeypatch.setattr(writers, "BEHIND_S", 0.0)
        arm.write(0)
        await until(lambda: arm.writers.lost + arm.writers.store_writes >= writers.SERIES)
        assert (arm.writers.lost == 0) == kept
        found = await store.latest_many(arm.writers.series)
        assert {one: float(has.reading.value) for one, has in found.items()} == (
            arm.writers.acknowledged if kept else {}
        )


@pytest.mark.real("memcached")
async def test_what_is_written_again_while_it_is_flushed_is_not_lost(
    memcached: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "BEHIND_S", 0.0)
    monkeypatch.setattr(writers, "FLUSHED_AT_A_TIME", writers.SERIES)
    policy = structs.replace(POLICY, writing="behind")
    async with stored(tmp_path) as store, reading(memcached, store, policy, "again") as arm:
        get_many = arm.cache.cluster.get_many

        async def get_late(keys: Sequence[str]) -> list[GetResult]:
            before = dict(arm.writers.acknowledged)
            await until(lambda: all(arm.writers.acknowledged[one] > value for one, value in before.items()))
            return await get_many(keys)

        arm.write(400)
        await until(lambda: len(arm.writers.acknowledged) == writers.SERIES)
        monkeypatch.setattr(arm.cache.cluster, "get_many", get_late)
        await until(lambda: arm.writers.store_writes + arm.writers.lost >= writers.SERIES)
        assert arm.writers.lost == 0


@pytest.mark.real("memcached")
async def test_nodes_that_answer_late_count_in_the_next_look(
    memcached: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_stats, "WAIT_S", 0.0)
    counts = node_stats.NodeCounts(Settings().cache, slabs=True)
    figures: dict[str, float | None] = {}
    try:
        async with asyncio.timeout(20):
            while not figures:
                figures = await counts.figures((memcached.address,))
                await asyncio.sleep(0.02)
    finally:
        await counts.close()
    assert {"items", "evictions_per_s", "idle_memory_mb"} <= set(figures)
