"""Looking at running nodes, for a while or for good: figures, keys, requests, and what to do about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from iotcache.advisor.predictions import WINDOW_S, Predictions
from iotcache.cluster.placement.share import shares
from iotcache.errors import NodeError
from iotcache.tasks import end
from iotcache.traffic.groups import Groups
from iotcache.traffic.meter import TrafficMeter
from iotcache.traffic.node_watch import NodeLook, NodeWatch
from iotcache.traffic.observation import Observation, concluded

if TYPE_CHECKING:
    from iotcache.config.schema import CacheSettings
    from iotcache.config.urls import NodeAddress

CPU_SHARE: Final = 0.5
"""Of one core that the reading of logs may take; what a node logs beyond that it skips, and says so."""
LOOK_EVERY_S: Final = 5.0
HALF_LIFE_S: Final = 600.0
"""A standing look lets go of what it saw: after so long it weighs half, so that today's load decides."""
_AGAIN_S: Final = 2.0
"""Until a node that was out is tried again."""


class StandingLook:
    """All nodes at once, each by itself: one that is out or hangs delays no other."""

    def __init__(
        self,
        addresses: Sequence[NodeAddress],
        cache: CacheSettings,
        *,
        cpu_share: float = CPU_SHARE,
        half_life_s: float = inf,
        window_s: float = WINDOW_S,
        own: TrafficMeter | None = None,
        ring: Callable[[], Sequence[NodeAddress]] | None = None,
    ) -> None:
        """``own`` has this program's own requests, for nodes that tell of none.

        ``ring`` has the nodes as they are by now, for a standing look to follow.
        """
        self._own = own
        self._ring = ring
        self._cache = cache
        self._cpu_share = cpu_share
        self._groups = Groups()
        self._addresses: tuple[NodeAddress, ...] = ()
        self._watches: list[NodeWatch] = []
        self._shares: dict[str, float] = {}
        self._weights: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By node, while it is looked at."""
        self._use(addresses)
        self._half_life_s = half_life_s
        self._window_s = window_s
        self._out: dict[str, str] = {}
        """Why nodes are not looked at."""
        self._reading: set[str] = set()
        self.jitter = cache.ttl.jitter
        """Share of the entries' lives that is spread."""
        self._predictions = Predictions(window_s=window_s)
        self._settled = asyncio.Event()
        """Set once every node has answered, or not."""

    async def run(
        self,
        publish: Callable[[Observation], None],
        *,
        stop: asyncio.Event,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Look until ``stop``, and ``publish`` what it comes to every ``every_s`` seconds."""
        self._begin(stop)
        try:
            while not stop.is_set():
                await pause(stop, every_s)
                await self._follow(stop)
                observation = await self._look_again()
                if observation is not None:
                    publish(observation)
                if self._half_life_s < inf:
                    for watch in self._watches:
                        watch.fade(0.5 ** (every_s / self._half_life_s))
        finally:
            await self._end(set(self._tasks))

    async def once(self, seconds: float, stop: asyncio.Event) -> Observation:
        """Look for ``seconds``, or until ``stop``. Raises `NodeError` when no node answers."""
        ended = asyncio.Event()
        self._begin(ended)
        try:
            await self._settled.wait()
            ends_s = monotonic() + seconds
            while not stop.is_set() and (left_s := ends_s - monotonic()) > 0:
                await pause(stop, min(left_s, LOOK_EVERY_S))
                await self._look_again()
            ended.set()
            await asyncio.gather(*self._tasks.values())
            return await self.observe()
        finally:
            await self._end(set(self._tasks))

    def forget(self) -> None:
        """What was counted until now counts no more; what the caches on paper hold stays."""
        for watch in self._watches:
            watch.fade(0.0)

    def _use(self, addresses: Sequence[NodeAddress]) -> None:
        """Watches for these nodes: those that stay keep what they have seen."""
        share = self._cpu_share / max(len(addresses), 1)
        known = {watch.address.name: watch for watch in self._watches}
        self._watches = [
            known.get(address.name) or NodeWatch(address, self._cache, self._groups, cpu_share=share)
            for address in addresses
        ]
        self._addresses = tuple(addresses)
        self._shares = dict(
            zip([one.name for one in addresses], shares(self._cache.placement, addresses), strict=True)
        )
        self._weights = {one.name: one.weight for one in addresses}

    def _begin(self, stop: asyncio.Event) -> None:
        for watch in self._watches:
            if watch.address.name not in self._tasks:
                self._tasks[watch.address.name] = asyncio.create_task(self._keep(watch, stop), name="advisor")

    async def _end(self, names: set[str]) -> None:
        for name in names:
            await end(self._tasks.pop(name))
            self._reading.discard(name)
            self._out.pop(name, None)

    async def _follow(self, stop: asyncio.Event) -> None:
        """Look at the nodes that have joined, and no more at those that left."""
        addresses = tuple(self._ring()) if self._ring is not None else self._addresses
        if addresses == self._addresses or not addresses:
            return
        await self._end(set(self._tasks).difference(one.name for one in addresses))
        self._use(addresses)
        self._begin(stop)

    async def _keep(self, watch: NodeWatch, stop: asyncio.Event) -> None:
        """Look at one node, and again when it is back."""
        name = watch.address.name
        while not stop.is_set():
            try:
                await watch.begin()
                self._out.pop(name, None)
                self._reading.add(name)
                self._note_settled()
                await watch.read_log(stop)
            except NodeError as error:
                self._out[name] = f"{name} is left out: {error}"
                self._reading.discard(name)
                self._note_settled()
                await pause(stop, _AGAIN_S)

    def _note_settled(self) -> None:
        if len(self._out) + len(self._reading) >= len(self._watches):
            self._settled.set()

    async def _look_again(self) -> Observation | None:
        """The last stretch, compared with what was predicted for it; ``None`` when no node answers."""
        try:
            observation = await self.observe(self._window_s)
        except NodeError:
            return None  # each is tried again
        self._predictions.note(time(), observation.evidence)
        return replace(observation, checked=self._predictions.history)

    @property
    def reads_logs(self) -> bool:
        """Whether some node tells of its requests."""
        return any(watch.meter is not None for watch in self._watches if watch.address.name in self._reading)

    async def observe(self, window_s: float = inf) -> Observation:
        """What there is to see; rates over the last ``window_s``. Raises `NodeError` when no node answers."""
        watches = [watch for watch in self._watches if watch.address.name in self._reading]
        looks = await asyncio.gather(*(watch.look(window_s) for watch in watches), return_exceptions=True)
        seen: list[NodeLook] = []
        notes = dict(self._out)
        for watch, look in zip(watches, looks, strict=True):
            if isinstance(look, NodeError):
                notes[watch.address.name] = f"{watch.address.name} is left out: {look}"
            elif isinstance(look, BaseException):
                raise look
            else:
                seen.append(look)
        if not seen:
            raise NodeError("; ".join(notes.values()) or "no node has answered yet")
        observation = concluded(
            seen, self._groups, notes=tuple(notes.values()), shares=self._shares, weights=self._weights,
            jitter=self.jitter, own=self._own,
        )  # fmt: skip
        return replace(observation, checked=self._predictions.history)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """So long, or until ``stop``."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await stop.wait()
    except TimeoutError:
        pass


async def look(
    addresses: Sequence[NodeAddress],
    cache: CacheSettings,
    seconds: float,
    *,
    cpu_share: float = CPU_SHARE,
    stop: asyncio.Event | None = None,
) -> Observation:
    """Look at all nodes at once for ``seconds``, or until ``stop``; a node that is out is left out.

    Raises `NodeError` when none of them answers.
    """
    standing = StandingLook(addresses, cache, cpu_share=cpu_share)
    return await standing.once(seconds, stop or asyncio.Event())
