"""One thread that does blocking work in order, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class DbThread:
    """A worker thread with a bounded queue. SQLite connections live and die on theirs."""

    def __init__(self, name: str, depth: int = 32) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._places = asyncio.Semaphore(depth)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """``work(*arguments)`` on the thread.

        Work once begun is finished, also when the caller leaves.
        """
        async with self._places:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def close(self) -> None:
        """End the thread once its present work is done; does not wait."""
        self._thread.shutdown(wait=False)
