"""What stands in for a part that is "none": it has nothing, and says so when it is asked for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from iotcache.cluster.types import GetResult, ItemInfo, SetItem, WriteResult
from iotcache.errors import NodeError, StoreError
from iotcache.model import MissReason

if TYPE_CHECKING:
    from iotcache.cluster.stats import NodeStats
    from iotcache.model import DeadLetter, NodeHealth, Series, StoredReading
    from iotcache.store.base import SeriesInfo
    from iotcache_tui.feed.node_alerts import NodeAlerts

NO_STORE: Final = 'there is no store (store.url is "none")'
NO_NODES: Final = 'there are no cache nodes (cache.nodes is "none")'


class NoStore:
    """Used as a `Store` for reading: knows no series, and the alerts that this program itself raises; refuses
    all else with a `StoreError`."""

    url = "none"

    def __init__(self, alerts: NodeAlerts) -> None:
        self.alerts = alerts

    async def directory(self, above: int = 0, limit: int = 0) -> Sequence[SeriesInfo]:
        return ()

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        return {}

    async def recent_dead_letters(self, limit: int = 0) -> Sequence[DeadLetter]:
        return ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise StoreError(NO_STORE, retryable=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was opened."""


class NoCluster:
    """Used as a `Cluster`: every key is missing, nothing can be set; refuses all else with a `NodeError`."""

    node_names: tuple[str, ...] = ()

    def health(self) -> tuple[NodeHealth, ...]:
        return ()

    def node_of(self, key: str) -> str:
        return ""

    async def node_stats(self) -> dict[str, NodeStats | None]:
        return {}

    async def get_many(self, keys: Sequence[str], *, cas: bool = False) -> list[GetResult]:
        return [GetResult(False, failure=MissReason.NODE_DOWN)] * len(keys)

    async def probe_many(self, keys: Sequence[str]) -> list[ItemInfo]:
        return [ItemInfo(False, "")] * len(keys)

    async def set_many(self, items: Sequence[SetItem]) -> list[WriteResult]:
        return [WriteResult(False, "", NO_NODES)] * len(items)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NodeError(NO_NODES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was opened."""
