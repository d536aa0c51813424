"""Saying that one knows of an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.errors import UsageError
from iotcache.model.alerts import Alert
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.store.base import Store

_BY_LIMIT: Final = 100


async def acknowledge(
    store: Store, name: str, subject: str, *, by: str = "", clock: Clock = SYSTEM_CLOCK
) -> Alert:
    """Acknowledge a standing alert in the store; the worker that watches publishes it within a second or so.

    Acknowledged before, it stays as it was then. Raises `UsageError` when none of this name and subject
    stands, and `StoreError`.
    """
    acknowledged_by = printable(by, _BY_LIMIT)
    alert = await store.alerts.acknowledge(name, subject, acknowledged_by, round(clock.now() * 1e6))
    if alert is None:
        raise UsageError(f"no alert {printable(name, 80)} of {printable(subject, 200)} stands")
    return alert
