"""Carries out the acts on series: in batches, with progress, so that nothing long holds the loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

from iotcache.model import Source
from iotcache.text import printable
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.requests import ActionProgress, InvalidateSeries, WarmSeries

BATCH = 500


async def warm(request: WarmSeries, context: RequestContext) -> AsyncIterator[ActionProgress]:
    """A read-through of each: what is there stays as it is, what is missing comes from the store."""
    total, filled, failed, why = len(request.series), 0, 0, ""
    async with context.writer() as cache:
        for first in range(0, total, BATCH):
            for read in await cache.read_many(request.series[first : first + BATCH]):
                filled += read.source is Source.STORE and read.ttl_s is not None
                if read.source is Source.NONE:
                    failed += 1
                    why = read.error or "nothing is known of it"
            yield ActionProgress(min(first + BATCH, total), total, filled, failed, printable(why, 160))


async def invalidate(request: InvalidateSeries, context: RequestContext) -> AsyncIterator[ActionProgress]:
    """Delete each entry; one whose node does not answer is deleted as soon as it does."""
    total, deleted, failed, why = len(request.series), 0, 0, ""
    async with context.writer() as cache:
        for first in range(0, total, BATCH):
            for outcome in await cache.invalidate(request.series[first : first + BATCH]):
                deleted += outcome.ok
                if not outcome.ok:
                    failed += 1
                    why = outcome.reason
            yield ActionProgress(min(first + BATCH, total), total, deleted, failed, printable(why, 160))
