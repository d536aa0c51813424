"""Answers about the nodes: figures while they are wanted, and acts on one."""

from __future__ import annotations

import asyncio

from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.nodes.admin import admin_command
from iotcache_tui.state.nodes.model import ActOnNode, NodeAct, WatchNodes


async def watch(request: WatchNodes, context: RequestContext) -> None:
    """Wants figures until nobody listens any more."""
    with context.node_stats.wanted():
        await asyncio.Event().wait()


async def act(request: ActOnNode, context: RequestContext) -> str:
    """Do it; what the node answered."""
    cluster = context.cache.cluster
    if request.act is NodeAct.DRAIN:
        cluster.drain(request.node)
        return "out of use here until it rejoins"
    if request.act is NodeAct.REJOIN:
        cluster.rejoin(request.node)
        return "taken back: probed and fenced first, about a second"
    answer = await cluster.admin(request.node, admin_command(request.act, request.values))
    await context.node_stats.poll(request.node)
    return answer
