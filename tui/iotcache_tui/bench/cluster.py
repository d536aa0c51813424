"""Three memcached nodes, 2,000 keys of 60 to 200 bytes: our cluster client and its peers, turn by turn."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from iotcache.cluster import Cluster, SetItem
from iotcache.config.schema import BreakerSettings, CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import UsageError
from iotcache.model import NodeState
from iotcache_simulator.processes.process import Process
from iotcache_simulator.stack.nodes import EmbeddedNode, choose_program
from iotcache_tui.bench.peers import PEERS, Peer, peers
from iotcache_tui.bench.report import OURS, BenchReport, BenchRow, BenchTarget, missing_peers

KEYS: Final = 2_000
NODES: Final = 3
_WARM_UP: Final = 3
_TURN_S: Final = 0.2
"""For so long a turn calls again and again: enough to outlast short disturbances."""
ALL_UP: Final = "all three nodes up"
ONE_HANGS: Final = "the third hangs, breaker open"
THROUGH_CACHE: Final = "iotcache DeviceCache.read_many"
GET, SET, DECODED, HANG = (
    "get-many, with TTL and flags where the client can",
    "set-many, confirmed where the client can",
    "get-many, decoded and typed",
    "get-many of two nodes' keys",
)
TARGETS: Final = [
    BenchTarget(GET, PEERS[0], 15.0),
    BenchTarget(GET, PEERS[1], 1.0),
    BenchTarget(GET, PEERS[2], 0.5),
    BenchTarget(SET, PEERS[0], 20.0),
    BenchTarget(SET, PEERS[2], 1.0),
    BenchTarget(DECODED, PEERS[0], 8.0, ours=THROUGH_CACHE),
    BenchTarget(HANG, ALL_UP, 0.9, ours=ONE_HANGS),
]
Call = Callable[[], Awaitable[int]]


async def run(rounds: int) -> BenchReport:
    """Measure all. Raises `UsageError` when memcached is not on PATH, `StackError` when it does not start."""
    program = choose_program("auto")
    if program.bundled:
        raise UsageError("bench cluster needs the memcached program on PATH")
    nodes = [EmbeddedNode(program, CacheSettings()) for _ in range(NODES)]
    processes = await asyncio.gather(*(node.launch(lambda exit: None) for node in nodes))
    try:
        return await _measure(rounds, nodes, processes)
    finally:
        for process in processes:
            process.resume()
            await process.stop()
        for node in nodes:
            node.release()


def items(rng: Random) -> list[SetItem]:
    """The keys and values, like those of a fleet: JSON of 60 to 200 bytes."""
    made = []
    for number in range(KEYS):
        head = b'{"value":%d.5,"ts":1718722800000000,"unit":"%b"' % (number % 100, b"C")
        site = b"s" * max(0, rng.randrange(60, 201) - len(head) - 11)
        made.append(
            SetItem(f"dev-{number:05d}:temperature:latest", head + b',"site":"' + site + b'"}', 16, 600)
        )
    return made


async def _measure(rounds: int, nodes: list[EmbeddedNode], processes: list[Process]) -> BenchReport:
    wanted = items(Random(1))
    addresses = [("127.0.0.1", int(node.name.rpartition(":")[2])) for node in nodes]
    # Each client has keys of its own: some read meaning into flags that others write.
    others = [
        _Contestant(peer, {f"{chr(ord('e') + number)}{item.key[1:]}": item.value for item in wanted})
        for number, peer in enumerate(await peers(addresses))
    ]
    report = BenchReport("cluster", [], TARGETS, missing_peers([other.peer.name for other in others], PEERS))
    async with Cluster(
        [parse_node(node.name) for node in nodes],
        operation_timeout_s=0.5,
        breaker=BreakerSettings(),
    ) as cluster:
        keys = [item.key for item in wanted]

        async def ours_get() -> int:
            return sum([got.hit for got in await cluster.get_many(keys)])

        async def ours_set() -> int:
            return sum([outcome.ok for outcome in await cluster.set_many(wanted)])

        sets: list[tuple[BenchRow, Call]] = [(BenchRow(SET, OURS, "keys/s", note="each confirmed"), ours_set)]
        sets += [(other.row(SET), other.set) for other in others if other.peer.sets_in_bulk]
        await _contest(report, sets, rounds)
        for other in others:
            await other.set()
        gets: list[tuple[BenchRow, Call]] = [
            (BenchRow(GET, OURS, "keys/s", note="TTL, flags, node"), ours_get)
        ]
        gets += [(other.row(GET), other.get) for other in others]
        await _contest(report, gets, rounds)
        await _decoded(report, cluster, keys, others, rounds)
        await _hanging(report, cluster, keys, (processes[-1], nodes[-1].name), rounds)
    for other in others:
        await other.peer.close()
    return report


class _Contestant:
    """A peer and its keys."""

    def __init__(self, peer: Peer, values: dict[str, bytes]) -> None:
        self.peer = peer
        self.values = values
        self.keys = list(values)

    def row(self, task: str) -> BenchRow:
        return BenchRow(task, self.peer.name, "keys/s", note=self.peer.note)

    async def get(self) -> int:
        return await self.peer.get(self.keys)

    async def set(self) -> int:
        return await self.peer.set(self.values)

    async def get_decoded(self) -> int:
        assert self.peer.get_decoded is not None
        return await self.peer.get_decoded(self.keys)


async def _contest(report: BenchReport, contestants: list[tuple[BenchRow, Call]], rounds: int) -> None:
    """Turn by turn, so that whatever else the machine does falls on all of them."""
    for _, call in contestants:
        for _ in range(_WARM_UP):
            await call()
    for _ in range(rounds):
        for row, call in contestants:
            await _turn(row, call)
    report.rows.extend(row for row, _ in contestants)


async def _turn(row: BenchRow, call: Call) -> None:
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < _TURN_S:
        count += await call()
    row.runs.append(count / (time.perf_counter() - started))


async def _decoded(
    report: BenchReport, cluster: Cluster, keys: list[str], others: list[_Contestant], rounds: int
) -> None:
    """The same through the read path that applications use."""
    from iotcache.cache import DeviceCache
    from iotcache.config.schema import StoreSettings
    from iotcache.keys import Keys
    from iotcache.model import Series
    from iotcache.store import open_store
    from iotcache.ttl import TtlPolicy

    series = [Series(*key.split(":")[:2]) for key in keys]
    with tempfile.TemporaryDirectory() as folder:
        settings = StoreSettings(url=f"sqlite:///{folder}/bench.db")
        async with (
            open_store(settings) as store,
            DeviceCache(cluster, store, keys=Keys(), ttl=TtlPolicy()) as cache,
        ):

            async def ours() -> int:
                return sum([read.value is not None for read in await cache.read_many(series)])

            contestants: list[tuple[BenchRow, Call]] = [
                (BenchRow(DECODED, THROUGH_CACHE, "keys/s", note="typed, with TTL and reasons"), ours)
            ]
            contestants += [
                (other.row(DECODED), other.get_decoded) for other in others if other.peer.get_decoded
            ]
            await _contest(report, contestants, rounds)


async def _hanging(
    report: BenchReport, cluster: Cluster, keys: list[str], third: tuple[Process, str], rounds: int
) -> None:
    """Readers of the other two nodes' keys, before and after the third stops answering."""
    process, name = third
    theirs = [key for key in keys if cluster.node_of(key) != name]

    async def read() -> int:
        return sum([got.hit for got in await cluster.get_many(theirs)])

    up, hangs = (BenchRow(HANG, who, "keys/s") for who in (ALL_UP, ONE_HANGS))
    for _ in range(rounds):  # in turn, so that whatever else the machine does falls on both
        await _turn(up, read)
        process.pause()
        await _until(cluster, name, lambda state: state is not NodeState.UP)
        await _turn(hangs, read)
        process.resume()
        await _until(cluster, name, lambda state: state is NodeState.UP)
    report.rows += [up, hangs]


async def _until(cluster: Cluster, name: str, true: Callable[[NodeState], bool]) -> None:
    """Return once the node's state is as wanted; it always comes to be, by the cluster's own probes."""
    while not true(next(node.state for node in cluster.health() if node.name == name)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
