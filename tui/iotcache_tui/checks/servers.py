"""Whether the broker and the nodes that the settings name answer, and what they are."""

from __future__ import annotations

import asyncio
import os
import secrets
import time

from iotcache.cluster import Cluster
from iotcache.cluster.capability import capabilities
from iotcache.config.schema import Settings
from iotcache.config.urls import mask, parse_node
from iotcache.model import NodeHealth, NodeState
from iotcache.mqtt import LinkState, MqttLink
from iotcache_tui.checks.base import Finding

_SETTLE_S = 2.5


async def check_broker(settings: Settings) -> list[Finding]:
    """Connect and log in."""
    if settings.broker.url == "embedded":
        return []
    shown = mask(settings.broker.url)
    name = f"iotcache-doctor-{os.getpid()}-{secrets.token_hex(3)}"
    failed = asyncio.Event()

    def turned(state: LinkState, reason: str) -> None:
        if state is LinkState.AWAY:
            failed.set()

    link = MqttLink.from_settings(settings.broker, name, on_state=turned)
    async with link:
        waits = {asyncio.create_task(link.until_connected()), asyncio.create_task(failed.wait())}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=_SETTLE_S)
        connected, reason = link.connected, link.reason
        for wait in waits:
            wait.cancel()
    if connected:
        return [Finding("broker", "ok", f"{shown} answers MQTT {settings.broker.protocol}")]
    mend = "start it, or mend broker.url, broker.username and broker.password"
    return [Finding("broker", "fail", f"{shown}: {reason or 'no answer'}", mend)]


async def check_nodes(settings: Settings) -> list[Finding]:
    """Connect to each node and learn its version."""
    nodes = settings.cache.nodes
    if isinstance(nodes, str):
        return []
    cluster = Cluster.from_settings([parse_node(node) for node in nodes], settings.cache)
    findings: list[Finding] = []
    async with cluster:
        until_s = time.monotonic() + _SETTLE_S
        while any(node.state is NodeState.STARTING for node in cluster.health()):
            if time.monotonic() > until_s:
                break
            await asyncio.sleep(0.05)
        largest = {name: limits.item_size_max for name, limits in (await cluster.node_limits()).items()}
        for node in cluster.health():
            findings += _node(node, largest.get(node.name, 0), settings.cache.max_value_bytes)
    return findings


def _node(node: NodeHealth, largest_bytes: int, wanted_bytes: int) -> list[Finding]:
    what = f"node {node.name}"
    if node.state is not NodeState.UP:
        why = "no answer" if node.state is NodeState.STARTING else node.reason or str(node.state)
        return [Finding(what, "fail", why, "start it, or take it out of cache.nodes")]
    program = "bundled Python node" if node.bundled else "memcached"
    found = f"{program} {node.version}"
    missing = capabilities(node.version).missing()
    if missing and not node.bundled:
        mend = "1.6.27 or newer has them all; everything else works"
        return [Finding(what, "warn", f"{found} lacks {', '.join(missing)}", mend)]
    if 0 < largest_bytes < wanted_bytes:
        mend = f"start it with -I {wanted_bytes}, or lower cache.max_value_bytes"
        return [Finding(what, "warn", f"{found} takes items to {largest_bytes:,} bytes only", mend)]
    return [Finding(what, "ok", found)]
