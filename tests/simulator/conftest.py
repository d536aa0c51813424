"""A subscriber that is not ours, to count what arrives."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from iotcache.config.schema import BrokerSettings, CacheSettings, Settings, StoreSettings
from iotcache.worker.main import run_ingest
from tests.conftest import Server, program

READY = "iot/marker/ready"
END = "iot/marker/end"


class Subscriber:
    """``mosquitto_sub`` on ``iot/#`` or other filters: what a stranger sees of the fleet."""

    def __init__(self, port: int, *topics: str) -> None:
        self._port = port
        filters = [part for topic in (READY, END, *topics) if topics for part in ("-t", topic)]
        self._publish(READY, retain=True)
        self._process = subprocess.Popen(
            ["mosquitto_sub", "-p", str(port), *(filters or ["-t", "iot/#"]), "-q", "1", "-F", "%t %p"],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._lines = self._process.stdout
        assert self._lines.readline().startswith(READY.encode())

    def received(self) -> list[tuple[bytes, bytes]]:
        """(topic, payload) of everything until now."""
        self._publish(END)
        found = []
        for line in self._lines:
            topic, _, payload = line.rstrip(b"\n").partition(b" ")
            if topic == END.encode():
                break
            found.append((topic, payload))
        return found

    def _publish(self, topic: str, *, retain: bool = False) -> None:
        command = ["mosquitto_pub", "-p", str(self._port), "-q", "1", "-t", topic, "-m", "x"]
        subprocess.run([*command, "-r"] if retain else command, check=True, timeout=10)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._lines.close()


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    """``subscribe(broker)`` listens to all that the fleet publishes from now on, or to the filters named."""
    open_ones: list[Subscriber] = []

    def start(broker: Server, *topics: str) -> Subscriber:
        open_ones.append(Subscriber(broker.port, *topics))
        return open_ones[-1]

    yield start
    for subscriber in open_ones:
        subscriber.close()


@pytest.fixture
async def pipeline(mosquitto: Server, memcached: Server, tmp_path: Path) -> AsyncIterator[Settings]:
    """A broker, a cache node, a store, and a worker that carries readings from one to the others."""
    settings = Settings(
        broker=BrokerSettings(url=f"mqtt://{mosquitto.address}"),
        cache=CacheSettings(nodes=(memcached.address,)),
        store=StoreSettings(url=f"sqlite:///{tmp_path}/readings.db"),
    )
    ready = asyncio.Event()
    worker = asyncio.create_task(run_ingest(settings, ready=lambda http=None: ready.set()))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((worker, waiting), return_when=asyncio.FIRST_COMPLETED)
    assert ready.is_set(), worker
    yield settings
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


Strict = Callable[[str], Server]


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Strict]:
    """``strict(lines)`` is a mosquitto with these lines in its configuration."""
    started: list[Server] = []

    def start(lines: str) -> Server:
        path = program("mosquitto")
        assert path is not None
        config = tmp_path / "mosquitto.conf"

        def command(port: int) -> list[str]:
            user = "user root\n" if os.geteuid() == 0 else ""
            config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{user}{lines}\n", "utf-8")
            return [path, "-c", str(config)]

        started.append(Server(command))
        return started[-1]

    yield start
    for server in started:
        server.kill()
