"""What runs between the servers, watched for a few seconds: workers, topics, the nodes' memory and protocol.

What is wrong there is found by the rules of the dashboard (`state.problems`): the doctor and the screens say
the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Final

from iotcache.clock import SYSTEM_CLOCK
from iotcache.cluster import Cluster
from iotcache.config.key_placement import key_placement
from iotcache.config.parts import NONE
from iotcache.config.schema import Settings
from iotcache.config.urls import parse_node
from iotcache.mqtt import MqttLink
from iotcache.text import plural
from iotcache.worker.reader import topics_of
from iotcache_tui.checks.base import Finding
from iotcache_tui.feed.node_stats import NodeStatsPoller
from iotcache_tui.feed.parts import Parts
from iotcache_tui.feed.process_stats import ProcessStatsListener
from iotcache_tui.format import rate
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.problems.pipeline import HEAR_S
from iotcache_tui.state.problems.problem import Gravity, Problem
from iotcache_tui.state.updates import Latest, Mailbox, Worker

WATCH_S: Final = HEAR_S + 0.4
LOOKS: Final = 4
"""Some problems show only in how counters grow."""
MESSAGES_MOST: Final = 2_000
"""Enough to know that a topic flows; a busy broker is left alone then."""
_CHECKED: Final = frozenset({"down", "refused"})
"""Kinds of problems that the check of the server itself names, with how to mend them."""
_MENDS: Final = {
    # Before the first one is started there is none.
    "absent": "start one: iotcache-tui ingest --config …; or let this user read iotcache/stats/#",
    "unreadable": "iotcache-tui deadletter list shows them; iotcache-tui explain TOPIC PAYLOAD says why",
    "silent": "end that process: the broker hands its messages to others, or to the one that follows it",
    "list": "mend the list, or see why it cannot be read there",
    "list changed": "workers take a change over; else: iotcache-tui nodes apply --yes",
    "placement": "give all processes the same cache.nodes, weights, cache.placement and cache.prefix",
    "flushed": "ask who sends flush_all; memcached -F forbids it",
    "restarted": "see why the node ended",
    "full": "give the nodes more memory (-m), add a node, or shorten cache.ttl",
    "waited for": "see that the worker's own settings and network reach it",
    "split": "see what stands between the workers and the node",
}


async def check_running(settings: Settings) -> list[Finding]:
    """Workers that are heard, topics that flow, and what the rules of the dashboard find meanwhile."""
    flows: Counter[str] = Counter()
    state = await _watch(settings, flows)
    findings: list[Finding] = []
    if any(part.name == "broker" and part.state == "up" for part in state.parts):
        findings += [*worker_findings(state.processes.workers), *_topics(settings, flows)]
    findings += [
        Finding(
            _title(problem),
            "fail" if problem.gravity >= Gravity.BLIND and problem.kind != "absent" else "warn",
            problem.sentence,
            _MENDS.get(problem.kind or problem.label, "iotcache-tui shows more of it"),
        )
        for problem in state.problems
        if (problem.kind or problem.label) not in _CHECKED and problem.gravity is not Gravity.NOTE
    ]
    return findings


def _title(problem: Problem) -> str:
    return {"readers": "this config"}.get(problem.part, problem.part)


def worker_findings(workers: Sequence[Worker]) -> Iterator[Finding]:
    """That workers are at work, and what they left out of what came."""
    if workers:  # that there is none is a problem, and told as such
        stored = sum(one.stats.stored_per_s for one in workers)
        yield Finding(
            "workers", "ok", f"{plural(len(workers), 'worker')} heard, {rate(stored)} readings/s stored"
        )
    conflicts = sum(one.stats.conflicts for one in workers)
    if conflicts:
        yield Finding(
            "readings", "warn", f"{conflicts:,} said another value than the one that is stored of them",
            "iotcache-tui deadletter list --reason 'this one says' shows both values of each",
        )  # fmt: skip
    nothing = sum(one.stats.nothing_in_it for one in workers)
    if nothing:
        latest = max((one.stats for one in workers), key=lambda stats: stats.nothing_in_it)
        yield Finding(
            "readings", "warn",
            f"{plural(nothing, 'message')} had nothing in them, as on {latest.last_nothing_in_it}",
            "iotcache-tui explain TOPIC PAYLOAD says why",
        )  # fmt: skip


def _topics(settings: Settings, flows: Mapping[str, int]) -> Iterator[Finding]:
    for wanted in topics_of(settings.ingest).filters(""):
        seen = flows[wanted]
        if seen:
            yield Finding("topics", "ok", f"{wanted}: {rate(seen / WATCH_S)} messages/s")
        else:
            yield Finding(
                "topics", "warn", f"{wanted}: no message in {WATCH_S:.0f} s",
                "see that devices publish, ingest.topics names their topics, and this user may read them",
            )  # fmt: skip


async def _watch(settings: Settings, flows: Counter[str]) -> DashboardState:
    """The dashboard's own listeners, without its reads and without the store."""
    mailbox, clock, state = Mailbox(), SYSTEM_CLOCK, DashboardState()
    parts = Parts(mailbox, settings, clock)
    listener = ProcessStatsListener(parts, clock)
    async with contextlib.AsyncExitStack() as opened:
        watching: list[Coroutine[None, None, None]] = []
        cluster: Cluster | None = None
        if settings.broker.url not in ("embedded", NONE):
            watching += [listener.listen(settings), _count(settings, flows)]
        if not isinstance(settings.cache.nodes, str):
            addresses = [parse_node(node) for node in settings.cache.nodes]
            cluster = await opened.enter_async_context(
                Cluster.from_settings(addresses, settings.cache, observe=True, follow=True)
            )
            scheme = settings.cache.placement
            poller = NodeStatsPoller(
                cluster, addresses, placement=scheme, mailbox=mailbox, clock=clock, readers={}
            )
            watching.append(poller.run())
            mailbox.put_latest(Latest(placement=key_placement(settings.cache)))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in watching]
            for _ in range(LOOKS):
                await asyncio.sleep(WATCH_S / LOOKS)
                if cluster is not None:
                    parts.nodes(cluster.health())
                parts.processes(listener.processes(clock.monotonic()))
                state.apply(mailbox.drain())
            state.judge(clock.monotonic(), clock.now())
            for task in tasks:
                task.cancel()
    return state


async def _count(settings: Settings, flows: Counter[str]) -> None:
    """Count live messages by the filter that asked for them."""
    from paho.mqtt.client import topic_matches_sub

    filters = topics_of(settings.ingest).filters("")
    name = f"iotcache-doctor-{os.getpid()}-{secrets.token_hex(3)}"
    link = MqttLink.from_settings(settings.broker, name, subscriptions=[(one, 0) for one in filters])
    async with link:
        while sum(flows.values()) < MESSAGES_MOST:
            for message in await link.batch(500):
                if not message.retain:
                    flows.update([one for one in filters if topic_matches_sub(one, message.topic)])
