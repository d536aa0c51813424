"""Answers what screens ask: each request is a task of its own in the feed's loop, bounded and cancellable."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotcache.errors import IotCacheError
from iotcache.tasks import end
from iotcache.text import printable
from iotcache_tui.state.request import Answer, Request
from iotcache_tui.state.updates import Mailbox

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.clock import Clock
    from iotcache.config.schema import Settings
    from iotcache.model import Series
    from iotcache_simulator.stack.stack import Stack
    from iotcache_tui.feed.answers.nodes import NodeStatsPoller

log = logging.getLogger(__name__)

HANDLERS: dict[str, str] = {
    "AcknowledgeAlerts": "iotcache_tui.feed.answers.alerts:acknowledge_all",
    "SwitchPart": "iotcache_tui.feed.answers.switches:switch",
    "TurnLoad": "iotcache_tui.feed.answers.switches:turn_load",
    "SlowStore": "iotcache_tui.feed.answers.switches:slow_store",
    "LoadLabCatalogue": "iotcache_tui.feed.answers.lab:catalogue_of",
    "LabRun": "iotcache_tui.feed.answers.lab:run",
    "LabDo": "iotcache_tui.feed.answers.lab:do",
    "LabExport": "iotcache_tui.feed.answers.lab:export",
    "WarmSeries": "iotcache_tui.feed.answers.series:warm",
    "InvalidateSeries": "iotcache_tui.feed.answers.series:invalidate",
    "CountKeys": "iotcache_tui.feed.answers.keys:count",
    "CrawlKeys": "iotcache_tui.feed.answers.keys:crawl",
    "CrawlAgain": "iotcache_tui.feed.answers.keys:crawl",
    "FetchValue": "iotcache_tui.feed.answers.keys:fetch",
    "DeleteKey": "iotcache_tui.feed.answers.keys:delete",
    "LookAtDevice": "iotcache_tui.feed.answers.device:look",
    "ReadAlerts": "iotcache_tui.feed.answers.device:alerts",
    "ReadDocuments": "iotcache_tui.feed.answers.device:documents",
    "ReadHistory": "iotcache_tui.feed.answers.device:history",
    "ReadNow": "iotcache_tui.feed.answers.device:read_now",
    "WatchNodes": "iotcache_tui.feed.answers.nodes:watch",
    "ActOnNode": "iotcache_tui.feed.answers.nodes:act",
}
"""The name of each `Request` and the ``module:function`` that answers it, imported when it is first asked."""
RUNNING_MOST = 32
UNTAKEN_MOST = 64
"""Answers that may wait for the screen before a handler has to."""
ROOM_POLL_S = 0.05
READ_ONLY = "this dashboard is read-only: start it with --no-read-only to change things"


@dataclass(slots=True)
class RequestContext:
    """What a handler may use. ``series`` grows as rows join; a row's number is its place in it."""

    settings: Settings
    """With every embedded part replaced by its real address."""
    stack: Stack
    cache: DeviceCache
    series: list[Series]
    mailbox: Mailbox
    clock: Clock
    read_only: bool
    node_watch: NodeStatsPoller | None = None
    lab: Any = None
    """The scenario that is being run."""


Handle = Callable[[Request, RequestContext], AsyncIterator[object]]
"""Yields the answer's value, or several with progress; raises `IotCacheError` in words for the user."""


def is_read_only(settings: Settings) -> bool:
    """Whether acts are refused: as set, or, on "auto", when the nodes are not our own."""
    wanted = settings.dashboard.read_only
    return not isinstance(settings.cache.nodes, str) if wanted == "auto" else bool(wanted)


def _find(request: Request) -> Handle:
    module, _, name = HANDLERS[type(request).__name__].partition(":")
    handle: Handle = getattr(importlib.import_module(module), name)
    return handle


class RequestDispatcher:
    """Takes requests in from the screen's thread and runs their handlers in the feed's loop."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reach: RequestContext | None = None
        self._running: dict[int, asyncio.Task[None]] = {}
        self._tickets = itertools.count(1)

    # The screen's side

    def ask(self, request: Request) -> int:
        """Hand a request over; its answers come through the mailbox under the ticket returned."""
        ticket = next(self._tickets)
        loop = self._loop
        if loop is None or loop.is_closed():
            self._refuse(ticket, "not ready yet: the servers are still being reached")
        else:
            loop.call_soon_threadsafe(self._begin, ticket, request)
        return ticket

    def cancel(self, ticket: int) -> None:
        """Nobody waits for this ticket any more."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._drop, ticket)

    # The feed's side

    async def serve(self, reach: RequestContext) -> None:
        """Answer until cancelled."""
        self._reach = reach
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.Event().wait()
        finally:
            self._loop = None
            for task in list(self._running.values()):
                await end(task)

    def _refuse(self, ticket: int, why: str) -> None:
        self._mailbox.put_answer(Answer(ticket, error=why))

    def _begin(self, ticket: int, request: Request) -> None:
        reach = self._reach
        if reach is None:
            self._refuse(ticket, "not ready yet: the servers are still being reached")
        elif request.acts and reach.read_only:
            self._refuse(ticket, READ_ONLY)
        elif len(self._running) >= RUNNING_MOST:
            self._refuse(ticket, "too much has been asked for at once: try again in a moment")
        else:
            task = asyncio.create_task(self._answer(ticket, request, reach))
            self._running[ticket] = task
            task.add_done_callback(lambda _: self._running.pop(ticket, None))

    def _drop(self, ticket: int) -> None:
        task = self._running.get(ticket)
        if task is not None:
            task.cancel()

    async def _answer(self, ticket: int, request: Request, reach: RequestContext) -> None:
        try:
            async for value in _find(request)(request, reach):
                while self._mailbox.answers_waiting >= UNTAKEN_MOST:  # noqa: ASYNC110 (another thread takes)
                    await asyncio.sleep(ROOM_POLL_S)
                self._mailbox.put_answer(Answer(ticket, value, done=False))
        except IotCacheError as error:
            self._refuse(ticket, printable(str(error), 300))
        except Exception as error:
            log.exception("a request failed")
            self._refuse(ticket, f"this failed in a way that was not foreseen: {printable(repr(error), 200)}")
        else:
            self._mailbox.put_answer(Answer(ticket))
