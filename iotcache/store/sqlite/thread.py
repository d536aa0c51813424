"""A connection to the SQLite file on a thread of its own, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Generic, ParamSpec, TypeVar

from iotcache.errors import StoreError
from iotcache.store.sqlite.file import SqliteFile

F = TypeVar("F", bound=SqliteFile)
P = ParamSpec("P")
T = TypeVar("T")


class FileThread(Generic[F]):
    """A thread with a bounded queue and the connection that it opens when first needed.

    SQLite connections must be opened, used and closed on the same thread.
    """

    def __init__(self, name: str, opener: Callable[[], F], queue_depth: int = 32) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._queue = asyncio.Semaphore(queue_depth)
        self._opener = opener
        self._file: F | None = None
        self._closed = False

    async def open(self) -> None:
        """Open the file now. Raises `StoreError`."""
        await self._submit(self._opened)

    async def run(self, work: Callable[Concatenate[F, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``work(file, …)`` on the thread. Raises `StoreError`.

        Work once begun is finished even when the caller is cancelled.
        """
        if self._closed:
            raise StoreError("the store is closed", retryable=False)
        return await self._submit(lambda: work(self._opened(), *args, **kwargs))

    async def close(self) -> None:
        """Close the file after all queued work, and end the thread."""
        if not self._closed:
            self._closed = True
            await self._submit(self._close_file)
            self._executor.shutdown(wait=False)

    async def _submit(self, work: Callable[[], T]) -> T:
        async with self._queue:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _opened(self) -> F:
        if self._file is None:
            self._file = self._opener()
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
