"""Other clients on the same nodes: libmemcached finds what we wrote, pymemcache reads it, and the reverse."""

from __future__ import annotations

from typing import Any

import pytest
from pymemcache import serde
from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient

from iotcache.cluster import SetItem
from iotcache.entry_codec import FLAG_COMPRESSED, decode_json, encode_json

pytestmark = pytest.mark.real("memcached")
KEYS = [f"site-{n % 7}:dev-{n:04d}:temperature:latest" for n in range(400)]


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 5)])
async def test_libmemcached_and_we_find_each_others_values(
    memcached_factory: Any, over: Any, weights: tuple[int, ...]
) -> None:
    pylibmc = pytest.importorskip("pylibmc")
    servers = [memcached_factory() for _ in weights]
    theirs = pylibmc.Client(
        [f"{server.address}:{weight}" for server, weight in zip(servers, weights, strict=True)],
        behaviors={"ketama_weighted": True},
    )
    nodes = [f"{server.address}={weight}" for server, weight in zip(servers, weights, strict=True)]
    async with over(*nodes) as cluster:
        await cluster.set_many([SetItem(key, f"ours {key}".encode(), 16, 60) for key in KEYS])
        assert theirs.get_multi(KEYS) == {key: f"ours {key}" for key in KEYS}
        theirs.set_multi({key: f"theirs {key}".encode() for key in KEYS})
        assert [got.value for got in await cluster.get_many(KEYS)] == [
            f"theirs {key}".encode() for key in KEYS
        ]
        assert len({cluster.node_of(key) for key in KEYS}) == 3


async def test_hash_client_and_we_find_each_others_values_by_rendezvous(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    theirs = HashClient([("127.0.0.1", server.port) for server in servers], default_noreply=False)
    async with over(*servers, placement="rendezvous") as cluster:
        await cluster.set_many([SetItem(key, key.encode(), 0, 60) for key in KEYS])
        assert theirs.get_many(KEYS) == {key: key.encode() for key in KEYS}
        theirs.set_many(dict.fromkeys(KEYS, b"theirs"))
        assert {got.value for got in await cluster.get_many(KEYS)} == {b"theirs"}


async def test_compressed_values_are_pymemcaches_own(memcached: Any, over: Any) -> None:
    theirs = Client(memcached.address, serde=serde.compressed_serde)
    content = {"samples": list(range(1_000))}
    value, flags = encode_json(content)
    assert flags & FLAG_COMPRESSED
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem("ours", value, flags, 60)])
        assert theirs.get("ours") == __import__("json").dumps(content, separators=(",", ":"))
        theirs.set("theirs", '{"a": "' + "x" * 1_000 + '"}', noreply=False)
        (got,) = await cluster.get_many(["theirs"])
        assert got.flags & FLAG_COMPRESSED
        assert decode_json(got.value, got.flags) == {"a": "x" * 1_000}


async def test_a_cas_write_loses_against_whoever_came_between(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem("a", b"1", 0, 60), SetItem("b", b"1", 0, 60)])
        seen = await cluster.get_many(["a", "b", "c"], cas=True)
        assert seen[0].cas and seen[1].cas and not seen[2].cas
        Client(memcached.address).set("b", b"between", noreply=False)
        outcomes = await cluster.cas_many([SetItem(key, b"2", 0, 60) for key in "abc"], seen)
        assert [outcome.ok for outcome in outcomes] == [True, False, False]
        assert "changed" in outcomes[1].reason
        assert [got.value for got in await cluster.get_many(["a", "b"])] == [b"2", b"between"]
