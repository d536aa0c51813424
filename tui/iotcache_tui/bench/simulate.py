"""The simulator: values computed and encoded, alone and on their way to mosquitto, against fixed payloads."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from shutil import which
from typing import Final

from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import Stream, Timeline
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.wire.connection import BrokerTarget as Broker
from iotcache_tui.bench.broker import mosquitto
from iotcache_tui.bench.report import OURS, BenchReport, BenchRow, BenchTarget

GENERATE: Final = "generating and encoding readings, one core"
QOS_0: Final = "publishing, QoS 0, one process"
QOS_1: Final = "publishing, QoS 1, acknowledged"
PAHO: Final = "paho publish loop"
MOSQUITTO_PUB: Final = "mosquitto_pub -l -q 1"
TARGETS: Final = [BenchTarget(QOS_0, PAHO, 0.7), BenchTarget(QOS_1, MOSQUITTO_PUB, 0.5)]
_DEVICES: Final = 1_000
_GENERATED: Final = 200_000
_PUBLISHED: Final = 40_000
_TOPIC: Final = "iot/plant-north/pump-0001/pressure"
_PAYLOAD: Final = (
    b'{"device":"pump-0001","sensor":"pressure","value":4.21,"unit":"bar",'
    b'"ts":"2026-01-01T00:00:00.000Z","seq":17,"boot":"0b72edc8"}'
)
"""What a peer sends again and again: as long as our own payloads are."""


async def run(rounds: int) -> BenchReport:
    """Measure all. Raises `UsageError` when mosquitto is not there."""
    rows = [
        BenchRow(GENERATE, OURS, "readings/s", note="wanted: 250,000"),
        BenchRow(QOS_0, OURS, "messages/s", note="values computed"),
        BenchRow(QOS_0, PAHO, "messages/s", note="one fixed payload"),
        BenchRow(QOS_1, OURS, "messages/s", note="values computed"),
        BenchRow(QOS_1, MOSQUITTO_PUB, "messages/s", note="one fixed payload"),
    ]
    publisher = which("mosquitto_pub")
    async with mosquitto("simulate") as port:
        for _ in range(rounds):
            rows[0].runs.append(await asyncio.to_thread(_generate))
            rows[1].runs.append(await _publish(port, 0))
            rows[2].runs.append(await asyncio.to_thread(_paho, port))
            rows[3].runs.append(await _publish(port, 1))
            if publisher is not None:
                rows[4].runs.append(await _mosquitto_pub(publisher, port))
    return BenchReport("simulate", rows, list(TARGETS), [] if publisher else [MOSQUITTO_PUB])


def _rate(count: int, work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return count / (time.perf_counter() - began_s)


def _generate() -> float:
    """Readings a second of a stream that nobody sends."""
    rate = 50_000.0
    stream = Stream(Roster(1, _DEVICES), Timeline(), rate=rate, digest=False)
    count, at_us = 0, 0
    began_s = time.perf_counter()
    while count < _GENERATED:
        at_us += 5_000  # about 250 readings, as the publisher asks for them
        count += len(stream.window(at_us))
    return count / (time.perf_counter() - began_s)


async def _publish(port: int, qos: int) -> float:
    """Messages a second from the first to the last confirmed, with the stream's digest."""
    rate = 10_000.0
    spec = FleetSpec(devices=_DEVICES, rate=rate, duration_s=_PUBLISHED / rate, qos=qos, speed=math.inf)
    began_s = 0.0

    def begin(_: object, __: float) -> None:
        nonlocal began_s
        began_s = time.perf_counter()

    outcome = await FleetRun(spec, Broker("127.0.0.1", port)).run(begin)
    return outcome.report.confirmed / (time.perf_counter() - began_s)


def _paho(port: int) -> float:
    """``client.publish`` in a loop beside paho's own thread, to the moment when the last is written."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        while not client.is_connected():
            time.sleep(0.001)

        def offer() -> None:
            for _ in range(_PUBLISHED):
                last = client.publish(_TOPIC, _PAYLOAD)
            last.wait_for_publish(60)

        return _rate(_PUBLISHED, offer)
    finally:
        client.disconnect()
        client.loop_stop()


async def _mosquitto_pub(program: str, port: int) -> float:
    """One line of its input is one message; it ends when all are acknowledged."""
    lines = (_PAYLOAD + b"\n") * _PUBLISHED
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(port), "-t", _TOPIC, "-l", "-q", "1", stdin=asyncio.subprocess.PIPE
    )
    began_s = time.perf_counter()
    await process.communicate(lines)
    return _PUBLISHED / (time.perf_counter() - began_s)
