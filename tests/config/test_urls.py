"""Addresses as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.config.urls import (
    BrokerAddress,
    NodeAddress,
    StoreAddress,
    mask,
    parse_broker,
    parse_embedded_nodes,
    parse_node,
    parse_store,
)
from iotcache.errors import ConfigError
from iotcache.text import printable


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://h", BrokerAddress("h", 1883)),
        ("mqtts://h", BrokerAddress("h", 8883, True)),
        ("mqtt://h:1/", BrokerAddress("h", 1)),
        ("mqtt://[::1]:1884", BrokerAddress("::1", 1884)),
        ("mqtt://u:p%40%2F:w@h", BrokerAddress("h", 1883, False, "u", "p@/:w")),
        ("mqtt://u@h:2", BrokerAddress("h", 2, False, "u")),
    ],
)
def test_brokers(url: str, address: BrokerAddress) -> None:
    assert parse_broker(url) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("h", NodeAddress("h:11211", "h", 11211)),
        ("h:1", NodeAddress("h:1", "h", 1)),
        ("h:1=3", NodeAddress("h:1", "h", 1, weight=3)),
        ("h:1=3 a", NodeAddress("h:1", "h", 1, weight=3, ring_name="a")),
        ("[::1]", NodeAddress("[::1]:11211", "::1", 11211)),
        ("[fe80::1%eth0]:5=2", NodeAddress("[fe80::1%eth0]:5", "fe80::1%eth0", 5, weight=2)),
        ("/run/m.sock", NodeAddress("/run/m.sock", path="/run/m.sock")),
        ("/run/m.sock=2", NodeAddress("/run/m.sock", path="/run/m.sock", weight=2)),
        ("/run/a b.sock", NodeAddress("/run/a b.sock", path="/run/a b.sock")),
        ("/run/a=b.sock", NodeAddress("/run/a=b.sock", path="/run/a=b.sock")),
    ],
)
def test_nodes(text: str, address: NodeAddress) -> None:
    assert parse_node(text) == address


@pytest.mark.parametrize(
    ("url", "kind", "path"),
    [
        ("sqlite:///x.db", "sqlite", Path("x.db")),
        ("sqlite:////var/x.db", "sqlite", Path("/var/x.db")),
        ("sqlite:////var/my%20x.db", "sqlite", Path("/var/my x.db")),
        ("postgresql://u@h/d", "postgresql", None),
        ("postgres://h1:5432,h2:5433/d", "postgresql", None),
        ("postgresql:///d?host=/run/postgresql", "postgresql", None),
    ],
)
def test_stores(url: str, kind: str, path: Path | None) -> None:
    assert parse_store(url) == StoreAddress(kind, path, url)


def test_embedded_nodes() -> None:
    assert parse_embedded_nodes("embedded") == 3
    assert parse_embedded_nodes("embedded:7") == 7
    assert parse_embedded_nodes("h:1") is None


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_broker, "mqtt://"), (parse_broker, "mqtt://:1883"), (parse_broker, "h:1883"),
        (parse_broker, "mqtt://h:1883/topic"), (parse_broker, "mqtt://h?x=1"), (parse_broker, "mqtt://ho\nst"),
        (parse_broker, "mqtt://[::1"),
        (parse_broker, "mqtt://h:" + "9" * 5_000), (parse_broker, "mqtt://a b"),
        (parse_node, ""), (parse_node, "::1"), (parse_node, "h:0"), (parse_node, "h:65536"),
        (parse_node, "h:1=-1"), (parse_node, "h:1=1.5"), (parse_node, "h:1=" + "9" * 5_000),
        (parse_node, "h:" + "9" * 5_000), (parse_node, "h\x1b:1"), (parse_node, "/run/\n.sock"),
        (parse_store, ""), (parse_store, "x.db"), (parse_store, "sqlite://x.db"), (parse_store, "sqlite:///"),
        (parse_store, "sqlite:///:memory:"), (parse_store, "sqlite:///x.db?mode=ro"),
        (parse_store, "sqlite:///a%00b"), (parse_store, "sqlite:///~no-such-user/x"),
        (parse_store, "postgresql://h:x/d"), (parse_store, "postgresql:h"),
        (parse_embedded_nodes, "embedded:0"), (parse_embedded_nodes, "embedded:33"),
        (parse_embedded_nodes, "embedded:x"), (parse_embedded_nodes, "embedded:" + "9" * 5_000),
    ],
)  # fmt: skip
def test_what_is_no_address_is_told_on_one_short_line(parse: object, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)  # type: ignore[operator]
    said = str(caught.value)
    assert "allowed is" in said
    assert said.isprintable()
    assert len(said) < 500


@given(st.text(max_size=40))
def test_a_parser_gives_an_address_or_a_config_error(text: str) -> None:
    for parse in (parse_broker, parse_node, parse_store, parse_embedded_nodes):
        for prefix in ("", "mqtt://", "sqlite:///", "postgresql://", "embedded:", "h:1="):
            try:
                parse(prefix + text)
            except ConfigError as error:
                assert printable(str(error), 5_000) == str(error)


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://u:hush@h", "mqtt://u:hu@hush@h", "mqtt://u:hu/hush@h:1", "mqtt:/u:hush@h", "u:hush@h", "mqtt://:hush@h",
        "postgresql://h/d?user=u&password=hush&x=1", "host=h password=hush", "http://u:hu hush@h", "mqtt://u:hu:hush@h",
    ],
)  # fmt: skip
def test_a_password_is_masked_wherever_it_stands(url: str) -> None:
    assert "hush" not in mask(url)
    assert "***" in mask(url)


@pytest.mark.parametrize(
    "url", ["mqtt://h:1883", "mqtt://u@h:1883", "sqlite:///x.db", "[::1]:11211", "a:1,b:2"]
)
def test_what_holds_no_password_is_shown_as_it_is(url: str) -> None:
    assert mask(url) == url
