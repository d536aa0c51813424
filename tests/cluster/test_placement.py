"""Where keys live: the published vectors, and what adding or removing a node moves."""

from __future__ import annotations

import statistics
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymemcache.client.rendezvous import RendezvousHash

from iotcache.cluster.placement import murmur3_32, placement
from iotcache.cluster.placement.ring import points_of
from iotcache.config.urls import NodeAddress, parse_node
from iotcache.errors import ConfigError

NODES = [parse_node(f"127.0.0.1:{port}") for port in (22122, 22123, 22124)]
KEYS = ["dev:0001", "dev:0002", "dev:0003", "dev:0004", "sensor/temp/7"]


def ports(name: str, keys: list[str]) -> list[int]:
    placed = placement(name, NODES)
    return [NODES[placed.owner(key)].port for key in keys]


def test_ketama_places_as_libmemcached_was_seen_to() -> None:
    assert ports("ketama", KEYS) == [22123, 22123, 22122, 22123, 22122]


def test_rendezvous_places_as_pymemcache_was_seen_to() -> None:
    assert ports("rendezvous", KEYS) == [22123, 22123, 22122, 22123, 22124]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
def test_rendezvous_agrees_with_pymemcache_for_any_key(key: str) -> None:
    theirs = RendezvousHash([node.name for node in NODES])
    assert NODES[placement("rendezvous", NODES).owner(key)].name == theirs.get_node(key)


def test_rendezvous_breaks_ties_towards_the_larger_name() -> None:
    # Two nodes of one name have equal scores for every key; a strict order must still come out.
    twins = [NODES[0], NODES[0]]
    assert sorted(placement("rendezvous", twins).order("k")) == [0, 1]


@pytest.mark.parametrize(
    ("text", "value"), [("", 0), ("a", 0x3C2569B2), ("hello", 0x248BFA47), ("abcd", 0x43ED676A)]
)
def test_murmur3_reference_values(text: str, value: int) -> None:
    assert murmur3_32(text) == value


def test_ring_points_are_counted_in_float32() -> None:
    uneven = [live for live in range(1, 60) if points_of(1, live, live) != 160]
    assert uneven == [25, 47, 50, 55]


def test_a_heavier_node_gets_its_share() -> None:
    nodes = [parse_node("10.0.0.1:11211=3"), parse_node("10.0.0.2:11211"), parse_node("10.0.0.3:11211")]
    placed = placement("ketama", nodes)
    share = Counter(placed.owner(f"key-{number}") for number in range(20_000))
    assert 0.5 < share[0] / 20_000 < 0.7


@pytest.mark.parametrize("name", ["ketama", "rendezvous"])
@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 10), gone=st.integers(0, 9), salt=st.integers(0, 10_000))
def test_removing_a_node_moves_only_its_own_keys(name: str, count: int, gone: int, salt: int) -> None:
    gone %= count
    nodes = [NodeAddress(f"10.0.0.{n}:11211", f"10.0.0.{n}", 11211) for n in range(count)]
    left = nodes[:gone] + nodes[gone + 1 :]
    before, after = placement(name, nodes), placement(name, left)
    keys = [f"{salt}:{number}" for number in range(500 if name == "ketama" else 100)]
    moved = 0
    for key in keys:
        owner = nodes[before.owner(key)]
        new = left[after.owner(key)]
        if owner is nodes[gone]:
            moved += 1
            # The stand-in while it is out is the owner once it is taken out of the list.
            order = before.order(key)
            next(order)
            assert nodes[next(order)] is new
        else:
            assert new is owner
    assert moved / len(keys) < 3.0 / count


@pytest.mark.parametrize("name", ["ketama", "rendezvous", "modulo"])
def test_a_node_with_a_name_of_its_own_keeps_its_keys_at_any_address(name: str) -> None:
    here, there = (
        placement(name, [parse_node(f"127.0.0.1:{port + n}=2 node-{n}") for n in range(4)])
        for port in (21_000, 33_000)
    )
    assert [list(here.order(key)) for key in KEYS] == [list(there.order(key)) for key in KEYS]


@pytest.mark.parametrize("name", ["ketama", "rendezvous", "modulo"])
def test_order_names_every_node_once_and_the_owner_first(name: str) -> None:
    placed = placement(name, NODES)
    for key in KEYS:
        order = list(placed.order(key))
        assert sorted(order) == [0, 1, 2]
        assert order[0] == placed.owner(key)


def test_the_load_over_ten_nodes_stays_within_ketamas_known_spread() -> None:
    nodes = [NodeAddress(f"10.0.1.{n}:11211", f"10.0.1.{n}", 11211) for n in range(10)]
    placed = placement("ketama", nodes)
    share = Counter(placed.owner(f"device-{number:06d}:temperature:latest") for number in range(100_000))
    # 160 points a node leave a relative deviation of about 1 / sqrt(160) = 8 %.
    assert statistics.pstdev(share.values()) / 10_000 < 0.16
    assert max(share.values()) < 13_500
    assert min(share.values()) > 7_000


def test_modulo_shows_why_there_are_rings() -> None:
    more = [*NODES, parse_node("127.0.0.1:22125")]
    keys = [f"k{number}" for number in range(2_000)]

    def moved(name: str) -> float:
        before, after = placement(name, NODES), placement(name, more)
        return sum(before.owner(key) != after.owner(key) for key in keys) / len(keys)

    assert moved("modulo") > 0.65
    assert moved("ketama") < 0.40


def test_an_unknown_placement_is_named() -> None:
    with pytest.raises(ConfigError, match="ketamma"):
        placement("ketamma", NODES)
    with pytest.raises(ConfigError, match="at least one"):
        placement("ketama", [])
