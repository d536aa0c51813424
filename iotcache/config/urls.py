"""Addresses as people write them, parsed into small structs; passwords never come back out of an error."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from iotcache.errors import ConfigError

MEMCACHED_PORT = 11211
MQTT_PORT = 1883
MQTTS_PORT = 8883
_SECRET = re.compile(r"(//[^/@:\s]*:)[^@\s]*@")
_EMBEDDED = re.compile(r"embedded:([0-9]+)")


class BrokerAddress(Struct, frozen=True):
    """Where an MQTT broker is."""

    host: str
    port: int
    tls: bool = False
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"BrokerAddress({self.host!r}, {self.port}, tls={self.tls})"


class NodeAddress(Struct, frozen=True):
    """Where a cache node is: ``host`` and ``port``, or the ``path`` of a Unix socket."""

    name: str
    """``host:port`` (IPv6 in brackets) or the socket path, as memcached clients name a server."""
    host: str = ""
    port: int = 0
    path: str = ""
    weight: int = 1


class StoreAddress(Struct, frozen=True):
    """Where the durable store is."""

    kind: str
    """"sqlite" or "postgresql"."""
    path: Path | None = None
    url: str = ""


def mask(url: str) -> str:
    """``url`` with its password, if it holds one, shown as ``***``."""
    return _SECRET.sub(r"\1***@", url)


def parse_embedded_nodes(text: str) -> int | None:
    """How many nodes ``embedded:N`` asks for; ``None`` for other text. Raises `ConfigError` for a bad N."""
    if text == "embedded":
        return 3
    if not text.startswith("embedded:"):
        return None
    found = _EMBEDDED.fullmatch(text)
    if not found or not 1 <= int(found[1]) <= 32:
        raise ConfigError(f"{text!r} is not a number of embedded nodes: allowed is embedded:1 to embedded:32")
    return int(found[1])


def parse_broker(url: str) -> BrokerAddress:
    """``mqtt://[user[:password]@]host[:port]`` or ``mqtts://…``. Raises `ConfigError`."""
    shown, form = mask(url), "mqtt://[user[:password]@]host[:port] or mqtts://…"
    parts = _split(url, form)
    if (
        parts.scheme not in ("mqtt", "mqtts")
        or not parts.hostname
        or parts.path not in ("", "/")
        or parts.query
    ):
        raise ConfigError(f"{shown!r} is no broker: allowed is {form}")
    tls = parts.scheme == "mqtts"
    port = _port(parts, shown, MQTTS_PORT if tls else MQTT_PORT)
    return BrokerAddress(
        parts.hostname, port, tls, unquote(parts.username or ""), unquote(parts.password or "")
    )


def parse_node(text: str) -> NodeAddress:
    """``host:port``, ``host:port=weight``, ``[::1]:11211`` or ``/path.sock``. Raises `ConfigError`."""
    form = "host:port, host:port=weight, [ipv6]:port or /path.sock"
    wrong = ConfigError(f"{text!r} is no cache node: allowed is {form}")
    address, equals, weight_text = text.strip().rpartition("=")
    if not equals:
        address, weight_text = weight_text, "1"
    if not weight_text.isdecimal() or not 1 <= int(weight_text) <= 1_000_000:
        raise ConfigError(f"{text!r} has no usable weight: allowed is a whole number from 1 to 1000000")
    weight = int(weight_text)
    if address.startswith("/"):
        return NodeAddress(address, path=address, weight=weight)
    parts = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+)(?::([0-9]+))?", address)
    if not parts:
        raise wrong
    port = int(parts[2]) if parts[2] else MEMCACHED_PORT
    if not 1 <= port <= 65535:
        raise ConfigError(f"{text!r} has no usable port: allowed is 1 to 65535")
    return NodeAddress(f"{parts[1]}:{port}", parts[1].strip("[]"), port, weight=weight)


def parse_store(url: str) -> StoreAddress:
    """``sqlite:///relative``, ``sqlite:////absolute`` or ``postgresql://…``. Raises `ConfigError`."""
    form = "sqlite:///file, sqlite:////absolute/file or postgresql://user@host/database"
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return StoreAddress("sqlite", Path(unquote(url.removeprefix("sqlite:///"))).expanduser(), url)
    parts = _split(url, form)
    if parts.scheme in ("postgresql", "postgres") and url.startswith(f"{parts.scheme}://"):
        _port(parts, mask(url), 5432)
        return StoreAddress("postgresql", None, url)
    raise ConfigError(f"{mask(url)!r} is no store: allowed is {form}")


def _split(url: str, form: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.hostname
    except ValueError as error:
        raise ConfigError(f"{mask(url)!r} is no URL ({error}): allowed is {form}") from None
    return parts


def _port(parts: SplitResult, shown: str, default: int) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        return default
    if not 1 <= port <= 65535:
        raise ConfigError(f"{shown!r} has no usable port: allowed is 1 to 65535")
    return port
