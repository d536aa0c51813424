"""The advisor against real memcacheds: what it predicts, and what a node of another size or TTL then does.

``python -m tests.advisor.proof`` prints both, a line a case, and ends with 1 when the targets are missed:
hit ratio against memory, mean error of a point at most and none over three, in nodes with four pages or more
for each class in use; hit ratio against the TTL, mean error of a point and a half at most, store reads within
a tenth. ``--short`` is a tenth of it.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from iotcache.advisor.sampler import Sampler
from iotcache.traffic.groups import Groups
from iotcache.traffic.meter import TICK_S, TrafficMeter
from iotcache.traffic.watch_lines import WatchEvent, What
from iotcache_simulator.readers.shapes import SHAPES, Shape, Workload
from tests.conftest import await_port, free_port, program

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


@contextmanager
def memcached(megabytes: int) -> Iterator[socket.socket]:
    """A connection to a real node of that size."""
    path = program("memcached")
    assert path is not None
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [path, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", str(megabytes), *user]
    )
    try:
        await_port(port, process)
        with socket.create_connection(("127.0.0.1", port)) as line:
            yield line
    finally:
        process.kill()
        process.wait()


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
    short = parser.parse_args().short
    if short:
        by_memory = report("memory", memory(WORKLOADS[:2], SIZES_MB[1::3], 120_000, 20))
        by_ttl = report("TTL", ttls(TTL_CLASSES[:2], 12.0, 3_000))
    else:
        by_memory = report("memory", memory(WORKLOADS, SIZES_MB, 500_000, 40))
        by_ttl = report("TTL", ttls(TTL_CLASSES, 40.0, 10_000))
    errors = [case.error for case in by_memory]
    lives = [case.error for case in by_ttl]
    reads = [case.error / max(1.0 - case.measured, 1e-3) for case in by_ttl]
    met = {
        "memory: mean error of a point at most": sum(errors) / len(errors) <= 0.01,
        "memory: no error over three points": max(errors) <= 0.03,
        "TTL: mean error of a point and a half at most": sum(lives) / len(lives) <= 0.015,
        "TTL: store reads within a tenth": max(reads) <= 0.1,
    }
    for target, kept in met.items():
        print(f"{'kept' if kept else 'MISSED':7} {target}")
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
