"""What is lost behind a fleet's back, seen from the command line: every missing reading named, exit code 1.

What had to arrive is not taken from the ledger: the same seed is run once more against a broker that nothing
happens to, and a subscriber of mosquitto's own makes the list.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from iotcache.config.schema import BrokerSettings, CacheSettings, IngestSettings, Settings, StoreSettings
from iotcache.worker.main import run_ingest
from tests.conftest import Server
from tests.simulator.conftest import Subscriber
from tests.simulator.test_simulate_command import COMMAND, environment, url
from tests.simulator.wiretap import Wiretap

pytestmark = [pytest.mark.real("mosquitto", "memcached")]
FLEET = ("--devices", "30", "--rate", "300", "--duration", "2", "--seed", "11")

Reading = tuple[str, str, int]
"""Device, sensor, sequence number."""
Subscribe = Callable[[Server], Subscriber]


def readings(messages: Iterable[tuple[bytes, bytes]]) -> set[Reading]:
    contents = [json.loads(payload) for topic, payload in messages if not topic.startswith(b"iot/marker/")]
    return {(one["device"], one["sensor"], one["seq"]) for one in contents}


@asynccontextmanager
async def simulated(folder: Path, broker: str, *flags: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--broker", broker, *FLEET, "--report", "-", *flags,
        stdout=PIPE, stderr=PIPE, cwd=folder, env=environment(folder),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def verdict(process: Process) -> tuple[int, dict[str, Any], str]:
    """Exit code, report and what was told on stderr."""
    async with asyncio.timeout(30):
        out, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out), stderr.decode()


def named(report: dict[str, Any], place: str) -> set[Reading]:
    """The readings that the ledger says are missing there."""
    missing = [one for one in report["ledger"]["missing"] if place in one["missing_in"]]
    found = {(one["device"], one["sensor"], one["seq"]) for one in missing}
    assert len(found) == len(missing) == report["ledger"]["lost_in"][place]
    return found


async def due(broker: Server, subscribe: Subscribe, folder: Path) -> set[Reading]:
    """What this seed's fleet publishes when nothing happens."""
    listener = await asyncio.to_thread(subscribe, broker)
    async with simulated(folder, url(broker), "--speed", "max") as process:
        code, report, stderr = await verdict(process)
    assert (code, stderr) == (0, "")
    found = readings(await asyncio.to_thread(listener.received))
    assert len(found) == report["planned"] > 500
    return found


# A store, and a worker that fills it


