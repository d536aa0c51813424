"""Lets the worker and the readers that this dashboard started store entries for another time."""

from __future__ import annotations

from msgspec.structs import asdict, replace

from iotcache.errors import UsageError
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.advisor.model import ChangeTtl


async def change(request: ChangeTtl, context: RequestContext) -> str:
    """Raises `UsageError` where the writers are somebody else's, or the settings do not allow it."""
    stack = context.stack
    if stack.ingest is None:
        raise UsageError(
            "this dashboard started no worker: the lives of entries are settings of those that write"
        )
    before = stack.settings.cache.ttl
    try:
        after = before.scaled(request.entries, request.factor) if request.entries else before
        if request.jitter is not None:
            after = replace(after, jitter=request.jitter).checked()
    except ValueError as error:
        raise UsageError(str(error)) from error
    await stack.change_ttl(after)
    context.cache.ttl = after
    context.advisor.set_jitter(after.jitter)
    old = asdict(before)
    return ", ".join(
        f"cache.ttl.{name} = {value:g}" for name, value in asdict(after).items() if value != old[name]
    )
