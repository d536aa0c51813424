"""Committed batches of readings, and those who follow them: aggregates, alerts, onboarding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from iotcache.model.readings import Reading, StoredReading


class CommittedBatch(Struct, frozen=True, gc=False):
    """What one commit took in."""

    readings: Sequence[Reading]
    """All of them, duplicates included."""
    newest: Sequence[StoredReading]
    """The series whose newest reading changed (`iotcache.store.base.Committed.newest`)."""
    duplicates: int = 0
    """How many of the readings the table had already, or contradict what it has."""


class Follower(Protocol):
    """Takes every committed batch, after its messages were acknowledged."""

    def follow(self, batch: CommittedBatch) -> None:
        """Take note of a batch. Does no I/O: it runs on the event loop, batch after batch."""
        ...

    def missed(self, batches: int) -> None:
        """So many batches were skipped just now, before the one that follows next."""
        ...

    async def run(self) -> None:
        """Work in the background, until cancelled."""
        ...
