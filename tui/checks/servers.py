"""Whether the servers that the settings name answer, and what they are."""

from __future__ import annotations

import asyncio
import os
import secrets
import time

from iotcache.cluster import Cluster
from iotcache.cluster.capability import capabilities
from iotcache.config.schema import Settings
from iotcache.config.urls import mask, parse_node
from iotcache.errors import StoreError
from iotcache.model import NodeState
from iotcache.mqtt import LinkState, MqttLink
from iotcache.store import open_store
from tui.checks.base import Finding

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
        for node in cluster.health():
            what = f"node {node.name}"
            if node.state is not NodeState.UP:
                findings.append(
                    Finding(
                        what,
                        "fail",
                        node.reason or str(node.state),
                        "start it, or take it out of cache.nodes",
                    )
                )
                continue
            missing = capabilities(node.version).missing()
            findings.append(
                Finding(what, "ok", f"memcached {node.version}")
                if not missing or node.bundled
                else Finding(what, "warn", f"memcached {node.version} lacks {', '.join(missing)}",
                             "1.6.27 or newer has them all; everything else works")
            )  # fmt: skip
    return findings


async def check_store(settings: Settings) -> list[Finding]:
    """Open the store and ask it something."""
    if settings.store.url == "embedded":
        return []
    shown = mask(settings.store.url)
    try:
        async with open_store(settings.store) as store:
            await store.ping()
            counts = await store.counts()
    except StoreError as error:
        return [Finding("store", "fail", f"{shown}: {error}", "start it, or mend store.url")]
    return [Finding("store", "ok", f"{shown}: {counts.readings:,} readings of {counts.series:,} sensors")]
