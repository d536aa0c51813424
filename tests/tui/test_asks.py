"""What screens ask of the feed: answered, refused, bounded and cancelled."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import pkgutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, cast

from iotcache.errors import StoreError
from iotcache.model import Reading, Series, StoredReading
from iotcache.store.sqlite.store import SqliteStore
from iotcache.tasks import end
from iotcache_tui.feed import dispatcher as asks
from iotcache_tui.feed.answers import route
from iotcache_tui.feed.answers.route import Answering
from iotcache_tui.feed.answers.switches import slow_store
from iotcache_tui.feed.delayed_store import DelayedStore
from iotcache_tui.feed.dispatcher import RequestDispatcher
from iotcache_tui.feed.request_context import LabContext, RequestContext
from iotcache_tui.state.keys.model import CountKeys
from iotcache_tui.state.requests import Answer, Request, SlowStore
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


async def count(request: Count, context: LabContext) -> AsyncIterator[int]:
    for number in range(request.to):
        yield number


async def fail(request: Fail, context: LabContext) -> AsyncIterator[int]:
    raise StoreError(request.text)
    yield 0


async def hang(request: Hang, context: LabContext) -> AsyncIterator[int]:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()
    yield 0


async def wipe(request: Wipe, context: LabContext) -> AsyncIterator[str]:
    yield "wiped"


def answer_ours(request: Request, context: LabContext) -> Answering | None:
    match request:
        case Count():
            return count(request, context)
        case Fail():
            return fail(request, context)
        case Hang():
            return hang(request, context)
        case Wipe():
            return wipe(request, context)
    return None


async def serving(dispatcher: RequestDispatcher, *, read_only: bool = False) -> asyncio.Task[None]:
    task = asyncio.create_task(dispatcher.serve(cast(LabContext, SimpleNamespace(read_only=read_only))))
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
    dispatcher = RequestDispatcher(mailbox, answer_ours)
    task = await serving(dispatcher)
    ticket = dispatcher.ask(Count(3))
    assert await answers(mailbox) == [*(Answer(ticket, n, done=False) for n in range(3)), Answer(ticket)]
    await end(task)


async def test_an_error_comes_as_one_safe_sentence() -> None:
    mailbox = Mailbox()
    dispatcher = RequestDispatcher(mailbox, answer_ours)
    task = await serving(dispatcher)
    dispatcher.ask(Fail("away \x1b[31m"))
    (answer,) = await answers(mailbox)
    assert answer.done
    assert answer.error.startswith("away ")
    assert "\x1b" not in answer.error
    await end(task)


async def test_before_the_servers_answer_and_after_the_end_a_request_is_refused() -> None:
    mailbox = Mailbox()
    dispatcher = RequestDispatcher(mailbox, answer_ours)
    dispatcher.ask(Count())
    assert "not ready" in mailbox.take_answers()[0].error
    task = await serving(dispatcher)
    await end(task)
    dispatcher.ask(Count())
    assert "not ready" in mailbox.take_answers()[0].error


async def test_read_only_refuses_acts_and_answers_questions() -> None:
    mailbox = Mailbox()
    dispatcher = RequestDispatcher(mailbox, answer_ours)
    task = await serving(dispatcher, read_only=True)
    dispatcher.ask(Wipe())
    (refused,) = await answers(mailbox)
    assert "read-only" in refused.error
    dispatcher.ask(Count(1))
    assert (await answers(mailbox))[0].value == 0
    await end(task)


async def test_what_nobody_waits_for_is_cancelled_and_no_more_run_at_once_than_allowed() -> None:
    mailbox = Mailbox()
    dispatcher = RequestDispatcher(mailbox, answer_ours)
    task = await serving(dispatcher)
    tickets = [dispatcher.ask(Hang()) for _ in range(asks.RUNNING_MOST)]
    dispatcher.ask(Count())
    (refused,) = await answers(mailbox)
    assert "too much" in refused.error
    await asyncio.sleep(0)
    dispatcher.cancel(tickets[0])
    async with asyncio.timeout(5):
        await ended.wait()
    dispatcher.ask(Count(1))
    assert (await answers(mailbox))[0].value == 0
    await end(task)


async def test_a_handler_waits_for_a_screen_that_does_not_take() -> None:
    mailbox = Mailbox()
    dispatcher = RequestDispatcher(mailbox, answer_ours)
    task = await serving(dispatcher)
    dispatcher.ask(Count(10_000))
    for _ in range(500):
        await asyncio.sleep(0)
    assert mailbox.answers_waiting <= asks.UNTAKEN_MOST
    await end(task)


def _all_requests(kind: type[Request] = Request) -> list[type[Request]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_all_requests(sub))]


def test_every_request_of_the_program_is_answered() -> None:
    import iotcache_tui.state

    for module in pkgutil.walk_packages(iotcache_tui.state.__path__, "iotcache_tui.state."):
        importlib.import_module(module.name)
    kinds = {kind for kind in _all_requests() if kind.__module__.startswith("iotcache_tui.")}
    assert len(kinds) > 15
    routed = {
        node.cls.id
        for node in ast.walk(ast.parse(inspect.getsource(route)))
        if isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name)
    }
    bases = {kind.__name__ for kind in kinds if kind.__name__ in routed}
    assert routed == bases
    assert not [kind for kind in kinds if not {base.__name__ for base in kind.__mro__} & routed]


async def test_where_only_the_lab_runs_its_requests_alone_are_answered() -> None:
    mailbox = Mailbox()
    dispatcher = RequestDispatcher(mailbox, answer_ours)
    task = await serving(dispatcher)
    dispatcher.ask(CountKeys())
    (refused,) = await answers(mailbox)
    assert refused.error == "only the Lab runs here, and no scenario has servers just now"
    await end(task)


async def test_a_slowed_store_answers_later_and_what_the_real_one_answers(tmp_path: Path) -> None:
    async with DelayedStore(lambda: SqliteStore(tmp_path / "readings.db")) as store:
        await store.open()
        series = Series("dev", "temp")
        reading = Reading(device="dev", sensor="temp", value=1.5, ts_us=1)
        await store.commit([StoredReading(reading, 60)])
        context = cast(RequestContext, SimpleNamespace(store=store))
        await slow_store(SlowStore(50.0), context)
        asked_at_s = time.monotonic()
        found = await store.latest_many([series])
        assert time.monotonic() - asked_at_s >= 0.05
        assert found[series].reading.value == 1.5
        await slow_store(SlowStore(0.0), context)
        assert store.delay_s == 0.0
