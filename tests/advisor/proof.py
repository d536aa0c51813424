"""The advisor against real memcacheds: what it predicts, and what a node of another size or TTL then does.

``python -m tests.advisor.proof`` prints both, a line a case, and ends with 1 when the targets are missed:
hit ratio against memory, mean error of a point at most and none over three, in nodes with four pages or more
for each class in use; hit ratio against the TTL, mean error of a point and a half at most, store reads within
a tenth; and how many of the twenty keys asked for most are found through the log, at what one closed loop
offers. ``--short`` is a tenth of it; ``--part`` and ``--workload`` pick some of it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from iotcache.advisor.sampler import Sampler
from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.traffic import node_watch
from iotcache.traffic.groups import Groups
from iotcache.traffic.look import look
from iotcache.traffic.meter import TICK_S, TrafficMeter
from iotcache.traffic.observation import Observation
from iotcache.traffic.watch_lines import WatchEvent, What
from iotcache_simulator.readers.shapes import SHAPES, Shape, Workload
from tests.advisor.proof_node import memcached
from tests.advisor.tap_cost import tap_costs

MB = 1 << 20
BATCH = 100
SIZES_MB = (6, 8, 10, 12, 14, 18, 24, 32)
WORKLOADS = ("cold-room", "twitter-19", "twitter-34", "twitter-14")
TTL_CLASSES = ("cold-room", "dashboard", "twitter-19")
TTL_S = 4
FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


class Case(Struct, frozen=True):
    """One prediction and what came of it, as shares of gets."""

    name: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        return abs(self.predicted - self.measured)


class Client:
    """An application: gets, fills what it missed, and writes."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._file = line.makefile("rb")

    def get(self, keys: Sequence[str]) -> list[bool]:
        """Whether each key is there; counts and moves as any get, but sends no value back."""
        self._line.sendall("".join(f"mg {key} t\r\n" for key in keys).encode())
        return [self._file.readline().startswith(b"HD") for _ in keys]

    def set(self, items: Sequence[tuple[str, int, int]]) -> None:
        """(key, bytes of the value, TTL)."""
        if items:
            self._line.sendall(
                b"".join(
                    b"ms %b %d T%d\r\n%b\r\n" % (key.encode(), size, ttl_s, b"x" * size)
                    for key, size, ttl_s in items
                )
            )
            for _ in items:
                self._file.readline()


def play(client: Client, shape: Shape, keys: int, number: int, meter: TrafficMeter | None) -> float:
    """The whole workload, closed loop; returns the hit ratio. The same requests for every node."""
    workload, hits, gets = Workload(shape, keys, 7), 0, 0
    for requests in workload.requests(number):
        for start in range(0, len(requests.keys), BATCH):
            numbers = requests.keys[start : start + BATCH].tolist()
            writes = requests.writes[start : start + BATCH].tolist()
            asked = [one for one, write in zip(numbers, writes, strict=True) if not write]
            asked_s = time.time()
            found = client.get([workload.key(one) for one in asked])
            hits, gets = hits + sum(found), gets + len(found)
            missed = list(dict.fromkeys(one for one, hit in zip(asked, found, strict=True) if not hit))
            written = [one for one, write in zip(numbers, writes, strict=True) if write]
            stored = [*missed, *written]
            client.set([(workload.key(one), int(workload.value_bytes[one]), 0) for one in stored])
            if meter is not None:
                now_s = time.time()
                answers = (What.MISS, What.HIT)
                events = [
                    WatchEvent(workload.key(one).encode(), answers[hit], asked_s, 0.0, 0, 0)
                    for one, hit in zip(asked, found, strict=True)
                ]
                events += [
                    WatchEvent(
                        workload.key(one).encode(), What.SET, now_s, 0.0, 0, int(workload.value_bytes[one])
                    )
                    for one in stored
                ]
                meter.feed(events)
    return hits / gets


