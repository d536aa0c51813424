"""A writer or reader of `tests.long.hunt`, as its own process; it ends when its standard input does.

Two files are shared by all: of each key the version that is in the store, and the newest confirmed one.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from msgspec.structs import replace

from iotcache.cluster import Cluster, GetResult, Lease, SetItem
from iotcache.config.schema import BreakerSettings
from iotcache.config.urls import NodeAddress, parse_node
from iotcache.errors import RingError

_TTL_S = 3_600
_SHOWN = 20


@contextmanager
def versions(path: Path) -> Iterator[memoryview[int]]:
    """The numbers in a file, shared with other processes."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as raw, memoryview(raw).cast("q") as numbers:
        yield numbers


class HuntClient:
    """One client and what it has seen."""

    def __init__(
        self, cluster: Cluster, number: int, writers: int, stored: memoryview[int], confirmed: memoryview[int]
    ) -> None:
        self.ending = threading.Event()
        self.reads = self.hits = self.writes = self.confirmed_writes = 0
        self.stale: list[str] = []
        self.stale_count = 0
        self.changes = 0
        self.nodes: list[NodeAddress] = []
        """That the ring may be changed to."""
        self._cluster = cluster
        self._rng = Random(number)
        self._keys = [f"dev-{at}:temperature:latest" for at in range(len(stored))]
        self._own = [at for at in range(len(stored)) if at % writers == number]
        self._stored = stored
        self._confirmed = confirmed

    async def write(self) -> None:
        """Write batches of own keys, one after the other."""
        rng = self._rng
        while not self.ending.is_set():
            mine = rng.sample(self._own, rng.randint(1, len(self._own)))
            for at in mine:
                self._stored[at] += 1
            items = [self._item(at, self._stored[at]) for at in mine]
            for at, item, outcome in zip(mine, items, await self._cluster.set_many(items), strict=True):
                self.writes += 1
                if outcome.ok:
                    self.confirmed_writes += 1
                    self._confirmed[at] = int(item.value.rpartition(b"=")[2])
            await asyncio.sleep(rng.random() * 0.01)

    async def read(self) -> None:
        """Read batches; of every other one load what is not there, as a cache's reader does."""
        rng, keys = self._rng, self._keys
        while not self.ending.is_set():
            some = rng.sample(range(len(keys)), rng.randint(1, len(keys)))
            least = [self._confirmed[at] for at in some]
            names = [keys[at] for at in some]
            if rng.random() < 0.5:
                self._check(some, least, await self._cluster.get_many(names))
            else:
                answers = await self._cluster.lease_many(names, stub_s=2)
                self._check(some, least, answers)
                await self._load(some, answers)
            await asyncio.sleep(rng.random() * 0.01)

    async def drain(self, most_s: float) -> None:
        """Take nodes out and back by hand, at random."""
        rng = self._rng
        while not self.ending.is_set():
            name = rng.choice(self._cluster.node_names)
            self._cluster.drain(name)
            await asyncio.sleep(rng.random() * most_s)
            self._cluster.rejoin(name)
            await asyncio.sleep(rng.random() * most_s)

    async def resize(self, seconds: float) -> None:
        """Change the ring again and again: nodes join and leave, and have other weights."""
        rng, cluster = self._rng, self._cluster
        while not self.ending.is_set():
            await asyncio.sleep(rng.random() * seconds)
            some = rng.sample(self.nodes, rng.randint(1, len(self.nodes)))
            ring = [replace(node, weight=rng.choice((1, 1, 1, 2))) for node in some]
            work = asyncio.ensure_future(cluster.resize(ring))
            while not work.done() and not self.ending.is_set():
                await asyncio.sleep(0.1)
            work.cancel()
            try:
                self.changes += not (await work).undone
            except RingError as error:
                print(f"resize: {error}", file=sys.stderr, flush=True)
            except asyncio.CancelledError:
                print("resize: undone, as the hunt is over", file=sys.stderr, flush=True)

    def _item(self, at: int, version: int) -> SetItem:
        return SetItem(self._keys[at], f"{self._keys[at]}={version}".encode(), 0, _TTL_S)

    async def _load(self, some: Sequence[int], answers: Sequence[GetResult]) -> None:
        won = [(at, got) for at, got in zip(some, answers, strict=True) if got.lease is Lease.WON]
        items = [self._item(at, self._stored[at]) for at, _ in won]
        await asyncio.sleep(self._rng.random() * 0.02)
        if items:
            await self._cluster.cas_many(items, [got for _, got in won])

    def _check(self, some: Sequence[int], least: Sequence[int], answers: Sequence[GetResult]) -> None:
        for at, wanted, got in zip(some, least, answers, strict=True):
            self.reads += 1
            if not got.hit:
                continue
            self.hits += 1
            name, _, version = got.value.decode().rpartition("=")
            if name == self._keys[at] and int(version) >= wanted:
                continue
            self.stale_count += 1
            if len(self.stale) < _SHOWN:
                text = f"{self._keys[at]}: {got.value!r} from {got.node}, but {wanted} was confirmed before"
                self.stale.append(text)
                print(text, file=sys.stderr, flush=True)


async def main() -> None:
    """Be one client until standard input ends; then print what was seen, as JSON."""
    role, number, writers, drain_s, resize_s, count, folder, *nodes = sys.argv[1:]
    with (
        versions(Path(folder) / "stored") as stored,
        versions(Path(folder) / "confirmed") as confirmed,
    ):
        async with Cluster(
            [parse_node(node) for node in nodes[: int(count)]],
            follow=float(resize_s) != 0,
            operation_timeout_s=0.25,
            breaker=BreakerSettings(open_min_s=0.05, open_max_s=0.5),
            role=f"{role} {number}",
        ) as cluster:
            client = HuntClient(cluster, int(number), int(writers), stored, confirmed)

            def await_end() -> None:
                sys.stdin.read()
                client.ending.set()

            threading.Thread(target=await_end, daemon=True).start()
            print("ready", flush=True)
            tasks = [client.write() if role == "writer" else client.read()]
            if float(drain_s) > 0:
                tasks.append(client.drain(float(drain_s)))
            if float(resize_s) > 0:
                client.nodes = [parse_node(node) for node in nodes]
                tasks.append(client.resize(float(resize_s)))
            await asyncio.gather(*tasks)
            report = {
                "client": f"{role} {number}", "reads": client.reads, "hits": client.hits,
                "writes": client.writes, "confirmed": client.confirmed_writes,
                "stale": client.stale_count, "examples": client.stale, "changes": client.changes,
            }  # fmt: skip
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
