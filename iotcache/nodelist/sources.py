"""What a URL of a node list leads to, and settings with the nodes that are listed there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from msgspec import structs

from iotcache.config.node_lists import is_node_list, parse_node_list_url
from iotcache.errors import ConfigError
from iotcache.nodelist.listing import NodeListError, NodeListing

if TYPE_CHECKING:
    from iotcache.config.schema import CacheSettings, Settings


class NodeListSource(Protocol):
    """Where a list of nodes comes from."""

    async def read(self) -> NodeListing:
        """The list as it is now. Raises `NodeListError` with a text that is safe to show."""
        ...


def open_source(cache: CacheSettings) -> NodeListSource:
    """The source that ``cache.nodes`` names. Raises `ConfigError` and `NodeListError`."""
    if not isinstance(cache.nodes, str):
        raise ConfigError("cache.nodes is a list, and no place that keeps one")
    place = parse_node_list_url(cache.nodes)
    if place.kind == "file":
        from iotcache.nodelist.file_source import FileSource

        return FileSource(place.path)
    if place.kind == "elasticache":
        from iotcache.cluster.wire.dial import tls_context
        from iotcache.nodelist.discovery_source import DiscoverySource

        return DiscoverySource(place.host, place.port, tls_context=tls_context(cache))
    from iotcache.nodelist.dns_source import DnsSource

    return DnsSource(place)


def listed(settings: Settings) -> Settings:
    """As `with_listed_nodes`, for a command that has no event loop yet."""
    if not is_node_list(settings.cache.nodes):
        return settings
    return asyncio.run(with_listed_nodes(settings))


async def with_listed_nodes(settings: Settings) -> Settings:
    """``settings`` with the nodes themselves in ``cache.nodes``, where it names a list kept elsewhere.

    Raises `NodeListError` where the list cannot be had just now.
    """
    if not is_node_list(settings.cache.nodes):
        return settings
    try:
        listing = await open_source(settings.cache).read()
    except NodeListError as error:
        raise NodeListError(f"the list of nodes at {settings.cache.nodes}: {error}") from None
    return structs.replace(settings, cache=structs.replace(settings.cache, nodes=listing.texts))
