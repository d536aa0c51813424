"""The embedded services (broker, cache nodes, ingest worker, fleet) and the stack they make together.

Names load on first use, so that a child process which only needs :mod:`iotcache_simulator.stack.child`
stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_simulator.stack.stack import Stack

_HOME = {"Stack": "iotcache_simulator.stack.stack", "find_running": "iotcache_simulator.stack.rundir"}

__all__ = ["Stack", "find_running"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'iotcache_simulator.stack' has no attribute {name!r}")
