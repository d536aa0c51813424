"""``iotcache-tui where``: the same answer as the cluster's, on the ring that the nodes have announced."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from iotcache.cluster import Cluster
from iotcache.config.urls import parse_node
from iotcache_tui.cli.main import main
from tests.conforming import conforming

NODES = "127.0.0.1:22122,127.0.0.1:22123,127.0.0.1:22124"


def test_the_owner_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["where", "dev:0001", "--nodes", NODES]) == 0
    told = capsys.readouterr()
    assert told.out == "127.0.0.1:22123\n"
    assert "no node answers" in told.err


@pytest.mark.real("memcached")
async def test_the_announced_ring_counts_and_not_the_list(
    memcached_factory: Any, over: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, joined = memcached_factory(), memcached_factory()
    cluster: Cluster
    async with over(listed) as cluster:
        keys = [f"dev-{number}:temperature:latest" for number in range(50)]
        for ring, epoch in (([listed], 0), ([listed, joined], 1)):
            if epoch:
                await cluster.resize([parse_node(server.address) for server in ring])
            theirs = [key for key in keys if cluster.node_of(key) == ring[-1].address]
            words = ["where", theirs[0], "--json", "--nodes", listed.address]
            assert await asyncio.to_thread(main, words) == 0
            told = conforming("where", capsys.readouterr().out)
            assert (told["node"], told["epoch"]) == (ring[-1].address, epoch)


def test_the_placement_comes_from_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    main(["where", "sensor/temp/7", "--nodes", NODES, "--set", "cache.placement=rendezvous", "--json"])
    told = conforming("where", capsys.readouterr().out)
    assert told["node"] == "127.0.0.1:22124"
    assert sorted([told["node"], *told["stand_ins"]]) == NODES.split(",")


def test_what_is_no_key_gets_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["where", "no key\r\nflush_all", "--nodes", NODES]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "printable ASCII" in err
