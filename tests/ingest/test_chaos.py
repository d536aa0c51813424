"""Nothing acknowledged is missing and nothing is there twice, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.cache import DeviceCache
from iotcache.config.schema import Settings, StoreSettings
from iotcache.model import Series
from iotcache.mqtt import MqttLink
from iotcache.store import open_store
from tests.conftest import Server
from tests.ingest.conftest import cached, until
from tests.store.conftest import PASSWORD, Postgres, postgres

__all__ = ["postgres"]

pytestmark = pytest.mark.real("memcached")
Make = Callable[..., Any]
TS_US = 1_795_348_800_000_000
DEVICES = 50
long = pytest.mark.long
MALFORMED_EVERY = 500


class Workers:
    """Worker processes that are killed without warning, and started again."""

    def __init__(self, settings: Settings, group: str, folder: Path) -> None:
        self._command = [
            sys.executable, "-P", "-m", "iotcache_tui", "ingest", "--broker", settings.broker.url,
            "--nodes", ",".join(settings.cache.nodes), "--store", settings.store.url, "--group", group,
            "--set", f"broker.protocol={settings.broker.protocol}",
        ]  # fmt: skip
        self._environment = os.environ | {"IOTCACHE_STORE_PASSWORD": settings.store.password}
        self._folder = folder
        self.running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        log = (self._folder / f"worker-{name}.log").open("ab")
        self.running[name] = await asyncio.create_subprocess_exec(
            *self._command, "--instance", name, stdout=subprocess.DEVNULL, stderr=log, cwd=self._folder,
            env=self._environment,
        )  # fmt: skip
        log.close()

    async def kill(self, name: str) -> None:
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def kill_all(self) -> None:
        for name in list(self.running):
            await self.kill(name)

    async def ready(self, name: str) -> None:
        file = self._folder / f"worker-{name}.log"
        await until(lambda: b"ready: broker" in file.read_bytes(), 20)


def message(n: int) -> tuple[str, bytes]:
    device = n % DEVICES
    topic = f"iot/s/dev-{device}/t"
    if n % MALFORMED_EVERY == 7:
        return topic, b'{"value": NaN, "n": %d}' % n
    # Every tenth carries no sequence number: its time is its identity.
    who = {} if n % 10 == 0 else {"seq": n, "boot": "b"}
    return topic, json.dumps({"value": n, "ts": TS_US + n * 1_000} | who).encode()


async def publish(sender: MqttLink, start: int, stop: int) -> None:
    for first in range(start, stop, 200):
        await asyncio.gather(
            *(sender.publish(*message(n), timeout_s=30) for n in range(first, min(first + 200, stop)))
        )


async def check(settings: Settings, nodes: list[Server], total: int) -> None:
    good = [n for n in range(total) if n % MALFORMED_EVERY != 7]
    bad = [n for n in range(total) if n % MALFORMED_EVERY == 7]
    newest = {Series(f"dev-{n % DEVICES}", "t"): n for n in good}
    async with open_store(settings.store, read_only=True) as store:
        found: Counter[float] = Counter()
        for series in newest:
            rows = await store.history(series, 0, 1 << 62, total)
            found.update(row.value for row in rows)  # type: ignore[misc]
        assert found == Counter(good)
        latest = await store.latest_many(list(newest))
        assert {series: one.reading.value for series, one in latest.items()} == newest
        letters = await store.recent_dead_letters(total)
        assert sorted(json.loads(one.payload.replace(b"NaN", b"0"))["n"] for one in letters) == bad
    for series, value in newest.items():
        entries = [entry for node in nodes if (entry := cached(node, f"{series.device}:t:latest"))]
        assert all(entry["value"] == value for entry in entries), (series, value, entries)
    async with DeviceCache.from_settings(settings) as cache:
        reads = await cache.read_many(list(newest))
        assert {Series(read.device, read.sensor): read.value for read in reads} == newest


async def until_stored(settings: Settings, count: int) -> None:
    async with open_store(settings.store, read_only=True) as store, asyncio.timeout(30):
        while (await store.counts()).readings < count:
            await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("broker", "protocol", "names", "database", "total", "kills"),
    [
        pytest.param(
            "mosquitto", "5", ("a", "b"), False, 2_500, 3, marks=[long, pytest.mark.real("mosquitto")],
            id="short",
        ),
        pytest.param(
            "mosquitto", "3.1.1", ("a",), False, 20_000, 10, marks=[long, pytest.mark.real("mosquitto")],
            id="mosquitto, one",
        ),
        pytest.param(
            "mosquitto", "5", ("a", "b"), False, 20_000, 10, marks=[long, pytest.mark.real("mosquitto")],
            id="mosquitto, MQTT 5, two",
        ),
        pytest.param(
            "mosquitto", "3.1.1", ("a", "b"), True, 20_000, 10,
            marks=[long, pytest.mark.real("mosquitto", "postgres")], id="mosquitto, two, PostgreSQL stopped",
        ),
        # rumqttd's router ends when a member of a shared subscription leaves with messages unacknowledged.
        pytest.param("iotcore", "3.1.1", ("a",), False, 20_000, 10, marks=long, id="iotcore, one"),
    ],
)  # fmt: skip
async def test_workers_and_a_node_killed_at_random_moments(  # noqa: PLR0917
    broker: str, protocol: str, names: tuple[str, ...], database: bool, total: int, kills: int,
    memcached_factory: Make, settings_for: Make, link: Make, tmp_path: Path, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    rng = Random(5)
    nodes = [memcached_factory(), memcached_factory()]
    served = request.getfixturevalue("mosquitto" if broker == "mosquitto" else "iotcore_port")
    port = served.port if isinstance(served, Server) else served
    settings = settings_for(port, nodes, protocol=protocol)
    server: Postgres | None = request.getfixturevalue("postgres") if database else None
    if server is not None:
        store = StoreSettings(url=server.empty_database(), password=PASSWORD)
        settings = replace(settings, store=store)
    workers = Workers(settings, "g" if len(names) > 1 else "", tmp_path)
    try:
        for name in names:
            await workers.start(name)
        for name in names:
            await workers.ready(name)
        sender = await link(port, "sender")
        for kill in range(kills):
            part = total * kill // kills, total * (kill + 1) // kills
            publishing = asyncio.create_task(publish(sender, *part))
            await asyncio.sleep(rng.uniform(0.2, 0.7))
            name = rng.choice(names)
            await workers.kill(name)
            if kill == kills // 2:
                nodes[0].kill()
                nodes[0].start()
            if server is not None and kill == kills // 2 - 1:
                await asyncio.to_thread(server.stop)
            if server is not None and kill == kills // 2 + 1:
                await asyncio.to_thread(server.start)
            await workers.start(name)
            await publishing
        await until_stored(settings, sum(n % MALFORMED_EVERY != 7 for n in range(total)))
        await asyncio.sleep(1.0)  # what is still under way would now show as too much
        await check(settings, nodes, total)
    finally:
        await workers.kill_all()
