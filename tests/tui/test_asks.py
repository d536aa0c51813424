"""What screens ask of the feed: answered, refused, bounded and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import ClassVar, cast

import pytest

from iotcache.errors import StoreError
from iotcache.tasks import end
from iotcache_tui.feed import dispatcher as asks
from iotcache_tui.feed.dispatcher import RequestContext, RequestDispatcher
from iotcache_tui.state.request import Answer, Request
from iotcache_tui.state.updates import Mailbox


class Count(Request, frozen=True):
    """Yields 0 … ``to`` - 1."""

    to: int = 3


class Fail(Request, frozen=True):
    text: str


class Wipe(Request, frozen=True):
    acts: ClassVar[bool] = True


class Hang(Request, frozen=True):
    """Never ends."""


ended = asyncio.Event()


async def count(request: Count, reach: RequestContext) -> AsyncIterator[int]:
    for number in range(request.to):
        yield number


async def fail(request: Fail, reach: RequestContext) -> AsyncIterator[int]:
    raise StoreError(request.text)
    yield 0


async def hang(request: Hang, reach: RequestContext) -> AsyncIterator[int]:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()
    yield 0


async def wipe(request: Wipe, reach: RequestContext) -> AsyncIterator[str]:
    yield "wiped"


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Count", "Fail", "Hang", "Wipe"):
        monkeypatch.setitem(asks.HANDLERS, name, f"{__name__}:{name.lower()}")


async def serving(desk: RequestDispatcher, *, read_only: bool = False) -> asyncio.Task[None]:
    task = asyncio.create_task(desk.serve(cast(RequestContext, SimpleNamespace(read_only=read_only))))
    await asyncio.sleep(0)
    return task


async def answers(mailbox: Mailbox, until: int = 1) -> list[Answer]:
    """Everything that came until ``until`` tickets were done."""
    taken: list[Answer] = []
    async with asyncio.timeout(5):
        while sum(answer.done for answer in taken) < until:
            taken += mailbox.take_answers()
            await asyncio.sleep(0.001)
    return taken


async def test_a_question_is_answered_in_pieces_under_its_ticket() -> None:
    mailbox = Mailbox()
    desk = RequestDispatcher(mailbox)
    task = await serving(desk)
    ticket = desk.ask(Count(3))
    assert await answers(mailbox) == [*(Answer(ticket, n, done=False) for n in range(3)), Answer(ticket)]
    await end(task)


async def test_an_error_comes_as_one_safe_sentence() -> None:
    mailbox = Mailbox()
    desk = RequestDispatcher(mailbox)
    task = await serving(desk)
    desk.ask(Fail("away \x1b[31m"))
    (answer,) = await answers(mailbox)
    assert answer.done
    assert answer.error.startswith("away ")
    assert "\x1b" not in answer.error
    await end(task)


async def test_before_the_servers_answer_and_after_the_end_a_request_is_refused() -> None:
    mailbox = Mailbox()
    desk = RequestDispatcher(mailbox)
    desk.ask(Count())
    assert "not ready" in mailbox.take_answers()[0].error
    task = await serving(desk)
    await end(task)
    desk.ask(Count())
    assert "not ready" in mailbox.take_answers()[0].error


async def test_read_only_refuses_acts_and_answers_questions() -> None:
    mailbox = Mailbox()
    desk = RequestDispatcher(mailbox)
    task = await serving(desk, read_only=True)
    desk.ask(Wipe())
    (refused,) = await answers(mailbox)
    assert "read-only" in refused.error
    desk.ask(Count(1))
    assert (await answers(mailbox))[0].value == 0
    await end(task)


async def test_what_nobody_waits_for_is_cancelled_and_no_more_run_at_once_than_allowed() -> None:
    mailbox = Mailbox()
    desk = RequestDispatcher(mailbox)
    task = await serving(desk)
    tickets = [desk.ask(Hang()) for _ in range(asks.RUNNING_MOST)]
    desk.ask(Count())
    (refused,) = await answers(mailbox)
    assert "too much" in refused.error
    await asyncio.sleep(0)
    desk.cancel(tickets[0])
    async with asyncio.timeout(5):
        await ended.wait()
    desk.ask(Count(1))
    assert (await answers(mailbox))[0].value == 0
    await end(task)


async def test_a_handler_waits_for_a_screen_that_does_not_take() -> None:
    mailbox = Mailbox()
    desk = RequestDispatcher(mailbox)
    task = await serving(desk)
    desk.ask(Count(10_000))
    for _ in range(500):
        await asyncio.sleep(0)
    assert mailbox.answers_waiting <= asks.UNTAKEN_MOST
    await end(task)
