"""QoS 1 from mosquitto to a store and memcached: our worker, a bare subscriber, the tutorial loop.

Besides: our worker on PostgreSQL against SQLite, two workers against one, one's memory over 2 million.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iotcache.config.schema import BrokerSettings, CacheSettings, IngestSettings, Settings, StoreSettings
from iotcache.errors import UsageError
from iotcache.store import open_store
from iotcache.worker.worker import Ingest
from iotcache_simulator.stack.nodes import EmbeddedNode, choose_program
from iotcache_tui.bench.broker import mosquitto
from iotcache_tui.bench.load_generator import DEVICES
from iotcache_tui.bench.postgres import BenchPostgres, postgres_programs
from iotcache_tui.bench.report import OURS, BenchReport, BenchRow, BenchTarget
from iotcache_tui.bench.worker_processes import Team

if TYPE_CHECKING:
    from iotcache.store.base import Store

SINGLE: Final = "single readings, QoS 1, to SQLite and cache"
PACKED: Final = "packed messages of 50 readings, QoS 1, to store and cache"
BARE: Final = "aiomqtt, pass"
TUTORIAL: Final = "tutorial loop: set, insert, commit"
LOGGED: Final = "the same loop on a write-ahead log"
TEAM: Final = (
    "a group of workers that know their devices, single readings, QoS 1, all at the broker beforehand"
)
CPU: Final = "readings in a second of the workers' processor time"
MEMORY: Final = "memory of a worker half-way through 2 million readings, against the end"
ON_POSTGRES: Final = "iotcache on PostgreSQL"
ONE: Final = "one worker"
TWO: Final = "two workers"
EARLY: Final = "after 1,000,000"
LATE: Final = "after 2,000,000"
READINGS_A_PACK: Final = 50
_MESSAGES: Final = {OURS: 20_000, BARE: 10_000, TUTORIAL: 1_000, LOGGED: 1_000}
_PACKS: Final = 1_600
_TEAM_MESSAGES: Final = 60_000
_TEAM_DEVICES: Final = 4_999
"""Many, as where one worker is too few; odd, so that a device's messages go to either of two workers."""
_LONG_READINGS: Final = 2_000_000
_LOOK_S: Final = 0.05
TARGETS: Final = [
    BenchTarget(SINGLE, BARE, 1.6),
    BenchTarget(SINGLE, TUTORIAL, 20.0),
    BenchTarget(PACKED, OURS, 0.7, ON_POSTGRES),
    BenchTarget(TEAM, ONE, 1.3, TWO),
    BenchTarget(CPU, ONE, 0.9, TWO),
    BenchTarget(MEMORY, LATE, 0.9, EARLY),
]
"""Of the last one: the memory half-way is at least nine tenths of that at the end. Not earlier, as
SQLite's page cache (64 MB) has to fill first."""
Contest = Callable[["_Servers", int], Awaitable[float]]


class _Servers:
    """A mosquitto for each turn, one memcached, and a folder for each contestant's database."""

    def __init__(self, node: str, folder: Path, postgres: BenchPostgres | None) -> None:
        self.port = 0
        self.node = node
        self.folder = folder
        self.postgres = postgres
        self.turn = 0

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[None]:
        """A mosquitto that knows of no session: it would keep a copy of all for those of earlier turns."""
        async with mosquitto("ingest") as self.port:
            yield

    async def store(self, *, postgres: bool) -> StoreSettings:
        """An empty store for a turn."""
        if postgres:
            assert self.postgres is not None
            self.turn += 1
            return await self.postgres.database()
        return StoreSettings(url=f"sqlite:///{self.database()}")

    def database(self) -> Path:
        """A file of its own for every turn."""
        self.turn += 1
        return self.folder / f"turn-{self.turn}.db"

    async def queued(self, messages: int, devices: int, first: int = 0) -> None:
        """Offer single readings until the broker has taken the last one."""
        publisher = await self._publisher(messages, 1, devices, first)
        await publisher.wait()

    async def offered(self, messages: int, readings: int, taken: Awaitable[float]) -> float:
        """Offer the messages and wait until they are taken; readings a second."""
        publisher = await self._publisher(messages, readings)
        try:
            seconds = await taken
        finally:
            if publisher.returncode is None:
                publisher.terminate()
            await publisher.wait()
        return messages * readings / seconds

    async def _publisher(
        self, messages: int, readings: int, devices: int = DEVICES, first: int = 0
    ) -> asyncio.subprocess.Process:
        numbers = (str(number) for number in (self.port, messages, readings, devices, first))
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "iotcache_tui.bench.load_generator", *numbers
        )


async def run(rounds: int) -> BenchReport:
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
        postgres: BenchPostgres | None = None
        if programs := postgres_programs():
            theirs = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="iotcache-postgres-")))
            postgres = await exits.enter_async_context(BenchPostgres(programs, theirs))
        return await _measure(rounds, _Servers(node.name, folder, postgres))


