"""Ending tasks for sure, and work that goes on beside a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

PATIENCE_S = 1.0


def first_error(error: BaseException) -> BaseException:
    """Of a group of exceptions, however deep, the first: the failure that the others followed from."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def end(task: asyncio.Task[Any], patience_s: float = PATIENCE_S) -> None:
    """Cancel ``task`` and wait until it has ended; what it raises is not raised here.

    A single cancel may be lost: until Python 3.12 ``asyncio.wait_for`` swallows one that comes in the same
    turn of the loop as its result. So it is said again every ``patience_s`` seconds.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=patience_s)
    if not task.cancelled():
        task.exception()  # seen: asyncio need not complain


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let ``work`` go on while inside, and cancel it at the end; what it raised before is raised there."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