class Stored:
    """The database that a worker fills, read without it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "readings.db"
        self.url = f"sqlite:///{self.file}"

    def readings(self) -> set[Reading]:
        with sqlite3.connect(self.file) as database:
            return set(
                database.execute("SELECT device, sensor, seq FROM reading JOIN series ON id = series_id")
            )

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(await asyncio.to_thread(self.readings)) < count:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def worker(
    broker: Server, memcached: Server, stored: Stored, ingest: IngestSettings | None = None
) -> AsyncIterator[None]:
    settings = Settings(
        ingest=ingest or IngestSettings(),
        broker=BrokerSettings(url=url(broker)),
        cache=CacheSettings(nodes=(memcached.address,)),
        store=StoreSettings(url=stored.url),
    )
    ready = asyncio.Event()
    task = asyncio.create_task(run_ingest(settings, ready=lambda http=None: ready.set()))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    assert ready.is_set(), task
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_broker_killed_in_the_middle_loses_exactly_what_the_ledger_names(
    mosquitto: Server, memcached: Server, subscribe: Subscribe, tmp_path: Path
) -> None:
    """QoS 0, and a broker that hangs before it dies: what was on its way to it is gone."""
    stored = Stored(tmp_path)
    verify = ("--verify", f"mqtt,store={stored.url}", "--require", "lost==0", "--settle", "1", "--qos", "0")
    async with (
        worker(mosquitto, memcached, stored),
        Wiretap(mosquitto.port) as tap,
        simulated(tmp_path, tap.url, *verify) as process,
    ):
        await stored.until(100)
        mosquitto.signal(signal.SIGSTOP)
        await asyncio.sleep(0.3)  # the fleet goes on publishing: 300 readings a second
        mosquitto.kill()
        await asyncio.to_thread(mosquitto.start)
        code, report, stderr = await verdict(process)
    owed = await due(mosquitto, subscribe, tmp_path)
    assert code == 1
    assert "lost==0: it was " in stderr
    assert report["reconnects"] >= 1
    assert report["ledger"]["expected"] == len(owed)
    gone = owed - stored.readings()
    assert len(gone) >= 50
    assert named(report, "store") == gone
    assert named(report, "mqtt") == owed - readings(tap.handed_to("iotcache-ledger"))


@pytest.mark.long
async def test_a_broker_that_forgets_its_sessions_while_the_worker_is_away(
    mosquitto: Server, memcached: Server, subscribe: Subscribe, tmp_path: Path
) -> None:
    """QoS 1: every reading was confirmed, and yet some are nowhere."""
    stored = Stored(tmp_path)
    verify = ("--verify", f"store={stored.url}", "--require", "lost==0", "--settle", "1")
    async with simulated(tmp_path, url(mosquitto), *verify) as process:
        async with worker(mosquitto, memcached, stored):
            await stored.until(100)
        mosquitto.kill()
        (tmp_path / "mosquitto" / "mosquitto.db").unlink(missing_ok=True)
        await asyncio.to_thread(mosquitto.start)
        stranger = await asyncio.to_thread(subscribe, mosquitto)
        missed: set[Reading] = set()
        async with asyncio.timeout(10):
            while len(missed) < 50:
                missed |= readings(await asyncio.to_thread(stranger.received))
        async with worker(mosquitto, memcached, stored):
            code, report, stderr = await verdict(process)
    owed = await due(mosquitto, subscribe, tmp_path)
    assert code == 1
    assert "lost==0: it was " in stderr
    assert (report["unsent"], report["unconfirmed"]) == (0, 0)
    gone = owed - stored.readings()
    assert len(gone & missed) > 25  # all but what was stored and confirmed no more before the kill
    assert named(report, "store") == gone
    assert report["ledger"]["store"]["stored"] == len(owed) - len(gone)


async def test_messages_swallowed_on_the_way_are_named(
    mosquitto: Server, subscribe: Subscribe, tmp_path: Path
) -> None:
    """Every fortieth publish never reaches the broker, though it is confirmed."""
    counted = 0

    def every_fortieth(topic: str) -> bool:
        nonlocal counted
        counted += topic.startswith("iot/")
        return topic.startswith("iot/") and counted % 40 == 0

    listener = await asyncio.to_thread(subscribe, mosquitto)
    verify = ("--verify", "mqtt", "--require", "lost==0", "--settle", "0.5", "--speed", "max")
    async with (
        Wiretap(mosquitto.port, every_fortieth) as tap,
        simulated(tmp_path, tap.url, *verify) as process,
    ):
        code, report, stderr = await verdict(process)
    received = readings(await asyncio.to_thread(listener.received))
    swallowed = readings(tap.swallowed)
    assert code == 1
    assert f"lost==0: it was {len(swallowed)}" in stderr
    assert report["confirmed"] == report["planned"]
    assert len(swallowed) == report["planned"] // 40
    assert named(report, "mqtt") == swallowed
    assert report["ledger"]["mqtt"]["received"] == len(received) == report["planned"] - len(swallowed)
    assert not received & swallowed


async def test_rows_that_vanish_from_the_store_are_named(
    mosquitto: Server, memcached: Server, subscribe: Subscribe, tmp_path: Path
) -> None:
    """Somebody's trigger deletes some rows as they come; subscriber and cache know nothing of it."""
    stored = Stored(tmp_path)
    verify = ("--verify", f"mqtt,store={stored.url}", "--require", "lost==0", "--settle", "0.7")
    async with worker(mosquitto, memcached, stored):
        with sqlite3.connect(stored.file) as database:
            database.execute(
                "CREATE TRIGGER thief AFTER INSERT ON reading WHEN new.seq = 3 BEGIN "
                "DELETE FROM reading WHERE series_id = new.series_id AND seq = new.seq; END"
            )
        async with simulated(tmp_path, url(mosquitto), *verify, "--speed", "max") as process:
            code, report, stderr = await verdict(process)
    owed = await due(mosquitto, subscribe, tmp_path)
    gone = owed - stored.readings()
    assert code == 1
    assert f"lost==0: it was {len(gone)}" in stderr
    assert gone == {one for one in owed if one[2] == 3} != set()
    assert named(report, "store") == gone
    assert report["ledger"]["lost_in"]["mqtt"] == 0


def ended(broker: Server) -> None:
    """End it as a service is ended: it saves its sessions."""
    assert broker.process is not None
    broker.signal(signal.SIGTERM)
    broker.process.wait(10)


@pytest.mark.long
async def test_a_broker_restarted_in_good_order_loses_nothing(
    mosquitto: Server, subscribe: Subscribe, tmp_path: Path
) -> None:
    """QoS 1, and sessions that the broker keeps: that the ledger's own subscriber was away is no loss."""
    listener = await asyncio.to_thread(subscribe, mosquitto)
    verify = ("--verify", "mqtt", "--require", "lost==0", "--settle", "1")
    saved = tmp_path / "mosquitto" / "mosquitto.db"
    async with simulated(tmp_path, url(mosquitto), *verify) as process:
        received = 0
        async with asyncio.timeout(10):
            while received < 100:
                received += len(readings(await asyncio.to_thread(listener.received)))
        await asyncio.to_thread(ended, mosquitto)
        assert b"iotcache-ledger" in saved.read_bytes()
        await asyncio.to_thread(mosquitto.start)
        code, report, _ = await verdict(process)
    assert code == 0, report["failures"]
    assert report["reconnects"] >= 1
    assert report["ledger"]["mqtt"]["received"] == report["planned"]
    await asyncio.to_thread(ended, mosquitto)
    assert b"iotcache-ledger" not in saved.read_bytes(), "the ledger left its session behind"
