"""What a change of the list would come to, held to what keys, entries and reads then do."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymemcache import Client

from iotcache.cluster.placement import placement
from iotcache.config.urls import parse_node
from iotcache.errors import UsageError
from iotcache.nodelist.listing import node_text
from iotcache.nodelist.whatif import NodeLoad, changed, forecast, ring_change
from iotcache_tui.cli.main import main
from iotcache_tui.cli.nodes_text import forecast_lines
from tests.conforming import conforming
from tests.conftest import Server

THREE = tuple(parse_node(f"10.0.0.{number}:11211") for number in (1, 2, 3))


def test_a_list_is_changed_as_it_is_said() -> None:
    after = changed(THREE, add=["10.0.0.4=2"], remove=["10.0.0.1"], weight=["10.0.0.2:11211=5"])
    assert [node_text(node) for node in after] == ["10.0.0.2:11211=5", "10.0.0.3:11211", "10.0.0.4:11211=2"]
    (named,) = changed([parse_node("a:1 one"), parse_node("b:1")], remove=["one"])
    assert named.name == "b:1"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"add": ["10.0.0.1:11211"]}, "a node already"),
        ({"add": ["no\x1b[2Jde:0"]}, "port"),
        ({"remove": ["10.0.0.9"]}, "no node is called"),
        ({"remove": ["\x1b[2J"]}, "no node is called"),
        ({"remove": ["10.0.0.1", "10.0.0.2", "10.0.0.3"]}, "no node would be left"),
        ({"weight": ["10.0.0.1:11211"]}, "names no weight"),
        ({"weight": ["10.0.0.1:11211=1"]}, "changes nothing"),
        ({"weight": ["10.0.0.1:11211=0"]}, "weight"),
    ],
)
def test_what_cannot_be_done_is_refused(change: dict[str, list[str]], why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        changed(THREE, **change)
    assert str(refused.value).isprintable()


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(["ketama", "rendezvous"]),
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.lists(st.integers(0, 4), min_size=1, max_size=6),
)
def test_entries_that_move_are_those_whose_owner_changes(
    scheme: str, weights: list[int], other_weights: list[int]
) -> None:
    """Any list to any other: counted key by key."""
    before = [parse_node(f"c{number}:1={weight}") for number, weight in enumerate(weights)]
    after = [parse_node(f"c{number}:1={weight}") for number, weight in enumerate(other_weights) if weight]
    if not after:
        return
    old, new = placement(scheme, before), placement(scheme, after)
    keys = [f"dev-{number}:temperature:latest" for number in range(600)]
    owners = [(before[old.owner(key)].name, after[new.owner(key)].name) for key in keys]
    held = {node.name: sum(one == node.name for one, _ in owners) for node in before}
    loads = {name: NodeLoad(items=count, used_bytes=100 * count) for name, count in held.items()}
    worked_out = forecast(ring_change(scheme, before, after), loads)
    moved = sum(one != other for one, other in owners)
    assert worked_out.items == len(keys)
    assert worked_out.items_moved == pytest.approx(moved, abs=50)
    assert worked_out.bytes_moved == pytest.approx(100 * moved, abs=5_000)
    losing = {one for one, other in owners if one != other}
    assert worked_out.walk_items >= sum(held[name] for name in losing)
    assert sum(node.share_after for node in worked_out.nodes) == pytest.approx(1.0)


@pytest.mark.parametrize(("reads_per_s", "sets_per_s"), [(200.0, 100.0), (20.0, 200.0), (30.0, 0.0)])
def test_store_reads_are_those_of_moved_entries_that_are_read_before_they_are_written(
    reads_per_s: float, sets_per_s: float
) -> None:
    """A minute played: each moved entry misses once, unless it is written first."""
    rng, items = random.Random(7), 4_000
    load = NodeLoad(items=items, gets_per_s=reads_per_s * 1.5, hits_per_s=reads_per_s, sets_per_s=sets_per_s)
    worked_out = forecast(ring_change("ketama", THREE[:1], THREE[:2]), {THREE[0].name: load})
    there = [False] * worked_out.items_moved
    missed = 0
    for _ in range(round((reads_per_s + sets_per_s) * 60)):
        is_read = rng.random() * (reads_per_s + sets_per_s) < reads_per_s
        entry = rng.randrange(items)
        if entry < len(there) and not there[entry]:
            there[entry] = True
            missed += is_read
    assert worked_out.store_reads_without == pytest.approx(missed, abs=4 * missed**0.5)
    assert worked_out.percent_without == pytest.approx(
        100 * worked_out.store_reads_without / (reads_per_s * 90)
    )


def test_a_node_that_is_too_small_for_what_it_gets_is_named() -> None:
    loads = {node.name: NodeLoad(items=9, used_bytes=60 << 20, limit_bytes=64 << 20) for node in THREE}
    worked_out = forecast(ring_change("ketama", THREE, changed(THREE, remove=["10.0.0.1"])), loads)
    lines = list(forecast_lines(worked_out))
    assert ["too little memory" in line for line in lines[1:4]] == [False, True, True]


def test_200_nodes_are_worked_out_in_a_moment_of_steps() -> None:
    many = [parse_node(f"10.1.{number // 100}.{number % 100 + 1}:11211") for number in range(200)]
    worked_out = ring_change("ketama", many, many[:-1])
    assert 0.003 < worked_out.share_moved < 0.03


@pytest.mark.real("memcached")
def test_the_command_works_out_what_real_nodes_hold(
    memcached_factory: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [memcached_factory() for _ in range(2)]
    for server in nodes:
        client = Client(("127.0.0.1", server.port))
        client.set_many({f"k{number}": "v" * 100 for number in range(300)})
        client.close()
    common = ["--nodes", ",".join(server.address for server in nodes), "--for", "0.1s"]
    assert main(["nodes", "list", "--json", *common]) == 0
    listed = conforming("nodes-list", capsys.readouterr().out)
    assert [(one["state"], one["items"]) for one in listed["nodes"]] == [("up", 300), ("up", 300)]
    assert main(["nodes", "list", *common]) == 0
    assert "300 entries" in capsys.readouterr().out
    change = ["--remove", nodes[0].address]
    assert main(["nodes", "whatif", "--json", *change, *common]) == 0
    told = conforming("nodes-forecast", capsys.readouterr().out)
    assert (told["items"], told["items_moved"]) == (600, 300)
    assert main(["nodes", "whatif", *change, *common]) == 0
    assert "about 300 of 600 entries" in capsys.readouterr().out
    assert main(["nodes", "whatif", *common]) == 2
    assert main(["nodes", "list", "--add", "x", *common]) == 2
    assert main(["nodes", "list", "--nodes", "127.0.0.1:1", "--for", "0.1s"]) == 1
    assert "no node answers (127.0.0.1:1" in capsys.readouterr().err
