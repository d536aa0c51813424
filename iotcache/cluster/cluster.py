"""Many memcached nodes as one: routing, parallel pipelined batches, and an answer for every key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.cluster import forks
from iotcache.cluster.copies.copying import Copying
from iotcache.cluster.copies.counts import CopyCounts
from iotcache.cluster.copies.deciding import HotKeyDecider
from iotcache.cluster.copies.driver import HotKeyDriver
from iotcache.cluster.copies.heat import HeatMeter
from iotcache.cluster.events import NodeEvents
from iotcache.cluster.fence import Fences
from iotcache.cluster.members import Members
from iotcache.cluster.node import Node
from iotcache.cluster.node_client import NodeClient
from iotcache.cluster.observer import TrafficObserver
from iotcache.cluster.outage import LEASE_S, OutageMarker
from iotcache.cluster.questions import NodeQuestions
from iotcache.cluster.reading import Reads
from iotcache.cluster.recovery import Recovery
from iotcache.cluster.rings.driver import RingDriver
from iotcache.cluster.rings.handover import HandOver
from iotcache.cluster.rings.looks import RingLooks
from iotcache.cluster.rings.record import RingRecord, addresses
from iotcache.cluster.rings.resizing import Resizing
from iotcache.cluster.rings.roster import Rosters
from iotcache.cluster.rings.view import RingView
from iotcache.cluster.rings.walk import RingWalk
from iotcache.cluster.router import Router
from iotcache.cluster.stats import (
    NodeLimits,
    NodeStats,
    NodeTelemetry,
    SlabClass,
    node_limits,
    node_stats,
    slab_classes,
)
from iotcache.cluster.swapping import Swaps
from iotcache.cluster.types import GetResult, ItemInfo, SetItem, WriteResult
from iotcache.cluster.wire.connection import Connection
from iotcache.cluster.wire.dial import Dial, connect
from iotcache.cluster.wire.dial import tls_context as tls_of
from iotcache.cluster.writing import Writes
from iotcache.config.schema import BreakerSettings, CacheSettings
from iotcache.errors import ClusterClosed, NodeError
from iotcache.model import Event, NodeHealth, NodeState
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.cluster.rings.types import ResizeResult, RingFollower, RingStatus
    from iotcache.config.urls import NodeAddress

_LOG = logging.getLogger(__name__)
_NOT_ENTERED: Final = "this cluster client has not been entered yet: use it under `async with`"
_CLOSED: Final = "this cluster client is closed; make a new one"
_FORKED: Final = (
    "this cluster client was made before the process was forked, and its connections are the parent's: "
    "make a new one in the child"
)


class Cluster:
    """The cluster client. An async context manager; safe for any number of concurrent callers of one loop.

    Nothing here raises for a node's sake: a node that cannot answer shows in the answers for its keys.
    `KeyFormatError` is raised for a key that is no key, before anything is sent.
    """

    def __init__(
        self,
        nodes: Sequence[NodeAddress],
        *,
        placement: str = "ketama",
        connect_timeout_s: float = 0.5,
        operation_timeout_s: float = 0.5,
        breaker: BreakerSettings | None = None,
        failover_ttl_s: float = 10.0,
        failover: bool = True,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        on_event: Callable[[Event], None] | None = None,
        username: str = "",
        password: str = "",
        tls_context: SSLContext | None = None,
        observe: bool = False,
        role: str = "client",
        follow: bool = False,
        rings: bool = True,
        hot_replicas: int = 0,
        dial: Dial = connect,
    ) -> None:
        """``follow``: take the ring that the nodes have announced, and ``nodes`` only for where to look.

        Else entering raises `RingMismatch` where another one is announced. Without ``rings`` it goes by its
        own list whatever is announced, as clients of other makes do: a demonstration needs one.
        ``hot_replicas``: keys that are read more than a node's fair share are kept on so many nodes; 0 and 1
        ask for no copies.

        Raises `ConfigError` for an unknown placement, or for no nodes.
        """
        self._clock = clock
        self._rng = rng or Random()
        self._failover_ttl_s = max(1, round(failover_ttl_s))
        self._events = NodeEvents(on_event, clock)
        self.observer: TrafficObserver | None = None
        """Is told of every batch; it may be set at any time."""
        self._unusable: str | None = _NOT_ENTERED
        """Why nothing can be asked."""
        self._login = CacheSettings(
            connect_timeout_s=connect_timeout_s, operation_timeout_s=operation_timeout_s,
            username=username, password=password,
        )  # fmt: skip

        settings = breaker or BreakerSettings()

        def make(address: NodeAddress) -> Node:
            return Node(
                address,
                self,
                connect_timeout_s=connect_timeout_s,
                operation_timeout_s=operation_timeout_s,
                breaker=settings,
                clock=clock,
                rng=self._rng,
                username=username,
                password=password,
                tls_context=tls_context,
                dial=dial,
            )

        self._nodes = [make(address) for address in nodes]
        self._rings = RingView(
            nodes,
            placement,
            follow=follow,
            monotonic=clock.monotonic,
            grace_s=settings.open_max_s + connect_timeout_s + operation_timeout_s,
        )
        self._fences = Fences(
            self._nodes,
            timeout_s=operation_timeout_s,
            keep_declared_s=failover_ttl_s + 2.0,
            role=role,
            observe=observe,
            rings=self._rings,
            clock=clock,
            rng=self._rng,
        )
        self._recovery = Recovery(self._fences)
        self._questions = NodeQuestions(self._nodes, timeout_s=operation_timeout_s)
        self._router = Router(self._nodes, self._fences)
        self._router.failover = failover
        self._router.observe = observe
        self._reads = Reads(self._router, timeout_s=operation_timeout_s, clock=clock, rng=self._rng)
        self._handover = HandOver(self._router, self._reads, timeout_s=operation_timeout_s, clock=clock)
        self._reads.fallback = self._handover
        self._writes = Writes(
            self._router,
            self._recovery,
            timeout_s=operation_timeout_s,
            failover_ttl_s=self._failover_ttl_s,
            clock=clock,
        )
        self._swaps = Swaps(
            self._router,
            timeout_s=operation_timeout_s,
            failover_ttl_s=self._failover_ttl_s,
            clock=clock,
        )
        self._members = Members(self._nodes, self._router, make, self._ring_switched)
        looks = self._fences.ring = RingLooks(self._rings, self._fences, self._members)
        looks.takes_part = rings
        walk = RingWalk(
            self._router,
            self._handover,
            lambda address: NodeClient(address, self._login, connect=dial, tls_context=tls_context),
            clock,
        )
        self._driver = RingDriver(self._fences, looks, walk, self._rng)
        self._resizing = Resizing(self._fences, looks, walk, self._handover, self._driver)
        self._hot_keys = HotKeyDriver(self._fences, looks, self._driver, self._resizing)
        wanted = hot_replicas if rings and not observe else 0
        self._heat = HeatMeter(clock, self._rng) if wanted > 1 else None
        """Counts gets, where hot keys are to have copies."""
        decider = HotKeyDecider(self._fences, self._rings, self._hot_keys, wanted)
        copying = Copying(wanted, self._router.copy_counts, decider, self._heat)
        self._rosters = Rosters(self._fences, self._rings, self._handover, copying, clock)

    @classmethod
    def from_settings(
        cls,
        nodes: Sequence[NodeAddress],
        cache: CacheSettings,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        on_event: Callable[[Event], None] | None = None,
        observe: bool = False,
        role: str = "client",
        follow: bool = False,
        rings: bool = True,
    ) -> Self:
        """A cluster as the configuration's ``[cache]`` section describes it.

        ``observe``: its gets make no item younger, and delete none that does not count any more.
        """
        return cls(
            nodes,
            placement=cache.placement,
            connect_timeout_s=cache.connect_timeout_s,
            operation_timeout_s=cache.operation_timeout_s,
            breaker=cache.breaker,
            failover_ttl_s=cache.ttl.failover_s,
            failover=cache.failover,
            hot_replicas=cache.hot_replicas,
            clock=clock,
            rng=rng,
            on_event=on_event,
            role=role,
            username=cache.username,
            password=cache.password,
            tls_context=tls_of(cache),
            observe=observe,
            follow=follow,
            rings=rings,
        )

    async def __aenter__(self) -> Self:
        """Reach for all nodes at once; those that do not answer are down, and tried again later.

        Raises `ClusterClosed` for one that was entered before, `RingMismatch` where the nodes have announced
        another ring than this client's own.
        """
        if self._unusable is not _NOT_ENTERED:
            raise ClusterClosed("a cluster client can be entered once; make a new one")
        self._unusable = None
        forks.watch(self)
        try:
            own = list(self._nodes)
            for node in own:
                node.start()
            for node in own:
                await node.settled()
            self._fences.start()
            await self._fences.ring.settled()
            self._check()
            self._rings.starting = False
            self._driver.start()
            self._rosters.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections and background work, and withdraw what this client has told others."""
        if self._unusable is _FORKED:
            return
        self._unusable = _CLOSED
        forks.forget(self)
        try:
            await self._rosters.close()
            await self._driver.close()
            await self._resizing.close()
            await self._members.close()
            await self._fences.close()
        finally:
            # To the end, also when the closing is cancelled: nothing of this client may be left behind.
            for node in self._nodes:
                node.stop()
            await asyncio.gather(*(node.close() for node in self._nodes))

    def _check(self) -> None:
        """Raises `ClusterClosed` where nothing can be asked."""
        if self._unusable is not None:
            raise ClusterClosed(self._unusable)
        if self._rings.refused is not None:
            raise self._rings.refused

    def abandon(self) -> None:
        """This process was forked off: the connections are the parent's, and nothing may be sent there."""
        self._unusable = _FORKED
        for node in self._nodes:
            node.abandon()

    @property
    def failover(self) -> bool:
        """Whether the next node on the ring stands in for one that is out. It may be set at any time.

        If not, nothing is read or kept for its keys until it is back: ``node_down`` for reads, and refused
        writes.
        """
        return self._router.failover

    @failover.setter
    def failover(self, failover: bool) -> None:
        self._router.failover = failover

    # Where things are ------------------------------------------------------------------------

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes of the ring, and those that join it, in the order in which they came."""
        return tuple(self._nodes[index].name for index in self._fences.active)

    def node_of(self, key: str) -> str:
        """The node that owns ``key``, alive or not."""
        return self._nodes[self._router.place(key).owner].name

    def nodes_of(self, keys: Sequence[str]) -> list[str]:
        """`node_of` each key."""
        return [self._nodes[place[0]].name for place in self._router.places(keys)]

    @property
    def placement(self) -> int:
        """A number that changes whenever keys may have other owners than `node_of` said before."""
        return self._router.generation

    def health(self) -> tuple[NodeHealth, ...]:
        """Each node as it stands, in the order of `node_names`."""
        return tuple(self._nodes[index].health() for index in self._fences.active)

    def outage_markers(self) -> tuple[OutageMarker, ...]:
        """Which nodes are marked as out, and by which writers; as far as this client has seen."""
        return self._fences.outage_markers()

    # Reading and writing ---------------------------------------------------------------------

    async def get_many(self, keys: Sequence[str], *, cas: bool = False) -> list[GetResult]:
        """The values of ``keys``, in their order. All nodes are asked at once, each in one pipelined batch.

        With ``cas`` each hit brings its CAS unique, for `cas_many`. A connection that ends under a read is
        replaced and the read tried once more; a time-out is not.
        """
        self._check()
        results = await self._reads.get_many(keys, cas=cas)
        if self.observer is not None:
            self.observer.read(keys, results)
        if self._heat is not None:
            self._heat.read(keys)
        return results

    async def probe_many(self, keys: Sequence[str]) -> list[ItemInfo]:
        """Look at items without counting as a read, touching the LRU or marking them fetched (``me``)."""
        self._check()
        return await self._reads.probe_many(keys)

    async def set_many(self, items: Sequence[SetItem]) -> list[WriteResult]:
        """Store ``items``; every set is confirmed by its node, and the outcomes are in their order.

        A set whose node is out goes to its stand-in, with a short life; the first one after the node was
        lost waits until all clients know of it (about half a second), one in `Mode.ADD` does not and is
        refused. Raises ValueError for a life that is not positive.
        """
        self._check()
        return self._written(items, await self._writes.set_many(items))

    async def cas_many(self, items: Sequence[SetItem], seen: Sequence[GetResult]) -> list[WriteResult]:
        """Store each item only if it still is what ``seen`` shows.

        ``seen`` comes from ``get_many(…, cas=True)``, or from `lease_many` with the lease won. A key whose
        node has changed meanwhile is refused: CAS uniques mean nothing on another node.
        """
        self._check()
        return self._written(items, await self._swaps.cas_many(items, seen))

    def _written(self, items: Sequence[SetItem], results: list[WriteResult]) -> list[WriteResult]:
        if self.observer is not None:
            self.observer.written(items, results)
        return results

    async def lease_many(
        self, keys: Sequence[str], *, stub_s: int = 2, recache_s: int = 0
    ) -> list[GetResult]:
        """As `get_many`, and for each key that is not there one reader everywhere wins the lease to load it.

        The place is held for ``stub_s`` (> 0) seconds by an empty item, so that is how long others wait for
        a winner that dies. With ``recache_s`` > 0 the first to find less than so many seconds left wins, too,
        with the value in hand. The node itself counts a miss of this kind as a hit.
        """
        self._check()
        return await self._reads.lease_many(keys, stub_s=stub_s, recache_s=recache_s)

    async def release_many(self, keys: Sequence[str], seen: Sequence[GetResult]) -> None:
        """Give back leases whose values could not be loaded, so that others may try."""
        self._check()
        await self._swaps.release_many(keys, seen)

    async def delete_many(self, keys: Sequence[str]) -> list[WriteResult]:
        """Delete ``keys``. ``ok``: the node has it no more; ``reason`` tells when it was not there before."""
        self._check()
        results = await self._writes.delete_many(keys)
        if self.observer is not None:
            self.observer.deleted(keys)
        return results

    async def touch_many(self, keys: Sequence[str], ttl_s: int) -> list[WriteResult]:
        """Give ``keys`` ``ttl_s`` (> 0) more seconds to live, without reading them.

        Only on their own nodes: what stands in for a node that is out lives shortly, and that is meant.
        """
        self._check()
        return await self._writes.touch_many(keys, ttl_s)

    # Node facts ------------------------------------------------------------------------------

    async def stats(self, *arguments: str) -> dict[str, dict[str, str]]:
        """Raw ``stats`` (with ``arguments`` such as ``slabs``) of every node that answers."""
        self._check()
        return await self._questions.stats(arguments)

    async def node_stats(self) -> dict[str, NodeStats | None]:
        """General statistics of every node, typed; ``None`` for one that does not answer."""
        raw = await self.stats()
        return {name: node_stats(raw[name]) if name in raw else None for name in self.node_names}

    def telemetry(self) -> dict[str, NodeTelemetry]:
        """What this client has seen of every node: latencies, batches in flight, errors by kind."""
        return {self._nodes[index].name: self._nodes[index].telemetry() for index in self._fences.active}

    async def slab_stats(self) -> dict[str, tuple[SlabClass, ...]]:
        """Slab classes (memory and LRU) of every node that answers."""
        slabs, items = await asyncio.gather(self.stats("slabs"), self.stats("items"))
        return {name: slab_classes(slabs[name], items[name]) for name in slabs if name in items}

    async def node_limits(self) -> dict[str, NodeLimits]:
        """What every node that answers was started with."""
        return {name: node_limits(raw) for name, raw in (await self.stats("settings")).items()}

    # The ring --------------------------------------------------------------------------------

    def ring(self) -> RingStatus:
        """The ring as this client knows it, and how far a change of it is."""
        return self._resizing.status()

    async def resize(
        self,
        nodes: Sequence[NodeAddress],
        *,
        keys_per_s: int = 20_000,
        prefix: str = "",
        on_progress: Callable[[RingStatus], None] | None = None,
    ) -> ResizeResult:
        """Change the ring to ``nodes``: for all clients, while they read and write, with no miss for it.

        Entries that move are handed over, those nobody asks for at ``keys_per_s`` at most, and only where
        their keys begin with ``prefix``: the nodes may have other users. A change whose
        program dies is finished by another client that writes. When this is cancelled it is undone.

        Raises `RingRefused` for a list that cannot be, `RingBusy` when another change is under way.
        """
        self._check()
        result = await self._resizing.resize(
            nodes, keys_per_s=keys_per_s, prefix=prefix, on_progress=on_progress
        )
        return await self._rosters.sum_up(result)

    async def ring_followers(self) -> tuple[RingFollower, ...]:
        """The clients that follow the ring, each by host, pid and role; none before its first change."""
        self._check()
        return await self._rosters.read()

    @property
    def node_addresses(self) -> tuple[NodeAddress, ...]:
        """The nodes of the ring that is read now, with their weights."""
        return addresses(self._rings.read.nodes)

    async def undo_resize(self) -> None:
        """Let the change under way, whoever carries it out, go back to the ring of before."""
        self._check()
        await self._resizing.undo()

    @property
    def hot_keys(self) -> tuple[str, ...]:
        """The keys whose copies this client reads."""
        return self._resizing.status().hot_keys

    @property
    def copy_counts(self) -> CopyCounts:
        """What this client has had to do with copies of hot keys."""
        return self._router.copy_counts

    async def copy_hot_keys(self, keys: Sequence[str], copies: int = 2) -> None:
        """Keep ``keys``, and no others, on ``copies`` nodes each, for all clients: their reads are spread.

        They are written to all of them before a write returns. It takes about 1.5 s. Raises `RingBusy` where
        the ring or the list is changed meanwhile, `RingRefused` for what cannot be.
        """
        self._check()
        await self._hot_keys.set(keys, copies)

    def _ring_switched(self, before: RingRecord | None, after: RingRecord) -> None:
        if after.change is not None:
            self._handover.count_for(after.change.id)
        self._events.ring_changed(before, after)

    # One node by hand ------------------------------------------------------------------------

    def _named(self, name: str) -> Node:
        for index in self._fences.active:
            if self._nodes[index].name == name:
                return self._nodes[index]
        raise NodeError(f"no node of this cluster is called {printable(name, 80)}")

    def telemetry_of(self, name: str) -> NodeTelemetry:
        """As `telemetry`, of one node. Raises `NodeError` for an unknown name."""
        return self._named(name).telemetry()

    async def stats_of(self, name: str, *arguments: str) -> dict[str, str]:
        """Raw ``stats`` of one node, so that no other is waited for. Raises `NodeError`."""
        self._check()
        return await self._questions.stats_of(self._named(name), arguments)

    async def admin(self, name: str, command: bytes) -> str:
        """Send one of `iotcache.cluster.admin` to a node; its answer. Raises `NodeError` when it refuses."""
        self._check()
        return await self._questions.admin(self._named(name), command)

    def drain(self, name: str) -> None:
        """Stop using a node, as if it were out, until `rejoin`. Raises `NodeError` for an unknown name.

        Only this client is told; others stay off it, too, while this one writes to a stand-in (see
        `iotcache.cluster.fence`).
        """
        self._named(name).drain()

    def rejoin(self, name: str) -> None:
        """Take a drained node back: it is probed and fenced first, so nothing stale is read from it."""
        self._named(name).rejoin()

    # What nodes ask and tell -----------------------------------------------------------------

    def changed(self, node: Node, before: NodeState) -> None:
        """A node is in another state now: route anew, and tell whoever listens."""
        index = self._nodes.index(node)
        if index not in self._fences.active:
            return  # it has left the ring
        if node.up:
            if self._fences.came_up(index):
                asyncio.get_running_loop().call_later(LEASE_S * 1.1, self._router.changed)
        elif node.state is NodeState.DOWN:
            contact = node.spare if node.drained or node.reachable else None
            self._fences.went_out(index, contact, lost=before is NodeState.UP and not node.reachable)
        self._router.changed()
        self._events.changed(node, before)

    def answers(self, node: Node, connection: Connection) -> None:
        """Called by a node that answers, before it is made safe."""
        self._fences.answers(self._nodes.index(node), connection)

    async def before_up(self, node: Node, connection: Connection) -> None:
        """Called by a node that answers, before it is shown up."""
        await self._recovery.before_up(self._nodes.index(node), connection)
