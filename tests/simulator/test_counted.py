"""The report against what other people's subscribers count, one by one and in a group that shares."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from iotcache.config.schema import IngestSettings
from tests.conftest import Server
from tests.simulator.conftest import Subscriber
from tests.simulator.test_losses import Stored, readings, simulated, verdict, worker
from tests.simulator.test_simulate_command import simulate, url

pytestmark = pytest.mark.real("mosquitto", "memcached")
Subscribe = Callable[..., Subscriber]
SHARED = "$share/team/iot/+/+/+"


@pytest.mark.parametrize(
    "how",
    [
        ("--rate", "600", "--qos", "1"),
        ("--rate", "600", "--qos", "2", "--processes", "2", "--connections", "6", "--speed", "max"),
    ],
    ids=["one process", "two processes"],
)
def test_the_report_agrees_with_what_mosquitto_sub_counted(
    mosquitto: Server, subscribe: Subscribe, tmp_path: Path, how: tuple[str, ...]
) -> None:
    listener = subscribe(mosquitto)
    fleet = ("--broker", url(mosquitto), "--devices", "300", "--duration", "3", "--lives", "--report", "-")
    done = simulate(*fleet, *how, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    report = json.loads(done.stdout)
    kinds = Counter[bytes]()
    until_s = time.monotonic() + 10
    # Deaths go with QoS 0: when the fleet has ended, the broker may still have some of them to read.
    while kinds[b"death"] < 300 and time.monotonic() < until_s:
        for topic, _ in listener.received():
            last = topic.rpartition(b"/")[2]
            kinds[last if last in {b"birth", b"cfg", b"death"} else b"reading"] += 1
    assert kinds.pop(b"reading") == report["published"] == report["confirmed"] == report["planned"] > 1_700
    assert kinds == {b"birth": 300, b"cfg": 300, b"death": 300}


async def test_a_group_gets_every_reading_once_and_takes_none_from_the_ledger(
    mosquitto: Server, subscribe: Subscribe, tmp_path: Path
) -> None:
    group = [await asyncio.to_thread(subscribe, mosquitto, SHARED) for _ in range(2)]
    alone = await asyncio.to_thread(subscribe, mosquitto)
    verify = ("--verify", "mqtt", "--require", "lost==0", "--require", "duplicates==0", "--speed", "max")
    async with simulated(tmp_path, url(mosquitto), *verify) as process:
        code, report, stderr = await verdict(process)
    assert (code, stderr) == (0, "")
    parts = [await asyncio.to_thread(one.received) for one in group]
    taken = [topic for part in parts for topic, _ in part if not topic.startswith(b"iot/marker/")]
    first, second = (readings(part) for part in parts)
    assert first
    assert second
    assert not first & second
    assert len(taken) == len(first | second) == report["planned"]
    assert first | second == readings(await asyncio.to_thread(alone.received))
    assert report["ledger"]["mqtt"]["received"] == report["planned"]


async def test_workers_that_share_are_held_to_the_store_as_one(
    mosquitto: Server, memcached: Server, tmp_path: Path
) -> None:
    stored = Stored(tmp_path)
    verify = ("--verify", f"mqtt,store={stored.url}", "--require", "lost==0", "--speed", "max")
    group = IngestSettings(group="team")
    async with (
        worker(mosquitto, memcached, stored, group),
        worker(mosquitto, memcached, stored, group),
        simulated(tmp_path, url(mosquitto), *verify) as process,
    ):
        code, report, stderr = await verdict(process)
    assert (code, stderr) == (0, "")
    assert report["ledger"]["store"]["stored"] == len(stored.readings()) == report["planned"]
