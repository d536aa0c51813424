"""Nothing of ours that writes starts beside somebody else's servers, and looking changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from pymemcache import Client

from iotcache.cache import DeviceCache
from iotcache.config.parts import Writers, observes, writers
from iotcache.config.schema import (
    BrokerSettings,
    CacheSettings,
    DashboardSettings,
    IngestSettings,
    Settings,
    SimulatorSettings,
    StoreSettings,
)
from iotcache.model import Reading, Series, Source, StoredReading
from iotcache.store import open_store
from iotcache_tui.checks.config import check_starts
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.state.dashboard import DashboardState
from tests.conftest import Server

BROKER = BrokerSettings(url="mqtt://h")
NODES = CacheSettings(nodes=("h:1",))
STORE = StoreSettings(url="sqlite:///x.db")


@pytest.mark.parametrize(
    "part", [{"broker": BROKER}, {"cache": NODES}, {"store": STORE}], ids=lambda one: next(iter(one))
)
def test_one_named_part_is_enough(part: dict[str, Any]) -> None:
    assert writers(Settings()) == Writers(True, True)
    named = Settings(**part)
    assert writers(named) == Writers(False, False)
    assert observes(named)
    assert not observes(Settings())
    asked = Settings(**part, ingest=IngestSettings(enabled=True), simulator=SimulatorSettings(enabled=True))
    assert writers(asked) == Writers(True, True)
    # Read-only means it, whatever else is asked for.
    only = DashboardSettings(read_only=True)
    assert writers(
        Settings(**part, ingest=asked.ingest, simulator=asked.simulator, dashboard=only)
    ) == Writers(False, False)
    assert writers(Settings(dashboard=only)) == Writers(True, True)
    assert not observes(Settings(**part, dashboard=DashboardSettings(observe=False)))


def test_the_doctor_says_what_starts_and_what_is_written() -> None:
    assert check_starts(Settings()).found == (
        "the dashboard starts broker, cache nodes, store, ingest worker, fleet, all embedded"
    )
    nodes = check_starts(Settings(cache=NODES))
    assert (nodes.level, nodes.found) == (
        "ok",
        "the dashboard starts broker, store and only looks at cache.nodes",
    )
    everything = check_starts(Settings(broker=BROKER, cache=NODES, store=STORE))
    assert everything.found == (
        "the dashboard starts nothing and only looks at broker.url and cache.nodes and store.url"
    )
    asked = check_starts(Settings(cache=NODES, ingest=IngestSettings(enabled=True)))
    assert asked.level == "warn"
    assert "which write to cache.nodes" in asked.found


def _stats(address: str, *arguments: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    with contextlib.closing(Client((host, int(port)), timeout=5)) as client:
        return {name.decode(): value for name, value in client.stats(*arguments).items()}


def _watch(settings: Settings, until: Any, seconds: float = 30.0) -> DashboardState:
    """Run the dashboard's feed until something is so."""
    import time

    feed, state = LiveFeed(settings), DashboardState()
    feed.start()
    try:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for drained in feed.mailbox.drain_all():
                state.apply(drained)
            if until(state):
                return state
            feed.watch(range(min(len(state.fleet), 100)))
            time.sleep(0.05)
        raise AssertionError("it never was so")
    finally:
        feed.stop()


def _looked(state: DashboardState) -> bool:
    return len(state.seconds) > 3


@pytest.mark.real("memcached")
@pytest.mark.parametrize("read_only", ["auto", True], ids=["auto", "read-only"])
def test_a_config_of_nodes_alone_sets_nothing_on_them(
    memcached: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read_only: Any
) -> None:
    monkeypatch.setenv("IOTCACHE_RUNTIME_DIR", str(tmp_path))
    settings = Settings(
        cache=CacheSettings(nodes=(memcached.address,)), dashboard=DashboardSettings(read_only=read_only)
    )
    state = _watch(settings, _looked)
    assert {part.name for part in state.parts}.isdisjoint({"ingest", "simulator"})
    stats = _stats(memcached.address)
    counted = ("cmd_set", "cmd_touch", "cmd_flush", "total_items", "curr_items")
    assert {name: int(stats[name]) for name in counted} == dict.fromkeys(counted, 0)


@pytest.mark.real("memcached")
async def test_looking_at_a_fleet_puts_nothing_back_and_makes_nothing_younger(
    memcached: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IOTCACHE_RUNTIME_DIR", str(tmp_path))
    url = f"sqlite:///{tmp_path}/r.db"
    settings = Settings(cache=CacheSettings(nodes=(memcached.address,)), store=StoreSettings(url=url))
    readings = [StoredReading(Reading(f"dev-{n}", "t", float(n), 1_700_000_000_000_000)) for n in range(40)]
    async with DeviceCache.from_settings(settings) as cache:
        committed = await cache.store.commit(readings)
        await cache.write_through(committed.newest[:20])  # the other half expired, say
    before = _stats(memcached.address)
    state = await asyncio.to_thread(
        _watch, settings, lambda state: sum(second.reads for second in state.seconds) >= 120
    )
    after = _stats(memcached.address)
    for name in ("cmd_set", "cmd_touch", "curr_items", "total_items", "delete_hits", "delete_misses"):
        assert after[name] == before[name], name
    assert len(state.fleet) == 40
    # What is looked at is marked neither fetched nor used.
    host, _, port = memcached.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"me dev-0:t:latest\r\n")
    facts = dict(part.split(b"=") for part in (await reader.readline()).split()[2:])
    writer.close()
    assert facts[b"fetch"] == b"no"


@pytest.mark.real("memcached")
async def test_who_only_looks_is_given_the_store_s_value_and_the_reason(
    memcached: Server, tmp_path: Path
) -> None:
    settings = Settings(
        cache=CacheSettings(nodes=(memcached.address,)), store=StoreSettings(url=f"sqlite:///{tmp_path}/r.db")
    )
    async with open_store(settings.store) as store:
        await store.commit([StoredReading(Reading("d", "t", 1.5, 1_700_000_000_000_000))])
    async with DeviceCache.from_settings(settings, read_only=True, observe=True) as cache:
        for _ in range(3):
            read = await cache.read("d", "t")
            assert (read.value, read.source, read.ttl_s) == (1.5, Source.STORE, None)
        assert [probe.present for probe in await cache.ttl_many([Series("d", "t")])] == [False]
    assert _stats(memcached.address)["cmd_set"] == 0


@pytest.mark.real("memcached")
async def test_who_only_looks_leaves_a_corrupt_entry_where_it_is(memcached: Server, tmp_path: Path) -> None:
    settings = Settings(
        cache=CacheSettings(nodes=(memcached.address,)), store=StoreSettings(url=f"sqlite:///{tmp_path}/r.db")
    )
    async with open_store(settings.store) as store:
        await store.commit([StoredReading(Reading("d", "t", 1.5, 1_700_000_000_000_000))])
    host, _, port = memcached.address.rpartition(":")
    with contextlib.closing(Client((host, int(port)), timeout=5)) as client:
        client.set("d:t:latest", b"no entry", noreply=False)
        async with DeviceCache.from_settings(settings, read_only=True, observe=True) as cache:
            assert (await cache.read("d", "t")).value == 1.5
        assert client.get("d:t:latest") == b"no entry"
