"""A list of nodes as it was read, and when one that follows another is not to be believed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from iotcache.config.urls import NodeAddress, parse_node
from iotcache.errors import ConfigError, IotCacheError
from iotcache.text import plural, printable

NODES_MAX: Final = 1_000
"""More nodes than any ring here has: a list that is longer is no list of nodes."""
GROWTH_MAX: Final = 100
"""A list that is so many times as long as the one before is not followed."""
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?")


class NodeListError(IotCacheError):
    """A list of nodes could not be read, or is none. The text is safe to show."""


class NodeListing(Struct, frozen=True):
    """One answer of a source."""

    nodes: tuple[NodeAddress, ...]
    again_s: float
    """How long the answer counts: when to ask again."""
    version: int | None = None
    """A number that grows with each change, where the source has one."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The nodes as ``cache.nodes`` has them."""
        return tuple(node_text(node) for node in self.nodes)


def node_text(node: NodeAddress) -> str:
    """As `parse_node` takes it: ``host:port``, ``=weight`` where it is not 1, and a name on the ring."""
    text = node.name if node.weight == 1 else f"{node.name}={node.weight}"
    return f"{text} {node.ring_name}" if node.ring_name else text


def checked(nodes: Sequence[NodeAddress]) -> tuple[NodeAddress, ...]:
    """``nodes`` where they can be a ring. Raises `NodeListError` for none, too many, or one named twice."""
    if not nodes:
        raise NodeListError("it names no node")
    if len(nodes) > NODES_MAX:
        raise NodeListError(f"it names {len(nodes):,} nodes, and {NODES_MAX:,} are allowed")
    seen: set[str] = set()
    for name in (name for node in nodes for name in (node.name, node.ring_name) if name):
        if name in seen:
            raise NodeListError(f"it names {printable(name, 80)} twice")
        seen.add(name)
    return tuple(nodes)


def node_at(host: str, port: int, weight: int = 1) -> NodeAddress:
    """The node of a host (a name or an IP address) that somebody else told. Raises `NodeListError`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise NodeListError(f"it names a host that is none: {printable(host, 60)!r}") from None
    else:
        if address.is_unspecified or address.is_multicast:
            raise NodeListError(f"it names {address}, which is no host's address")
        host = f"[{address}]" if address.version == 6 else str(address)
    if not 1 <= port <= 65_535:
        raise NodeListError(f"it names a port that is none: {port}")
    try:
        return parse_node(f"{host}:{port}={min(max(weight, 1), 1_000_000)}")
    except ConfigError as error:
        raise NodeListError(str(error)) from None


def objection(before: NodeListing | None, after: NodeListing) -> str:
    """Why ``after`` is not to be followed; "" where nothing speaks against it.

    A source that was broken into or mended by mistake must not take the cache away at once: so a list a
    hundred times as long is left to a person, as is one whose version went back (an endpoint that lags).
    An empty list is none at all (see `checked`).
    """
    if before is None:
        return ""
    if len(after.nodes) >= GROWTH_MAX * len(before.nodes):
        return (
            f"it names {plural(len(after.nodes), 'node')}, {len(before.nodes)} before: not followed at once"
        )
    if before.version is not None and after.version is not None:
        if after.version < before.version:
            return f"its version went back from {before.version} to {after.version}: an older list"
        if after.version == before.version and difference(after.nodes, before.nodes):
            return f"it changed and has the same version ({after.version}): which of the two counts?"
    return ""


def difference(listed: Sequence[NodeAddress], used: Sequence[NodeAddress]) -> str:
    """How a list differs from the nodes in use, in a few words; "" where it does not."""
    theirs, ours = {node.name: node for node in listed}, {node.name: node for node in used}
    both = [name for name in theirs if name in ours]
    parts = []
    for lead, names in (
        ("to be added: ", [name for name in theirs if name not in ours]),
        ("to be removed: ", [name for name in ours if name not in theirs]),
        ("other weight: ", [name for name in both if theirs[name].weight != ours[name].weight]),
        ("other name: ", [name for name in both if theirs[name].ring_name != ours[name].ring_name]),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(lead + ", ".join(printable(name, 80) for name in names[:3]) + more)
    return "; ".join(parts)
