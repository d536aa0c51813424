"""What the gateway and the metrics need of a worker, so that they depend on no concrete one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.ingest.counters import IngestCounters
    from iotcache.model import DeadLetter, Reading
    from iotcache.published_stats import IngestStats
    from iotcache.store.base import Committed


class WorkerView(Protocol):
    """A running ingest worker, as its HTTP side sees it."""

    @property
    def counters(self) -> IngestCounters:
        """Running totals; the gateway counts its own requests and messages in them."""
        ...

    @property
    def cache(self) -> DeviceCache | None:
        """``None`` until the store is open."""
        ...

    @property
    def waiting_for(self) -> str:
        """What the worker waits for just now; empty while all is well. Safe to show."""
        ...

    def decode_body(self, body: bytes, received_us: int) -> list[Reading]:
        """The readings of a payload that comes without a topic. Raises `iotcache.decode.decoder.Refused`."""
        ...

    async def submit(self, readings: list[Reading], dead: list[DeadLetter]) -> Committed | None:
        """Take readings in; returns after their commit. Raises `StoreError`."""
        ...

    def stats(self, state: str = "") -> IngestStats:
        """The counters as they stand."""
        ...
