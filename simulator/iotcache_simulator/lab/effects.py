"""Carries out the actions of a step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import structs

from iotcache.cluster import admin
from iotcache.cluster.placement import placement
from iotcache.config.urls import parse_node
from iotcache.errors import IotCacheError, NodeError
from iotcache.model import Series
from iotcache.onboarding.warm import warm
from iotcache.tasks import end
from iotcache_simulator.lab.application import ArmPolicy
from iotcache_simulator.lab.arm import Arm
from iotcache_simulator.lab.definition import actions
from iotcache_simulator.lab.definition.spec import ArmSpec, StackSpec
from iotcache_simulator.lab.load import limited
from iotcache_simulator.lab.predictor import Predictor
from iotcache_simulator.lab.probe import Probe
from iotcache_simulator.lab.stats_listener import FleetStatsListener
from iotcache_simulator.readers.workload import ReadSpec
from iotcache_simulator.stack.service import Service
from iotcache_simulator.stack.stack import Stack

_NOBODY: Final = ArmSpec("")
"""A side without readers of its own."""


class PolicyOf(Protocol):
    def __call__(
        self, name: str, before: ArmPolicy | None = None, change: actions.Policy | None = None
    ) -> ArmPolicy: ...


class Effects:
    """Carries out the actions of one scenario. Nodes are counted from 1."""

    def __init__(
        self,
        stack: Stack,
        spec: StackSpec,
        arms: Sequence[Arm],
        probe: Probe,
        *,
        stats: FleetStatsListener,
        policy_of: PolicyOf,
        sides: Sequence[ArmSpec] = (),
        predictor: Predictor | None = None,
    ) -> None:
        self._stack = stack
        self._spec = spec
        self._arms = arms
        self._probe = probe
        self._stats = stats
        self._policy_of = policy_of
        self._predictor = predictor
        self._sides = {side.name: side for side in sides}
        nodes = stack.settings.cache.nodes
        assert not isinstance(nodes, str)
        self._all: tuple[str, ...] = nodes
        self._listed = list(range(spec.nodes))
        self.moved_percent: dict[str, float] = {}
        """By arm: share of the fleet's keys that the last change of the list moved."""
        self._series: Sequence[Series] = ()
        self._reads = ReadSpec()
        self._popularity = spec.popularity
        self._warming: asyncio.Task[None] | None = None
        self._limit = 1.0

    @property
    def listed(self) -> tuple[str, ...]:
        """The nodes on everybody's list."""
        return tuple(self._all[index] for index in self._listed)

    async def begin(self, series: Sequence[Series], reads: ReadSpec) -> None:
        """Everybody begins to read."""
        self._series, self._reads = series, reads
        if self._spec.spares and self._spec.ingest_writes:
            await self._reconfigure_ingest()
        for arm in self._arms:
            arm.store.delay_s = self._spec.store_delay_ms / 1e3
            await arm.use_nodes(self.listed)
            await self._read(arm)

    async def _read(self, arm: Arm) -> None:
        """Read as the acts say, or as the side has its own readers."""
        own = self._sides.get(arm.name, _NOBODY)
        reads = own.reads(self._reads)
        if self._limit < 1.0:
            reads = limited(reads, self._limit)
        await arm.read(self._series, reads, own.popularity or self._popularity)

    async def limit(self, factor: float) -> None:
        """All readers ask for so much of what the scenario says, from now on."""
        self._limit = factor
        for arm in self._arms:
            await self._read(arm)

    async def close(self) -> None:
        if self._warming is not None:
            await end(self._warming)

    async def do(self, action: actions.AnyAction) -> None:
        """Raises `IotCacheError` when it cannot be done."""
        match action:
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
                spare = next(n for n in range(len(self._all)) if n not in self._listed)
                await self._change_list([*self._listed, spare])
            case actions.Memory(mb=mb):
                await self._memory(mb)
            case actions.Flush():
                await self._command(admin.flush_all())
            case actions.BrokerAction(to=to):
                await self._broker(to)
            case actions.StoreAction():
                self._store(action)
            case actions.IngestAction(to=to):
                await self._ingest(to)
            case actions.FleetAction(load=load):
                if not self._stats.set_load(load):
                    raise IotCacheError("the fleet did not take its load: the broker is away")
            case actions.ReadersAction(per_s=per_s, popularity=popularity):
                await self._readers(per_s, popularity)
            case actions.WritersAction(per_s=per_s):
                for arm in self._arms:
                    arm.write(per_s)
            case actions.PageMover(to=to):
                await self._command(admin.slabs_automove(("off", "on", "eager").index(to)))
            case actions.Predict():
                await self._predict(action)
            case actions.Policy():
                await self._policy(action)
            case actions.Write():
                await self._probe.write(action.value, behind=action.behind, invalidate=action.invalidate)
                self._stats.exclude(1)
            case actions.PushConfig(version=version, behind=behind):
                await self._probe.configure(version, behind=behind)
            case actions.Invalidate():
                await self._probe.invalidate()
            case actions.Warm():
                await self.close()
                self._warming = asyncio.create_task(self._warm())
            case actions.Wait(seconds=seconds):
                await asyncio.sleep(seconds)

    async def _memory(self, mb: int) -> None:
        await self._command(admin.cache_memlimit(mb))
        self._note_change()

    def _note_change(self) -> None:
        if self._predictor is not None:
            self._predictor.note_change()

    async def _predict(self, action: actions.Predict) -> None:
        assert self._predictor is not None, "refused without"
        await self._predictor.predict(memory_mb=action.memory_mb, ttl_s=action.ttl_s)

    def _store(self, action: actions.StoreAction) -> None:
        for arm in self._arms:
            arm.store.delay_s, arm.store.stopped = action.delay_ms / 1e3, action.stopped
            arm.store.answer_delay_s = action.answer_ms / 1e3
            if arm.store.connections is not None and action.queue is not None:
                arm.store.connections.queue = action.queue

    def _node(self, number: int) -> Service:
        return self._stack.nodes[number - 1]

    async def _remove(self, number: int) -> None:
        await self._change_list([index for index in self._listed if index != number - 1])
        await self._node(number).kill()

    async def _change_list(self, indexes: list[int]) -> None:
        """Another list of nodes for everybody; a tool that is told the list anew does just this."""
        before = self.listed
        self._listed = indexes
        keys = [f"{series.device}:{series.sensor}:latest" for series in self._series]
        for arm in self._arms:
            old = placement(arm.policy.placement, [parse_node(node) for node in before])
            new = placement(arm.policy.placement, [parse_node(node) for node in self.listed])
            moved = sum(before[old.owner(key)] != self.listed[new.owner(key)] for key in keys)
            self.moved_percent[arm.name] = 100.0 * moved / max(len(keys), 1)
        await asyncio.gather(*(arm.change_nodes(self.listed) for arm in self._arms))
        if self._spec.ingest_writes:
            await self._reconfigure_ingest()

    async def _reconfigure_ingest(self) -> None:
        """The worker reads its settings when it starts."""
        settings = self._stack.settings
        policy = self._arms[0].policy
        ttl = structs.replace(settings.cache.ttl, jitter=policy.jitter)
        if policy.ttl_s is not None:
            ttl = structs.replace(ttl, volatile_min_s=policy.ttl_s, volatile_max_s=policy.ttl_s)
        cache = structs.replace(settings.cache, nodes=self.listed, ttl=ttl)
        self._stack.settings = structs.replace(settings, cache=cache)
        if self._stack.ingest is not None:
            await self._stack.ingest.restart()

    async def _command(self, command: bytes) -> None:
        """Send a command of `iotcache.cluster.admin` to every node on the list; one at least must follow."""
        cluster = self._arms[0].cache.cluster
        errors: list[NodeError] = []
        for node in self.listed:
            try:
                await cluster.admin(parse_node(node).name, command)
            except NodeError as error:
                errors.append(error)
        if len(errors) == len(self.listed):
            raise IotCacheError(f"no node followed {command.decode().strip()!r}: {errors[0]}")

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
        for arm in self._arms:
            await self._read(arm)

    async def _policy(self, action: actions.Policy) -> None:
        for arm in self._arms:
            if action.arm in ("", arm.name):
                await arm.set_policy(self._policy_of(arm.name, arm.policy, action))
        if self._spec.ingest_writes and (action.ttl_s is not None or action.jitter is not None):
            await self._reconfigure_ingest()
        self._note_change()

    async def _warm(self) -> None:
        for arm in self._arms:
            async for _ in warm(arm.cache, self._series, batch=50):
                pass
