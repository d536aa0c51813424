"""What nodes hold and are asked for, looked at twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from iotcache.nodelist.whatif import NodeLoad

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, NodeStats


async def node_loads(cluster: Cluster, seconds: float) -> dict[str, NodeLoad]:
    """Of each node that answers both times; rates over ``seconds``."""
    first = await cluster.node_stats()
    await asyncio.sleep(seconds)
    second = await cluster.node_stats()
    pairs = {name: (before, second.get(name)) for name, before in first.items()}
    return {
        name: load_between(before, after, seconds)
        for name, (before, after) in pairs.items()
        if before is not None and after is not None
    }


def load_between(before: NodeStats, after: NodeStats, seconds: float) -> NodeLoad:
    """From two looks; counters that went back (a restart) count from 0."""

    def rate(earlier: int, later: int) -> float:
        return (later - earlier if later >= earlier else later) / seconds

    return NodeLoad(
        items=after.curr_items,
        used_bytes=after.bytes,
        limit_bytes=after.limit_maxbytes,
        gets_per_s=rate(before.cmd_get, after.cmd_get),
        hits_per_s=rate(before.get_hits, after.get_hits),
        sets_per_s=rate(before.cmd_set, after.cmd_set),
    )
