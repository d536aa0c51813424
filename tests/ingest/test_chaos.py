"""Nothing acknowledged is missing and nothing is there twice, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from iotcache.config.schema import Settings
from iotcache.model import Series
from iotcache.mqtt import MqttLink
from iotcache.store.sqlite import SqliteStore
from tests.conftest import Server
from tests.ingest.conftest import cached, until

pytestmark = pytest.mark.real("memcached")
Make = Callable[..., Any]
TS_US = 1_795_348_800_000_000
DEVICES = 50
MALFORMED_EVERY = 500


class Workers:
    """Worker processes that are killed without warning, and started again."""

    def __init__(self, settings: Settings, group: str, folder: Path) -> None:
        self._command = [
            sys.executable, "-P", "-m", "tui", "ingest", "--broker", settings.broker.url,
            "--nodes", ",".join(settings.cache.nodes), "--store", settings.store.url, "--group", group,
        ]  # fmt: skip
        self._folder = folder
        self.running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        log = (self._folder / f"worker-{name}.log").open("ab")
        self.running[name] = await asyncio.create_subprocess_exec(
            *self._command, "--instance", name, stdout=subprocess.DEVNULL, stderr=log, cwd=self._folder
        )
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


async def publish_all(sender: MqttLink, total: int) -> None:
    for first in range(0, total, 200):
        await asyncio.gather(
            *(sender.publish(*message(n), timeout_s=30) for n in range(first, min(first + 200, total)))
        )


async def check(settings: Settings, nodes: list[Server], total: int) -> None:
    good = [n for n in range(total) if n % MALFORMED_EVERY != 7]
    bad = [n for n in range(total) if n % MALFORMED_EVERY == 7]
    async with SqliteStore(Path(settings.store.url.removeprefix("sqlite:///")), read_only=True) as store:
        found: Counter[float] = Counter()
        for device in range(DEVICES):
            rows = await store.history(Series(f"dev-{device}", "t"), 0, 1 << 62, total)
            found.update(row.value for row in rows)  # type: ignore[misc]
        assert found == Counter(good)
        letters = await store.dead_letters(total)
        assert sorted({json.loads(letter.payload.replace(b"NaN", b"0"))["n"] for letter in letters}) == bad
    for device in range(DEVICES):
        newest = max(n for n in good if n % DEVICES == device)
        entries = [entry for node in nodes if (entry := cached(node, f"dev-{device}:t:latest"))]
        assert all(entry["value"] == newest for entry in entries), (device, newest, entries)


async def stored(settings: Settings) -> int:
    async with SqliteStore(Path(settings.store.url.removeprefix("sqlite:///")), read_only=True) as store:
        return (await store.counts()).readings


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("broker", "names"),
    [
        pytest.param("mosquitto", ("a",), marks=pytest.mark.real("mosquitto")),
        pytest.param("mosquitto", ("a", "b"), marks=pytest.mark.real("mosquitto")),
        # rumqttd's router ends when a member of a shared subscription leaves with messages unacknowledged.
        ("iotcore", ("a",)),
    ],
    ids=["mosquitto, one worker", "mosquitto, two workers", "iotcore, one worker"],
)
async def test_workers_and_a_node_killed_at_random_moments(  # noqa: PLR0917
    broker: str, names: tuple[str, ...], memcached_factory: Make, settings_for: Make, link: Make,
    tmp_path: Path, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    total, kills, rng = 20_000, 10, Random(5)
    nodes = [memcached_factory(), memcached_factory()]
    served = request.getfixturevalue("mosquitto" if broker == "mosquitto" else "iotcore_port")
    port = served.port if isinstance(served, Server) else served
    settings = settings_for(port, nodes)
    workers = Workers(settings, "g" if len(names) > 1 else "", tmp_path)
    try:
        for name in names:
            await workers.start(name)
        for name in names:
            await workers.ready(name)
        sender = await link(port, "sender")
        publishing = asyncio.create_task(publish_all(sender, total))
        for kill in range(kills):
            await asyncio.sleep(rng.uniform(0.2, 0.7))
            name = rng.choice(names)
            await workers.kill(name)
            if kill == kills // 2:
                nodes[0].kill()
                nodes[0].start()
            await workers.start(name)
        await publishing
        good = sum(n % MALFORMED_EVERY != 7 for n in range(total))
        async with asyncio.timeout(30):
            while await stored(settings) < good:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)  # what is still under way would now show as too much
        await check(settings, nodes, total)
    finally:
        await workers.kill_all()
