"""Carries out what a step does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec import structs

from iotcache.cluster.placement import placement
from iotcache.config.urls import parse_node
from iotcache.errors import IotCacheError
from iotcache.model import Series
from iotcache.onboarding.warm import warm
from iotcache.tasks import end
from iotcache_simulator.lab.arm import Arm, ArmPolicy
from iotcache_simulator.lab.definition import actions
from iotcache_simulator.lab.definition.scenario import Wanted
from iotcache_simulator.lab.node_stats import say
from iotcache_simulator.lab.probe import Probe
from iotcache_simulator.lab.stats_listener import FleetStatsListener
from iotcache_simulator.readers.workload import ReadSpec
from iotcache_simulator.stack.service import Service
from iotcache_simulator.stack.stack import Stack


class PolicyOf(Protocol):
    def __call__(
        self, name: str, before: ArmPolicy | None = None, change: actions.Policy | None = None
    ) -> ArmPolicy: ...


class Effects:
    """One scenario's hands. Nodes are counted from 1."""

    def __init__(
        self,
        stack: Stack,
        wanted: Wanted,
        sides: Sequence[Arm],
        probe: Probe,
        *,
        ear: FleetStatsListener,
        policy_of: PolicyOf,
    ) -> None:
        self._stack = stack
        self._wanted = wanted
        self._sides = sides
        self._probe = probe
        self._ear = ear
        self._policy_of = policy_of
        nodes = stack.settings.cache.nodes
        assert not isinstance(nodes, str)
        self._all: tuple[str, ...] = nodes
        self._on_list = list(range(wanted.nodes))
        self.moved_percent: dict[str, float] = {}
        """By side: share of the fleet's keys that the last change of the list moved."""
        self._series: Sequence[Series] = ()
        self._reads = ReadSpec()
        self._popularity = wanted.popularity
        self._warming: asyncio.Task[None] | None = None

    @property
    def listed(self) -> tuple[str, ...]:
        """The nodes on everybody's list."""
        return tuple(self._all[index] for index in self._on_list)

    async def begin(self, series: Sequence[Series], reads: ReadSpec) -> None:
        """Everybody begins to read."""
        self._series, self._reads = series, reads
        if self._wanted.spares and self._wanted.ingest_writes:
            await self._tell_ingest()
        for side in self._sides:
            side.store.delay_s = self._wanted.store_delay_ms / 1e3
            await side.use_nodes(self.listed)
            await side.read(series, reads, self._popularity)

    async def close(self) -> None:
        if self._warming is not None:
            await end(self._warming)

    async def do(self, act: actions.AnyAction) -> None:
        """Raises `IotCacheError` when it cannot be done."""
        match act:
            case actions.Kill(node=node):
                await self._node(node).kill()
            case actions.Pause(node=node):
                self._node(node).pause()
            case actions.Resume(node=node):
                self._node(node).resume()
            case actions.Restart(node=node):
                await self._node(node).restart()
            case actions.Remove(node=node):
                await self._remove(node)
            case actions.Add():
                spare = next(n for n in range(len(self._all)) if n not in self._on_list)
                await self._relist([*self._on_list, spare])
            case actions.Memory(mb=mb):
                await self._order(f"cache_memlimit {mb}")
            case actions.Flush():
                await self._order("flush_all")
            case actions.BrokerAction(to=to):
                await self._broker(to)
            case actions.StoreAction(delay_ms=delay_ms, stopped=stopped):
                for side in self._sides:
                    side.store.delay_s, side.store.stopped = delay_ms / 1e3, stopped
            case actions.IngestAction(to=to):
                await self._ingest(to)
            case actions.FleetAction(load=load):
                if not self._ear.tell_load(load):
                    raise IotCacheError("the fleet could not be told its load: the broker is away")
            case actions.ReadersAction(per_s=per_s, popularity=popularity):
                await self._readers(per_s, popularity)
            case actions.Policy():
                await self._policy(act)
            case actions.Write(value=value, behind=behind):
                await self._probe.write(value, behind=behind)
                self._ear.not_from_the_fleet(1)
            case actions.PushConfig(version=version, behind=behind):
                await self._probe.configure(version, behind=behind)
            case actions.Invalidate():
                await self._probe.invalidate()
            case actions.Warm():
                await self.close()
                self._warming = asyncio.create_task(self._warm())
            case actions.Wait(seconds=seconds):
                await asyncio.sleep(seconds)

    def _node(self, number: int) -> Service:
        return self._stack.nodes[number - 1]

    async def _remove(self, number: int) -> None:
        await self._relist([index for index in self._on_list if index != number - 1])
        await self._node(number).kill()

    async def _relist(self, indexes: list[int]) -> None:
        """Another list of nodes for everybody; a tool that is told the list anew does just this."""
        before = self.listed
        self._on_list = indexes
        keys = [f"{one.device}:{one.sensor}:latest" for one in self._series]
        for side in self._sides:
            old = placement(side.policy.placement, [parse_node(node) for node in before])
            new = placement(side.policy.placement, [parse_node(node) for node in self.listed])
            moved = sum(before[old.owner(key)] != self.listed[new.owner(key)] for key in keys)
            self.moved_percent[side.name] = 100.0 * moved / max(len(keys), 1)
            await side.use_nodes(self.listed)
        if self._wanted.ingest_writes:
            await self._tell_ingest()

    async def _tell_ingest(self) -> None:
        """The worker reads its settings when it starts."""
        settings = self._stack.settings
        side = self._sides[0].policy
        ttl = structs.replace(settings.cache.ttl, jitter=side.jitter)
        if side.ttl_s is not None:
            ttl = structs.replace(ttl, volatile_min_s=side.ttl_s, volatile_max_s=side.ttl_s)
        cache = structs.replace(settings.cache, nodes=self.listed, ttl=ttl)
        self._stack.settings = structs.replace(settings, cache=cache)
        if self._stack.ingest is not None:
            await self._stack.ingest.restart()

    async def _order(self, line: str) -> None:
        answers = await asyncio.gather(*(say(node, line) for node in self.listed))
        if not any(answer == "OK" for answer in answers):
            raise IotCacheError(f"no node followed {line!r}: {answers[0] or 'no answer'}")

    async def _broker(self, to: str) -> None:
        broker = self._stack.broker
        if broker is None:
            return
        if to == "pause":
            broker.pause()
        elif to == "resume":
            broker.resume()
        elif to == "stop":
            await broker.kill()
        else:
            await broker.restart()

    async def _ingest(self, to: str) -> None:
        if self._stack.ingest is not None:
            await (self._stack.ingest.stop() if to == "stop" else self._stack.ingest.restart())

    async def _readers(self, per_s: float | None, popularity: str | None) -> None:
        if per_s is not None:
            self._reads = structs.replace(self._reads, rate=per_s)
        self._popularity = popularity or self._popularity
        for side in self._sides:
            await side.read(self._series, self._reads, self._popularity)

    async def _policy(self, act: actions.Policy) -> None:
        for side in self._sides:
            if act.side in ("", side.name):
                await side.set_policy(self._policy_of(side.name, side.policy, act))
        if self._wanted.ingest_writes and (act.ttl_s is not None or act.jitter is not None):
            await self._tell_ingest()

    async def _warm(self) -> None:
        for side in self._sides:
            async for _ in warm(side.cache, self._series, batch=50):
                pass
