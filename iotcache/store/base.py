"""What the engine asks of a durable store. A new backend is one class that passes
`tests/store/test_conformance.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from msgspec import Struct

from iotcache.model import DeadLetter, Document, DocumentName, Reading, Series, StoredReading
from iotcache.model.alerts import Alert

SERIES_PAGE: Final = 200
"""Series of one page of figures: this bounds the rows of an answer, as a series has its interval."""


class Committed(Struct, frozen=True):
    """What one commit did."""

    stored: int
    """Readings that are new in the table."""
    duplicates: int
    """Readings that were there already."""
    newest: tuple[StoredReading, ...]
    """What must be written to the cache: the series whose ``latest`` this commit replaced, as stored now.

    Includes series whose newest reading was delivered again: the worker that committed it first may have
    died before it wrote to the cache."""
    conflicts: int = 0
    """Readings of a known identity and another value. Each is kept as a dead letter, by the same commit."""


class WindowPage(Struct, frozen=True, gc=False):
    """One page of figures; ask for what is above ``last`` until that is 0."""

    figures: list[tuple[int, float]]
    """``ts_us`` and value, in no order; booleans are 0 or 1, texts are left out."""
    last: int


class SeriesInfo(Struct, frozen=True, gc=False):
    """One row of the fleet's directory."""

    series: Series
    site: str
    unit: str
    interval_s: float
    order: int
    """Grows with every new series: ask for those above the largest one you know."""


class Documents(Protocol):
    """Metadata and configuration of devices, and which of them are out of service.

    Methods raise `StoreError`.
    """

    async def upsert(self, documents: Sequence[Document]) -> Sequence[Document]:
        """Store each document whose version is above the stored one; durable when it returns.

        Returns the documents that the store now holds exactly as given, including those it held before.
        Metadata newer than a device's decommissioning puts the device back into service.
        """
        ...

    async def find(self, names: Sequence[DocumentName]) -> Mapping[DocumentName, Document]:
        """The stored documents of these names. A device out of service has none until it is back."""
        ...

    async def names(self, above: DocumentName | None = None, limit: int = 5_000) -> Sequence[DocumentName]:
        """All documents of devices in service, in the order of their names, after ``above``."""
        ...

    async def sensors(self, devices: Sequence[str]) -> Sequence[SeriesInfo]:
        """The series of these devices, as in the directory."""
        ...

    async def decommission(self, ends: Mapping[str, int]) -> None:
        """Put devices out of service, each as of its time in microseconds.

        Their readings and documents stay in the store, but the documents are not returned. A device whose
        metadata is newer than that time stays in service.
        """
        ...

    async def recommission(self, devices: Sequence[str]) -> None:
        """Put devices back into service."""
        ...

    async def decommissioned(self, above: str = "", limit: int = 1_000) -> Sequence[str]:
        """Devices out of service, in the order of their names, after ``above``."""
        ...


class StoredDeadLetter(Struct, frozen=True):
    """A dead letter as the store keeps it."""

    number: int
    dead_letter: DeadLetter
    times: int
    """How often the same payload came on the same topic."""


class DeadLetters(Protocol):
    """Dead letters one by one, for an operator. Methods raise `StoreError`."""

    async def page(
        self, below: int | None = None, limit: int = 100, reason: str = ""
    ) -> Sequence[StoredDeadLetter]:
        """Dead letters with numbers below ``below``, largest first, whose reason contains ``reason``."""
        ...

    async def find(self, numbers: Sequence[int]) -> Sequence[StoredDeadLetter]:
        """The stored dead letters of these numbers."""
        ...

    async def remove(self, numbers: Sequence[int]) -> int:
        """Delete the dead letters of these numbers; returns how many were there."""
        ...

    async def remove_before(self, before_us: int, limit: int = 10_000) -> int:
        """Delete up to ``limit`` dead letters last seen before a time; returns how many were deleted."""
        ...


class Alerts(Protocol):
    """Alerts, active and cleared. Methods raise `StoreError`."""

    async def record(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Record that alerts were raised or cleared, in one transaction.

        Returns the alerts that this changed, as stored now: an alert is raised only while none of its name
        and subject is active, and cleared only while one is. Several workers may report the same alert.
        """
        ...

    async def acknowledge(self, name: str, subject: str, by: str, at_us: int) -> Alert | None:
        """Acknowledge an active alert. Returns it as stored now, or ``None`` when none is active.

        The first acknowledgement stays.
        """
        ...

    async def active(self, limit: int = 10_000) -> Sequence[Alert]:
        """Alerts that are raised or acknowledged, oldest first."""
        ...

    async def cleared(self, limit: int = 100) -> Sequence[Alert]:
        """Alerts that were cleared, the latest first."""
        ...

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        """Delete up to ``limit`` alerts cleared before ``before_us``; returns how many were deleted."""
        ...


class Store(Protocol):
    """An open store. Every method may raise `StoreError`; ``retryable`` tells an outage from a mistake."""

    url: str
    """Where it is, without a password."""
    documents: Documents
    """Metadata and configuration of devices."""
    alerts: Alerts
    dead_letters: DeadLetters

    grain_us: int
    """Old readings are cheap to delete in whole steps of this length, counted from the epoch; anything finer
    is deleted row by row. 0: the store has no such step."""

    async def commit(
        self,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter] = (),
        redriven: Sequence[int] = (),
    ) -> Committed:
        """Write all in one transaction; durable when it returns.

        A late reading enters history and never replaces a newer ``latest``. `Reading` defines when two
        readings are the same one. ``redriven`` are the numbers of dead letters to delete with it."""
        ...

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        """The newest reading of each known series; the unknown are left out."""
        ...

    async def mark_stale(self, series: Sequence[Series], at_us: int) -> None:
        """What was received of these series until a time is stale: who sent it is gone since. Unknown ones
        are passed over; the next reading that is received makes its series fresh again."""
        ...

    async def series_of(
        self, device: str, site: str, *, with_below: bool, limit: int = 20_000
    ) -> Sequence[Series]:
        """The series of a device at a site; ``with_below``: and of those called ``device/…``."""
        ...

    async def directory(self, above: int = 0, limit: int = 10_000) -> Sequence[SeriesInfo]:
        """Series first seen after ``above`` (see `SeriesInfo.order`), oldest first."""
        ...

    async def history(
        self, series: Series, since_us: int, until_us: int, limit: int = 10_000
    ) -> Sequence[Reading]:
        """Readings of one series in ``[since_us, until_us)``, by time, the newest ``limit`` of them."""
        ...

    async def window(
        self,
        site: str,
        sensor: str,
        since_us: int,
        until_us: int,
        above: int = 0,
        *,
        series_limit: int = SERIES_PAGE,
    ) -> WindowPage:
        """Figures of one sensor of all devices of a site in ``[since_us, until_us)``, a few series at a time.

        The site is that of the reading. Of a device that was at more than two sites, readings from those
        between its first and its last site are left out.
        """
        ...

    async def recent_dead_letters(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The dead letters seen last, newest first.

        The same payload on the same topic is one dead letter, with the time of its last receipt."""
        ...

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        """Delete up to ``limit`` readings and dead letters older than ``before_us``, in a short transaction.

        Returns how many were deleted, 0 when none is left. The newest reading of each series stays known."""
        ...

    async def counts(self) -> StoreCounts:
        """Totals, for a status line."""
        ...

    async def ping(self) -> None:
        """Raise `StoreError` unless the store answers."""
        ...

    async def close(self) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class StoreCounts(Struct, frozen=True):
    """Totals of a store, for a status line."""

    readings: int
    series: int
    dead_letters: int
    size_bytes: int
