"""Keeps a store from growing for ever: old readings go in small steps, beside the work."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.errors import StoreError
from iotcache.store.base import Store

LOG = logging.getLogger("iotcache.store")
STEP_ROWS: Final = 2_000
"""One transaction deletes no more: a commit waits for it some milliseconds at most."""
STEP_PAUSE_S: Final = 0.1
ROUND_S: Final = 60.0
_DAY_S: Final = 86_400


async def prune_old(store: Store, retention_days: float, clock: Clock = SYSTEM_CLOCK) -> int:
    """Delete everything older than ``retention_days`` now, step by step; how many rows went.

    A store that drops whole days keeps the last one until all of it is old.
    0 days or less keeps all. Raises `StoreError`.
    """
    if retention_days <= 0:
        return 0
    before_us = round((clock.now() - retention_days * _DAY_S) * 1e6)
    if store.grain_us:
        before_us -= before_us % store.grain_us
    deleted = 0
    while step := await store.prune(before_us, STEP_ROWS):
        deleted += step
        await asyncio.sleep(STEP_PAUSE_S)
    return deleted


async def keep_pruned(store: Store, retention_days: float, clock: Clock = SYSTEM_CLOCK) -> None:
    """`prune_old` once a minute until cancelled; a store that is away is tried again the next time."""
    while retention_days > 0:
        try:
            deleted = await prune_old(store, retention_days, clock)
        except StoreError as error:
            LOG.warning("old readings stay for now: %s", error)
        else:
            if deleted:
                LOG.info("deleted %d rows older than %g days", deleted, retention_days)
        await asyncio.sleep(ROUND_S)
