"""Whether our children come from a fork server, and what that loads for them.

It takes as long to load as all else that a start waits for: who knows early that a stack is to be started
holds it from then on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iotcache.config.parts import writers
from iotcache.config.schema import Settings
from iotcache_simulator.processes import forked
from iotcache_simulator.stack.child import MODULES


def roles(settings: Settings, *, simulate: bool = True, readers: bool = False) -> tuple[str, ...]:
    """Of the children of ours that a stack of these settings starts, in the order of their need."""
    starting = writers(settings)
    wanted = {
        "broker": settings.broker.url == "embedded",
        "ingest": starting.ingest,
        "simulator": simulate and starting.simulator,
        "readers": readers and starting.readers,
    }
    return tuple(role for role in MODULES if wanted[role])


def hold(wanted: tuple[str, ...], *, fork: bool = False) -> None:
    """Hold a fork server that loads what these roles need; ``fork`` as for `forked.hold`."""
    forked.hold((module for role in wanted for module in MODULES[role]), fork=fork)


def processor_is_free() -> bool:
    """Whether a process more would have a processor to itself just now; proc(5), /proc/loadavg."""
    try:
        runnable = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return True
    return runnable < (os.cpu_count() or 1)  # we are one of them


@contextmanager
def held(wanted: tuple[str, ...], *, fork: bool = False) -> Iterator[None]:
    """Inside, a fork server is held, if there is a role to fork; ``fork`` as for `forked.hold`."""
    if not wanted:
        yield
        return
    hold(wanted, fork=fork)
    try:
        yield
    finally:
        forked.let_go()