def memory(names: Sequence[str], sizes_mb: Sequence[int], number: int, data_mb: int) -> Iterator[Case]:
    """One node is watched; the others, of other sizes, are then really asked the same."""
    for name in names:
        shape = SHAPES[name]
        # Values of one or two slab classes, so that each has four pages or more in the smallest node.
        keys = data_mb * MB // (shape.key_bytes + shape.value_bytes + 59)
        now_mb = sizes_mb[len(sizes_mb) // 2]
        meter = TrafficMeter(now_mb * MB, Groups(), sizes=tuple(size * MB for size in sizes_mb))
        with memcached(now_mb) as line:
            play(Client(line), shape, keys, number, meter)
        curve = meter.sampler.memory_curve()
        for size in sizes_mb:
            with memcached(size) as line:
                measured = play(Client(line), shape, keys, number, None)
            yield Case(f"{name} -m {size}", curve.at(size * MB), measured)


def ttls(names: Sequence[str], seconds: float, keys: int) -> Iterator[Case]:
    """Six TTLs side by side in one node with memory to spare, asked the same; the third is watched."""
    with memcached(256) as line:
        client = Client(line)
        for name in names:
            shape = replace(SHAPES[name], ttls_s=((TTL_S, 1.0),))
            workload = Workload(shape, keys, 11)
            meter = TrafficMeter(256 * MB, Groups())
            meter.sampler = Sampler(256 * MB, ttl_factors=FACTORS, tick_s=TICK_S)
            hits, gets = [0] * len(FACTORS), 0
            ends_s = time.monotonic() + seconds
            while time.monotonic() < ends_s:
                requests = next(workload.requests(BATCH))
                pairs = list(zip(requests.keys.tolist(), requests.writes.tolist(), strict=True))
                asked = [one for one, write in pairs if not write]
                gets += len(asked)
                for at, factor in enumerate(FACTORS):
                    prefix = f"{name}{'abcdef'[at]}"
                    asked_s = time.time()
                    found = client.get([workload.key(one, prefix) for one in asked])
                    hits[at] += sum(found)
                    stored = list(
                        dict.fromkeys(one for one, hit in zip(asked, found, strict=True) if not hit)
                    ) + [one for one, write in pairs if write]
                    client.set(
                        [
                            (workload.key(one, prefix), int(workload.value_bytes[one]), round(TTL_S * factor))
                            for one in stored
                        ]
                    )
                    if factor == 1.0:
                        now_s = time.time()
                        meter.feed(
                            [
                                WatchEvent(
                                    workload.key(one, prefix).encode(), (What.MISS, What.HIT)[hit], asked_s,
                                    0.0, 0, 0,
                                )
                                for one, hit in zip(asked, found, strict=True)
                            ]
                            + [
                                WatchEvent(
                                    workload.key(one, prefix).encode(), What.SET, now_s, float(TTL_S), 0,
                                    int(workload.value_bytes[one]),
                                )
                                for one in stored
                            ]
                        )  # fmt: skip
                time.sleep(0.02)  # the pace of the load: some thousands of gets a second
            curve = meter.sampler.ttl_curve(0)
            assert curve is not None
            for at, factor in enumerate(FACTORS):
                yield Case(f"{name} TTL {TTL_S * factor:g} s", curve.at(factor), hits[at] / gets)


class Watched(Struct, frozen=True):
    """What the log of a node under load told."""

    recall: float
    """Of the twenty keys that really had most gets."""
    cost: float
    """Processor time of the node a request, as a share more than without a look."""
    skipped: float


def _load(port: int, seconds: float, keys: int, done: multiprocessing.Queue[Counter[str]]) -> None:
    """An application, in a process of its own; hands over how often it asked for each key."""
    workload, asked = Workload(SHAPES["twitter-34"], keys, 5), Counter[str]()
    with socket.create_connection(("127.0.0.1", port)) as line:
        client, ends_s = Client(line), time.monotonic() + seconds
        while time.monotonic() < ends_s:
            for requests in workload.requests(BATCH):
                names = [workload.key(int(number)) for number in requests.keys]
                found = client.get(names)
                asked.update(names)
                missed = {name for name, hit in zip(names, found, strict=True) if not hit}
                client.set([(name, 100, 600) for name in missed])
    done.put(asked)


def _node_cpu_s(line: socket.socket) -> float:
    """Processor time of the node until now, by its own account."""
    line.sendall(b"stats\r\n")
    told = b""
    while not told.endswith(b"END\r\n"):
        told += line.recv(65_536)
    fields = dict(row.split(b" ")[1:3] for row in told.split(b"\r\n") if row.startswith(b"STAT "))
    return float(fields[b"rusage_user"]) + float(fields[b"rusage_system"])


def watch(seconds: float, keys: int) -> Watched:
    """By turns so long without a look at the node and so long with one: a burst and the rest after it.

    Throughput on a machine with other work says nothing; what a request costs the node does.
    """
    done: multiprocessing.Queue[Counter[str]] = multiprocessing.Queue()
    costs: dict[bool, list[float]] = {False: [], True: []}
    asked: Counter[str] = Counter()
    seen: Observation | None = None
    with memcached(256) as line:
        port = line.getpeername()[1]
        for looks in (False, True, False, True):
            begun_s = _node_cpu_s(line)
            load = multiprocessing.Process(target=_load, args=(port, seconds, keys, done))
            load.start()
            if looks:
                address = parse_node(f"127.0.0.1:{port}")
                seen = asyncio.run(look([address], CacheSettings(), seconds - 0.5, cpu_share=0.5))
            asked = done.get()
            load.join()
            costs[looks].append((_node_cpu_s(line) - begun_s) / sum(asked.values()))
    assert seen is not None
    real = {key.encode() for key, _ in asked.most_common(20)}
    found = {one.key for one in seen.top_gets[:20]}
    cost = sum(costs[True]) / sum(costs[False]) - 1.0
    return Watched(len(real & found) / len(real), cost, seen.evidence.skipped)


def report(title: str, cases: Iterator[Case]) -> list[Case]:
    """A line a case as it comes, and the errors of all."""
    print(title)
    done = []
    for case in cases:
        done.append(case)
        print(
            f"  {case.name:24} predicted {100 * case.predicted:5.1f} %  measured {100 * case.measured:5.1f} %"
            f"  error {100 * case.error:4.1f}",
            flush=True,
        )
    mean = sum(case.error for case in done) / len(done)
    print(f"  mean error {100 * mean:.2f} points, worst {100 * max(case.error for case in done):.2f}")
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of it")
    parser.add_argument("--part", choices=("memory", "ttl", "watch", "tap"), help="only this")
    parser.add_argument("--workload", action="append", choices=tuple(SHAPES), help="of these only")
    args = parser.parse_args()
    met: dict[str, bool] = {}
    if args.part in (None, "memory"):
        names = args.workload or WORKLOADS
        runs = (names[:2], SIZES_MB[1::3], 120_000, 20) if args.short else (names, SIZES_MB, 500_000, 40)
        errors = [case.error for case in report("memory", memory(*runs))]
        met["memory: mean error of a point at most"] = sum(errors) / len(errors) <= 0.01
        met["memory: no error over three points"] = max(errors) <= 0.03
    if args.part in (None, "ttl"):
        names = args.workload or TTL_CLASSES
        by_ttl = report("TTL", ttls(names[:2], 12.0, 3_000) if args.short else ttls(names, 40.0, 10_000))
        lives = [case.error for case in by_ttl]
        met["TTL: mean error of a point and a half at most"] = sum(lives) / len(lives) <= 0.015
        reads = [case.error / max(1.0 - case.measured, 1e-3) for case in by_ttl]
        met["TTL: store reads within a tenth"] = max(reads) <= 0.1
    if args.part in (None, "watch"):
        seconds = 20.0 if args.short else 100.0
        node_watch.BURST_S = seconds * node_watch.BUSY_SHARE
        told = watch(seconds, 20_000)
        print(
            f"watch\n  {20 * told.recall:.0f} of the 20 most frequent keys, {100 * told.cost:+.1f} % of the "
            f"node's processor time a request, {100 * told.skipped:.1f} % skipped"
        )
        met["watch: 19 of the 20 most frequent keys are found"] = told.recall >= 0.95
        met["watch: a request costs the node 5 % more at the most"] = told.cost <= 0.05
    if args.part in (None, "tap"):
        print("tap")
        costs = asyncio.run(tap_costs(8 if args.short else 40))
        met["tap: 5 % of a client's processor time at most"] = max(one.share for one in costs) <= 0.05
    for target, kept in met.items():
        print(f"{'kept' if kept else 'MISSED':7} {target}")
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
