"""`DeviceCache` for programs without an event loop: the same calls, blocking, from any thread.

A loop in a thread of its own does the work, so that the calls of many threads go out in common batches over
one connection a node. After a fork the child opens connections of its own at its first call.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from iotcache.cache import CacheCounters, FillResult, Written
from iotcache.cache import DeviceCache as AsyncDeviceCache
from iotcache.cluster import WriteResult
from iotcache.config import load
from iotcache.config.schema import Settings
from iotcache.errors import ClusterClosed
from iotcache.model import AggregateRead, BucketRead, DocumentRead, Read, Reading, Series

T = TypeVar("T")
_CLOSE_S: Final = 10.0
_INHERITED: Final[list[object]] = []
"""What a child has of its parent's loops and connections. It is kept and never touched: an epoll instance is
shared over a fork, so that a transport which is collected here would take the parent's sockets out of it."""
_KEPT_OVER_FORK: Final[weakref.WeakSet[DeviceCache]] = weakref.WeakSet()


class DeviceCache:
    """A blocking `iotcache.DeviceCache`: open it (``with``, or `open`) before the first call, and close it.

    Safe in threads. It may not be used within a running event loop's own thread: that loop would stand still
    (`iotcache.DeviceCache` is for there).
    """

    def __init__(self, make: Callable[[], AsyncDeviceCache]) -> None:
        """``make`` is called once a process, in the thread of the loop."""
        self._make = make
        self._lock = threading.Lock()
        self._pid = 0
        """The process whose loop and connections these are; 0 while closed."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._cache: AsyncDeviceCache | None = None
        self._wanted = False
        """Between `open` and `close`, in the parent or before a fork."""
        _KEPT_OVER_FORK.add(self)

    @classmethod
    def from_settings(cls, settings: Settings, *, read_only: bool = False) -> Self:
        """As `iotcache.DeviceCache.from_settings`."""
        return cls(lambda: AsyncDeviceCache.from_settings(settings, read_only=read_only))

    @classmethod
    def from_config(cls, file: str | None = None, *, read_only: bool = False) -> Self:
        """By ``config.toml`` and ``IOTCACHE_…`` as the program reads them. Raises `ConfigError`."""
        return cls.from_settings(load({}, file).settings, read_only=read_only)

    # Life

    def open(self) -> None:
        """Connect. Raises `IotCacheError` when the store cannot be opened; a node that is out is no error."""
        with self._lock:
            self._wanted = True
            self._running()

    def close(self) -> None:
        """Finish what is under way and close the connections."""
        with self._lock:
            self._wanted = False
            if self._pid == os.getpid():
                self._end()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Calls: see the methods of the same name of `iotcache.DeviceCache`

    def read(self, device: str, sensor: str) -> Read:
        """The newest reading of one series."""
        return self._call(lambda cache: cache.read(device, sensor))

    def read_many(self, series: Sequence[Series]) -> list[Read]:
        """The newest reading of each series, in order."""
        return self._call(lambda cache: cache.read_many(series))

    def write(self, readings: Sequence[Reading]) -> Written:
        """Store readings, then put them into the cache: when this returns, they are on disk."""
        return self._call(lambda cache: cache.write(readings))

    def meta(self, device: str) -> DocumentRead:
        """The metadata of a device."""
        return self._call(lambda cache: cache.meta(device))

    def config(self, device: str) -> DocumentRead:
        """A device's configuration."""
        return self._call(lambda cache: cache.config(device))

    def aggregate(self, site: str, sensor: str) -> AggregateRead:
        """Figures of a sensor of a site in the newest minute with readings."""
        return self._call(lambda cache: cache.aggregate(site, sensor))

    def bucket(self, series: Series, ts_us: int) -> BucketRead:
        """The readings of a series around a time."""
        return self._call(lambda cache: cache.bucket(series, ts_us))

    def fill(self, series: Sequence[Series]) -> FillResult:
        """Add to the cache what is not there, from the store."""
        return self._call(lambda cache: cache.fill(series))

    def invalidate(self, series: Sequence[Series]) -> list[WriteResult]:
        """Delete the entry of each series."""
        return self._call(lambda cache: cache.invalidate(series))

    def counters(self) -> CacheCounters:
        """What was counted since this process opened the cache."""
        with self._lock:
            _, cache = self._running()
        return cache.counters()

    # The loop

    def _call(self, start: Callable[[AsyncDeviceCache], Coroutine[Any, Any, T]]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise ClusterClosed(
                "a blocking call within an event loop would stop it: use iotcache.DeviceCache there"
            )
        with self._lock:
            loop, cache = self._running()
        future = asyncio.run_coroutine_threadsafe(start(cache), loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C: nobody waits for it any more
            raise

    def _running(self) -> tuple[asyncio.AbstractEventLoop, AsyncDeviceCache]:
        """The loop and the cache of this process, begun when need be; the lock is held."""
        if not self._wanted:
            raise ClusterClosed("the cache is not open: use it in a with block, or call open()")
        if self._pid != os.getpid():
            self._begin()
        assert self._loop is not None
        assert self._cache is not None
        return self._loop, self._cache

    def _begin(self) -> None:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="iotcache", daemon=True)
        thread.start()
        try:
            self._cache = asyncio.run_coroutine_threadsafe(self._entered(), loop).result()
        except BaseException:
            _stop(loop, thread)
            raise
        self._loop, self._thread, self._pid = loop, thread, os.getpid()

    async def _entered(self) -> AsyncDeviceCache:
        return await self._make().__aenter__()

    def _end(self) -> None:
        loop, thread, cache = self._loop, self._thread, self._cache
        self._loop = self._thread = self._cache = None
        self._pid = 0
        assert loop is not None
        assert thread is not None
        assert cache is not None
        try:
            asyncio.run_coroutine_threadsafe(cache.__aexit__(None, None, None), loop).result(_CLOSE_S)
        finally:
            _stop(loop, thread)

    def _after_fork(self) -> None:
        """In the child: another thread may have held the lock, and the loop's thread is not here."""
        _INHERITED.append((self._loop, self._cache))
        self._lock = threading.Lock()
        self._loop = self._thread = self._cache = None
        self._pid = 0


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join(_CLOSE_S)
    if not thread.is_alive():
        loop.close()


def _after_fork() -> None:
    for cache in list(_KEPT_OVER_FORK):
        cache._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
