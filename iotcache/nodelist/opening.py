"""From settings that name a place to settings that name nodes, however long that takes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from iotcache.backoff import Backoff
from iotcache.config.node_lists import is_node_list
from iotcache.config.urls import parse_node
from iotcache.nodelist.listing import NodeListError
from iotcache.nodelist.sources import open_source, with_listed_nodes
from iotcache.nodelist.watch import NodeListWatch
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache.published_stats import NodeListReport

log = logging.getLogger(__name__)

_RETRY_MIN_S: Final = 0.5
_RETRY_MAX_S: Final = 10.0


async def until_listed(
    settings: Settings,
    *,
    on_waiting: Callable[[str], None] = lambda why: None,
    on_report: Callable[[NodeListReport], None] = lambda report: None,
) -> tuple[Settings, NodeListWatch | None]:
    """``settings`` with the nodes of the list, and what keeps looking at it; waits until it can be read.

    A program that is started before its file is mounted, or its DNS up, begins when they are; ``on_waiting``
    is called with each new reason. The second is ``None`` where the settings name the nodes themselves.
    """
    if not is_node_list(settings.cache.nodes):
        return settings, None
    backoff, reported = Backoff(_RETRY_MIN_S, _RETRY_MAX_S), ""
    while True:
        try:
            with_nodes = await with_listed_nodes(settings)
            source = open_source(settings.cache)
        except NodeListError as error:
            if reported != (reported := printable(str(error))):
                log.warning("waiting for %s", reported)
                on_waiting(reported)
            await backoff.wait()
        else:
            used = [parse_node(text) for text in with_nodes.cache.nodes]
            watch = NodeListWatch(str(settings.cache.nodes), source, used, on_report=on_report)
            return with_nodes, watch
