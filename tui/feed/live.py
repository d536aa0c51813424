"""The live feed: runs the stack, reads the fleet back through the cache, and keeps the screen informed.

It has a thread and an event loop of its own, so that neither a slow store nor a hung node can hold a
frame up; the screen's thread only ever takes from the mailbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence

from iotcache.cache import DeviceCache
from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.config.schema import Settings
from iotcache.errors import IotCacheError, StoreError
from iotcache.keys import Keys
from iotcache.model import Series
from iotcache.tasks import end
from iotcache.text import printable
from simulator.stack.stack import Stack
from tui.feed.account import Account
from tui.feed.pace import ReadingPace
from tui.feed.parts import Parts
from tui.feed.workers import WorkerEar
from tui.state.updates import Mailbox, TtlUpdate

log = logging.getLogger(__name__)
TICK_S = 0.1
BATCH_ROWS = 500
DIRECTORY_EVERY_S = 1.0
PROBE_EVERY_S = 1.0
RETRY_MAX_S = 5.0


class LiveFeed:
    """Fills a mailbox from real servers: embedded ones, or those that the settings name."""

    def __init__(self, settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.mailbox = Mailbox()
        self._settings = settings
        self._clock = clock
        self._watched: tuple[int, ...] = ()
        self._series: list[Series] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._stop_asked = False
        self._parts = Parts(self.mailbox, settings)
        self._ear = WorkerEar(self._parts, clock)

    # The screen's side

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        self._stop_asked = True
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stopping.set)
        if self._thread is not None:
            self._thread.join(timeout_s)

    def watch(self, rows: Sequence[int]) -> None:
        self._watched = tuple(rows)

    # The feed's own thread

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except IotCacheError as error:
            self.mailbox.put_latest(failure=str(error))
        except Exception as error:
            log.exception("the feed ended")
            self.mailbox.put_latest(failure=f"the feed ended: {printable(repr(error))}")

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if self._stop_asked:
            return
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            failed = work.done()
            await end(work)
        if failed:
            work.result()

    async def _work(self) -> None:
        async with Stack(
            self._settings, on_event=self.mailbox.put_event, on_progress=self._parts.progress
        ) as stack:
            self._parts.started(stack)
            settings = stack.settings
            async with contextlib.AsyncExitStack() as opened:
                cache = await self._open_cache(settings, opened)
                account = Account(Keys(settings.cache.prefix, settings.cache.bucket_s))
                pace = ReadingPace(settings.dashboard.reads_per_s, settings.dashboard.read_interval_s)
                await self._learn_rows(cache, account, pace)
                self.mailbox.put_latest(ready=True)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._every(DIRECTORY_EVERY_S, self._learn_rows, cache, account, pace))
                    tasks.create_task(self._every(PROBE_EVERY_S, self._probe, cache))
                    tasks.create_task(self._every(TICK_S, self._read, cache, account, pace))
                    tasks.create_task(self._every(1.0, self._close_second, cache, account))
                    tasks.create_task(self._ear.listen(settings))

    async def _open_cache(self, settings: Settings, opened: contextlib.AsyncExitStack) -> DeviceCache:
        """Open cluster and store; a store that is away is waited for, and shown as down."""
        wait_s = 0.25
        while True:
            try:
                return await opened.enter_async_context(DeviceCache.from_settings(settings))
            except StoreError as error:
                if not error.retryable:
                    raise
                self._parts.turn("store", "down", str(error))
                self.mailbox.put_latest(ready=True)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_MAX_S)

    async def _every(self, period_s: float, act: Callable[..., Awaitable[None]], *args: object) -> None:
        """Do ``act`` on a steady beat; beats missed by a slow one are skipped, not made up for."""
        due_s = self._clock.monotonic()
        while True:
            await act(*args)
            now_s = self._clock.monotonic()
            due_s = max(due_s + period_s, now_s)
            await asyncio.sleep(due_s - now_s)

    async def _learn_rows(self, cache: DeviceCache, account: Account, pace: ReadingPace) -> None:
        """Take in series that were first seen since the last look."""
        try:
            while True:
                found = await cache.store.directory(self._parts.newest_order)
                if not found:
                    break
                self._parts.newest_order = found[-1].order
                self._series.extend(info.series for info in found)
                account.grow(len(self._series))
                pace.grow(len(self._series))
                self.mailbox.put_joined(found)
        except StoreError as error:
            self._parts.turn("store", "down", str(error))
        else:
            self._parts.turn("store", "up")

    async def _read(self, cache: DeviceCache, account: Account, pace: ReadingPace) -> None:
        pace.watched = self._watched
        due = pace.due(self._clock.monotonic())
        for first in range(0, len(due), BATCH_ROWS):
            rows = due[first : first + BATCH_ROWS]
            reads = await cache.read_many([self._series[row] for row in rows])
            self.mailbox.put_reads(*account.add(rows, reads, self._clock.monotonic(), self._clock.now()))

    async def _probe(self, cache: DeviceCache) -> None:
        """Ask what is left of the entries on screen, in a way that counts as no read."""
        rows = [row for row in self._watched if row < len(self._series)]
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

    async def _close_second(self, cache: DeviceCache, account: Account) -> None:
        now_s = self._clock.monotonic()
        ingest, published = self._ear.rates(now_s)
        self.mailbox.put_second(account.close_second(now_s, ingest, published))
        for event in self._parts.nodes(cache.cluster.health()):
            self.mailbox.put_event(event)
        self._parts.workers(self._ear.workers(now_s))
