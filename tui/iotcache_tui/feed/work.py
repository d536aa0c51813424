"""What the live feed does: runs the stack, reads the fleet back through the cache, and tells of it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from msgspec import structs

from iotcache.backoff import Backoff
from iotcache.cache import DeviceCache
from iotcache.clock import Clock
from iotcache.config.key_placement import key_placement, placement_on
from iotcache.config.parts import NONE, absent_parts, named_parts, observes
from iotcache.config.schema import Settings
from iotcache.config.urls import parse_node
from iotcache.errors import IotCacheError, StoreEmpty, StoreError
from iotcache.keys import Keys
from iotcache.model import Event, Series
from iotcache.nodelist.opening import until_listed
from iotcache.store import open_store
from iotcache.store.base import Store
from iotcache.tasks import end, first_error
from iotcache_tui.feed.absent import NoCluster, NoStore
from iotcache_tui.feed.advisor import AdvisorFeed
from iotcache_tui.feed.answers.alerts import AlertPoller
from iotcache_tui.feed.dead_letters import DeadLetterPoller
from iotcache_tui.feed.delayed_store import DelayedStore
from iotcache_tui.feed.node_alerts import NodeAlerts
from iotcache_tui.feed.node_stats import NodeStatsPoller
from iotcache_tui.feed.pace import TICK_S, ReadingPace
from iotcache_tui.feed.process_stats import ProcessStatsListener
from iotcache_tui.feed.read_stats import ReadStats
from iotcache_tui.feed.request_context import RequestContext, is_read_only
from iotcache_tui.state.updates import Attachment, Latest, Mailbox, TtlUpdate

if TYPE_CHECKING:
    from iotcache.cluster import Cluster
    from iotcache.config.urls import NodeAddress
    from iotcache.nodelist.watch import NodeListWatch
    from iotcache_simulator.stack.stack import Stack
    from iotcache_tui.feed.stack_start import StackStart

BATCH_ROWS = 500
DIRECTORY_EVERY_S = 1.0
FIRST_ROWS_EVERY_S = 0.03
NEXT_ROWS_EVERY_S = 0.1
FIRST_ROWS_WITHIN_S = 3.0
"""So long after the start the store is asked more often: a fleet takes some seconds to say all."""
LISTENS_WITHIN_S = 1.0
"""So long after the start other processes' counters are listened to, also where there are no rows."""
PROBE_EVERY_S = 1.0
RETRY_MIN_S = 0.25
RETRY_MAX_S = 5.0
STORE_PATIENCE_S = 1.5
"""A store that takes longer to say which series there are hangs, whatever it accepts."""


class Serving(Protocol):
    """What answers the screens' requests once there are servers to ask."""

    async def serve(self, context: RequestContext) -> None:
        """Until cancelled."""
        ...


