"""Real traffic: what is written down comes back out, byte for byte and in time."""

from __future__ import annotations

import asyncio
import io
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.config.schema import BrokerSettings
from iotcache.errors import BrokerError, UsageError
from iotcache_simulator.capture.capture import Capture
from iotcache_simulator.capture.play import CapturePlayer
from iotcache_simulator.capture.recording import Recorded, read, recorded
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.uplink import Uplink
from tests.conftest import Server, free_port
from tests.simulator.conftest import Subscriber

HEADER = b'{"schema":"iotcache.capture/1","started":"2026-01-01T00:00:00Z"}\n'


@given(st.binary(max_size=200))
def test_any_payload_survives_being_written_down(payload: bytes) -> None:
    import msgspec

    line = msgspec.json.encode(recorded(1.5, "a/b", payload, 1, retain=True)) + b"\n"
    assert b"\n" not in line[:-1]
    (message,) = read(io.BytesIO(HEADER + line), "f")
    assert (message.content, message.at_s, message.qos, message.retain) == (payload, 1.5, 1, True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "x.jsonl is empty"),
        (b"not json\n", "line 1"),
        (b'{"schema":"other/1","started":""}\n', "kind 'other/1'"),
        (HEADER + b'{"at_s":0,"topic":"a"}\n{"at_s":"x","topic":"a"}\n', "line 3"),
        (HEADER + b'{"at_s":0,"topic":"a/#"}\n', "line 2"),
        (HEADER + b'{"at_s":-1,"topic":"a"}\n', "line 2"),
        (HEADER + b'{"at_s":0,"topic":"a","qos":7}\n', "line 2"),
        (HEADER + b'{"at_s":0,"topic":"\xff"}\n', "line 2"),
    ],
)
def test_a_broken_recording_is_named_with_its_line(content: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        list(read(io.BytesIO(content), "x.jsonl"))


@pytest.mark.real("mosquitto")
async def test_a_recording_keeps_time_and_comes_out_at_another_speed(
    mosquitto: Server, subscribe: Callable[[Server], Subscriber]
) -> None:
    # At its own speed it would last longer than any test may.
    messages = [Recorded(n * 10.0, f"iot/s/d/{n}", n % 3, False, f"value {n}") for n in range(12)]
    out = io.BytesIO()
    capture = Capture(BrokerSettings(url=f"mqtt://{mosquitto.address}"), ["iot/#"], lambda: out)
    capturing = asyncio.create_task(capture.run())
    async with Uplink(BrokerTarget("127.0.0.1", mosquitto.port), "x") as uplink, asyncio.timeout(10):
        while not uplink.connected:
            await uplink.until_room()
        await asyncio.sleep(0.1)
        player = CapturePlayer(messages, uplink, speed=200.0)
        await player.run()
        assert (player.played, uplink.confirmed) == (12, 12)
        assert player.elapsed_s >= 0.5
        while capture.messages < 12:
            await asyncio.sleep(0.01)
        capture.stop()
        await capturing
        found = list(read(io.BytesIO(out.getvalue()), "f"))
        assert [(one.topic, one.content) for one in found] == [(one.topic, one.content) for one in messages]
        assert [one.qos for one in found] == [min(one.qos, 1) for one in messages]
        assert found[-1].at_s >= 0.5
        listener = await asyncio.to_thread(subscribe, mosquitto)
        await CapturePlayer(found, uplink, speed=math.inf).run()
        assert len(await asyncio.to_thread(listener.received)) == 12


async def test_a_broker_never_reached_is_told_and_the_file_left_alone() -> None:
    def opened() -> io.BytesIO:
        pytest.fail("the file of an older recording would be empty now")

    broker = BrokerSettings(url=f"mqtt://127.0.0.1:{free_port()}")
    capture = Capture(broker, ["#"], opened, connect_timeout_s=0.3)
    with pytest.raises(BrokerError):
        await capture.run()


@pytest.mark.real("mosquitto")
def test_the_commands(mosquitto: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "iotcache_tui", "simulate"]
    broker = ["--broker", f"mqtt://{mosquitto.address}"]
    file = tmp_path / "traffic.jsonl"
    capturing = subprocess.Popen(
        [*command, "capture", *broker, "--topic", "iot/#", "-o", str(file)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    try:
        asyncio.run(_until(lambda: file.exists() and file.stat().st_size >= 0))
        publish = [
            "mosquitto_pub",
            "-p",
            str(mosquitto.port),
            "-t",
            "iot/a/b/c",
            "-m",
            "21.5",
            "-q",
            "1",
            "-r",
        ]
        subprocess.run(publish, check=True)
        asyncio.run(asyncio.sleep(0.5))
        capturing.send_signal(signal.SIGINT)
        _, stderr = capturing.communicate(timeout=5)
    finally:
        capturing.kill()
    assert capturing.returncode == 0, stderr
    assert b"1 message in" in stderr
    assert json.loads(file.read_bytes().splitlines()[1])["payload"] == "21.5"
    played = subprocess.run(
        [*command, "play", *broker, "--speed", "max", str(file)],
        cwd=tmp_path,
        capture_output=True,
        timeout=20,
    )
    assert played.returncode == 0
    assert b"1 message played, 1 confirmed" in played.stderr
    for wrong in (
        ["play"],
        ["play", "/no/such"],
        ["capture"],
        ["flee"],
        ["fleet", "x"],
        ["capture", "f", "-o", "g"],
    ):
        done = subprocess.run([*command, *wrong, *broker], cwd=tmp_path, capture_output=True, timeout=20)
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)
