"""A ring that grows and shrinks under load: what that costs the store, and what readers notice.

    python -m tests.long.resize_proof [--for SECONDS] [--without]

Four processes, two that write 1,000 readings a second and two that read 2,000 of 20,000 series, over real
memcacheds and SQLite. Three nodes become four, and four three; after each change the load goes on for
``--for`` seconds. At most 1 % of the reads of series that moved may go to the store, none may fail, and none
may give what is older than a write that had returned. ``--without`` does the same without a hand-over, and
counts alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from iotcache.cluster import Cluster
from iotcache.cluster.placement import placement
from iotcache.config.urls import NodeAddress, parse_node
from iotcache.keys import Keys
from tests.conftest import Server
from tests.long.hunt import start_node
from tests.long.resize_client import series

SERIES: Final = 20_000
WRITERS: Final = 2
READERS: Final = 2
WRITES_PER_S: Final = 1_000.0
READS_PER_S: Final = 2_000.0
MOST_PERCENT: Final = 1.0
_WARM_S: Final = 3.0
_END_S: Final = 20.0


class Fleet:
    """The four processes."""

    def __init__(self, folder: Path, nodes: Sequence[Server], *, without: bool) -> None:
        rates = [("writer", WRITERS, WRITES_PER_S), ("reader", READERS, READS_PER_S)]
        self._clients = [
            subprocess.Popen(
                [
                    sys.executable, "-m", "tests.long.resize_client", role, str(number), str(count),
                    str(rate / count), str(int(without)), str(folder), *(node.address for node in nodes),
                ],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for role, count, rate in rates
            for number in range(count)
        ]  # fmt: skip

    def begin(self) -> None:
        """Wait until all are filled and connected, then let them work."""
        for client in self._clients:
            assert client.stdout is not None
            if client.stdout.readline() != "ready\n":
                raise SystemExit("a client did not start")
        self._send("begin")

    def _send(self, line: str) -> None:
        for client in self._clients:
            assert client.stdin is not None
            client.stdin.write(f"{line}\n")
            client.stdin.flush()

    def totals(self, line: str = "totals") -> Counter[str]:
        """What all have seen so far; examples are told at once."""
        self._send(line)
        total: Counter[str] = Counter()
        for client in self._clients:
            assert client.stdout is not None
            told: dict[str, Any] = json.loads(client.stdout.readline())
            self.examples = told.pop("examples")
            for example in self.examples:
                print(f"  {example}")
            total.update(told)
        return total

    def end(self) -> None:
        """End them all."""
        for client in self._clients:
            if client.stdin is not None:
                client.stdin.close()
            try:
                client.wait(_END_S)
            except subprocess.TimeoutExpired:
                client.kill()
                client.wait()


def write_moves(path: Path, before: Sequence[NodeAddress], after: Sequence[NodeAddress]) -> int:
    """Put down which series have another owner afterwards; how many."""
    keys, old, new = Keys(), placement("ketama", before), placement("ketama", after)
    names = [keys.latest(*series(number)) for number in range(SERIES)]
    moves = bytes(before[old.owner(name)].name != after[new.owner(name)].name for name in names)
    path.write_bytes(moves)
    return sum(moves)


async def change(
    cluster: Cluster, nodes: Sequence[NodeAddress], fleet: Fleet, folder: Path, after_s: float
) -> dict[str, float]:
    """Change the ring under the fleet's load; what it came to, from the change's begin to ``after_s`` after
    its end."""
    moved = write_moves(folder / "moves", list(cluster.node_addresses), nodes)
    before = fleet.totals("moves")
    result = await cluster.resize(nodes)
    await asyncio.sleep(after_s)
    seen = fleet.totals()
    seen.subtract(before)
    seconds = result.took_s + after_s
    percent = 100 * seen["moved_store"] / max(seen["moved_reads"], 1)
    told = {
        "nodes": len(nodes), "took_s": round(result.took_s, 1), "series_moved": moved,
        "reads_per_s": round(seen["reads"] / seconds), "writes_per_s": round(seen["writes"] / seconds),
        "moved_reads": seen["moved_reads"], "store_reads_of_moved": seen["moved_store"],
        "percent": round(percent, 2), "store_reads_of_others": seen["other_store"],
        "failed": seen["failed"], "stale": seen["stale"], "uncached": seen["uncached"],
        "handed_over": result.handed_over + seen["handed_over"],
    }  # fmt: skip
    print(json.dumps(told), flush=True)
    misses = {name: count for name, count in seen.items() if name.startswith("missed") and count}
    if misses:
        print(f"  {misses}")
    return told


async def prove(after_s: float, *, without: bool = False) -> list[dict[str, float]]:
    """Three nodes, four, three, under load; what each change came to."""
    servers = [start_node() for _ in range(4)]
    addresses = [parse_node(server.address) for server in servers]
    with tempfile.TemporaryDirectory(prefix="iotcache-resize-") as name:
        folder = Path(name)
        (folder / "newest").write_bytes(bytes(8 * SERIES))
        (folder / "moves").write_bytes(bytes(SERIES))
        fleet = Fleet(folder, servers[:3], without=without)
        try:
            fleet.begin()
            await asyncio.sleep(_WARM_S)
            async with Cluster(addresses[:3], follow=True, role="resize") as cluster:
                return [
                    await change(cluster, nodes, fleet, folder, after_s)
                    for nodes in (addresses, addresses[1:])
                ]
        finally:
            fleet.end()
            for server in servers:
                server.kill()


def faults(told: Sequence[dict[str, float]]) -> list[str]:
    """What is not as it has to be."""
    found = []
    for one in told:
        change = f"the change to {one['nodes']:g} nodes"
        found += [f"{change}: {one[what]:g} {what}" for what in ("failed", "stale") if one[what]]
        if one["percent"] > MOST_PERCENT:
            found.append(f"{change}: {one['percent']} % of the moved series' reads went to the store")
        if not one["moved_reads"] or not one["handed_over"]:
            found.append(f"{change}: nothing was read, or nothing handed over")
    return found


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Change the ring under load, and count what that costs.")
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds (default 60)")
    parser.add_argument("--without", action="store_true", help="without a hand-over, to compare")
    args = parser.parse_args()
    told = asyncio.run(prove(args.seconds, without=args.without))
    if args.without:
        return 0
    found = faults(told)
    print("\n".join(found) or "as it has to be")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
