"""QoS 1 from mosquitto to a SQLite file and memcached: our worker, a bare subscriber, the tutorial loop."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Final

from iotcache.config.schema import BrokerSettings, CacheSettings, IngestSettings, Settings, StoreSettings
from iotcache.errors import UsageError
from iotcache.ingest.worker import Ingest
from simulator.stack.nodes import EmbeddedNode, choose_program
from tui.bench.broker import mosquitto
from tui.bench.report import OURS, Report, Row, Target

SINGLE: Final = "single readings, QoS 1, to SQLite and cache"
PACKED: Final = "packed messages of 50 readings, QoS 1, to SQLite and cache"
BARE: Final = "aiomqtt, pass"
TUTORIAL: Final = "tutorial loop: set, insert, commit"
READINGS_A_PACK: Final = 50
_MESSAGES: Final = {OURS: 20_000, BARE: 10_000, TUTORIAL: 1_000}
_PACKS: Final = 1_600
TARGETS: Final = [Target(SINGLE, BARE, 1.6), Target(SINGLE, TUTORIAL, 20.0)]
Contest = Callable[["_Servers", int], Awaitable[float]]


class _Servers:
    """One mosquitto, one memcached, and a folder for each contestant's database."""

    def __init__(self, port: int, node: str, folder: Path) -> None:
        self.port = port
        self.node = node
        self.folder = folder
        self.turn = 0

    def database(self) -> Path:
        """A file of its own for every turn."""
        self.turn += 1
        return self.folder / f"turn-{self.turn}.db"

    async def offered(self, messages: int, readings: int, taken: Awaitable[float]) -> float:
        """Offer the messages and wait until they are taken; readings a second."""
        publisher = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "tui.bench.offer", str(self.port), str(messages), str(readings)
        )
        try:
            seconds = await taken
        finally:
            if publisher.returncode is None:
                publisher.terminate()
            await publisher.wait()
        return messages * readings / seconds


async def run(rounds: int) -> Report:
    """Measure all. Raises `UsageError` when mosquitto or memcached is not there."""
    program = choose_program("auto")
    if program.bundled:
        raise UsageError("bench ingest needs the program memcached on PATH")
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="iotcache-bench-")))
        node = EmbeddedNode(program, CacheSettings())
        memcached = await node.launch(lambda exit: None)
        exits.push_async_callback(memcached.stop)
        exits.callback(node.release)
        port = await exits.enter_async_context(mosquitto("ingest"))
        return await _measure(rounds, _Servers(port, node.name, folder))


async def _measure(rounds: int, servers: _Servers) -> Report:
    contests: list[tuple[Row, Contest, int]] = [
        (Row(SINGLE, OURS, "readings/s"), _ours, 1),
        (Row(SINGLE, BARE, "readings/s", note="neither stores nor caches"), _bare, 1),
        (Row(SINGLE, TUTORIAL, "readings/s"), _tutorial, 1),
        (Row(PACKED, OURS, "readings/s"), _ours, READINGS_A_PACK),
    ]
    for _ in range(rounds):
        for row, contest, readings in contests:
            row.runs.append(await contest(servers, readings))
    return Report("ingest", [row for row, _, _ in contests], list(TARGETS))


async def _ours(servers: _Servers, readings: int) -> float:
    messages = _MESSAGES[OURS] if readings == 1 else _PACKS
    settings = Settings(
        broker=BrokerSettings(url=f"mqtt://127.0.0.1:{servers.port}"),
        cache=CacheSettings(nodes=(servers.node,)),
        store=StoreSettings(url=f"sqlite:///{servers.database()}"),
        ingest=IngestSettings(client_id=f"bench-ours-{servers.turn}"),
    )
    async with Ingest(settings) as worker:
        await worker.ready()

        async def taken() -> float:
            # The worker is measured as it is, without hooks: hence the polling.
            while not worker.link.received:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)
            began_s = time.perf_counter()
            while worker.tally.stored < messages * readings or worker.link.unacked:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            return time.perf_counter() - began_s

        return await servers.offered(messages, readings, taken())


async def _bare(servers: _Servers, readings: int) -> float:
    """``async for message in client.messages: pass``."""
    import aiomqtt

    messages = _MESSAGES[BARE]
    async with aiomqtt.Client("127.0.0.1", servers.port, identifier=f"bench-bare-{time.time_ns()}") as client:
        await client.subscribe("iot/#", 1)

        async def taken() -> float:
            count, began_s = 0, 0.0
            async for _ in client.messages:
                began_s = began_s or time.perf_counter()
                count += 1
                if count == messages:
                    break
            return time.perf_counter() - began_s

        return await servers.offered(messages, readings, taken())


async def _tutorial(servers: _Servers, readings: int) -> float:
    """One message at a time: set the key, insert the row, commit."""
    import aiomqtt
    from pymemcache import Client

    messages = _MESSAGES[TUTORIAL]
    host, _, port = servers.node.rpartition(":")
    with (
        closing(sqlite3.connect(servers.database())) as database,
        closing(Client((host, int(port)))) as cache,
    ):
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # as ours: what is acknowledged is on disk
        database.execute("CREATE TABLE reading (device, sensor, value, unit, ts, seq, boot)")
        async with aiomqtt.Client(
            "127.0.0.1", servers.port, identifier=f"bench-loop-{time.time_ns()}"
        ) as client:
            await client.subscribe("iot/#", 1)

            async def taken() -> float:
                count, began_s = 0, 0.0
                async for message in client.messages:
                    began_s = began_s or time.perf_counter()
                    assert isinstance(message.payload, bytes)
                    one = json.loads(message.payload)
                    cache.set(f"{one['device']}:{one['sensor']}:latest", message.payload, 180)
                    fields = tuple(
                        one[name] for name in ("device", "sensor", "value", "unit", "ts", "seq", "boot")
                    )
                    database.execute("INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?, ?)", fields)
                    database.commit()
                    count += 1
                    if count == messages:
                        break
                return time.perf_counter() - began_s

            return await servers.offered(messages, readings, taken())
