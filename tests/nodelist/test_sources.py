"""Each place that keeps a list, asked for real: files as they are written, DNS and endpoints on loopback."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from iotcache.config.schema import CacheSettings, Settings
from iotcache.config.urls import parse_node
from iotcache.nodelist.listing import NodeListError, NodeListing, node_text
from iotcache.nodelist.sources import open_source, with_listed_nodes
from iotcache.nodelist.watch import NodeListWatch
from iotcache.published_stats import NodeListReport
from tests.nodelist.servers import DnsServer, Endpoint, cluster_value, dns_server, managed


def written(path: Path, text: str, *, age_s: float = 60.0) -> Path:
    """A file that was written a while ago."""
    path.write_text(text)
    path.chmod(0o644)
    moment = time.time() - age_s
    os.utime(path, (moment, moment))
    return path


async def read(url: str) -> NodeListing:
    return await open_source(CacheSettings(nodes=url)).read()


# Files


async def test_settings_that_name_a_file_become_its_nodes(tmp_path: Path) -> None:
    path = written(tmp_path / "nodes", "b:1=2\na:1\n")
    settings = await with_listed_nodes(Settings(cache=CacheSettings(nodes=f"file://{path}")))
    assert settings.cache.nodes == ("b:1=2", "a:1")


async def test_a_file_that_is_being_written_is_read_when_it_stands_still(tmp_path: Path) -> None:
    """A writer without a rename: the list as it stands half-way would be a list, too."""
    path = written(tmp_path / "nodes", "a:1\n", age_s=0.0)
    reading = asyncio.create_task(read(f"file://{path}"))
    await asyncio.sleep(0.1)
    path.write_text("a:1\nb:1\n")
    assert [node.name for node in (await reading).nodes] == ["a:1", "b:1"]


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "writable by all", "device"])
async def test_what_is_no_file_of_ones_own_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "writable by all":
            written(path, "a:1\n").chmod(0o666)
        case "device":
            path.symlink_to("/dev/zero")
    with pytest.raises(NodeListError) as refused:
        await read(f"file://{path}")
    assert str(refused.value).isprintable()


async def test_the_last_good_list_outlives_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "nodes", "a:1\nb:1\n")
    used = [parse_node("a:1"), parse_node("b:1")]
    reports: list[NodeListReport] = []
    url = f"file://{path}"
    watch = NodeListWatch(url, open_source(CacheSettings(nodes=url)), used, on_report=reports.append)
    assert await watch.look() == 1.0
    assert not reports, "nothing is told while list and nodes are alike"
    for broken, why in (
        ("", "names no node"),
        ("a:1\nb:1", "half-written"),
        ("\x1b[31mrot\n", "line 1"),
        ("".join(f"n{n}:1\n" for n in range(200)), "200 nodes, 2 before"),
        (None, "cannot be read"),
    ):
        path.unlink(missing_ok=True)
        if broken is not None:
            written(path, broken)
        await watch.look()
        assert why in watch.report.trouble
        assert watch.listing is not None
        assert [node.name for node in watch.listing.nodes] == ["a:1", "b:1"]
        assert watch.report.difference == ""
    # A new file in its place, as editors and mounts of a cluster leave it.
    written(tmp_path / "new", "a:1\nb:1\nc:1\n").rename(path)
    await watch.look()
    assert watch.report == NodeListReport(url, 3, 2, "to be added: c:1", "")
    watch.use([*used, parse_node("c:1")])
    assert reports[-1] == NodeListReport(url, 3, 3, "", "")


# DNS


async def test_all_addresses_of_a_name_are_nodes_for_as_long_as_they_live() -> None:
    async with dns_server() as (server, address):
        server.records["cache.test", "A"] = (30, ["10.0.0.2", "10.0.0.1"])
        server.records["cache.test", "AAAA"] = (20, ["fd00::1"])
        listing = await read(f"dns://cache.test:11212?server={address}")
        assert [node.name for node in listing.nodes] == [
            "10.0.0.1:11212", "10.0.0.2:11212", "[fd00::1]:11212",
        ]  # fmt: skip
        assert listing.again_s == 20
        only = await read(f"dns://cache.test?family=4&server={address}")
        assert [node.name for node in only.nodes] == ["10.0.0.1:11211", "10.0.0.2:11211"]
        server.records["cache.test", "A"] = (0, ["10.0.0.1"])
        assert (await read(f"dns://cache.test?family=4&server={address}")).again_s == 1.0


async def test_srv_records_bring_ports_and_weights_and_spares_are_left_out() -> None:
    async with dns_server() as (server, address):
        server.records["_m._tcp.c.test", "SRV"] = (
            60, ["0 3 11212 c2.test.", "0 0 11211 c1.test.", "9 1 11211 spare.test."],
        )  # fmt: skip
        listing = await read(f"dns+srv://_m._tcp.c.test?server={address}")
    assert [node_text(node) for node in listing.nodes] == ["c1.test:11211", "c2.test:11212=3"]
    assert listing.again_s == 60


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ({}, "no such name"),
        ({("c.test", "TXT"): (1, ["x"])}, "names no node"),
        ({("c.test", "A"): (1, ["0.0.0.0"])}, "no host's address"),
        ({("c.test", "A"): (1, ["224.0.0.1"])}, "no host's address"),
    ],
)
async def test_dns_that_has_no_list_is_told(
    records: dict[tuple[str, str], tuple[int, list[str]]], why: str
) -> None:
    async with dns_server() as (server, address):
        server.records.update(records)
        with pytest.raises(NodeListError, match=why):
            await read(f"dns://c.test?server={address}")


@pytest.mark.parametrize("record", ["0 1 11211 .", r"0 1 11211 a\027b.test.", "0 1 0 c.test."])
async def test_srv_records_that_are_no_node_are_refused(record: str) -> None:
    async with dns_server() as (server, address):
        server.records["c.test", "SRV"] = (1, [record])
        with pytest.raises(NodeListError, match="it names a") as refused:
            await read(f"dns+srv://c.test?server={address}")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("trouble", ["half of it is silent", "garbled"])
async def test_half_an_answer_of_dns_is_none(trouble: str) -> None:
    """The IPv6 addresses do not come: a list without them would take their nodes off the ring."""
    from iotcache.config.node_lists import parse_node_list_url
    from iotcache.nodelist.dns_source import DnsSource

    async with dns_server() as (server, address):
        server.records["c.test", "A"] = (1, ["10.0.0.1"])
        _spoil(server, trouble)
        source = DnsSource(parse_node_list_url(f"dns://c.test?server={address}"), patience_s=0.3)
        with pytest.raises(NodeListError, match="DNS"):
            await source.read()


def _spoil(server: DnsServer, trouble: str) -> None:
    if trouble == "garbled":
        server.garbled = True
    else:
        server.silent_for = {"AAAA"}


# Configuration endpoints


@pytest.mark.parametrize("old", [False, True])
async def test_an_endpoint_is_asked_as_its_engine_wants_it(old: bool) -> None:
    value = cluster_value(3, "c1.x|10.0.0.1|11211", "c2.x|10.0.0.2|11211")
    async with Endpoint(managed(value, old=old)) as endpoint:
        listing = await read(f"elasticache://127.0.0.1:{endpoint.port}")
    assert listing.version == 3
    assert [node.name for node in listing.nodes] == ["c1.x:11211", "c2.x:11211"]
    assert len(endpoint.requests) == (2 if old else 1)


async def test_a_version_that_goes_back_is_not_followed() -> None:
    async with Endpoint(managed(cluster_value(5, "a||1", "b||1"))) as endpoint:
        url = f"elasticache://127.0.0.1:{endpoint.port}"
        watch = NodeListWatch(
            url, open_source(CacheSettings(nodes=url)), [parse_node("a:1"), parse_node("b:1")]
        )
        await watch.look()
        endpoint.answer = managed(cluster_value(4, "a||1"))
        assert await watch.look() == 60.0
        assert watch.report.trouble == "its version went back from 5 to 4: an older list"
        assert watch.report.difference == ""
        endpoint.answer = managed(cluster_value(6, "a||1"))
        await watch.look()
    assert (watch.report.trouble, watch.report.difference) == ("", "to be removed: b:1")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"ERROR\r\n", "no configuration endpoint"),
        (b"END\r\n", "no configuration endpoint"),
        (b"HTTP/1.1 400 \x1b[2J\r\n", "as no configuration endpoint does"),
        (b"CONFIG cluster 0 999999999\r\n", "allowed"),
        (b"CONFIG cluster 0 50\r\n12\n<cut>", "half-way"),
        (b"CONFIG cluster 0 2\r\n12\na||1\n\r\nEND\r\n", "longer than it says"),
        (b"CONFIG cluster 0 3\r\n12\n\r\nEND\r\n", "version and a list"),
        (b"x" * 5_000, "line without end"),
        (b"<cut>", "half-way"),
    ],
)
async def test_hostile_answers_are_refused_in_one_line(answer: bytes, why: str) -> None:
    async with Endpoint(lambda line: answer) as endpoint:
        with pytest.raises(NodeListError, match=why) as refused:
            await read(f"elasticache://127.0.0.1:{endpoint.port}")
    assert str(refused.value).isprintable()


async def test_an_endpoint_that_hangs_or_is_not_there_is_told() -> None:
    from iotcache.nodelist.discovery_source import DiscoverySource

    async with Endpoint(lambda line: None) as endpoint:
        with pytest.raises(NodeListError, match="does not answer"):
            await DiscoverySource("127.0.0.1", endpoint.port, timeout_s=0.2).read()
    with pytest.raises(NodeListError, match="not reached"):
        await read(f"elasticache://127.0.0.1:{endpoint.port}")
