"""From a published message to the table, the cache and the ack, over real servers."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from iotcache.config.schema import Settings
from iotcache.errors import ConfigError, StoreError
from iotcache.model import Reading, Series
from iotcache.published_stats import IngestStats, ProcessStats, decode
from iotcache.worker import worker as worker_module
from iotcache.worker.main import run_ingest
from iotcache.worker.worker import Ingest
from tests.conftest import Server, free_port, program
from tests.ingest.conftest import cached, until

pytestmark = pytest.mark.real("memcached")
Make = Callable[..., Any]
TS_US = 1_795_348_800_000_000
TOPIC = "iot/plant/dev-1/temperature"


def payload(value: float, *, seq: int | None = None, ts_us: int | None = None) -> bytes:
    content: dict[str, Any] = {"value": value, "ts": ts_us if ts_us is not None else TS_US + (seq or 0)}
    if seq is not None:
        content |= {"seq": seq, "boot": "b1"}
    return json.dumps(content).encode()


async def rows(worker: Ingest, device: str = "dev-1", sensor: str = "temperature") -> list[Reading]:
    assert worker.cache is not None
    return list(await worker.cache.store.history(Series(device, sensor), 0, 1 << 62, 100_000))


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.real("mosquitto")
async def test_published_committed_cached_and_acked(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, protocol: str
) -> None:
    made = await worker(settings_for(mosquitto.port, [memcached], protocol=protocol))
    program_path = program("mosquitto_pub")
    assert program_path is not None
    message = '{"value": 21.5, "unit": "°C", "ts": "2026-11-22T12:00:00Z"}'
    publisher = await asyncio.create_subprocess_exec(
        program_path, "-p", str(mosquitto.port), "-q", "1", "-t", TOPIC, "-m", message
    )
    assert await publisher.wait() == 0
    await until(lambda: made.counters.stored == 1 and made.link.unacked == 0)
    (row,) = await rows(made)
    assert (row.value, row.unit, row.site, row.ts_us) == (21.5, "°C", "plant", TS_US)
    entry = cached(memcached, "dev-1:temperature:latest")
    assert (entry["value"], entry["ts"], entry["unit"]) == (21.5, TS_US, "°C")


async def test_over_either_broker_nothing_is_left_unacked(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(broker_port, [memcached]))
    sender = await link(broker_port, "sender")
    total = 2_000
    await asyncio.gather(
        *(
            sender.publish(f"iot/s/dev-{n % 20}/t", payload(n, seq=n), timeout_s=20)
            for n in range(total)
        )
    )  # fmt: skip
    await until(lambda: made.counters.stored == total and made.link.unacked == 0, 20)
    stats = made.stats()
    assert (stats.received, stats.duplicates, stats.dead_letters) == (total, 0, 0)
    assert 0 < stats.batches < total
    for n in range(20):
        assert cached(memcached, f"dev-{n}:t:latest")["value"] == total - 20 + n


async def test_a_late_reading_enters_history_and_never_replaces_the_newest(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(broker_port, [memcached]))
    sender = await link(broker_port, "sender")
    for value, offset in ((2, 2_000_000), (1, 1_000_000), (3, 3_000_000), (0, 0)):
        await sender.publish(TOPIC, payload(value, ts_us=TS_US + offset))
    await until(lambda: made.counters.stored == 4)
    await until(lambda: made.link.unacked == 0)
    assert [row.value for row in await rows(made)] == [0, 1, 2, 3]
    assert cached(memcached, "dev-1:temperature:latest")["value"] == 3


async def test_sent_twice_is_stored_once(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(broker_port, [memcached]))
    sender = await link(broker_port, "sender")
    for message in (payload(1, seq=5), payload(1, seq=5), payload(7), payload(7)):
        await sender.publish(TOPIC, message)
    await until(lambda: made.counters.stored + made.counters.duplicates == 4)
    assert made.counters.duplicates == 2
    assert len(await rows(made)) == 2


async def test_what_cannot_be_decoded_is_acked_and_kept(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(broker_port, [memcached]))
    sender = await link(broker_port, "sender")
    hostile = [
        b"junk",
        b'{"value": NaN}',
        b"\xff\xfe",
        b'{"value": 1, "device": "x\\r\\nset a 0 0 1"}',
        b"[" * 9_000,
    ]
    for message in hostile:
        await sender.publish(TOPIC, message)
    await sender.publish("iot/plant/dev 1%[b]é/temp", b"7")
    await sender.publish("iot/plant/dev-1/death", b'{"reason": "lost"}')
    await until(lambda: made.counters.dead_letters == len(hostile) and made.counters.stored == 1)
    await until(lambda: made.link.unacked == 0)
    assert made.counters.ignored == 1
    assert made.cache is not None
    letters = await made.cache.store.recent_dead_letters()
    assert {letter.payload for letter in letters} == set(hostile)
    assert all(letter.reason.isprintable() and letter.topic == TOPIC for letter in letters)
    assert cached(memcached, "dev%201%25%5Bb%5D%C3%A9:temp:latest")["value"] == 7


_DIES_BEFORE_THE_ACK = """
import asyncio, os, signal, sys, msgspec
from iotcache.config.schema import Settings
from iotcache.worker.main import run_ingest
from iotcache.mqtt import MqttLink
MqttLink.ack = lambda self, messages: os.kill(os.getpid(), signal.SIGKILL)
settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
asyncio.run(run_ingest(settings, ready=lambda http=None: print("ready", flush=True)))
"""


async def test_killed_between_commit_and_ack_the_row_is_there_once(
    spoken: tuple[int, str], memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    port, protocol = spoken
    settings = settings_for(port, [memcached], protocol=protocol)
    ear = await link(port, "ear", subscriptions=[("iotcache/stats/ingest/+", 1)], protocol=protocol)
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _DIES_BEFORE_THE_ACK, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert victim.stdin is not None
    assert victim.stdout is not None
    victim.stdin.write(msgspec.json.encode(settings) + b"\n")
    async with asyncio.timeout(20):
        assert await victim.stdout.readline() == b"ready\n"
        sender = await link(port, "sender", protocol=protocol)
        await sender.publish(TOPIC, payload(1, seq=1))
        await sender.publish(TOPIC, payload(2, ts_us=TS_US + 5))
        assert await victim.wait() == -signal.SIGKILL
        # Its last will says so, whoever watches the counters.
        while not any(
            (last := decode(one.payload, ProcessStats)) and last.state == "gone"
            for one in await ear.batch(50)
        ):
            pass
    made = await worker(settings)
    await until(lambda: made.counters.received >= 1 and made.counters.stored + made.counters.duplicates >= 2)
    await until(lambda: made.link.unacked == 0)
    assert made.counters.duplicates >= 1
    assert [row.value for row in await rows(made)] == [1, 2]


_LOCKS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


async def test_while_another_process_locks_the_store_nothing_is_acked_and_the_worker_says_so(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(broker_port, [memcached])
    made = await worker(settings)
    sender = await link(broker_port, "sender")
    ear = await link(broker_port, "ear", subscriptions=[("iotcache/stats/#", 0)])
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LOCKS, settings.store.url.removeprefix("sqlite:///"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert other.stdout is not None
    try:
        assert await other.stdout.readline() == b"locked\n"
        await sender.publish(TOPIC, payload(1, seq=1))
        await until(lambda: "locked" in made.waiting_for)
        assert made.link.unacked == 1
        assert made.counters.stored == 0
        async with asyncio.timeout(5):
            while True:
                stats = [decode(one.payload, IngestStats) for one in await ear.batch(50)]
                if stats[-1] and stats[-1].state == "waiting":
                    assert stats[-1].waiting_for.startswith("store: ")
                    assert stats[-1].unacked == 1
                    break
        with pytest.raises(StoreError, match="just now"):
            await made.submit([Reading("d", "s", 1, TS_US)], [])
    finally:
        other.kill()
        await other.wait()
    await until(lambda: made.counters.stored == 1 and made.link.unacked == 0)
    assert made.waiting_for == ""


async def test_a_store_that_is_away_at_the_start_is_waited_for(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(broker_port, [memcached])
    lock = sqlite3.connect(settings.store.url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    made = await worker(settings, wait=False)
    await until(lambda: made.link.connected and "locked" in made.waiting_for)
    sender = await link(broker_port, "sender")
    await sender.publish(TOPIC, payload(1, seq=1))
    lock.close()
    await until(lambda: made.counters.stored == 1 and made.link.unacked == 0)


async def test_a_store_that_never_can_be_ends_the_worker(
    broker_port: int, memcached: Server, settings_for: Make, tmp_path: Path
) -> None:
    (tmp_path / "readings.db").write_bytes(b"this is no database, " * 100)
    with pytest.raises(StoreError, match=r"readings\.db"):
        await run_ingest(settings_for(broker_port, [memcached]))


async def test_with_the_cache_away_readings_are_acked_and_their_keys_dirty(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(broker_port, [memcached]))
    sender = await link(broker_port, "sender")
    await sender.publish(TOPIC, payload(1, seq=1))
    await until(lambda: made.counters.stored == 1 and made.link.unacked == 0)
    memcached.kill()
    await sender.publish(TOPIC, payload(2, seq=2))
    await until(lambda: made.counters.stored == 2 and made.link.unacked == 0)
    stats = made.stats()
    assert stats.cache_write_failures == 1
    assert stats.dirty_keys == 1
    assert stats.state == "running"


@pytest.mark.real("mosquitto")
async def test_the_broker_away_is_waited_for_and_said(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(mosquitto.port, [memcached]))
    mosquitto.kill()
    await until(lambda: made.waiting_for.startswith("broker: "))
    assert made.stats().state == "waiting"
    mosquitto.start()
    await until(lambda: made.waiting_for == "")
    sender = await link(mosquitto.port, "sender")
    await sender.publish(TOPIC, payload(1, seq=1))
    await until(lambda: made.counters.stored == 1)


@pytest.mark.real("mosquitto")
async def test_messages_sent_while_no_worker_runs_are_kept_for_the_next_one(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(mosquitto.port, [memcached])
    async with Ingest(settings) as first:
        await first.ready()
    sender = await link(mosquitto.port, "sender")
    for n in range(50):
        await sender.publish(TOPIC, payload(n, seq=n))
    second = await worker(settings)
    await until(lambda: second.counters.stored == 50)


async def test_two_workers_of_a_group_share_and_none_doubles(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(broker_port, [memcached], group="g")
    one, two = await worker(settings, instance="one"), await worker(settings, instance="two")
    assert one.link.client_id != two.link.client_id
    sender = await link(broker_port, "sender")
    await asyncio.gather(*(sender.publish(TOPIC, payload(n, seq=n)) for n in range(300)))
    await until(lambda: one.counters.stored + two.counters.stored == 300)
    assert min(one.counters.stored, two.counters.stored) > 50
    assert one.counters.duplicates + two.counters.duplicates == 0
    await until(lambda: one.link.unacked + two.link.unacked == 0)
    assert cached(memcached, "dev-1:temperature:latest")["value"] == 299


async def test_counters_are_published_retained_and_the_end_is_told_and_nothing_after_it(
    broker_port: int, memcached: Server, settings_for: Make, link: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(broker_port, [memcached])
    ear = await link(broker_port, "ear", subscriptions=[("iotcache/stats/ingest/+", 1)])
    async with Ingest(settings, instance="w 1") as made:
        await made.ready()
        async with asyncio.timeout(5):
            (first, *_) = await ear.batch(10)
        monkeypatch.setattr(worker_module, "STATS_EVERY_S", 0.0)
        await until(lambda: ear.received > 10)  # the publishing goes on until it is cancelled
    assert first.topic == "iotcache/stats/ingest/w_1"
    stats = decode(first.payload, IngestStats)
    assert stats is not None
    assert (stats.role, stats.instance) == ("ingest", "w 1")
    assert stats.started_us <= stats.at_us
    # Whoever comes later learns that it is gone, from the retained message.
    late = await link(broker_port, "late", subscriptions=[("iotcache/stats/ingest/+", 1)])
    async with asyncio.timeout(5):
        (last, *_) = await late.batch(10)
    end = decode(last.payload, ProcessStats)
    assert last.retain
    assert end is not None
    assert end.state == "gone"


async def test_the_command_runs_until_sigterm(
    broker_port: int, memcached: Server, settings_for: Make, link: Make, tmp_path: Path
) -> None:
    settings: Settings = settings_for(broker_port, [memcached])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "iotcache_tui", "ingest", "--broker", settings.broker.url,
        "--nodes", memcached.address, "--store", settings.store.url, "--instance", "cli",
        stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(20):
        while "ready: broker" not in said:
            line = await process.stderr.readline()
            assert line, said
            said += line.decode()
        sender = await link(broker_port, "sender")
        await sender.publish(TOPIC, payload(1, seq=1))
        await until(lambda: cached(memcached, "dev-1:temperature:latest") is not None)
        process.send_signal(signal.SIGTERM)
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    assert "Traceback" not in said + rest


async def test_embedded_parts_have_no_address_outside_a_stack() -> None:
    with pytest.raises(ConfigError, match=r"broker\.url"):
        await run_ingest(Settings())


async def test_a_broker_that_is_not_there_does_not_end_the_worker(
    memcached: Server, settings_for: Make, worker: Make
) -> None:
    made = await worker(settings_for(free_port(), [memcached]), wait=False)
    await until(lambda: "cannot be reached" in made.waiting_for)
    # Readings that come over HTTP are taken meanwhile.
    await until(lambda: "store" not in made.waiting_for)
    committed = await made.submit([Reading("d", "s", 1, TS_US)], [])
    assert committed.stored == 1
    assert cached(memcached, "d:s:latest")["value"] == 1


async def test_bare_numbers_in_a_burst_are_readings_of_their_own(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(broker_port, [memcached]))
    sender = await link(broker_port, "sender")
    await asyncio.gather(*(sender.publish(TOPIC, b"%d" % n) for n in range(100)))
    await until(lambda: made.link.unacked == 0 and made.counters.received == 100)
    assert (made.counters.stored, made.counters.duplicates) == (100, 0)


@pytest.mark.real("mosquitto")
async def test_broker_store_and_cache_away_at_once_and_all_is_made_up_for(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(mosquitto.port, [memcached])
    made = await worker(settings)
    sender = await link(mosquitto.port, "sender")
    lock = sqlite3.connect(settings.store.url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    memcached.kill()
    await asyncio.gather(*(sender.publish(TOPIC, payload(n, seq=n)) for n in range(100)))
    await until(lambda: "locked" in made.waiting_for)
    mosquitto.signal(signal.SIGTERM)  # it saves its sessions
    await until(lambda: "broker" in made.waiting_for)
    assert made.waiting_for.startswith("store: ")
    lock.close()
    assert mosquitto.process is not None
    await asyncio.to_thread(mosquitto.process.wait, 10)
    mosquitto.start()
    memcached.start()
    await until(lambda: made.counters.stored == 100 and made.waiting_for == "", 15)
    await until(lambda: made.link.unacked == 0)
    assert [row.value for row in await rows(made)] == list(range(100))
    # The entry that could not be written is not an old one: it is missing, or the newest.
    read = await made.cache.read("dev-1", "temperature")
    assert read.value == 99
