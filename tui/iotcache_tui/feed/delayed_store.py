"""The store as this dashboard reaches it: not yet, perhaps; and with a delay, when a presenter wants one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from iotcache.errors import StoreError
from iotcache.model import Series, StoredReading
from iotcache.store.base import Store


class DelayedStore:
    """Used as a `Store` from the start; until `open` succeeds all that it is asked raises `StoreError`."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make
        self._store: Store | None = None
        self._why = StoreError("the store is being opened")
        self.delay_s = 0.0
        """Of each read of newest readings."""

    @property
    def is_open(self) -> bool:
        return self._store is not None

    async def open(self) -> None:
        """One attempt. Raises `StoreError`: not `retryable` where waiting does not mend it."""
        store = self._make()
        try:
            self._store = await store.__aenter__()
        except StoreError as error:
            self._why = error
            raise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Refusal(self._why) if self._store is None else getattr(self._store, name)

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self._store is None:
            raise _again(self._why)
        return await self._store.latest_many(series)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.__aexit__(kind, error, trace)


class _Refusal:
    """Any part and any method of a store that is not open."""

    def __init__(self, why: StoreError) -> None:
        self._why = why

    def __getattr__(self, name: str) -> _Refusal:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    async def __call__(self, *_args: object, **_options: object) -> Any:
        raise _again(self._why)


def _again(why: StoreError) -> StoreError:
    """The same error, without the traces of those who met it before."""
    return StoreError(str(why), retryable=why.retryable)
