"""Real memcached nodes that hang, die and return at random, under clients that write and read: nothing stale.

    python -m tests.long.hunt [--for SECONDS] [--nodes N] [--drains | --resize] [--seed S]

Two writers and two readers, each a process of its own; 200 keys. Any number of nodes may be out at a time.
With ``--drains`` three of the clients take nodes out and back by hand instead; with ``--resize`` the ring is
changed all the time as well, to any of twice as many nodes, by one writer or two. What it finds has to be
found in the simulation as well (`iotcache-tui verify cluster`), where it can be repeated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.conftest import Server

KEYS = 200
WRITERS = READERS = 2
_DRAIN_S = 0.6
_OUTAGES_S = (0.05, 0.2, 0.5, 1.0, 1.5, 3.0)
_END_S = 15.0


def start_node() -> Server:
    """A memcached."""
    path = shutil.which("memcached", path="/usr/sbin:/usr/bin:/bin:/usr/local/bin")
    if path is None:
        raise SystemExit("memcached is not installed")
    return Server(
        lambda port: [path, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "64", "-u", "nobody"]
    )


class Outages:
    """Hangs and kills nodes at random, and brings them back."""

    def __init__(self, nodes: Sequence[Server], rng: Random) -> None:
        self.count = 0
        self._nodes = nodes
        self._rng = rng
        self._until_s: dict[int, tuple[float, bool]] = {}
        """Of each node that is out: until when, and whether it was killed."""

    def step(self, now_s: float) -> None:
        """Bring back what is due; maybe take another one out."""
        for index, (until_s, killed) in list(self._until_s.items()):
            if now_s >= until_s:
                self._back(index, killed)
        if self._rng.random() < 0.02:
            index = self._rng.randrange(len(self._nodes))
            if index in self._until_s:
                return
            killed = self._rng.random() < 0.4
            if killed:
                self._nodes[index].kill()
            else:
                self._nodes[index].signal(signal.SIGSTOP)
            self._until_s[index] = (now_s + self._rng.choice(_OUTAGES_S), killed)
            self.count += 1

    def end(self) -> None:
        """Bring all back."""
        for index, (_, killed) in list(self._until_s.items()):
            self._back(index, killed)

    def _back(self, index: int, killed: bool) -> None:
        del self._until_s[index]
        if killed:
            self._nodes[index].start()
        else:
            self._nodes[index].signal(signal.SIGCONT)


def start_client(  # noqa: PLR0917
    role: str, number: int, drain_s: float, resize_s: float, count: int, folder: Path, nodes: Sequence[Server]
) -> Any:
    """One client process; the first ``count`` of the nodes are its own list."""
    command = [
        sys.executable,
        "-m",
        "tests.long.client",
        role,
        str(number),
        str(WRITERS),
        str(drain_s),
        str(resize_s),
        str(count),
        str(folder),
    ]
    return subprocess.Popen(
        [*command, *(node.address for node in nodes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def hunt(seconds: float, *, nodes: int, drains: bool, resizes: bool, seed: int) -> list[dict[str, Any]]:
    """Run clients and outages for ``seconds``; the clients' reports."""
    rng = Random(seed)
    servers = [start_node() for _ in range(2 * nodes if resizes else nodes)]
    clients = []
    outages = Outages(servers, rng)
    try:
        with tempfile.TemporaryDirectory(prefix="iotcache-hunt-") as name:
            folder = Path(name)
            for file in ("stored", "confirmed"):
                (folder / file).write_bytes(bytes(8 * KEYS))
            for number in range(WRITERS + READERS):
                role = "writer" if number < WRITERS else "reader"
                drain_s = _DRAIN_S if drains and number < 3 else 0.0
                # All follow; the writers change it, the second one seldom.
                resize_s = ((4.0, 40.0)[number] if role == "writer" else -1.0) if resizes else 0.0
                clients.append(start_client(role, number, drain_s, resize_s, nodes, folder, servers))
            for client in clients:
                if client.stdout.readline() != b"ready\n":
                    raise SystemExit("a client did not start")
            until_s = time.monotonic() + seconds
            while (now_s := time.monotonic()) < until_s:
                if not drains:
                    outages.step(now_s)
                time.sleep(0.02)
            outages.end()
            reports = []
            for client in clients:
                out, _ = client.communicate(timeout=_END_S)
                reports.append(json.loads(out.splitlines()[-1]))
            print(f"{outages.count} outages")
            return reports
    finally:
        for client in clients:
            if client.poll() is None:
                client.kill()
            client.wait()
        outages.end()
        for server in servers:
            server.kill()


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Hunt for stale reads among real nodes that come and go.")
    parser.add_argument("--for", dest="seconds", type=float, default=600.0, help="seconds (default 600)")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--drains", action="store_true", help="three clients drain and rejoin nodes instead")
    parser.add_argument("--resize", action="store_true", help="the ring is changed all the time as well")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    reports = hunt(args.seconds, nodes=args.nodes, drains=args.drains, resizes=args.resize, seed=args.seed)
    for report in reports:
        print(json.dumps(report))
    total = {
        name: sum(report[name] for report in reports)
        for name in ("reads", "hits", "writes", "confirmed", "stale", "changes")
    }
    print(", ".join(f"{count:,} {name}" for name, count in total.items()))
    return 1 if total["stale"] or not total["hits"] or not total["confirmed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
