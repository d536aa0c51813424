"""Nothing of ours that writes starts beside somebody else's servers, and looking changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pymemcache import Client

from iotcache.cache import DeviceCache
from iotcache.config.parts import (
    Writers,
    absent_parts,
    looks_per_s,
    named_parts,
    observes,
    without_idle_parts,
    writers,
)
from iotcache.config.schema import (
    BrokerSettings,
    CacheSettings,
    DashboardSettings,
    IngestSettings,
    Settings,
    SimulatorSettings,
    StoreSettings,
)
from iotcache.config.validation import check_together
from iotcache.errors import IotCacheError
from iotcache.model import Reading, Series, Source, StoredReading
from iotcache.store import open_store
from iotcache_tui.checks.config import check_starts
from iotcache_tui.cli.main import main
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.state.dashboard import DashboardState
from tests.conftest import Server

BROKER = BrokerSettings(url="mqtt://h")
NODES = CacheSettings(nodes=("h:1",))
STORE = StoreSettings(url="sqlite:///x.db")


PARTS: dict[str, Any] = {"broker": BROKER, "cache": NODES, "store": STORE}
ABSENT: dict[str, Any] = {
    "broker": BrokerSettings(url="none"),
    "cache": CacheSettings(nodes="none"),
    "store": StoreSettings(url="none"),
}
SWITCHES: tuple[Any, ...] = ("auto", True, False)
KINDS = ("embedded", "named", "none")


def _combinations() -> Iterator[Settings]:
    """Every choice of each part with every choice of the switches that can start a writer or make one."""
    for kinds in itertools.product(KINDS, repeat=3):
        chosen = {
            name: {"named": PARTS, "none": ABSENT}[kind][name]
            for name, kind in zip(PARTS, kinds, strict=True)
            if kind != "embedded"
        }
        for read_only, observe, ingest, fleet in itertools.product(SWITCHES, repeat=4):
            yield Settings(
                **chosen,
                ingest=IngestSettings(enabled=ingest),
                simulator=SimulatorSettings(enabled=fleet),
                dashboard=DashboardSettings(read_only=read_only, observe=observe),
            )


def test_nothing_of_ours_writes_beside_a_named_part_unless_asked_for_by_name() -> None:
    for wanted in _combinations():
        if check_together(wanted):
            continue  # the configuration is refused, with its reason
        settings = without_idle_parts(wanted)
        starting, named, absent = writers(settings), named_parts(settings), absent_parts(settings)
        alone, read_only = not named and not absent_parts(wanted), wanted.dashboard.read_only is True
        # What starts was asked for by name, or everything is ours.
        assert starting.ingest <= (alone or wanted.ingest.enabled is True)
        assert starting.simulator <= (alone or wanted.simulator.enabled is True)
        assert starting.readers <= (starting.ingest and "cache.nodes" not in named)
        # Read-only means it, whatever else is asked for; and who looks puts nothing back.
        assert not (read_only and not alone and any(structs.astuple(starting)))
        assert observes(settings) or (wanted.dashboard.observe is False and not read_only)
        assert looks_per_s(settings) <= (200 if observes(settings) and "cache.nodes" in named else 2_000)
        # What is named stays as it is, and what nobody would fill does not start.
        assert named == named_parts(wanted)
        embedded = {"broker.url", "cache.nodes", "store.url"} - {*named, *absent}
        if not alone and not starting.ingest:
            assert embedded <= ({"broker.url"} if starting.simulator else set())
        # Once more changes nothing, and the doctor says just this.
        assert without_idle_parts(settings) == settings
        told = check_starts(wanted)
        names = told.found.partition(" starts ")[2].partition(" and only")[0].partition(", which")[0]
        assert ("ingest worker" in names) == starting.ingest
        assert ("fleet" in names) == starting.simulator
        assert ("readers" in names) == starting.readers
        for key, name in (("broker.url", "broker"), ("cache.nodes", "cache nodes"), ("store.url", "store")):
            assert (name in names) == (key in embedded)


@pytest.mark.parametrize("command", ["dashboard", "--plain", "snapshot", "record", "--serve"])
@pytest.mark.parametrize("read_only", [False, True], ids=["", "read-only"])
def test_every_command_looks_with_the_same_rule(
    command: str, read_only: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever starts a feed or a stack gets settings under which nothing writes to a named part."""
    monkeypatch.setenv("IOTCACHE_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    seen: list[Settings] = []

    class Stop(IotCacheError):
        pass

    def feed(self: LiveFeed, settings: Settings, **more: Any) -> None:
        seen.append(settings)
        raise Stop("seen")

    def stack(self: object, settings: Settings) -> None:
        seen.append(settings)
        raise Stop("seen")

    monkeypatch.setattr(LiveFeed, "__init__", feed)
    monkeypatch.setattr("iotcache_tui.cli.serving._Servers.__init__", stack)
    monkeypatch.setattr("iotcache_tui.cli.commands.dashboard.require_terminal", lambda: None)
    words = {"dashboard": [], "record": ["record", "r.rec"], "snapshot": ["snapshot"]}.get(command, [command])
    if command == "--serve":
        words.append("127.0.0.1:1")
        monkeypatch.setattr("iotcache_tui.web.server.listening_socket", lambda host, port: socket.socket())
    flags = ["--read-only"] if read_only and command in ("dashboard", "--plain", "--serve") else []
    for named in itertools.chain.from_iterable(itertools.combinations(PARTS, size) for size in (1, 2, 3)):
        addresses = {"broker": "mqtt://h", "cache": "h:1", "store": "sqlite:///x.db"}
        short = {"broker": "--broker", "cache": "--nodes", "store": "--store"}
        seen.clear()
        main([*words, *flags, *(word for name in named for word in (short[name], addresses[name]))])
        (settings,) = seen
        settings = without_idle_parts(settings)
        assert writers(settings) == Writers(False, False, False)
        assert observes(settings)
        assert len(absent_parts(settings)) == 3 - len(named)


def test_the_doctor_says_what_starts_and_what_is_written() -> None:
    assert check_starts(Settings()).found == (
        "the dashboard starts broker, cache nodes, store, ingest worker, fleet, readers, all embedded"
    )
    nodes = check_starts(Settings(cache=NODES))
    assert (nodes.level, nodes.found) == (
        "ok",
        "the dashboard starts nothing and only looks at cache.nodes",
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
