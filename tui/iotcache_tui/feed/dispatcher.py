"""Answers what screens ask: each request is a task of its own in the feed's loop, bounded and cancellable."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from iotcache.errors import IotCacheError, UsageError
from iotcache.tasks import end
from iotcache.text import printable
from iotcache_tui.feed.answers.route import Answering, answer, answer_lab
from iotcache_tui.feed.request_context import LabContext, RequestContext
from iotcache_tui.state.requests import READ_ONLY, Answer, Request
from iotcache_tui.state.updates import Mailbox

log = logging.getLogger(__name__)

RUNNING_MOST = 32
UNTAKEN_MOST = 64
"""Answers that may wait for the screen before a handler has to."""
ROOM_POLL_S = 0.05

LabAnswers: TypeAlias = Callable[[Request, LabContext], Answering | None]


class RequestDispatcher:
    """Takes requests in from the screen's thread and runs their handlers in the feed's loop."""

    def __init__(self, mailbox: Mailbox, answer_lab: LabAnswers = answer_lab) -> None:
        self._mailbox = mailbox
        self._answer_lab = answer_lab
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: LabContext | None = None
        self.servers: RequestContext | None = None
        """What requests about servers are answered from, where only a scenario has any."""
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

    async def serve(self, context: LabContext) -> None:
        """Answer until cancelled."""
        self._context = context
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
        context = self._context
        if context is None:
            self._refuse(ticket, "not ready yet: the servers are still being reached")
        elif request.acts and context.read_only:
            self._refuse(ticket, READ_ONLY)
        elif len(self._running) >= RUNNING_MOST:
            self._refuse(ticket, "too much has been asked for at once: try again in a moment")
        else:
            task = asyncio.create_task(self._answer(ticket, request, context))
            self._running[ticket] = task
            task.add_done_callback(lambda _: self._running.pop(ticket, None))

    def _drop(self, ticket: int) -> None:
        task = self._running.get(ticket)
        if task is not None:
            task.cancel()

    async def _answer(self, ticket: int, request: Request, context: LabContext) -> None:
        try:
            answered = self._answer_lab(request, context)
            servers = context if isinstance(context, RequestContext) else self.servers
            if answered is None and servers is not None:
                answered = answer(request, servers)
            if answered is None:
                raise UsageError("only the Lab runs here, and no scenario has servers just now")
            if isinstance(answered, AsyncIterator):
                async for value in answered:
                    await self._put(ticket, value)
            elif (value := await answered) is not None:
                await self._put(ticket, value)
        except IotCacheError as error:
            self._refuse(ticket, printable(str(error), 300))
        except Exception as error:
            log.exception("a request failed")
            self._refuse(ticket, f"this failed in a way that was not foreseen: {printable(repr(error), 200)}")
        else:
            self._mailbox.put_answer(Answer(ticket))

    async def _put(self, ticket: int, value: object) -> None:
        while self._mailbox.answers_waiting >= UNTAKEN_MOST:  # noqa: ASYNC110 (another thread takes)
            await asyncio.sleep(ROOM_POLL_S)
        self._mailbox.put_answer(Answer(ticket, value, done=False))
