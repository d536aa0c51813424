"""Somebody else's application on some memcached: it counts all that it does, and checks every answer."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Sequence
from random import Random

from pymemcache.client.base import Client

from tests.conftest import Server

KEYS = 400
COLD_KEYS = 60
ROUND_S = 0.02
OURS = "dev-{:03d}:temp:latest"
"""A key as ours are called, with a value that none of ours is."""


class OtherApplication:
    """A thread a node. ``counted`` is what each node's own counters have to grow by, and no more."""

    def __init__(self, nodes: Sequence[Server]) -> None:
        self.nodes = nodes
        self.counted = [Counter[str]() for _ in nodes]
        self.names = [set[str]() for _ in nodes]
        self.failures: list[str] = []
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(len(nodes))
        ]

    def fill_cold(self) -> None:
        """Write keys that nobody reads, of one size that nothing else has: their LRU stays as it is."""
        for number, node in enumerate(self.nodes):
            with contextlib.closing(Client(("127.0.0.1", node.port), timeout=5)) as client:
                for key in range(COLD_KEYS):
                    self._set(client, number, f"cold-{key}", b"c" * 9_000)
                for key in range(COLD_KEYS):
                    self._set(client, number, OURS.format(key), b"not one of yours")

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(10)

    def _set(self, client: Client, number: int, key: str, value: bytes) -> None:
        self.counted[number]["cmd_set"] += 1
        self.names[number].add(key)
        client.set(key, value, noreply=False)

    def _run(self, number: int) -> None:
        rng, counted = Random(number), self.counted[number]
        written: dict[str, bytes] = {}
        try:
            with contextlib.closing(Client(("127.0.0.1", self.nodes[number].port), timeout=5)) as client:
                while not self._ending.wait(ROUND_S):
                    for _ in range(10):
                        key = f"app-{rng.randrange(KEYS)}"
                        written[key] = rng.randbytes(rng.randrange(40, 800))
                        self._set(client, number, key, written[key])
                    key = rng.choice(list(written))
                    counted["cmd_touch"] += 1
                    if not client.touch(key, 3_600, noreply=False):
                        raise AssertionError(f"{key} cannot be touched")
                    counted["delete_hits"] += 1
                    if not client.delete(key, noreply=False):
                        raise AssertionError(f"{key} cannot be deleted")
                    del written[key]
                    counted["delete_misses"] += 1
                    client.delete("never-there", noreply=False)
                    found = client.get_many(list(written)[:20])
                    if found != {name: written[name] for name in list(written)[:20]}:
                        raise AssertionError("the application did not read what it wrote")
        except Exception as error:
            self.failures.append(f"{self.nodes[number].address}: {error!r}")