class LiveWork:
    """One run of the feed over ``begun``, in the feed's event loop; ``watched``: the rows that are on screen.

    ``reads_per_s`` is the most reads a second; they are made every ``tick_s``. ``lesson``: the servers are a
    lesson's, where the worker's part of the cache may be another than the readers'.
    """

    def __init__(
        self,
        begun: StackStart,
        mailbox: Mailbox,
        dispatcher: Serving,
        watched: Callable[[], Sequence[int]],
        clock: Clock,
        *,
        reads_per_s: float,
        tick_s: float = TICK_S,
        lesson: bool = False,
    ) -> None:
        self.mailbox = mailbox
        self._begun = begun
        settings = self._settings = begun.settings
        self._dispatcher = dispatcher
        self._watched = watched
        self._clock = clock
        self._series: list[Series] = []
        self._parts = begun.parts
        self._process_stats = ProcessStatsListener(self._parts, clock, mailbox.put_event)
        self._asked_s = 0.0
        """Since when an answer of the store is waited for; 0 while none is."""
        self._dead_letters = DeadLetterPoller(mailbox, clock)
        self._alerts = AlertPoller(mailbox)
        self._node_alerts = NodeAlerts(settings.alerts, clock)
        self._reads_per_s = reads_per_s
        self._tick_s = tick_s
        self._compares_placement = not lesson
        """Whether the worker's keys should lie where this program looks for them."""
        self._ring: tuple[NodeAddress, ...] = ()
        self._has_read = asyncio.Event()
        mailbox.put_latest(
            Latest(
                attachment=Attachment(
                    named_parts(settings), absent_parts(settings), observes(settings), lesson=lesson
                )
            )
        )

    async def run(self) -> None:
        """Until cancelled. Raises `IotCacheError` when nothing can be looked at."""
        try:
            await self._run()
        except ExceptionGroup as group:
            if isinstance(error := first_error(group), IotCacheError):
                raise error from group
            raise

    async def _run(self) -> None:
        stack = self._begun.stack
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._standing())
            await stack.until_written()  # while the fleet is still being started
            self._parts.started(stack)
            await self._work(stack, self._begun.task)

    async def _standing(self) -> None:
        """Raises `StackError` when it does not come up."""
        await self._begun.task

    async def _work(self, stack: Stack, starting: asyncio.Task[None]) -> None:
        """All that is done over servers that answer."""
        store = DelayedStore(partial(self._store, stack.settings))
        async with store, asyncio.TaskGroup() as tasks:
            # Neither waits for a list of nodes that cannot be read.
            tasks.create_task(self._open(store))
            if self._settings.broker.url != NONE:
                tasks.create_task(self._listen(stack.settings))
            settings, node_list = await self._listed(stack.settings)
            async with self._cache(settings, store) as cache:
                await self._look(settings, stack, store, cache, node_list, starting=starting)

    async def _listen(self, settings: Settings) -> None:
        """Not before the first rows are out: what the broker is listened to with takes long to load."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTENS_WITHIN_S):
                await self._has_read.wait()
        await asyncio.to_thread(importlib.import_module, "aiomqtt")
        await self._process_stats.listen(settings)

    async def _listed(self, settings: Settings) -> tuple[Settings, NodeListWatch | None]:
        """``settings`` with their nodes; until those are known it is told of all else."""
        telling = asyncio.create_task(self._every(1.0, self._tell_parts))
        try:
            return await until_listed(
                settings,
                on_waiting=self._list_waited_for,
                on_report=lambda report: self.mailbox.put_latest(Latest(node_list=report)),
            )
        finally:
            await end(telling)

    async def _look(
        self,
        settings: Settings,
        stack: Stack,
        store: DelayedStore,
        cache: DeviceCache,
        node_list: NodeListWatch | None,
        *,
        starting: asyncio.Task[None],
    ) -> None:
        """All that is done once the nodes are known; ``starting`` is the rest of the stack's start."""
        keys, nodes = Keys(settings.cache.prefix, settings.cache.bucket_s), settings.cache.nodes
        stats = ReadStats(keys, cached=nodes != NONE, owner=cache.cluster.node_of)
        pace = ReadingPace(self._reads_per_s, settings.dashboard.read_interval_s)
        node_stats = NodeStatsPoller(
            cache.cluster,
            [] if isinstance(nodes, str) else [parse_node(node) for node in nodes],
            placement=settings.cache.placement,
            mailbox=self.mailbox,
            clock=self._clock,
            readers=stats.by_node,
        )
        advisor = AdvisorFeed(
            settings, cache.cluster, self.mailbox, self._clock,
            embedded="cache.nodes" not in named_parts(self._settings),
        )  # fmt: skip
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(advisor.run())
            tasks.create_task(self._learn(store, cache, stats, pace))
            tasks.create_task(self._every(PROBE_EVERY_S, self._probe, cache))
            tasks.create_task(self._every(self._tick_s, self._read, cache, stats, pace))
            tasks.create_task(self._every(1.0, self._close_second, cache, stats, node_stats))
            tasks.create_task(self._every(2.0, self._poll_store, cache))
            tasks.create_task(self._every(1.0, self._follow_ring, cache, settings, node_list))
            tasks.create_task(node_stats.run())
            if node_list is not None:
                tasks.create_task(node_list.run())
            context = RequestContext(
                settings=settings,
                mailbox=self.mailbox,
                clock=self._clock,
                read_only=is_read_only(self._settings),
                stack=stack,
                cache=cache,
                store=store,
                series=self._series,
                node_stats=node_stats,
                advisor=advisor,
            )
            await asyncio.wait({starting})  # what is asked for may be of a part that is still being started
            tasks.create_task(self._dispatcher.serve(context))

    async def _tell_parts(self) -> None:
        now_s = self._clock.monotonic()
        if self._asked_s and now_s - self._asked_s > STORE_PATIENCE_S:
            self._parts.turn("store", "down", "it does not answer")
        self._parts.processes(self._process_stats.processes(now_s))

    def _list_waited_for(self, why: str) -> None:
        self._parts.turn("nodes", "down", why)
        self.mailbox.put_latest(Latest(ready=True))  # there is nothing else to come

    def _store(self, settings: Settings) -> Store:
        if settings.store.url == NONE:
            return cast("Store", NoStore(self._node_alerts))
        return open_store(settings.store, read_only=is_read_only(self._settings))

    def _cache(self, settings: Settings, store: DelayedStore) -> DeviceCache:
        if settings.cache.nodes == NONE:
            return DeviceCache(
                cast("Cluster", NoCluster()),
                cast("Store", store),
                keys=Keys(settings.cache.prefix, settings.cache.bucket_s),
                store_reads_per_s=self._reads_per_s,
                repopulate=False,
                stampede_lease=False,
            )
        return DeviceCache.from_settings(
            settings,
            read_only=is_read_only(self._settings),
            observe=observes(self._settings),
            follow=True,
            role="dashboard",
            on_event=self._ring_event,
            store=cast("Store", store),
        )

    def _ring_event(self, event: Event) -> None:
        """The ring's changes; of nodes that go and come the part of the nodes tells."""
        if event.kind == "ring_change":
            self.mailbox.put_event(structs.replace(event, kind="node.ring"))

    async def _follow_ring(
        self, cache: DeviceCache, settings: Settings, node_list: NodeListWatch | None
    ) -> None:
        if settings.cache.nodes == NONE:
            return
        nodes = cache.cluster.node_addresses
        if nodes != self._ring:
            self._ring = nodes
            if self._compares_placement:
                placement = placement_on(nodes, key_placement(settings.cache))
                self.mailbox.put_latest(Latest(placement=placement))
        if node_list is not None:
            node_list.use(nodes)

    async def _open(self, store: DelayedStore) -> None:
        """Open the store, as often as it takes: everything else is looked at meanwhile."""
        backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S)
        while True:
            self._asked_s = self._clock.monotonic()
            try:
                await store.open()
                self._store_answered()
            except StoreError as error:
                self._store_failed(error, starting=self._settings.store.url == "embedded")
            else:
                return
            finally:
                self._asked_s = 0.0
                self.mailbox.put_latest(Latest(ready=True))
            await backoff.wait()

    def _store_answered(self) -> None:
        if self._settings.store.url != NONE:
            self._parts.turn("store", "up")

    def _store_failed(self, error: StoreError, *, starting: bool = False) -> None:
        state = "down" if error.retryable else "refused"
        if starting or isinstance(error, StoreEmpty):
            state = "starting" if starting else "empty"
        self._parts.turn("store", state, str(error))

    async def _every(self, period_s: float, act: Callable[..., Awaitable[None]], *args: object) -> None:
        """Do ``act`` on a steady beat; beats missed by a slow one are skipped, not made up for."""
        due_s = self._clock.monotonic()
        while True:
            await act(*args)
            now_s = self._clock.monotonic()
            due_s = max(due_s + period_s, now_s)
            await asyncio.sleep(due_s - now_s)

    async def _learn(
        self, store: DelayedStore, cache: DeviceCache, stats: ReadStats, pace: ReadingPace
    ) -> None:
        """Whoever starts the program waits for the first rows, and those for no beat of later ones."""
        until_s = self._clock.monotonic() + FIRST_ROWS_WITHIN_S
        while self._clock.monotonic() < until_s:
            known = bool(self._series)
            await self._learn_rows(store, stats, pace)
            if self._series and not known:
                await self._read(cache, stats, pace)
            await asyncio.sleep(NEXT_ROWS_EVERY_S if self._series else FIRST_ROWS_EVERY_S)
        await self._every(DIRECTORY_EVERY_S, self._learn_rows, store, stats, pace)

    async def _learn_rows(self, store: DelayedStore, stats: ReadStats, pace: ReadingPace) -> None:
        """Take in series that were first seen since the last look."""
        if not store.is_open:
            return
        self._asked_s = self._clock.monotonic()
        try:
            while True:
                page = await store.directory(self._parts.newest_order)
                if not page:
                    break
                self._parts.newest_order = page[-1].order
                self._series.extend(info.series for info in page)
                stats.grow(len(self._series))
                pace.grow(len(self._series))
                self.mailbox.put_joined(page)
        except StoreError as error:
            self._store_failed(error)
        else:
            self._store_answered()
        finally:
            self._asked_s = 0.0

    async def _read(self, cache: DeviceCache, stats: ReadStats, pace: ReadingPace) -> None:
        pace.watched = self._watched()
        due = pace.due(self._clock.monotonic())
        for first in range(0, len(due), BATCH_ROWS):
            rows = due[first : first + BATCH_ROWS]
            reads = await cache.read_many([self._series[row] for row in rows])
            self.mailbox.put_reads(*stats.add(rows, reads, self._clock.monotonic(), self._clock.now()))
            self._has_read.set()

    async def _probe(self, cache: DeviceCache) -> None:
        """Ask what is left of the entries on screen, in a way that counts as no read."""
        rows = [row for row in self._watched() if row < len(self._series)]
        if not rows:
            return
        probes = await cache.ttl_many([self._series[row] for row in rows])
        now_s = self._clock.monotonic()
        self.mailbox.put_ttls(
            [
                TtlUpdate(row, now_s, probe.ttl_s if probe.present else None)
                for row, probe in zip(rows, probes, strict=True)
                if probe.failure is None
            ]
        )

    async def _poll_store(self, cache: DeviceCache) -> None:
        if self._settings.store.url == NONE and self._settings.cache.nodes != NONE:
            await self._node_alerts.look(cache.cluster)
        await self._alerts.poll(cache.store)
        await self._dead_letters.poll(
            cache.store, self._process_stats.processes(self._clock.monotonic()).workers
        )

    async def _close_second(self, cache: DeviceCache, stats: ReadStats, nodes: NodeStatsPoller) -> None:
        now_s, counted, others = self._clock.monotonic(), cache.counters(), nodes.applications()
        self.mailbox.put_second(
            stats.close_second(
                now_s,
                counted.repopulated + counted.writes,
                self._process_stats.processes(now_s),
                self._process_stats.rates(),
                None if others is None else others.hits_per_s,
            )
        )
        for event in self._parts.nodes(cache.cluster.health()):
            self.mailbox.put_event(event)
        await self._tell_parts()
