"""Addresses as people write them, parsed into small structs; passwords never come back out of an error."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from msgspec import Struct

from iotcache.errors import ConfigError
from iotcache.text import printable

MEMCACHED_PORT = 11211
MQTT_PORT = 1883
MQTTS_PORT = 8883
WS_PORT, WSS_PORT = 80, 443
WS_PATH = "/mqtt"
"""Where most brokers take MQTT over WebSockets; mosquitto takes any path."""
POSTGRES_PORT = 5432
# From the first colon that no // follows to the last @: a password may hold any sign, an @ too, and a
# mistyped URL must hide it as well as a sound one.
_PASSWORD = re.compile(r":(?!//).*@", re.DOTALL)
# libpq also takes passwords as parameters, and whole settings as words.
_PARAMETER = re.compile(r"((?:password|passwd|pwd)\s*=\s*)[^&\s]+", re.IGNORECASE)
_RING_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EMBEDDED = re.compile(r"embedded:([0-9]{1,4})")
_SHOWN = 120
_BROKER_PORTS = {"mqtt": MQTT_PORT, "mqtts": MQTTS_PORT, "ws": WS_PORT, "wss": WSS_PORT}


class BrokerAddress(Struct, frozen=True):
    """Where an MQTT broker is."""

    host: str
    port: int
    tls: bool = False
    username: str = ""
    password: str = ""
    path: str = ""
    """Of its WebSocket; empty: plain TCP."""

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
    ring_name: str = ""
    """What the ring knows it by where that is not its address."""


class StoreAddress(Struct, frozen=True):
    """Where the durable store is."""

    kind: str
    """"sqlite" or "postgresql"."""
    path: Path | None = None
    url: str = ""

    def __repr__(self) -> str:
        return f"StoreAddress({self.kind!r}, {mask(self.url)!r})"


class HookAddress(Struct, frozen=True):
    """Where a webhook is."""

    host: str
    port: int
    tls: bool
    target: str
    """Path and query."""


def mask(url: str) -> str:
    """``url`` with its password, if it holds one, shown as ``***``; for one value, not for running text."""
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(":***@", url))


def parse_embedded_nodes(text: str) -> int | None:
    """How many nodes ``embedded:N`` asks for; ``None`` for other text. Raises `ConfigError` for a bad N."""
    if text == "embedded":
        return 3
    if not text.startswith("embedded:"):
        return None
    match = _EMBEDDED.fullmatch(text)
    if not match or not 1 <= int(match[1]) <= 32:
        raise ConfigError(f"{_shown(text)} is no number of nodes: allowed is embedded:1 to embedded:32")
    return int(match[1])


def parse_broker(url: str) -> BrokerAddress:
    """``mqtt://[user[:password]@]host[:port]``, ``mqtts://…``, or ``ws://…/path`` and ``wss://…/path``.

    Raises `ConfigError`.
    """
    shown, form = _shown(url), "mqtt://[user[:password]@]host[:port], mqtts://…, ws://…[/path] or wss://…"
    parts = _split(url, form)
    over_websocket = parts.scheme in ("ws", "wss")
    if (
        parts.scheme not in _BROKER_PORTS
        or not parts.hostname
        or (not over_websocket and (parts.path not in ("", "/") or parts.query))
        or any(sign <= " " or sign > "~" for sign in parts.path + parts.query)
    ):
        raise ConfigError(f"{shown} is no broker: allowed is {form}")
    port = _port(parts, shown, _BROKER_PORTS[parts.scheme])
    path = ""
    if over_websocket:
        path = (parts.path if parts.path not in ("", "/") else WS_PATH) + (parts.query and f"?{parts.query}")
    return BrokerAddress(
        parts.hostname, port, parts.scheme in ("mqtts", "wss"),
        unquote(parts.username or ""), unquote(parts.password or ""), path,
    )  # fmt: skip


def without_login(url: str) -> str:
    """A broker's URL, known to be sound, without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def parse_node(text: str) -> NodeAddress:
    """``host:port``, ``host:port=weight``, ``[::1]:11211`` or ``/path.sock``.

    After the first three a name on the ring may follow, as twemproxy has it. Raises `ConfigError`.
    """
    form = "host:port, host:port=weight, [ipv6]:port or /path.sock"
    shown = _shown(text)
    whole, ring_name = text.strip(), ""
    if not whole.startswith("/"):
        whole, _, ring_name = whole.partition(" ")
    if ring_name and not _RING_NAME.fullmatch(ring_name):
        raise ConfigError(
            f"{shown} is no cache node: allowed is {form}; a name on the ring, after a space, has 1 to 64 "
            "letters, digits, . _ or -"
        )
    address, equals, weight_text = whole.rpartition("=")
    if not equals or (address.startswith("/") and not weight_text.isdecimal()):
        address, weight_text = whole, "1"
    if not re.fullmatch(r"[0-9]{1,7}", weight_text) or not 1 <= int(weight_text) <= 1_000_000:
        raise ConfigError(f"{shown} has no usable weight: allowed is a whole number from 1 to 1000000")
    weight = int(weight_text)
    if address.startswith("/") and address.isprintable():
        return NodeAddress(address, path=address, weight=weight)
    parts = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+)(?::([0-9]{1,5}))?", address)
    if not parts or not address.isprintable():
        raise ConfigError(f"{shown} is no cache node: allowed is {form}")
    port = int(parts[2]) if parts[2] else MEMCACHED_PORT
    if not 1 <= port <= 65535:
        raise ConfigError(f"{shown} has no usable port: allowed is 1 to 65535")
    return NodeAddress(f"{parts[1]}:{port}", parts[1].strip("[]"), port, weight=weight, ring_name=ring_name)


