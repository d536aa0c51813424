"""Where the servers are that a command of one moment looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotcache.config.schema import Settings


def reached(settings: Settings) -> Settings:
    """The running stack's servers where the settings say "embedded". Raises `StackError` when none runs."""
    from iotcache_simulator.stack.rundir import find_running

    embedded = settings.store.url == "embedded" or isinstance(settings.cache.nodes, str)
    return find_running(settings) if embedded else settings
