"""What a worker suffers and outlives: a disk that is full, a broker that does not answer any more."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.config.schema import StoreSettings
from iotcache.published_stats import IngestStats, decode
from tests.conftest import Server
from tests.ingest.conftest import broker, cached, until
from tests.ingest.test_worker import TOPIC, payload, rows

pytestmark = [pytest.mark.real("memcached"), pytest.mark.real("mosquitto")]
Make = Callable[..., Any]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 1 MB of room; only some users may make one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=10)


def filled(place: Path, leave_bytes: int) -> Path:
    """A file that takes the room there is, but for so much."""
    room = os.statvfs(place)
    file = place / "ballast"
    file.write_bytes(bytes(room.f_bavail * room.f_frsize - leave_bytes))
    return file


async def test_a_disk_that_fills_up_holds_the_acks_until_there_is_room(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make, small_disk: Path
) -> None:  # fmt: skip
    store = StoreSettings(url=f"sqlite:///{small_disk}/readings.db", busy_timeout_s=0.2)
    made = await worker(replace(settings_for(mosquitto.port, [memcached]), store=store))
    sender = await link(mosquitto.port, "sender")
    ear = await link(mosquitto.port, "ear", subscriptions=[("iotcache/stats/#", 0)])
    ballast = filled(small_disk, 32 * 1024)
    total = 800
    await asyncio.gather(*(sender.publish(TOPIC, payload(n, seq=n)) for n in range(total)))
    await until(lambda: made.waiting_for.endswith("is full"))
    stored = len(await rows(made))
    assert stored < total
    assert made.counters.stored == stored
    assert made.link.unacked > 0
    async with asyncio.timeout(5):
        while True:
            said = [decode(one.payload, IngestStats) for one in await ear.batch(50)]
            if said[-1] and said[-1].state == "waiting":
                assert said[-1].waiting_for.endswith("readings.db is full")
                break
    ballast.unlink()
    await until(lambda: made.counters.stored == total and made.link.unacked == 0, 20)
    assert made.waiting_for == ""
    assert [row.value for row in await rows(made)] == list(range(total))
    assert made.counters.duplicates == 0


async def test_a_worker_that_starts_on_a_full_disk_waits_for_room(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make, small_disk: Path
) -> None:  # fmt: skip
    store = StoreSettings(url=f"sqlite:///{small_disk}/readings.db", busy_timeout_s=0.2)
    ballast = filled(small_disk, 0)
    made = await worker(replace(settings_for(mosquitto.port, [memcached]), store=store), wait=False)
    await until(lambda: made.link.connected and made.waiting_for.endswith("is full"))
    sender = await link(mosquitto.port, "sender")
    await sender.publish(TOPIC, payload(1, seq=1))
    ballast.unlink()
    await until(lambda: made.counters.stored == 1 and made.link.unacked == 0)


class Wire:
    """A TCP relay to a server; while it is cut, bytes are lost both ways and no connection is closed."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.cut = False
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, on = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, on]
        self._tasks |= {asyncio.create_task(self._pass(*way)) for way in ((reader, on), (there, writer))}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.cut:
                writer.write(data)
        if not self.cut:
            writer.close()


async def test_a_broker_that_a_partition_cuts_off_is_noticed_and_found_again(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    async with Wire(mosquitto.port) as wire:
        settings = broker(settings_for(mosquitto.port, [memcached]), wire.port)
        made = await worker(replace(settings, broker=replace(settings.broker, keepalive_s=1)))
        sender = await link(mosquitto.port, "sender")
        await sender.publish(TOPIC, payload(0, seq=0))
        await until(lambda: made.counters.stored == 1 and made.link.unacked == 0)
        wire.cut = True
        for n in range(1, 100):
            await sender.publish(TOPIC, payload(n, seq=n))
        await until(lambda: made.waiting_for.startswith("broker: "))
        assert made.stats().state == "waiting"
        wire.cut = False
        await until(lambda: made.counters.stored == 100 and made.link.unacked == 0)
        assert made.waiting_for == ""
        assert made.link.sessions_lost == 0
    assert [row.value for row in await rows(made)] == list(range(100))
    assert cached(memcached, "dev-1:temperature:latest")["value"] == 99


async def test_a_cache_node_that_is_away_is_told_and_nothing_waits_for_it(  # noqa: PLR0917
    mosquitto: Server, memcached_factory: Make, settings_for: Make, worker: Make, link: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("INFO", "iotcache.worker")
    nodes = [memcached_factory(), memcached_factory()]
    made = await worker(settings_for(mosquitto.port, nodes))
    await until(lambda: all(node.state == "up" for node in made.cache.cluster.health()))
    sender = await link(mosquitto.port, "sender")
    nodes[0].kill()
    total = 40
    await asyncio.gather(*(sender.publish(f"iot/s/d{n}/t", payload(n, seq=n)) for n in range(total)))
    await until(lambda: made.counters.stored == total and made.link.unacked == 0)
    await until(lambda: made.stats().nodes_out)
    (told,) = made.stats().nodes_out
    assert told.startswith(f"{nodes[0].address}: ")
    assert made.waiting_for == ""
    nodes[0].start()
    await until(lambda: not made.stats().nodes_out)
    said = [record.getMessage() for record in caplog.records if "cache node" in record.getMessage()]
    assert any(f"{nodes[0].address} is out: " in text for text in said)
    assert f"cache node {nodes[0].address} is up again" in said[-1]
