"""A writer or the reader of `test_two_writers`, as its own process; ends when its standard input does."""

from __future__ import annotations

import asyncio
import json
import mmap
import sys
import threading
from pathlib import Path

from iotcache.cluster import Cluster, SetItem
from iotcache.config.schema import BreakerSettings
from iotcache.config.urls import parse_node
from iotcache.model import Event

role, path, *nodes = sys.argv[1:]


def await_end(ending: threading.Event) -> None:
    sys.stdin.read()
    ending.set()


async def main() -> None:
    returns = 0

    def note(event: Event) -> None:
        nonlocal returns
        returns += event.kind == "node_up" and "again" in event.text

    ending = threading.Event()
    threading.Thread(target=await_end, args=(ending,), daemon=True).start()
    with (
        Path(path).open("r+b") as file,
        mmap.mmap(file.fileno(), 0) as raw,
        memoryview(raw).cast("q") as confirmed,
    ):
        keys = [f"shared:{number}:latest" for number in range(len(confirmed))]
        async with Cluster(
            [parse_node(node) for node in nodes],
            operation_timeout_s=0.25,
            breaker=BreakerSettings(open_min_s=0.05, open_max_s=0.3),
            on_event=note,
        ) as cluster:
            print("ready", flush=True)
            report: dict[str, object] = {}
            if role == "reader":
                report = await read(cluster, keys, confirmed, ending)
            else:
                report = await write(cluster, keys, confirmed, ending, int(role))
    print(json.dumps({**report, "returns": returns}), flush=True)


async def write(
    cluster: Cluster, keys: list[str], confirmed: memoryview[int], ending: threading.Event, turn: int
) -> dict[str, object]:
    written = 0
    while not ending.is_set():
        mine = [at for at in range(len(keys)) if confirmed[at] % 2 == turn]
        items = [SetItem(keys[at], b"%d" % (confirmed[at] + 1), 0, 600) for at in mine]
        for at, item, outcome in zip(mine, items, await cluster.set_many(items), strict=True):
            if outcome.ok:
                confirmed[at] = int(item.value)
                written += 1
        await asyncio.sleep(0.004)
    return {"written": written}


async def read(
    cluster: Cluster, keys: list[str], confirmed: memoryview[int], ending: threading.Event
) -> dict[str, object]:
    hits = 0
    stale: list[str] = []
    while not ending.is_set():
        least = list(confirmed)
        for key, least_one, got in zip(keys, least, await cluster.get_many(keys), strict=True):
            hits += got.hit
            if got.hit and int(got.value) < least_one:
                stale.append(f"{key}: {int(got.value)} from {got.node}, {least_one} was confirmed")
        await asyncio.sleep(0.004)
    return {"hits": hits, "stale": stale[:20]}


asyncio.run(main())
