"""URLs that name a list of cache nodes kept elsewhere: in a file, in DNS, by a managed cluster."""

from __future__ import annotations

import re
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from iotcache.config.urls import MEMCACHED_PORT
from iotcache.errors import ConfigError
from iotcache.text import printable

NodeListKind = Literal["file", "dns", "dns+srv", "elasticache"]
NODE_LIST_SCHEMES: Final[tuple[str, ...]] = get_args(NodeListKind)
NODE_LIST_FORM: Final = (
    "file:///path, dns://name:port, dns+srv://_service._tcp.name or elasticache://endpoint:port"
)
DNS_PORT: Final = 53
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_SHOWN: Final = 160


class NodeListUrl(Struct, frozen=True):
    """Where a list of nodes is kept."""

    url: str
    """As the settings have it; safe to show."""
    kind: NodeListKind
    host: str = ""
    """The name to be asked for in DNS, or the configuration endpoint; without brackets."""
    port: int = 0
    """Of the endpoint; of all nodes where DNS gives addresses alone."""
    path: str = ""
    """Of the file."""
    server: str = ""
    """The DNS server to ask; empty: those of the system."""
    server_port: int = DNS_PORT
    families: tuple[Literal["A", "AAAA"], ...] = ("A", "AAAA")
    """Which addresses of a name count."""


def is_node_list(nodes: object) -> bool:
    """Whether a value of ``cache.nodes`` names a list kept elsewhere."""
    return isinstance(nodes, str) and "://" in nodes


def parse_node_list_url(url: str) -> NodeListUrl:
    """``file:///path``, ``dns://name[:port][?server=host[:port]&family=4]``, ``dns+srv://name`` or
    ``elasticache://host[:port]``. Raises `ConfigError`.
    """
    shown = f"'{printable(url, _SHOWN)}'"
    refused = ConfigError(f"{shown} is no list of nodes: allowed is {NODE_LIST_FORM}")
    if not url.isprintable() or " " in url or "@" in url or "#" in url:
        raise refused
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise refused from None
    match parts.scheme:
        case "file":
            path = unquote(parts.path)
            if parts.netloc not in ("", "localhost") or not path.strip("/") or options:
                raise refused
            if not path.isprintable():
                raise refused
            return NodeListUrl(url, "file", path=path)
        case "dns" | "dns+srv" | "elasticache" as kind:
            if parts.path not in ("", "/"):
                raise refused
            host, port = _endpoint(parts.netloc, MEMCACHED_PORT, refused)
            if kind == "elasticache":
                if options:
                    raise refused
                return NodeListUrl(url, kind, host, port)
            server, server_port = "", DNS_PORT
            if "server" in options:
                server, server_port = _endpoint(options.pop("server"), DNS_PORT, refused)
            families: tuple[Literal["A", "AAAA"], ...] = ("A", "AAAA")
            if kind == "dns" and "family" in options:
                family = options.pop("family")
                if family not in ("4", "6"):
                    raise ConfigError(f"{shown} has no usable family: allowed is 4 or 6")
                families = ("A",) if family == "4" else ("AAAA",)
            if kind == "dns+srv" and ":" in parts.netloc:
                raise ConfigError(f"{shown} has a port, and SRV records bring their own: leave it out")
            if options or ":" in host:
                raise refused
            return NodeListUrl(url, kind, host, port, "", server, server_port, families)
    raise refused


def _endpoint(text: str, default_port: int, refused: ConfigError) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    port = int(match[2]) if match and match[2] else default_port
    if not match or not 1 <= port <= 65535:
        raise refused
    return match[1].strip("[]"), port
