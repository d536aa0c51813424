"""Runs against a real broker: what the report says is what a stranger's subscriber received."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from iotcache.config.schema import BrokerSettings
from iotcache_simulator.publish.multi_process import MultiProcessRun
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun, RunOutcome
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.report.verdict import cases, judged
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.target import target_of
from iotcache_simulator.wire.uplink import Uplink
from tests.conftest import Server, free_port, program
from tests.simulator.conftest import Subscriber

pytestmark = pytest.mark.real("mosquitto")
Subscribe = Callable[[Server], Subscriber]


async def run(broker: Server, **fields: object) -> Report:
    target = BrokerTarget("127.0.0.1", broker.port, version=fields.pop("version", 4))  # type: ignore[arg-type]
    return verdict(await FleetRun(FleetSpec(**fields), target).run())  # type: ignore[arg-type]


def verdict(outcome: RunOutcome) -> Report:
    return judged(outcome.report, cases(outcome.report, (), outcome.unreachable))


async def published(fleet: FleetRun, count: int, running: asyncio.Task[RunOutcome]) -> None:
    """Return when so many messages are out; fail with the run when it fails."""
    while fleet.publisher.published < count:
        if running.done():
            raise AssertionError(f"the run ended early: {running.result()}")
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("qos", "version", "connections"), [(0, 4, 1), (1, 4, 1), (1, 5, 1), (2, 4, 1), (2, 5, 1), (1, 4, 7)]
)
async def test_the_report_agrees_with_what_a_subscriber_counted(
    mosquitto: Server, subscribe: Subscribe, qos: int, version: int, connections: int
) -> None:
    listener = subscribe(mosquitto)
    report = await run(
        mosquitto, devices=50, rate=400, duration_s=1.5, qos=qos, version=version, connections=connections
    )
    received = await asyncio.to_thread(listener.received)
    assert report.ok, report.failures
    assert report.planned == report.published == report.confirmed == len(received)
    assert (report.unconfirmed, report.unsent, report.refused, report.reconnects) == (0, 0, 0, 0)
    assert report.planned == pytest.approx(400 * 1.5, rel=0.05)
    assert report.lag_ms is not None
    series: dict[tuple[str, str], list[int]] = {}
    for topic, payload in received:
        content = json.loads(payload)
        assert topic.decode().split("/")[2:] == [content["device"], content["sensor"]]
        series.setdefault((content["device"], content["sensor"]), []).append(content["seq"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in series.values())


async def test_one_seed_gives_one_digest_at_any_speed_and_the_same_bytes_for_one_start(
    mosquitto: Server, subscribe: Subscribe
) -> None:
    listener = subscribe(mosquitto)
    fields = {"devices": 30, "rate": 300, "duration_s": 2.0, "start_us": 1_767_225_600_000_000}
    seen, digests = [], []
    for speed in (1.0, 10.0, math.inf):
        report = await run(mosquitto, speed=speed, **fields)
        digests.append(report.digest)
        seen.append(await asyncio.to_thread(listener.received))
    other = await run(mosquitto, speed=math.inf, seed=2, **fields)
    assert seen[0] == seen[1] == seen[2]
    assert b'"ts":"2026-01-01T00:00:0' in seen[0][0][1]
    assert len(set(digests)) == 1
    assert other.digest not in digests


async def test_without_a_start_payloads_show_the_present_and_each_run_its_own_boot(
    mosquitto: Server, subscribe: Subscribe
) -> None:
    listener = subscribe(mosquitto)
    first = await run(mosquitto, devices=10, rate=200, duration_s=0.3)
    second = await run(mosquitto, devices=10, rate=200, duration_s=0.3)
    contents = [json.loads(payload) for _, payload in await asyncio.to_thread(listener.received)]
    assert first.digest == second.digest
    assert {content["boot"] for content in contents} == {first.boot, second.boot}
    assert len({first.boot, second.boot}) == 2
    assert abs(len(contents) - 120) < 30
    assert all(content["ts"] >= first.started[:19] for content in contents)


async def test_a_broker_that_dies_and_stays_away_is_reported_honestly(mosquitto: Server) -> None:
    spec = FleetSpec(devices=40, rate=500, duration_s=2.0, patience_s=0.5)
    fleet = FleetRun(spec, BrokerTarget("127.0.0.1", mosquitto.port))
    running = asyncio.create_task(fleet.run())
    await published(fleet, 300, running)
    mosquitto.kill()
    report = verdict(await running)
    assert not report.ok
    assert report.planned == pytest.approx(1_000, rel=0.05)
    assert report.unsent > 300
    assert report.planned == report.published + report.unsent
    assert report.published == report.confirmed + report.unconfirmed
    assert "not sent: " in " ".join(report.failures)


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_broker_that_comes_back_gets_what_it_missed(mosquitto: Server, qos: int) -> None:
    spec = FleetSpec(devices=40, rate=500, duration_s=2.0, patience_s=10.0, qos=qos)
    fleet = FleetRun(spec, BrokerTarget("127.0.0.1", mosquitto.port))
    running = asyncio.create_task(fleet.run())
    await published(fleet, 200, running)
    mosquitto.kill()
    await asyncio.to_thread(mosquitto.start)
    report = verdict(await running)
    assert report.reconnects >= 1
    assert report.unsent == 0
    assert report.late > 0
    if qos:
        assert report.ok, report.failures
        assert report.confirmed == report.planned
    else:
        # What was written shortly before the end may or may not have been read: it is not called delivered.
        assert report.confirmed + report.unconfirmed == report.planned


async def test_a_broker_that_stops_reading_makes_messages_late_and_loses_none(mosquitto: Server) -> None:
    import signal

    spec = FleetSpec(devices=40, rate=2_000, duration_s=1.5)
    fleet = FleetRun(spec, BrokerTarget("127.0.0.1", mosquitto.port))
    running = asyncio.create_task(fleet.run())
    await published(fleet, 200, running)
    mosquitto.signal(signal.SIGSTOP)
    await asyncio.sleep(0.6)
    mosquitto.signal(signal.SIGCONT)
    report = verdict(await running)
    assert report.unsent == report.unconfirmed == report.reconnects == 0
    assert report.late > 100
    assert report.lag_ms is not None
    assert report.lag_ms.max > 200


async def test_a_stop_ends_it_cleanly_with_nothing_owed(mosquitto: Server, subscribe: Subscribe) -> None:
    listener = subscribe(mosquitto)
    fleet = FleetRun(FleetSpec(devices=30, rate=500), BrokerTarget("127.0.0.1", mosquitto.port))
    running = asyncio.create_task(fleet.run())
    await published(fleet, 100, running)
    fleet.stop()
    report = verdict(await running)
    assert report.ok, report.failures
    assert report.ended_by == "signal"
    assert report.digest is None
    assert report.planned == report.confirmed == len(await asyncio.to_thread(listener.received))


async def test_a_broker_that_is_not_there_is_unreachable() -> None:
    spec = FleetSpec(devices=5, duration_s=1.0, connect_timeout_s=0.3)
    report = verdict(await FleetRun(spec, BrokerTarget("127.0.0.1", free_port())).run())
    assert (report.ended_by, report.ok, report.published) == ("unreachable", False, 0)
    assert len(report.failures) == 1
    assert "connection refused" in report.failures[0]


async def test_something_that_is_no_broker_is_unreachable() -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        uplink = Uplink(BrokerTarget("127.0.0.1", port), "x")
        async with uplink:
            while "not MQTT" not in uplink.reason:
                await asyncio.sleep(0.01)
            assert not uplink.connected


async def test_login_and_the_reason_of_its_failure(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "ann", "s3cret"], check=True)
    passwords.chmod(0o644)
    tmp_path.chmod(0o755)
    config = tmp_path / "m.conf"
    path = program("mosquitto")
    assert path is not None

    def command(port: int) -> list[str]:
        config.write_text(f"listener {port} 127.0.0.1\npassword_file {passwords}\nuser root\n")
        return [path, "-c", str(config)]

    server = Server(command)
    try:
        for password, reason in (("s3cret", ""), ("wrong", "login is not allowed")):
            async with Uplink(BrokerTarget("127.0.0.1", server.port, "ann", password), "x") as uplink:
                while uplink.reason == "not connected yet":
                    await asyncio.sleep(0.01)
                assert reason in uplink.reason
                assert "wrong" not in uplink.reason
                assert uplink.connected == (not reason)
    finally:
        server.kill()


async def test_messages_in_flight_are_bounded(mosquitto: Server) -> None:
    async with Uplink(BrokerTarget("127.0.0.1", mosquitto.port), "x", window=10) as uplink:
        while not uplink.connected:
            await uplink.until_room()
        for _ in range(10):
            uplink.send(b"iot/a/b/c", b"1")
        assert uplink.room() == 0
        await uplink.until_confirmed()
        assert (uplink.room(), uplink.confirmed) == (10, 10)


async def test_a_silent_peer_is_given_up() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent:
        target = BrokerTarget("127.0.0.1", silent.getsockname()[1])
        async with Uplink(target, "x", connect_timeout_s=0.2) as uplink:
            while "no answer within" not in uplink.reason:
                await asyncio.sleep(0.02)


async def test_the_shards_of_a_fleet_are_together_the_whole(mosquitto: Server, subscribe: Subscribe) -> None:
    listener = subscribe(mosquitto)
    fields = {"devices": 50, "rate": 500.0, "duration_s": 2.0, "start_us": 1_767_225_600_000_000}

    async def received(**more: object) -> tuple[list[tuple[str, str, int, object]], float]:
        report = await run(mosquitto, speed=20.0, **fields, **more)
        found = [json.loads(payload) for _, payload in await asyncio.to_thread(listener.received)]
        assert report.rate.target is not None
        assert {one["boot"] for one in found} == {report.boot}
        return [(one["device"], one["sensor"], one["seq"], one["value"]) for one in found], report.rate.target

    whole, whole_target = await received()
    parts, targets = zip(*[await received(shard=(number, 3)) for number in (1, 2, 3)], strict=True)
    assert sorted(map(repr, whole)) == sorted(repr(one) for part in parts for one in part)
    assert all(len(part) > 100 for part in parts)
    assert sum(targets) == pytest.approx(whole_target, abs=0.01)


async def test_several_processes_publish_the_same_stream(mosquitto: Server, subscribe: Subscribe) -> None:
    listener = subscribe(mosquitto)
    fields = {"devices": 200, "rate": 1_000.0, "duration_s": 2.0, "start_us": 1_767_225_600_000_000}
    alone = await run(mosquitto, speed=math.inf, **fields)
    expected = sorted(await asyncio.to_thread(listener.received))
    fleet = MultiProcessRun(
        FleetSpec(processes=2, connections=2, **fields),  # type: ignore[arg-type]
        BrokerSettings(url=f"mqtt://{mosquitto.address}"),
    )
    report = verdict(await fleet.run())
    assert report.ok, report.failures
    assert report.digest == alone.digest
    assert sorted(await asyncio.to_thread(listener.received)) == expected
    assert report.planned == report.confirmed == len(expected)
    assert report.lag_ms is not None


async def test_several_processes_end_together_when_told(mosquitto: Server) -> None:
    fleet = MultiProcessRun(
        FleetSpec(processes=2, connections=2, devices=50, rate=500.0),
        BrokerSettings(url=f"mqtt://{mosquitto.address}"),
    )
    running = asyncio.create_task(fleet.run())
    while fleet.progress().published < 100 and not running.done():
        await asyncio.sleep(0.01)
    fleet.stop()
    report = verdict(await running)
    assert (report.ok, report.ended_by, report.digest) == (True, "signal", None)
    assert report.confirmed == report.planned > 100


async def test_several_processes_find_no_broker() -> None:
    fleet = MultiProcessRun(
        FleetSpec(processes=2, devices=5, duration_s=1.0, connect_timeout_s=0.3),
        BrokerSettings(url=f"mqtt://127.0.0.1:{free_port()}"),
    )
    report = verdict(await fleet.run())
    assert report.ended_by == "unreachable"
    assert "connection refused" in report.failures[0]


async def test_a_broker_behind_tls_is_checked_before_anything_is_sent(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=broker",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    path = program("mosquitto")
    assert path is not None
    config = tmp_path / "m.conf"

    def command(port: int) -> list[str]:
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"certfile {certificate}\nkeyfile {key}\n"
        )
        return [path, "-c", str(config)]

    server = Server(command)
    try:
        trusting = BrokerSettings(url=f"mqtts://127.0.0.1:{server.port}", tls_ca_file=str(certificate))
        spec = FleetSpec(devices=10, rate=200, duration_s=0.5, connect_timeout_s=1.0)
        assert verdict(await FleetRun(spec, target_of(trusting)).run()).ok
        strict = BrokerSettings(url=f"mqtts://127.0.0.1:{server.port}")
        report = verdict(await FleetRun(spec, target_of(strict)).run())
        assert report.ended_by == "unreachable"
        assert "certificate" in report.failures[0].lower()
    finally:
        server.kill()
