"""Whether the broker and the nodes that the settings name answer, and what they are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Sequence

from iotcache.cluster import Cluster, RingFollower, RingPhase, RingStatus
from iotcache.cluster.capability import SECURE, capabilities, is_older
from iotcache.config.parts import NONE
from iotcache.config.schema import Settings
from iotcache.config.urls import NodeAddress, mask, parse_node
from iotcache.model import NodeHealth, NodeState
from iotcache.mqtt import LinkState, MqttLink
from iotcache.nodelist.listing import difference, node_text
from iotcache.text import printable, printable_bytes
from iotcache_tui.checks.base import Finding
from iotcache_tui.format import plural
from iotcache_tui.state.problems.problem import some_of

_SETTLE_S = 2.5
_META_S = 1.0


async def check_broker(settings: Settings) -> list[Finding]:
    """Connect and log in."""
    if settings.broker.url in ("embedded", NONE):
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
    listed = [parse_node(node) for node in nodes]
    cluster = Cluster.from_settings(listed, settings.cache, follow=True)
    findings: list[Finding] = []
    async with cluster:
        until_s = time.monotonic() + _SETTLE_S
        while any(node.state is NodeState.STARTING for node in cluster.health()):
            if time.monotonic() > until_s:
                break
            await asyncio.sleep(0.05)
        largest = {name: limits.item_size_max for name, limits in (await cluster.node_limits()).items()}
        foreign = await _without_meta(settings)
        for node in cluster.health():
            if node.name in foreign:
                findings.append(foreign[node.name])
                continue
            findings += _node(node, largest.get(node.name, 0), settings.cache.max_value_bytes)
        findings += _ring(cluster.ring(), await cluster.ring_followers(), listed)
    return [*findings, *_old(cluster.health())]


async def _without_meta(settings: Settings) -> dict[str, Finding]:
    """Servers that answer, and not to the meta commands that everything here is done with.

    Proxies (mcrouter, twemproxy) tell a version of their own, so that it says nothing: ``mn`` is asked.
    """
    if settings.cache.tls or settings.cache.username:
        return {}  # a proxy in between has neither
    addresses = [parse_node(text) for text in settings.cache.nodes]
    answers = await asyncio.gather(*map(_ask_meta, addresses))
    return {
        address.name: Finding(
            f"node {address.name}",
            "fail",
            f"it knows no meta commands, it is no memcached 1.6: {answer}",
            "name the memcached nodes themselves; where a proxy must be, memcached's own (docs/scaling.md)",
        )
        for address, answer in zip(addresses, answers, strict=True)
        if answer
    }


async def _ask_meta(address: NodeAddress) -> str:
    """What a server that knows no ``mn`` (doc/protocol.txt, "Meta No-Op") answers; empty for all others."""
    try:
        async with asyncio.timeout(_META_S):
            reader, writer = await (
                asyncio.open_unix_connection(address.path)
                if address.path
                else asyncio.open_connection(address.host, address.port)
            )
            try:
                told = await _answer(reader, writer, b"version\r\n")
                # Nothing at all: a server that hangs, or no memcached of any kind; the cluster says which.
                meta = await _answer(reader, writer, b"mn\r\n") if told else b"MN"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
    version = printable_bytes(told.strip(), 60)
    return (
        ""
        if meta.startswith(b"MN")
        else f"{version}; to mn: {printable_bytes(meta.strip(), 40) or 'nothing'}"
    )


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        return await reader.readline()
    return b""


def _ring(
    ring: RingStatus, followers: Sequence[RingFollower], listed: Sequence[NodeAddress]
) -> list[Finding]:
    """How the ring that the nodes have announced stands beside the list of the settings."""
    if not ring.epoch and ring.phase is RingPhase.STEADY:
        return []  # it was never changed
    names = ", ".join(printable(node_text(node), 80) for node in ring.nodes)
    if ring.phase is not RingPhase.STEADY:
        found = f"being changed ({ring.phase}) by {printable(ring.driver, 80)}, from {names}"
        return [Finding("ring", "ok", found)]
    told = f"epoch {ring.epoch}, followed by {plural(len(followers), 'client')}"
    if differs := difference(ring.nodes, listed):
        mend = "set cache.nodes to the ring, or take the list over: iotcache-tui nodes apply"
        return [Finding("ring", "fail", f"{told}, is not as cache.nodes says: {differs}", mend)]
    return [Finding("ring", "ok", told)]


def _old(nodes: Sequence[NodeHealth]) -> list[Finding]:
    """Versions with known faults, in one sentence for all nodes."""
    old = [node for node in nodes if node.version and not node.bundled and is_older(node.version, SECURE)]
    if not old:
        return []
    versions = ", ".join(sorted({node.version for node in old}))
    wanted = ".".join(map(str, SECURE))
    found = f"{some_of(len(old), len(nodes), 'node')}: memcached {versions}; {wanted} mends security faults"
    return [
        Finding("memcached", "warn", found, "upgrade at the next occasion; everything here works meanwhile")
    ]


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
