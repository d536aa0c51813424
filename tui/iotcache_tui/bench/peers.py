"""Other memcached clients, each asked for the same keys in its own best way."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from msgspec import Struct

PEERS: Final = ("pymemcache HashClient", "emcache", "libmc", "meta-memcache")
Get = Callable[[Sequence[str]], Awaitable[int]]
"""Reads the keys; how many values came back."""
Set = Callable[[Mapping[str, bytes]], Awaitable[int]]


class Peer(Struct):
    """A client to compare with."""

    name: str
    get: Get
    set: Set
    close: Callable[[], Awaitable[None]]
    sets_in_bulk: bool = True
    """False: ``set`` goes key by key, and only serves to fill."""
    get_decoded: Get | None = None
    """As ``get``, and every value through ``json.loads``."""
    note: str = ""


async def _nothing() -> None:
    return None


async def hash_client(addresses: Sequence[tuple[str, int]]) -> Peer:
    from pymemcache.client.hash import HashClient

    client = HashClient(list(addresses))

    async def get(keys: Sequence[str]) -> int:
        return len(client.get_many(keys))

    async def get_decoded(keys: Sequence[str]) -> int:
        return len([json.loads(value) for value in client.get_many(keys).values()])

    async def put(values: Mapping[str, bytes]) -> int:
        return len(values) - len(client.set_many(dict(values), expire=600))

    return Peer(PEERS[0], get, put, _nothing, get_decoded=get_decoded, note="no TTL, sets not confirmed")


async def emcache_client(addresses: Sequence[tuple[str, int]]) -> Peer:
    emcache: Any = import_module("emcache")

    client = await emcache.create_client(
        [emcache.MemcachedHostAddress(host, port) for host, port in addresses], timeout=5.0
    )

    async def get(keys: Sequence[str]) -> int:
        return len(await client.get_many([key.encode() for key in keys]))

    async def put(values: Mapping[str, bytes]) -> int:
        for key, value in values.items():
            await client.set(key.encode(), value, exptime=600)
        return len(values)

    return Peer(PEERS[1], get, put, client.close, sets_in_bulk=False, note="Cython, no TTL")


async def libmc_client(addresses: Sequence[tuple[str, int]]) -> Peer:
    libmc: Any = import_module("libmc")

    client = libmc.Client([f"{host}:{port}" for host, port in addresses])

    async def get(keys: Sequence[str]) -> int:
        return len(client.get_multi(list(keys)))

    async def put(values: Mapping[str, bytes]) -> int:
        return len(values) if client.set_multi(dict(values), 600) else 0

    return Peer(PEERS[2], get, put, _nothing, note="C++, no TTL")


async def meta_client(addresses: Sequence[tuple[str, int]]) -> Peer:
    meta: Any = import_module("meta_memcache")
    configuration: Any = import_module("meta_memcache.configuration")
    client = meta.CacheClient.cache_client_from_servers(
        servers=[meta.ServerAddress(host, port) for host, port in addresses],
        connection_pool_factory_fn=configuration.connection_pool_factory_builder(),
    )

    async def get(keys: Sequence[str]) -> int:
        values = client.multi_get([meta.Key(key) for key in keys])
        return sum(value is not None for value in values.values())

    async def put(values: Mapping[str, bytes]) -> int:
        return sum([bool(client.set(meta.Key(key), value, ttl=600)) for key, value in values.items()])

    return Peer(PEERS[3], get, put, _nothing, sets_in_bulk=False)


async def peers(addresses: Sequence[tuple[str, int]]) -> list[Peer]:
    """Those that are installed."""
    peers = []
    for make in (hash_client, emcache_client, libmc_client, meta_client):
        with suppress(ImportError):
            peers.append(await make(addresses))
    return peers
