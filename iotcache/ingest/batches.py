"""Batches on their way through the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from msgspec import Struct

from iotcache.model import DeadLetter, DeviceMessage, Reading, SenderDeath, StoredReading
from iotcache.store.base import Committed


class DecodedBatch(Struct):
    """What a number of messages came to, and whom to notify once it is safe on disk."""

    readings: list[Reading]
    dead_letters: list[DeadLetter]
    on_settled: Callable[[Committed | None], None]
    """Called once, after the write-through; with ``None`` for a batch that held nothing to store."""
    device_messages: list[DeviceMessage] = []
    """What devices said of themselves."""
    deaths: list[SenderDeath] = []
    """Of edge nodes and their devices, whose series are stale since."""
    planned: list[StoredReading] = []
    """The readings with their intervals and the TTLs of their entries, as the pipeline fills them in."""
    planned_s: float = -inf
    """When that was, on the monotonic clock."""