async def _measure(rounds: int, servers: _Servers) -> BenchReport:
    contests: list[tuple[BenchRow, Contest, int]] = [
        (BenchRow(SINGLE, OURS, "readings/s"), _ours, 1),
        (BenchRow(SINGLE, BARE, "readings/s", note="neither stores nor caches"), _bare, 1),
        (BenchRow(SINGLE, TUTORIAL, "readings/s", note="SQLite as it comes"), _tutorial, 1),
        (BenchRow(SINGLE, LOGGED, "readings/s", note="better tuned than tutorials are"), _logged, 1),
        (BenchRow(PACKED, OURS, "readings/s", note="wanted: 60,000"), _ours, READINGS_A_PACK),
    ]
    if servers.postgres is not None:
        contests.append((BenchRow(PACKED, ON_POSTGRES, "readings/s"), _ours_on_postgres, READINGS_A_PACK))
    teams = [
        (BenchRow(TEAM, who, "readings/s"), BenchRow(CPU, who, "readings/s"), n)
        for n, who in ((1, ONE), (2, TWO))
    ]
    for _ in range(rounds):
        for row, contest, readings in contests:
            async with servers.broker():
                row.runs.append(await contest(servers, readings))
        for speed, thrift, workers in teams:
            async with servers.broker():
                await _team(servers, workers, speed, thrift)
    rows = [row for row, _, _ in contests]
    rows += [row for speed, thrift, _ in teams for row in (speed, thrift)]
    async with servers.broker():
        rows += await _memory(servers)
    missing = [] if servers.postgres is not None else ["PostgreSQL"]
    return BenchReport("ingest", rows, list(TARGETS), missing)


async def _team(servers: _Servers, workers: int, speed: BenchRow, thrift: BenchRow) -> None:
    """Workers of one group that share one store: PostgreSQL where there is one, as two hosts would."""
    settings = await servers.store(postgres=servers.postgres is not None)
    team = Team(
        workers, broker_port=servers.port, nodes=[servers.node], store=settings, group=f"bench-{servers.turn}"
    )
    async with team, open_store(settings, read_only=True) as store:
        # A device's first reading costs more, once for each worker.
        known = _TEAM_DEVICES * 2 * workers
        await servers.queued(known, _TEAM_DEVICES)
        await _until_stored(store, known)
        await team.until_idle()
        # The workers wait meanwhile: offering, on the same few cores, would be what bounds them.
        team.pause()
        await servers.queued(_TEAM_MESSAGES, _TEAM_DEVICES, known)
        before_s = team.cpu_s()
        team.resume()
        speed.runs.append(_TEAM_MESSAGES / await _until_stored(store, known + _TEAM_MESSAGES))
        after_s = team.cpu_s()
        if before_s is not None and after_s is not None:
            thrift.runs.append(_TEAM_MESSAGES / (after_s - before_s))


async def _memory(servers: _Servers) -> list[BenchRow]:
    """What a worker holds half-way and at the end of a long run, once."""
    early, late = BenchRow(MEMORY, EARLY, "bytes"), BenchRow(MEMORY, LATE, "bytes")
    settings = await servers.store(postgres=False)
    team = Team(1, broker_port=servers.port, nodes=[servers.node], store=settings, group="bench-memory")
    async with team, open_store(settings, read_only=True) as store:

        async def taken() -> float:
            for row, share in ((early, 2), (late, 1)):
                await _until_stored(store, _LONG_READINGS // share)
                memory = team.memory_bytes()
                if memory is not None:
                    row.runs.append(float(memory))
            return 1.0

        await servers.offered(_LONG_READINGS // READINGS_A_PACK, READINGS_A_PACK, taken())
    return [early, late]


async def _until_stored(store: Store, readings: int) -> float:
    """Wait until the store holds so many; seconds that took."""
    began_s = time.perf_counter()
    # The workers are other processes, measured as they are: hence the polling.
    while (await store.counts()).readings < readings:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)  # a look costs the database a count of all
    return time.perf_counter() - began_s


async def _ours_on_postgres(servers: _Servers, readings: int) -> float:
    return await _ours(servers, readings, postgres=True)


async def _ours(servers: _Servers, readings: int, *, postgres: bool = False) -> float:
    messages = _MESSAGES[OURS] if readings == 1 else _PACKS
    settings = Settings(
        broker=BrokerSettings(url=f"mqtt://127.0.0.1:{servers.port}"),
        cache=CacheSettings(nodes=(servers.node,)),
        store=await servers.store(postgres=postgres),
        ingest=IngestSettings(client_id=f"bench-ours-{servers.turn}"),
    )
    async with Ingest(settings) as worker:
        await worker.ready()

        async def taken() -> float:
            # The worker is measured as it is, without hooks: hence the polling.
            while not worker.link.received:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)
            began_s = time.perf_counter()
            while worker.counters.stored < messages * readings or worker.link.unacked:  # noqa: ASYNC110
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


async def _logged(servers: _Servers, readings: int) -> float:
    return await _tutorial(servers, readings, logged=True)


async def _tutorial(servers: _Servers, readings: int, *, logged: bool = False) -> float:
    """One message at a time: set the key, insert the row, commit. Either way a commit is on disk."""
    import aiomqtt
    from pymemcache import Client

    messages = _MESSAGES[LOGGED if logged else TUTORIAL]
    host, _, port = servers.node.rpartition(":")
    with (
        closing(sqlite3.connect(servers.database())) as database,
        closing(Client((host, int(port)))) as cache,
    ):
        if logged:
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # SQLite's default, but for a few builds
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
