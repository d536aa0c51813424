"""Answers that change the ring, by a client of their own: the dashboard's may only look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from iotcache.cluster import Cluster, ResizeResult, RingPhase, RingStatus
from iotcache.config.parts import NONE
from iotcache.config.urls import parse_node
from iotcache.errors import NodeError
from iotcache.model import Event, Severity
from iotcache.nodelist.following import silent_nodes
from iotcache.tasks import end
from iotcache.text import plural, printable
from iotcache_tui.feed.absent import NO_NODES
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.nodes.ring import Foretold, ResizeProgress, ResizeRing, UndoResize


@asynccontextmanager
async def _client(context: RequestContext) -> AsyncIterator[Cluster]:
    cache = context.settings.cache
    if cache.nodes == NONE:
        raise NodeError(NO_NODES)
    async with Cluster.from_settings(
        list(context.cache.cluster.node_addresses), cache, follow=True, role="dashboard"
    ) as cluster:
        yield cluster


async def resize(request: ResizeRing, context: RequestContext) -> AsyncIterator[object]:
    """Change the ring; progress as it comes."""
    nodes = [parse_node(text) for text in request.nodes]
    async with _client(context) as cluster:
        present = {node.name for node in cluster.node_addresses}
        joining = [node for node in nodes if node.name not in present]
        if silent := await silent_nodes(joining, context.settings.cache):
            raise NodeError(f"{printable(', '.join(silent), 200)} does not answer: start it first")
        progress: asyncio.Queue[RingStatus] = asyncio.Queue(maxsize=64)

        def note(status: RingStatus) -> None:
            if not progress.full():
                progress.put_nowait(status)

        work = asyncio.ensure_future(cluster.resize(nodes, on_progress=note))
        try:
            while not work.done():
                waiting = asyncio.ensure_future(progress.get())
                await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    yield _progress(waiting.result())
                waiting.cancel()
            result = work.result()
        finally:
            await end(work)
    text = outcome(result, request.foretold)
    context.mailbox.put_event(Event(time.time(), "node.ring", Severity.INFO, "ring", text))
    yield text


async def undo(request: UndoResize, context: RequestContext) -> str:
    """Let the change under way go back."""
    async with _client(context) as cluster:
        if cluster.ring().phase is RingPhase.STEADY:
            return "no change of the ring is under way"
        await cluster.undo_resize()
    return "the change of the ring was undone"


def outcome(result: ResizeResult, foretold: Foretold) -> str:
    """What happened beside what was foretold."""
    if result.undone:
        return f"the change of the ring was undone: epoch {result.epoch} as before"
    return (
        f"ring of epoch {result.epoch}: {100 * result.share_moved:.1f} % of keys moved "
        f"({100 * foretold.share_moved:.1f} % foretold) in {result.took_s:.1f} s ({foretold.takes_s:.1f} s); "
        f"{plural(result.handed_over_by_all, 'entry', 'entries')} handed over ({foretold.items:,} foretold), "
        f"{plural(result.reads_saved, 'store read')} saved"
    )


def _progress(status: RingStatus) -> ResizeProgress:
    return ResizeProgress(
        status.phase.value, status.walked, status.to_walk, status.handed_over, status.handed_over_bytes,
        status.reads_saved, status.left_s,
    )  # fmt: skip
