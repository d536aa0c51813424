"""What the engine asks of a durable store. A new backend is one class that passes tests/store/conformance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct

from iotcache.model import DeadLetter, Document, DocumentName, Reading, Series, StoredReading
from iotcache.model.alerts import Alert
from iotcache.store.windows import WindowPage


class Committed(Struct, frozen=True):
    """What one commit did."""

    stored: int
    """Readings that are new in the table."""
    duplicates: int
    """Readings whose identity was there already."""
    newest: tuple[StoredReading, ...]
    """What the cache must be told: the series whose ``latest`` this commit moved on, as they now stand.

    Also those of which the very newest reading came once more: whoever committed it first may have died
    between the commit and the cache."""


class SeriesInfo(Struct, frozen=True, gc=False):
    """One row of the fleet's directory."""

    series: Series
    site: str
    unit: str
    interval_s: float
    order: int
    """Grows with every series first seen: ask for what is above the largest one you know."""


class Documents(Protocol):
    """Metadata and configuration of devices, and which of them are out of service.

    Methods raise `StoreError`.
    """

    async def keep(self, documents: Sequence[Document]) -> Sequence[Document]:
        """Store each whose version is above the one that is there; durable when it returns.

        Returns those that stand in the store as given now, also when they did before. Metadata said after a
        device was put out of service puts it back.
        """
        ...

    async def find(self, names: Sequence[DocumentName]) -> Mapping[DocumentName, Document]:
        """Those that are there. A device out of service has none until it is back."""
        ...

    async def names(self, above: DocumentName | None = None, limit: int = 5_000) -> Sequence[DocumentName]:
        """All documents of devices in service, in the order of their names, after ``above``."""
        ...

    async def sensors(self, devices: Sequence[str]) -> Sequence[SeriesInfo]:
        """The series of these devices, as in the directory."""
        ...

    async def decommission(self, ends: Mapping[str, int]) -> None:
        """Put devices out of service, each as of its time in microseconds.

        Their readings stay, and so do their documents, unseen. Metadata that a device has said later than
        that stands against it.
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
    letter: DeadLetter
    times: int
    """How often the very same one came."""


class DeadLetters(Protocol):
    """Dead letters one by one, for the person who looks after them. Methods raise `StoreError`."""

    async def page(
        self, below: int | None = None, limit: int = 100, reason: str = ""
    ) -> Sequence[StoredDeadLetter]:
        """Those with numbers under ``below``, the largest first, whose reason holds ``reason``."""
        ...

    async def find(self, numbers: Sequence[int]) -> Sequence[StoredDeadLetter]:
        """Those of these numbers that are there."""
        ...

    async def remove(self, numbers: Sequence[int]) -> int:
        """Delete them; how many were there."""
        ...

    async def remove_before(self, before_us: int, limit: int = 10_000) -> int:
        """Delete up to ``limit`` last seen before a time; how many went."""
        ...


class Alerts(Protocol):
    """Alerts, those that stand and those of the past. Methods raise `StoreError`."""

    async def keep(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Note that alerts were raised or cleared, in one transaction.

        Returns, as they are in the store now, those for which that is news: one is raised only while none of
        its name and subject stands, and cleared only while one does. Several workers may tell the same.
        """
        ...

    async def acknowledge(self, name: str, subject: str, by: str, at_us: int) -> Alert | None:
        """Note that somebody knows of a standing alert; it as it is now, and ``None`` when none stands.

        Who was first stays.
        """
        ...

    async def standing(self, limit: int = 10_000) -> Sequence[Alert]:
        """Alerts that are raised or acknowledged, oldest first."""
        ...

    async def past(self, limit: int = 100) -> Sequence[Alert]:
        """Alerts that were cleared, the latest first."""
        ...

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        """Forget up to ``limit`` alerts cleared before ``before_us``; how many went."""
        ...


class Store(Protocol):
    """An open store. Every method may raise `StoreError`; ``retryable`` tells an outage from a mistake."""

    url: str
    """Where it is, without a password."""
    documents: Documents
    """What it knows of devices besides their readings."""
    alerts: Alerts
    dead_letters: DeadLetters

    grain_us: int
    """Old readings go by whole steps of this length, counted from the epoch, at next to no cost; finer cuts
    are made row by row. 0: every cut is."""

    async def commit(
        self,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter] = (),
        settled: Sequence[int] = (),
    ) -> Committed:
        """Write all in one transaction; durable when it returns. A late reading enters history and never
        replaces a newer ``latest``. Two readings are the same one as `Reading` says. ``settled`` are the
        numbers of dead letters that go with it."""
        ...

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        """The newest reading of each known series; the unknown are left out."""
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
        self, site: str, sensor: str, since_us: int, until_us: int, above: int = 0
    ) -> WindowPage:
        """Figures of one sensor of all devices of a site in ``[since_us, until_us)``, some series at a time.

        A reading's own site counts. Of a device that was at more than two sites in its life, what it sent
        from those in between is left out.
        """
        ...

    async def recent_dead_letters(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The dead letters seen last, newest first.

        The same payload on the same topic is one letter, of which the last time stands."""
        ...

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        """Delete up to ``limit`` readings and dead letters older than ``before_us``; how many went, 0 when
        none is left. One call is one short transaction. The newest reading of each series stays known."""
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
    readings: int
    series: int
    dead_letters: int
    size_bytes: int
