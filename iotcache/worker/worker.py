"""The ingest worker: a link, a pipeline and its counters, from the settings to the last ack."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from iotcache.aggregates.writer import Aggregates
from iotcache.alerts.watch import AlertWatch
from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.config.key_placement import key_placement
from iotcache.errors import StoreError
from iotcache.faults import Faults
from iotcache.ingest.batches import DecodedBatch
from iotcache.ingest.counters import IngestCounters
from iotcache.ingest.followers import Followers
from iotcache.ingest.pipeline import Pipeline
from iotcache.ingest.sparkplug_host import SparkplugHost
from iotcache.model import DeadLetter, Message, Reading
from iotcache.mqtt import LinkState, MqttLink, Will
from iotcache.nodelist.following import follow_list
from iotcache.onboarding.lifecycle import DeviceLifecycle
from iotcache.published_stats import INGEST_ROLE, GroupMembership, IngestStats, encode, gone, stats_topic
from iotcache.store.retention import keep_pruned
from iotcache.tasks import end, first_error
from iotcache.worker.former_subscriptions import FormerSubscriptions
from iotcache.worker.group import WorkerGroup
from iotcache.worker.host_state import HostState
from iotcache.worker.intake import Intake
from iotcache.worker.opening import open_cache, recall_intervals
from iotcache.worker.reader import message_reader, topics_of
from iotcache.worker.silence_hint import SilenceHint
from iotcache.worker.stats import IngestStatsBuilder

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.config.schema import Settings
    from iotcache.nodelist.watch import NodeListWatch
    from iotcache.store.base import Committed

log = logging.getLogger(__name__)

STATS_EVERY_S: Final = 1.0
LEAVE_S: Final = 0.7
"""How long a worker that is told to end may take for the batch in hand; the rest comes again."""
_OPENING: Final = "opening it"
_ONE_NAME: Final = (
    "; each worker needs an ingest.client_id of its own, members of an ingest.group an --instance"
)


class Ingest:
    """Takes readings from a broker into the store and the cache, and acknowledges what is safe on disk.

    An async context manager: inside, it works by itself. `ready` returns once broker and store answer;
    until then, and whenever one goes away, `waiting_for` says which and why.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        instance: str = "",
        clock: Clock = SYSTEM_CLOCK,
        node_list: NodeListWatch | None = None,
        follow: bool = False,
        on_state: Callable[[str], None] = lambda waiting_for: None,
    ) -> None:
        """Raises `ConfigError` for settings that cannot be used."""
        ingest = settings.ingest
        self.instance = instance or platform.node() or "worker"
        self.settings = settings
        self.counters = IngestCounters(clock)
        self.faults = Faults(clock)
        self.cache: DeviceCache | None = None
        self.pipeline: Pipeline | None = None
        self.lifecycle: DeviceLifecycle | None = None
        self.alerts: AlertWatch | None = None
        self.aggregates: Aggregates | None = None
        self.followers = Followers(faults=self.faults)
        self.host_state: HostState | None = None
        self._node_list, self._follow = node_list, follow or node_list is not None
        self._clock = clock
        self._on_state = on_state
        topics = topics_of(ingest)
        self.sparkplug = SparkplugHost(
            clock, asks=ingest.sparkplug_rebirth, reorder_s=ingest.sparkplug_reorder_s
        )
        self._reader = message_reader(ingest, topics, self.faults, self.sparkplug.note)
        self._topic = stats_topic(INGEST_ROLE, self.instance)
        self._stats = IngestStatsBuilder(
            INGEST_ROLE, self.instance, self.counters, clock, key_placement(settings.cache)
        )
        self._waiting_store = _OPENING
        self._reported = ""
        self.started = asyncio.Event()
        self._exits = AsyncExitStack()
        self._work: asyncio.Task[None] | None = None
        self._pump_task: asyncio.Task[None] | None = None
        # Members of a group have a session each; the broker deals the messages out among them.
        client_id = f"{ingest.client_id}-{self.instance}" if ingest.group else ingest.client_id
        self.link = MqttLink.from_settings(
            settings.broker,
            client_id,
            subscriptions=[(text, ingest.qos) for text in topics.filters(ingest.group)],
            persistent=True,
            will=Will(
                self._topic,
                gone(INGEST_ROLE, self.instance, group=ingest.group, client_id=client_id),
                1,
                retain=True,
            ),
            window=min(65_535, max(ingest.batch_max * 4, 100)),
            on_state=lambda state, reason: self._changed(),
        )
        self._former = FormerSubscriptions(self.link, topics, ingest.group)
        self._intake = Intake(self._reader, self.sparkplug, self.counters, self.faults, self._former)
        self.group = (
            WorkerGroup(settings.broker, ingest.group, self.instance, client_id, self._post)
            if ingest.group
            else None
        )
        self._session_ended = self._is_gone = False
        self._silence = SilenceHint(clock)
        if ingest.sparkplug_host_id:
            self.host_state = HostState(
                settings.broker,
                ingest.sparkplug_host_id,
                f"{client_id}-state",
                clock=clock,
                faults=self.faults,
            )

    @property
    def waiting_for(self) -> str:
        """What it cannot do without just now; empty while all is well. Safe to show."""
        parts = []
        if self._waiting_store:
            parts.append(f"store: {self._waiting_store}")
        if broker := self._waiting_broker:
            parts.append(f"broker: {broker}")
        return "; ".join(parts)

    @property
    def _waiting_broker(self) -> str:
        return "" if self.link.connected else self.link.reason or "connecting"

    async def __aenter__(self) -> Self:
        await self.link.__aenter__()
        if self.group is not None:
            await self._exits.enter_async_context(self.group)
        self._work = asyncio.create_task(self._run(), name="ingest")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def ready(self) -> None:
        """Return once the worker is subscribed and its store is open."""
        await self._while_working(self.started.wait())
        await self._while_working(self.link.until_connected())

    async def run(self) -> None:
        """Return never; raises what the worker could not go on after."""
        await self._while_working(asyncio.Event().wait())

    async def submit(self, readings: list[Reading], dead: list[DeadLetter]) -> Committed | None:
        """Take readings that came another way; returns after their commit, as one batch with others.

        Raises `StoreError` at once while the store is away.
        """
        pipeline = self.pipeline
        if pipeline is None or self._waiting_store:
            raise StoreError(f"the store cannot be written just now: {self._waiting_store}")
        done: asyncio.Future[Committed | None] = asyncio.get_running_loop().create_future()

        def settled(committed: Committed | None) -> None:
            if not done.done():
                done.set_result(committed)

        await pipeline.put(DecodedBatch(readings, dead, settled))
        return await done

    def decode_body(self, body: bytes, received_us: int) -> list[Reading]:
        """The readings of a payload that comes without a topic. Raises `iotcache.decode.decoder.Refused`."""
        return self._reader.read_body(body, received_us)

    # Working

    async def _while_working(self, wanted: Coroutine[Any, Any, object]) -> None:
        """Wait for ``wanted``, or raise what ended the work."""
        assert self._work is not None
        waiting = asyncio.ensure_future(wanted)
        try:
            await asyncio.wait({waiting, self._work}, return_when=asyncio.FIRST_COMPLETED)
            if self._work.done():
                self._work.result()
        except BaseExceptionGroup as group:
            raise first_error(group) from group
        finally:
            waiting.cancel()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.faults.keep_running("publishing counters", self._publish_stats))
            if self.group is not None:
                await self.group.prove()
            opening = open_cache(self.settings, self._exits, self._store_waits, follow=self._follow)
            cache = self.cache = await opening
            if self._node_list is not None:
                following = partial(follow_list, self._node_list, cache.cluster, self.settings.cache)
                tasks.create_task(self.faults.keep_running("following the list of nodes", following))
            self.lifecycle = DeviceLifecycle(cache, self.settings.onboarding, faults=self.faults)
            self.pipeline = Pipeline(
                cache,
                self.counters,
                clock=self._clock,
                faults=self.faults,
                on_waiting=self._store_waits,
                devices=self.lifecycle,
                on_commit=self.followers.tell,
            )
            self.followers.add(self.lifecycle)
            self.alerts = AlertWatch(
                cache,
                self.settings,
                self.link,
                instance=self.instance,
                well=lambda: not self.waiting_for,
                clock=self._clock,
                faults=self.faults,
            )
            self.followers.add(self.alerts)
            self.aggregates = Aggregates(
                cache, self.settings, instance=self.instance, clock=self._clock, faults=self.faults
            )
            self.followers.add(self.aggregates)
            tasks.create_task(self.followers.run())
            tasks.create_task(self.pipeline.run())
            recall = partial(recall_intervals, cache, self.pipeline, self.faults)
            tasks.create_task(self.faults.keep_running("reading the intervals", recall))
            retention_days = self.settings.store.retention_days
            prune = partial(keep_pruned, cache.store, retention_days, self._clock)
            tasks.create_task(self.faults.keep_running("deleting old readings", prune))
            hand_on = partial(self._hand_on, pipeline=self.pipeline)
            host = partial(
                self.sparkplug.run,
                self._reader,
                self.link.post,
                hand_on,
                partial(hand_on, is_last_try=True),
                received=lambda: self.link.received,
            )
            tasks.create_task(self.faults.keep_running("the work as a Sparkplug host", host))
            tasks.create_task(self.faults.keep_running("ending former subscriptions", self._former.run))
            self._pump_task = tasks.create_task(self._pump(self.pipeline))
            if self.host_state is not None:
                await self.link.until_connected()  # who is told that we are there may send at once
                await self._exits.enter_async_context(self.host_state)
            self.started.set()

    async def _pump(self, pipeline: Pipeline) -> None:
        """Take batches from the link and hand them on, decoded."""
        ingest = self.settings.ingest
        linger_s = ingest.linger_ms / 1e3
        while True:
            messages = await self.link.batch(ingest.batch_max, linger_s)
            self.counters.received += len(messages)
            await self._hand_on(messages, pipeline=pipeline)

    async def _hand_on(
        self, messages: Sequence[Message], *, pipeline: Pipeline, is_last_try: bool = False
    ) -> None:
        for batch in self._intake.batches(messages, self._acknowledge, is_last_try=is_last_try):
            await pipeline.put(batch)
            with self.faults.contained("commanding edge nodes"):
                for topic, payload in self.sparkplug.take_commands():
                    self.link.post(topic, payload)
            await asyncio.sleep(0)  # there may be many batches, and a commit wants to go on meanwhile

    def _acknowledge(self, messages: Sequence[Message], committed: Committed | None) -> None:
        self.link.ack(messages)

    async def _leave(self) -> None:
        """Take no more, finish what is in hand as far as that is quick, ack it, say goodbye."""
        try:
            is_for_good = await self._leave_group()
            if self._pump_task is not None:
                self._pump_task.cancel()
            if self.pipeline is not None and not self._waiting_store and self._working():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await self.pipeline.drained()
            self._session_ended = is_for_good and not self.link.unacked and not self.link.queued
            self._post(state="gone")
        finally:
            if self._work is not None:
                await end(self._work)
            await self.link.close()
            if self._session_ended and self.group is not None and not await self.group.end_session():
                log.warning("the session %s could not be ended at the broker", self.link.client_id)
            await self._exits.aclose()

    async def _leave_group(self) -> bool:
        """Take in what the broker has for us, and no more, where others go on; whether that was all."""
        if self.group is None or self._waiting_store or not self.link.connected or not self._working():
            return False
        return await self.group.leave(self.link, self._post)

    def _working(self) -> bool:
        return self._work is not None and not self._work.done()

    # Saying how it stands

    def _store_waits(self, reason: str) -> None:
        self._waiting_store = reason
        self._changed()

    def _changed(self) -> None:
        waiting = self.waiting_for
        if waiting == self._reported:
            return
        self._reported = waiting
        if not waiting:
            log.info("taking readings from the broker at %s", self.link.name)
        elif self.link.state is LinkState.AWAY or self._waiting_store not in ("", _OPENING):
            log.warning("waiting for %s%s", waiting, _ONE_NAME if self.link.contested else "")
        self._on_state(waiting)
        self._post()

    async def _publish_stats(self) -> None:
        while True:
            self._post()
            self._silence.look(self.link)
            await asyncio.sleep(STATS_EVERY_S)

    def _post(self, state: str = "") -> None:
        if self.link.connected and not self._is_gone:
            self._is_gone = state == "gone"  # the last word: what is still running is ended right after
            self.link.post(self._topic, encode(self.stats(state)), retain=True)

    def stats(self, state: str = "") -> IngestStats:
        """The counters as they stand."""
        waiting = self.waiting_for
        return self._stats.stats(
            state or ("waiting" if waiting else "running"),
            waiting,
            waiting_store=self._waiting_store,
            waiting_broker=self._waiting_broker,
            link=self.link,
            cache_counters=self.cache.counters() if self.cache is not None else None,
            nodes=self.cache.cluster.health() if self.cache is not None else (),
            ring=self.cache.cluster.node_addresses if self.cache is not None else None,
            series=len(self.pipeline.intervals) if self.pipeline is not None else 0,
            faults=self.faults.count,
            sparkplug=self.sparkplug,
            group=self.settings.ingest.group,
            membership=self.group.leaving.membership if self.group is not None else GroupMembership(),
            session_ended=self._session_ended,
            lifecycle=self.lifecycle,
            alerts=self.alerts,
            aggregates=self.aggregates,
            node_list=self._node_list.report if self._node_list is not None else None,
        )
