"""One node's part of a request: sent in windows, each with its own barrier and deadline, answers in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, TypeVar

from iotcache.cluster.node import Node
from iotcache.cluster.wire.answers import ReplyBatch
from iotcache.cluster.wire.protocol import BARRIER
from iotcache.errors import NodeError

WINDOW_COMMANDS: Final = 1_024
_WINDOW_BYTES: Final = 256 * 1024

Made = TypeVar("Made", bound=ReplyBatch)


async def exchange(
    node: Node, requests: list[bytes], make: Callable[[int], Made], timeout_s: float
) -> list[tuple[Made, NodeError | None]]:
    """Send ``requests`` to ``node``; for each window its answers, or the error that makes them worth nothing.

    Until its barrier has proven their count, nothing says that an answer belongs to its question; so with an
    error there are no answers.

    All windows are sent before the first is waited for, as far as the connection has room; it reads
    while it writes, so that no batch is too large.
    """
    flights: list[tuple[Made, asyncio.Future[float] | NodeError]] = []
    for window in windows(requests):
        answers = make(len(window))
        try:
            connection = await node.ready(timeout_s)
        except NodeError as error:
            flights.append((answers, error))
            continue
        window.append(BARRIER)
        flights.append((answers, connection.submit(b"".join(window), answers, timeout_s)))
    done: list[tuple[Made, NodeError | None]] = []
    for answers, flight in flights:
        if isinstance(flight, NodeError):
            node.failed(flight)
            done.append((answers, flight))
            continue
        try:
            node.answered(await flight)
        except NodeError as error:
            node.failed(error)
            done.append((make(answers.want), error))
        else:
            done.append((answers, None))
    return done


def windows(requests: list[bytes]) -> Iterator[list[bytes]]:
    """``requests`` in runs that stay within the window's bounds; a single larger one goes alone."""
    if len(requests) <= WINDOW_COMMANDS and sum(map(len, requests)) <= _WINDOW_BYTES:
        yield requests
        return
    window: list[bytes] = []
    held = 0
    for request in requests:
        if window and (len(window) >= WINDOW_COMMANDS or held + len(request) > _WINDOW_BYTES):
            yield window
            window, held = [], 0
        window.append(request)
        held += len(request)
    yield window


Group = TypeVar("Group")


async def gather_groups(ask: Callable[[Group], Awaitable[None]], groups: Sequence[Group]) -> None:
    """Run the coroutine function ``ask`` for every group at the same time.

    With none it still lets others run: a caller that asks again and again while every node is out must not
    keep the loop from ever bringing one back.
    """
    if len(groups) == 1:
        await ask(groups[0])
    elif groups:
        await asyncio.gather(*(ask(group) for group in groups))
    else:
        await asyncio.sleep(0)
