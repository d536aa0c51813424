"""Letting the ring become what its list says, when the list changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from iotcache.cluster import Cluster, RingPhase
from iotcache.errors import RingBusy, RingRefused
from iotcache.nodelist.listing import difference
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.schema import CacheSettings
    from iotcache.config.urls import NodeAddress
    from iotcache.nodelist.watch import NodeListWatch

log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
_SPREAD_S: Final = 0.5
"""All that watch a list see it change at about the same time, and one of them is enough."""
_TRIES: Final = 5
"""Two programs whose lists differ must not change the ring to and fro for ever."""


async def follow_list(
    watch: NodeListWatch,
    cluster: Cluster,
    cache: CacheSettings,
    *,
    rng: Random | None = None,
    look_every_s: float = _LOOK_EVERY_S,
) -> None:
    """Watch the list, and change the ring when the list does; until cancelled.

    Only a *change* of the list is acted on: whoever looks later than others, and still has the old one, must
    not change the ring back. Where ring and list differ for another reason, `watch.report` says so. Nodes
    that join must answer first.
    """
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch.run())
        tasks.create_task(_follow(watch, cluster, cache, rng or Random(), look_every_s))


async def _follow(
    watch: NodeListWatch, cluster: Cluster, cache: CacheSettings, rng: Random, look_every_s: float
) -> None:
    acted_on, tries, told = watch.used, 0, ""
    while True:
        watch.use(cluster.node_addresses)
        listing = watch.listing
        if listing is not None and difference(listing.nodes, acted_on):
            acted_on, tries, told = listing.nodes, _TRIES, ""
        if tries and difference(acted_on, cluster.node_addresses):
            await asyncio.sleep(rng.uniform(0, min(_SPREAD_S, look_every_s)))
            if cluster.ring().phase is RingPhase.STEADY:
                joining = _joining(acted_on, cluster.node_addresses)
                if silent := await silent_nodes(joining, cache):
                    if told != (told := ", ".join(silent)):
                        log.warning("the ring waits for nodes that do not answer: %s", printable(told, 200))
                else:
                    tries -= 1
                    await _change(cluster, acted_on)
        await asyncio.sleep(look_every_s)


async def _change(cluster: Cluster, nodes: Sequence[NodeAddress]) -> None:
    try:
        result = await cluster.resize(nodes)
    except RingBusy as error:
        log.info("the ring is changed by another program: %s", error)
    except RingRefused as error:
        log.warning("the ring is not changed to its list: %s", error)
    else:
        log.info(
            "the ring was changed to its list: epoch %d, %d entries handed over",
            result.epoch,
            result.handed_over,
        )


def _joining(after: Sequence[NodeAddress], before: Sequence[NodeAddress]) -> list[NodeAddress]:
    names = {node.name for node in before}
    return [node for node in after if node.name not in names]


async def silent_nodes(nodes: Sequence[NodeAddress], cache: CacheSettings) -> list[str]:
    """Which of ``nodes``, that are to join a ring, do not answer."""
    if not nodes:
        return []
    async with Cluster.from_settings(nodes, cache, observe=True, follow=True) as cluster:
        answers = await cluster.node_stats()
    return [node.name for node in nodes if answers.get(node.name) is None]
