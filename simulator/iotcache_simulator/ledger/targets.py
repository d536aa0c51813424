"""Where to look for what was published: ``--verify mqtt,store=…,cache=…``."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from iotcache.config.schema import CacheSettings, Settings, StoreSettings
from iotcache.config.urls import parse_node, parse_store
from iotcache.errors import UsageError
from iotcache_simulator.ledger.reading_back import ReadBack


class VerifyTargets(Struct, frozen=True):
    """Where to look for what was published."""

    mqtt: bool = False
    store: StoreSettings | None = None
    cache: CacheSettings | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """``mqtt``, ``store``, ``cache``: those that are asked."""
        asked = {"mqtt": self.mqtt, "store": self.store is not None, "cache": self.cache is not None}
        return tuple(name for name, wanted in asked.items() if wanted)


def parse_targets(text: str, settings: Settings) -> VerifyTargets:
    """``mqtt``, ``store[=URL]`` and ``cache[=host:port,…]``, with commas between. Raises `UsageError`."""
    given: dict[str, list[str]] = {}
    last = ""
    for token in (part.strip() for part in text.split(",")):
        name, _, value = token.partition("=")
        if name in {"mqtt", "store", "cache"}:
            last = name
            given.setdefault(name, [])
            if value:
                given[name].append(value)
        elif last == "cache" and token:
            given[last].append(token)
        else:
            raise UsageError(
                f"--verify: {token!r} is no place: name mqtt, store[=URL] or cache[=host:port,…]"
            )
    if given.get("mqtt"):
        raise UsageError(
            "--verify: mqtt takes no value: it listens to the broker that the fleet publishes to"
        )
    store = cache = None
    if "store" in given:
        url = given["store"][0] if given["store"] else settings.store.url
        store = msgspec.structs.replace(settings.store, url=url)
        if url != "embedded":
            parse_store(url)
    if "cache" in given:
        nodes = tuple(given["cache"]) or settings.cache.nodes
        cache = msgspec.structs.replace(settings.cache, nodes=nodes)
        if not isinstance(nodes, str):
            for node in nodes:
                parse_node(node)
    return VerifyTargets("mqtt" in given, store, cache)


def check_payload(targets: VerifyTargets, read_back: ReadBack) -> None:
    """Raises `UsageError` for places that cannot be asked about the messages of such a fleet."""
    if targets.mqtt and read_back.sparkplug:
        raise UsageError("--verify mqtt does not read Sparkplug B: name the store, behind a worker that does")
    if targets.cache is not None and not (read_back.numbered or read_back.timed):
        raise UsageError(
            "--verify cache: these messages tell neither a number nor a time of their readings, so nobody "
            "knows which of them an entry is; name mqtt and the store"
        )


def check_named(targets: VerifyTargets) -> None:
    """Raises `UsageError` for places without an address: those of a stack that is not there."""
    if targets.store is not None and targets.store.url == "embedded":
        raise UsageError("--verify store: the store is embedded in a stack; name it with --verify store=URL")
    if targets.cache is not None and isinstance(targets.cache.nodes, str):
        raise UsageError(
            "--verify cache: the nodes are embedded in a stack; name them with --verify cache=host:port,…"
        )
