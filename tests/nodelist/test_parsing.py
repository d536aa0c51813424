"""Lists of nodes as they are written, and what is not taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.config.node_lists import NodeListUrl, parse_node_list_url
from iotcache.config.urls import parse_node
from iotcache.errors import ConfigError
from iotcache.nodelist.discovery_text import parse_value, value_length
from iotcache.nodelist.file_text import parse_file
from iotcache.nodelist.listing import NODES_MAX, NodeListError, NodeListing, difference, node_text, objection
from tests.examples import examples


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("file:///etc/nodes", {"kind": "file", "path": "/etc/nodes"}),
        ("file:///a%20b", {"kind": "file", "path": "/a b"}),
        ("dns://cache", {"kind": "dns", "host": "cache", "port": 11211}),
        ("dns://cache:1?family=4", {"kind": "dns", "host": "cache", "port": 1, "families": ("A",)}),
        (
            "dns://c?server=[::1]:8600",
            {"kind": "dns", "host": "c", "port": 11211, "server": "::1", "server_port": 8600},
        ),
        ("dns+srv://_m._tcp.c", {"kind": "dns+srv", "host": "_m._tcp.c", "port": 11211}),
        ("elasticache://c.cfg:11212", {"kind": "elasticache", "host": "c.cfg", "port": 11212}),
    ],
)
def test_a_url_names_a_place(url: str, wanted: dict[str, object]) -> None:
    assert parse_node_list_url(url) == NodeListUrl(url, **wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "file://host/x", "file:///", "file:///x?y=1", "dns://", "dns://a/b", "dns://a?x=1", "dns://a:0",
        "dns://a?family=5", "dns+srv://a:11211", "elasticache://", "elasticache://u:p@h", "http://h",
        "dns://a b", "dns://a\nb", "dns://[::1]", "dns://a#b", "elasticache://h?x", "dns://a?server=",
    ],
)  # fmt: skip
def test_a_url_that_names_none_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_node_list_url(url)
    assert "allowed is" in str(refused.value) or "leave it out" in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_file_has_a_node_a_line_with_weights_and_comments() -> None:
    text = b"# ours\ncache1:11211\n\n  cache2:11211=2 big  # the big one\r\n[::1]:11212 c\n\t# none\n"
    nodes = parse_file(text)
    texts = ["cache1:11211", "cache2:11211=2 big", "[::1]:11212 c"]
    assert [node_text(node) for node in nodes] == texts
    assert tuple(map(parse_node, texts)) == nodes


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "names no node"),
        (b"# nothing\n\n", "names no node"),
        (b"a:1\ncache3:112", "line 2 may be half-written"),
        (b"a:1\n\x00\x00\x00\n", "line 2"),
        (b"a:1\nb:1 c:1\n", "line 2"),
        (b"a:1\na:1=3\n", "twice"),
        (b"a:1 x\nb:1 x\n", "twice"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"a:99999\n", "line 1"),
        (b"\x1b[2J\n", "line 1"),
        (b"".join(b"n%d:1\n" % n for n in range(NODES_MAX + 1)), "1,001 nodes"),
        (b"#" * (1 << 20) + b"\n", "bytes"),
    ],
)
def test_a_file_that_is_no_list_is_refused_with_its_line(content: bytes, why: str) -> None:
    with pytest.raises(NodeListError, match=why) as refused:
        parse_file(content)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(1_000, 65_535), min_size=1, max_size=6, unique=True), st.integers(0, 60))
def test_a_list_that_is_cut_off_is_never_another_list(ports: list[int], size: int) -> None:
    """What a writer leaves that was stopped half-way: no list, or the beginning of it line by line."""
    names = [f"cache:{port}" for port in ports]
    whole = "".join(f"{name}\n" for name in names).encode()
    try:
        nodes = [node.name for node in parse_file(whole[:size])]
    except NodeListError:
        return
    assert nodes == names[: len(nodes)]


@settings(max_examples=examples(40), deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text("0123456789|\n ab.-\r", max_size=60).map(str.encode)))
def test_whatever_an_endpoint_answers_is_a_list_or_refused_in_one_line(value: bytes) -> None:
    for parse in (parse_value, value_length, parse_file):
        try:
            parse(value)
        except NodeListError as refused:
            assert str(refused).isprintable()
            assert len(str(refused)) < 400


def test_an_endpoint_names_a_version_and_nodes_by_host_or_address() -> None:
    value = b"12\nc1.x.cache.amazonaws.com|10.0.0.1|11211 |10.0.0.2|11212 c3||11211\n"
    version, nodes = parse_value(value)
    assert version == 12
    assert [node.name for node in nodes] == ["c1.x.cache.amazonaws.com:11211", "10.0.0.2:11212", "c3:11211"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"12\n\n", "names no node"),
        (b"twelve\na||1\n", "version"),
        (b"12\n", "version"),
        (b"12\na|b\n", "host.ip.port"),
        (b"12\na||1 a||1\n", "twice"),
        (b"12\n0.0.0.0||1\n", "no host's address"),
        (b"12\na b||1\n", "host.ip.port"),
        (b"12\n\x1b[2J||1\n", "host that is none"),
        (b"12\na||70000\n", "port"),
        (b"1\na||1\nb||1\n", "goes on"),
        (b"12\n\xff||1\n", "ASCII"),
    ],
)
def test_an_answer_that_is_no_list_is_refused(value: bytes, why: str) -> None:
    with pytest.raises(NodeListError, match=why) as refused:
        parse_value(value)
    assert str(refused.value).isprintable()


def listing(*names: str, version: int | None = None) -> NodeListing:
    return NodeListing(tuple(parse_node(name) for name in names), 1.0, version)


def test_what_cannot_be_meant_is_not_followed() -> None:
    three = listing("a:1", "b:1", "c:1")
    assert not objection(None, three)
    assert not objection(three, listing("a:1"))
    assert not objection(three, listing(*(f"n{n}:1" for n in range(299))))
    assert "300 nodes, 3 before" in objection(three, listing(*(f"n{n}:1" for n in range(300))))
    assert "went back from 5 to 4" in objection(listing("a:1", version=5), listing("a:1", version=4))
    assert "same version (5)" in objection(listing("a:1", version=5), listing("b:1", version=5))
    assert not objection(listing("a:1", version=5), listing("b:1", version=6))


def test_a_difference_is_told_in_a_few_words() -> None:
    used = [parse_node(name) for name in ("a:1", "b:1", "c:1=2")]
    assert difference(used, used) == ""
    assert difference([parse_node("c:1"), *map(parse_node, ("a:1", "d:1"))], used) == (
        "to be added: d:1; to be removed: b:1; other weight: c:1"
    )
    many = [*used, *(parse_node(f"n{n}:1") for n in range(9))]
    assert difference(many, used) == "to be added: n0:1, n1:1, n2:1 and 6 more"
