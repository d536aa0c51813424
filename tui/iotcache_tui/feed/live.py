"""The live feed: a thread with an event loop of its own, so that nothing slow can hold a frame up."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.config.parts import looks_per_s
from iotcache.config.schema import Settings
from iotcache.errors import IotCacheError
from iotcache.tasks import end
from iotcache.text import printable
from iotcache_tui.feed.pace import TICK_S

if TYPE_CHECKING:
    from iotcache_tui.feed.dispatcher import RequestDispatcher
    from iotcache_tui.state.requests import Request
    from iotcache_tui.state.updates import Mailbox

log = logging.getLogger(__name__)


class LiveFeed:
    """Fills a mailbox from real servers: embedded ones, or those that the settings name.

    The screen's thread only ever takes from the mailbox. What the work needs is imported in the feed's own
    thread: the first frame does not wait for it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reads_per_s: float | None = None,
        tick_s: float = TICK_S,
        clock: Clock = SYSTEM_CLOCK,
        after: threading.Thread | None = None,
    ) -> None:
        """``reads_per_s`` is the most reads a second; `looks_per_s` of the settings where it is not given.
        They are made every ``tick_s``. Nothing is begun while ``after`` runs."""
        self._settings = settings
        self._reads_per_s = looks_per_s(settings) if reads_per_s is None else reads_per_s
        self._tick_s = tick_s
        self._clock = clock
        self._after = after
        self._made: RequestDispatcher | None = None
        self._making = threading.Lock()
        self._watched: tuple[int, ...] = ()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._stop_asked = False

    # The screen's side. What is made on its first use is loaded then.

    @cached_property
    def mailbox(self) -> Mailbox:
        """Made by the screen's thread, before the feed's begins."""
        from iotcache_tui.state.updates import Mailbox

        return Mailbox()

    @property
    def _dispatcher(self) -> RequestDispatcher:
        """Made by the thread that first has a use for it."""
        from iotcache_tui.feed.dispatcher import RequestDispatcher

        with self._making:
            if self._made is None:
                self._made = RequestDispatcher(self.mailbox)
            return self._made

    def start(self) -> None:
        assert self.mailbox is not None
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

    def ask(self, request: Request) -> int:
        return self._dispatcher.ask(request)

    def cancel(self, ticket: int) -> None:
        self._dispatcher.cancel(ticket)

    # The feed's own thread

    def _run(self) -> None:
        try:
            if self._after is not None:
                self._after.join()
            asyncio.run(self._main())
        except IotCacheError as error:
            self._tell_failure(str(error))
        except Exception as error:
            log.exception("the feed ended")
            self._tell_failure(f"the feed ended: {printable(repr(error))}")

    def _tell_failure(self, text: str) -> None:
        from iotcache_tui.state.updates import Latest

        self.mailbox.put_latest(Latest(failure=text))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if self._stop_asked:
            return
        job = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({job, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            failed = job.done()
            await end(job)
        if failed:
            job.result()

    async def _work(self) -> None:
        from iotcache_tui.feed.stack_start import StackStart

        async with StackStart(self._settings, self.mailbox, self._clock) as begun:
            # Aside: the stack's start has a loop to go on in meanwhile.
            await asyncio.to_thread(importlib.import_module, "iotcache_tui.feed.work")
            from iotcache_tui.feed.work import LiveWork

            work = LiveWork(
                begun,
                self.mailbox,
                self._dispatcher,
                lambda: self._watched,
                self._clock,
                reads_per_s=self._reads_per_s,
                tick_s=self._tick_s,
            )
            await work.run()