def parse_store(url: str) -> StoreAddress:
    """``sqlite:///relative``, ``sqlite:////absolute`` or ``postgresql://…``. Raises `ConfigError`.

    Slashes count as in SQLAlchemy's URLs; ``~`` is the user's home.
    """
    form = "sqlite:///file, sqlite:////absolute/file or postgresql://user@host/database"
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return StoreAddress("sqlite", _sqlite_path(url), url)
    parts = _split(url, form)
    if parts.scheme in ("postgresql", "postgres") and url.startswith(f"{parts.scheme}://"):
        if "," not in parts.netloc:  # libpq tries several hosts in turn
            _port(parts, _shown(url), POSTGRES_PORT)
        return StoreAddress("postgresql", None, url)
    raise ConfigError(f"{_shown(url)} is no store: allowed is {form}")


def parse_hook(url: str) -> HookAddress:
    """The parts of a webhook's URL. Raises `ValueError` with what is allowed."""
    allowed = "an http:// or https:// URL of ASCII characters, without a user and a password"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(allowed) from None
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or not plain:
        raise ValueError(allowed)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    tls = parts.scheme == "https"
    return HookAddress(parts.hostname, port or (443 if tls else 80), tls, target)


def _sqlite_path(url: str) -> Path:
    name = unquote(url.removeprefix("sqlite:///"))
    if not name.isprintable() or "?" in url or name.startswith(":memory:"):
        raise ConfigError(f"{_shown(url)} is no SQLite file: allowed is a path, without parameters")
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise ConfigError(f"{_shown(url)} is in no known user's home: allowed is a path") from None


def _shown(text: str) -> str:
    return f"'{printable(mask(text), _SHOWN)}'"


def _split(url: str, form: str) -> SplitResult:
    # urlsplit drops newlines and tabs silently; two readers of one URL must not see two hosts.
    if " " in url or not url.isprintable():
        raise ConfigError(f"{_shown(url)} holds a blank or a control character: allowed is {form}")
    try:
        parts = urlsplit(url)
        _ = parts.hostname
    except ValueError:
        raise ConfigError(f"{_shown(url)} is no URL: allowed is {form}") from None
    return parts


def _port(parts: SplitResult, shown: str, default: int) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        return default
    if not 1 <= port <= 65535:
        raise ConfigError(f"{shown} has no usable port: allowed is 1 to 65535")
    return port
