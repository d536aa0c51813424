"""The doctor's checks: each looks at one part, within a time-out, and never raises."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from iotcache.config import LoadedSettings
from iotcache.config.parts import without_idle_parts
from iotcache.config.schema import Settings
from iotcache.errors import IotCacheError, StackError
from iotcache_simulator.stack.rundir import find_running
from iotcache_tui.checks.base import Finding
from iotcache_tui.checks.config import check_config, check_starts
from iotcache_tui.checks.local import check_embedded, check_terminal
from iotcache_tui.checks.node_list import check_node_list
from iotcache_tui.checks.running import check_running
from iotcache_tui.checks.servers import check_broker, check_nodes
from iotcache_tui.checks.store import check_store

TIMEOUT_S = 3.5
WATCH_TIMEOUT_S = 8.0
"""Of the check that watches for a few seconds."""


_MEND = {
    name: f"see whether it runs and can be reached, or mend {key}"
    for name, key in (("broker", "broker.url"), ("nodes", "cache.nodes"), ("store", "store.url"))
}


async def examine(loaded: LoadedSettings) -> list[Finding]:
    """Run every check that the settings call for, side by side; in a fixed order."""
    # What the dashboard would do without beside named servers needs nothing on this machine either.
    settings = without_idle_parts(loaded.settings)
    findings = [*check_config(loaded), check_starts(settings)]
    running = _running_stack(settings)
    if running is not None:
        findings.append(Finding("stack", "ok", "one is running: what it started is checked below"))
    of_list, running = await check_node_list(running or settings)
    findings += of_list
    checks: list[tuple[str, Coroutine[None, None, list[Finding]]]] = [
        ("embedded", check_embedded(settings)),
        ("broker", check_broker(running)),
        ("nodes", check_nodes(running)),
        ("store", check_store(running)),
        ("running", check_running(running)),
    ]
    for found in await asyncio.gather(*(_within(name, check) for name, check in checks)):
        findings += found
    return [*findings, *check_terminal()]


def _running_stack(settings: Settings) -> Settings | None:
    """The settings with the addresses of a stack that runs, as the other commands would use them."""
    embedded = (settings.broker.url, settings.cache.nodes, settings.store.url)
    if not any(isinstance(part, str) and part.startswith("embedded") for part in embedded):
        return None
    try:
        return find_running(settings)
    except StackError:
        return None


async def _within(name: str, check: Coroutine[None, None, list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(WATCH_TIMEOUT_S if name == "running" else TIMEOUT_S):
            return await check
    except TimeoutError:
        return [
            Finding(name, "fail", f"no answer within {TIMEOUT_S:g} s", _MEND.get(name, "look at its load"))
        ]
    except Exception as error:
        text = str(error) if isinstance(error, IotCacheError) else f"{type(error).__name__}: {error}"
        return [Finding(name, "fail", f"the check failed: {text}", f"mend the settings of the {name}")]
