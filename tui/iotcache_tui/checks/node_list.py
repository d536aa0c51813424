"""Whether the list of nodes that the settings name can be read, and what it names."""

from __future__ import annotations

from iotcache.config.node_lists import is_node_list
from iotcache.config.schema import Settings
from iotcache.errors import IotCacheError
from iotcache.nodelist.sources import with_listed_nodes
from iotcache_tui.checks.base import Finding
from iotcache_tui.format import plural


async def check_node_list(settings: Settings) -> tuple[list[Finding], Settings]:
    """What is found, and the settings with the nodes of the list, as far as it can be read."""
    if not is_node_list(settings.cache.nodes):
        return [], settings
    try:
        listed = await with_listed_nodes(settings)
    except IotCacheError as error:
        return [Finding("node list", "fail", str(error), "mend the list, or cache.nodes")], settings
    found = f"{settings.cache.nodes} names {plural(len(listed.cache.nodes), 'node')}"
    return [Finding("node list", "ok", found)], listed
