"""One simulated client process: its loop, its `Cluster`, and the steps of its program."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from iotcache.cluster.cluster import Cluster
from iotcache.cluster.types import GetResult, Lease, Mode, SetItem, WriteResult
from iotcache.config.schema import BreakerSettings
from iotcache.config.urls import NodeAddress
from iotcache.errors import NodeError, RingError
from iotcache_simulator.clustersim.history import WriteHistory
from iotcache_simulator.clustersim.loop import Scheduler, SimulatedClock, SimulatedLoop
from iotcache_simulator.clustersim.network import Network
from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep

if TYPE_CHECKING:
    from iotcache.model import Event

_TTL_S = 3_600
_STUB_S = 2
_STORM_SETS = 60


class SimulatedClient:
    """A client process; it can be ended and started anew, under the same name."""

    def __init__(  # noqa: PLR0917
        self,
        number: int,
        plan: SimulationPlan,
        scheduler: Scheduler,
        network: Network,
        history: WriteHistory,
        addresses: Sequence[NodeAddress],
        note: Callable[[str], None],
        changed: Callable[[SimulatedClient, Event], None],
    ) -> None:
        self.name = f"{'writer' if number < plan.writers else 'reader'} {number}"
        self.clock = SimulatedClock(scheduler, Random(plan.seed ^ number) if plan.busy else None)
        self.cluster: Cluster
        self._number = number
        self._plan = plan
        self._scheduler = scheduler
        self._network = network
        self._history = history
        self._addresses = addresses
        """All nodes of the world; the first of them are in this client's own list."""
        self._note = note
        self._changed = changed
        self._lives = 0
        self._ending = False
        self._tracks: dict[int, asyncio.Queue[SimulationStep]] = {}
        self._programs: list[asyncio.Task[None]] = []
        self._ready = False
        self.loop: SimulatedLoop
        self.start()

    # The process

    def start(self) -> None:
        """Begin a process, unless one runs."""
        if self._lives and not self.loop.killed:
            if not self._ending:
                return
            self._gone(self.loop)
        self._ending = False
        self._lives += 1
        plan = self._plan
        self.loop = SimulatedLoop(self._scheduler, self.name, plan.shuffle)  # type: ignore[abstract]
        self._rng = Random(plan.seed * 1_000 + self._number * 10 + self._lives)
        self.cluster = self._make(self._rng, self._event)
        self._ready = False
        self._tracks = {}
        self._programs = [self.loop.start(self._live())]

    def _make(self, rng: Random, on_event: Callable[[Event], None] | None = None) -> Cluster:
        plan = self._plan
        return Cluster(
            self._addresses[: plan.nodes],
            connect_timeout_s=plan.timeout_s,
            operation_timeout_s=plan.timeout_s,
            breaker=BreakerSettings(failures=3, open_min_s=plan.open_min_s, open_max_s=plan.open_max_s),
            failover=plan.failover,
            clock=self.clock,
            rng=rng,
            on_event=on_event,
            role=self.name,
            follow=plan.spares > 0,
            dial=self._network.dialler(self.name, self.loop),
        )

    def end(self, *, cleanly: bool) -> None:
        """End the process: closed in order, or killed."""
        if self.loop.killed:
            return
        self._ready = False
        self._ending = True
        if cleanly:
            loop = self.loop
            closing = loop.start(self.cluster.close())
            closing.add_done_callback(lambda _: self._gone(loop))
        else:
            self._gone(self.loop)

    def _gone(self, loop: SimulatedLoop) -> None:
        loop.kill()
        for transport in self._network.of(self.name, loop):
            transport.abort()

    def close(self) -> None:
        """End the program and close the cluster, as at the end of a service."""
        self._ready = False
        for task in self._programs:
            task.cancel()
        if not self.loop.killed:
            self.loop.start(self.cluster.close())

    @property
    def ready(self) -> bool:
        """Whether it runs and its cluster has been entered."""
        return self._ready and not self.loop.killed

    @property
    def all_up(self) -> bool:
        """Whether it sees every node up."""
        return self.ready and all(health.state.value == "up" for health in self.cluster.health())

    async def _live(self) -> None:
        await self.cluster.__aenter__()
        self._ready = True

    def _event(self, event: Event) -> None:
        self._note(f"{self.name}: {event.text}")
        self._changed(self, event)

    # The program

    def do(self, step: SimulationStep) -> None:
        """Have a step done, after what its track still has to do."""
        if not self.ready:
            return
        if step.verb in ("resize", "undo", "hot"):
            self._programs.append(self.loop.start(self._begin(step)))
            return
        if step.verb in ("drain", "rejoin"):
            self.take(step.verb, self._addresses[step.node].name)
            return
        queue = self._tracks.get(step.track)
        if queue is None:
            queue = self._tracks[step.track] = asyncio.Queue()
            self._programs.append(self.loop.start(self._track(queue)))
        with self.loop.inside():
            queue.put_nowait(step)

    def take(self, verb: str, node: str) -> None:
        """Drain or rejoin a node."""
        with self.loop.inside(), contextlib.suppress(NodeError):  # it may not be part of the ring
            getattr(self.cluster, verb)(node)

    @property
    def ring(self) -> tuple[int, str]:
        """Epoch and phase of the ring that it goes by."""
        status = self.cluster.ring()
        return status.epoch, status.phase.value

    async def _begin(self, step: SimulationStep) -> None:
        """Change the ring, or undo the change under way."""
        if step.verb == "undo":
            await self.cluster.undo_resize()
            return
        if step.verb == "hot":
            await self._copy(step)
            return
        nodes = [replace(self._addresses[node], weight=weight) for node, weight in step.ring]
        work = asyncio.ensure_future(self.cluster.resize(nodes))
        try:
            await asyncio.wait((work,), timeout=step.cancel_s if step.cancel_s >= 0 else None)
        finally:
            work.cancel()
        try:
            told = str(await work)
        except (RingError, asyncio.CancelledError) as error:
            told = str(error) or "cancelled"
        self._note(f"{self.name}: resize: {told}")

    async def _copy(self, step: SimulationStep) -> None:
        """Have copies of keys, of those of the step and no others."""
        names = [self._history.names[key] for key in step.keys]
        told = f"copies of {', '.join(map(str, step.keys)) or 'none'}"
        try:
            await self.cluster.copy_hot_keys(names, int(step.value))
        except RingError as error:
            told = str(error)
        self._note(f"{self.name}: {told}")

    async def _track(self, queue: asyncio.Queue[SimulationStep]) -> None:
        while True:
            step = await queue.get()
            work: Any = getattr(self, f"_{step.verb}")(step)
            if step.cancel_s < 0:
                await work
                continue
            task = asyncio.ensure_future(work)
            await asyncio.wait((task,), timeout=step.cancel_s)
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled() and task.exception() is not None:
                await task

    async def _set(self, step: SimulationStep) -> None:
        history = self._history
        versions = history.commit(step.keys)
        items = [
            SetItem(history.names[key], history.value(key, version), 0, _TTL_S)
            for key, version in zip(step.keys, versions, strict=True)
        ]
        outcomes = await self.cluster.set_many(items)
        self._written("set", step.keys, versions, outcomes)

    def _written(
        self, verb: str, keys: Sequence[int], versions: Sequence[int], outcomes: Sequence[WriteResult]
    ) -> None:
        """End the writes of a batch in the history, confirmed or not."""
        parts = []
        for key, version, outcome in zip(keys, versions, outcomes, strict=True):
            self._history.end(key, version)
            if outcome.ok:
                self._history.confirm(key, version)
            parts.append(f"{key}={version}" + (f"@{outcome.node}" if outcome.ok else f" ({outcome.reason})"))
        self._note(f"{self.name}: {verb} {', '.join(parts)}")

    async def _sure(self, step: SimulationStep) -> None:
        """Write, and be sure that it is confirmed: whatever was wrong, every client had time to know."""
        confirmed = list(self._history.confirmed)
        await self._set(step)
        for key in step.keys:
            if self._history.confirmed[key] == confirmed[key]:
                text = f"{self._scheduler.now:.4f} s {self.name}: key {key} cannot be written past its node"
                self._history.violations.append(text)
                self._note(f"VIOLATION {text}")

    async def _storm(self, step: SimulationStep) -> None:
        """Write again and again until every node is up; as often as the step's value says without a pause."""
        for _ in range(int(step.value) or _STORM_SETS):
            if self.all_up:
                break
            await self._set(step)
            if not step.value:
                await asyncio.sleep(self._rng.random() * 0.01)

    async def _enter(self, step: SimulationStep) -> None:
        """Enter another cluster and be cancelled; nothing of it may be left."""
        before = sum(name.startswith("cache node") for name in self.loop.leftovers())
        cluster = self._make(Random(step.at_s))
        entering = asyncio.ensure_future(cluster.__aenter__())
        await asyncio.wait((entering,), timeout=step.value)
        entering.cancel()
        await asyncio.wait((entering,))
        if not entering.cancelled() and entering.exception() is None:
            await cluster.close()
        await asyncio.sleep(0.05)
        left = [name for name in self.loop.leftovers() if name.startswith("cache node")][before:]
        if left:
            self._history.violations.append(f"{self.name}: a cancelled start has left {left} behind")

    async def _delete(self, step: SimulationStep) -> None:
        history = self._history
        versions = history.commit(step.keys)
        outcomes = await self.cluster.delete_many([history.names[key] for key in step.keys])
        self._written("delete", step.keys, versions, outcomes)

    async def _get(self, step: SimulationStep) -> None:
        least = self._history.begin(step.keys)
        answers = await self.cluster.get_many([self._history.names[key] for key in step.keys])
        self._check("get", step.keys, least, answers)

    async def _fill(self, step: SimulationStep) -> None:
        """Read; of what is not there, load from the store what this client wins the lease for."""
        history = self._history
        least = history.begin(step.keys)
        names = [history.names[key] for key in step.keys]
        if self._plan.adds:
            await self._add(step, least, names)
            return
        answers = await self.cluster.lease_many(names, stub_s=_STUB_S)
        self._check("fill", step.keys, least, answers)
        won = [(key, got) for key, got in zip(step.keys, answers, strict=True) if got.lease is Lease.WON]
        if not won:
            return
        versions = [history.stored[key] for key, _ in won]
        await asyncio.sleep(step.value)
        items = [
            SetItem(history.names[key], history.value(key, version), 0, _TTL_S)
            for (key, _), version in zip(won, versions, strict=True)
        ]
        outcomes = await self.cluster.cas_many(items, [got for _, got in won])
        told = [
            f"{key}={version} {outcome.reason}@{outcome.node}"
            for (key, _), version, outcome in zip(won, versions, outcomes, strict=True)
        ]
        self._note(f"{self.name}: filled {', '.join(told)}")

    async def _add(self, step: SimulationStep, least: Sequence[int], names: Sequence[str]) -> None:
        """Read; load and add what is not there."""
        history = self._history
        answers = await self.cluster.get_many(names)
        self._check("fill", step.keys, least, answers)
        missing = [key for key, got in zip(step.keys, answers, strict=True) if not got.hit]
        items = [
            SetItem(history.names[key], history.value(key, history.stored[key]), 0, _TTL_S, Mode.ADD)
            for key in missing
        ]
        if items:
            await self.cluster.set_many(items)

    def _check(
        self, verb: str, keys: Sequence[int], least: Sequence[int], answers: Sequence[GetResult]
    ) -> None:
        found = self._history.check(self.name, self._scheduler.now, keys, least, answers)
        for text in found:
            self._note(f"VIOLATION {text}")
        if self._plan.whole:
            for key, wanted, got in zip(keys, least, answers, strict=True):
                if wanted and not got.hit:
                    found.append(f"{self._scheduler.now:.4f} s {self.name} misses key {key}: {got}")
            self._history.violations += found
        if not found and self._note is not silent:
            told = [
                f"{key}={got.value.rpartition(b'=')[2].decode()}@{got.node}"
                if got.hit
                else f"{key}:{got.failure}"
                for key, got in zip(keys, answers, strict=True)
            ]
            self._note(f"{self.name}: {verb} {', '.join(told)}")


def silent(text: str) -> None:
    """No trace is wanted."""
