"""Small tools to wait for what a cluster does, and to find keys of a node."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iotcache.cluster import Cluster
from iotcache.model import NodeState


async def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Return once ``true`` holds; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


async def pause(server: Any) -> None:
    """SIGSTOP, and return once every thread of the process stands still."""
    server.signal(signal.SIGSTOP)
    threads = Path(f"/proc/{server.pid}/task")
    await until(
        lambda: all(
            (each / "stat").read_text().rpartition(")")[2].split()[0] == "T" for each in threads.iterdir()
        )
    )


def resume(server: Any) -> None:
    """SIGCONT."""
    server.signal(signal.SIGCONT)


def state_of(cluster: Cluster, server: Any) -> NodeState:
    """What the cluster thinks of a server."""
    return next(node.state for node in cluster.health() if node.name == server.address)


def keys_of(cluster: Cluster, server: Any, count: int, prefix: str = "dev") -> list[str]:
    """``count`` keys that the server owns."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        key = f"{prefix}:{number:05d}:latest"
        number += 1
        if cluster.node_of(key) == server.address:
            found.append(key)
    return found
