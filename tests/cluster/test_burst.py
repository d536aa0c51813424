"""Plain sets in one piece a node: the same bytes as one by one, and only where that is right."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.cluster import Mode, SetItem, WriteResult
from iotcache.cluster.pipelined_set import SetPipeline
from iotcache.cluster.wire.protocol import BARRIER, set_request
from iotcache.errors import KeyFormatError

from .tools import keys_of, pause, resume, state_of, until

ITEMS = st.lists(
    st.builds(
        SetItem,
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
        st.binary(max_size=40) | st.just(b"\r\nMN\r\nms x 1\r\n"),
        st.integers(0, 2**32 - 1),
        st.integers(1, 2_592_000),
    ),
    max_size=30,
)


class Wire:
    """A connection that keeps what it is given."""

    usable = has_room = True

    def __init__(self) -> None:
        self.sent = b""

    def submit(self, request: bytes, answers: Any, timeout_s: float) -> None:
        self.sent += request


def bursts(count: int, **limits: int) -> tuple[SetPipeline, list[Wire]]:
    wires = [Wire() for _ in range(count)]
    router: Any = SimpleNamespace(
        generation=0,
        all_up=True,
        nodes=[SimpleNamespace(connection=wire) for wire in wires],
        place=lambda key: SimpleNamespace(owner=len(key) % count, key=key.encode()),
    )
    return SetPipeline(router, **limits), wires


@given(ITEMS, ITEMS)
def test_the_bytes_are_those_of_single_sets(first: list[SetItem], second: list[SetItem]) -> None:
    sender, wires = bursts(3)
    for items in (first, second):  # the second finds pieces of the first remembered
        for wire in wires:
            wire.sent = b""
        flights = sender.send(items, 1.0)
        assert flights is not None
        for owner, wire in enumerate(wires):
            own = [item for item in items if len(item.key) % 3 == owner]
            wanted = [set_request(item.key.encode(), item.value, item.flags, item.ttl_s) for item in own]
            assert wire.sent == (b"".join([*wanted, BARRIER]) if own else b"")
        assert sorted(at for flight in flights for at in flight.positions) == list(range(len(items)))
        assert [flight.answers.want for flight in flights] == [len(flight.positions) for flight in flights]


def test_what_is_no_plain_burst_is_left_alone() -> None:
    sender, wires = bursts(2)
    plain = [SetItem(f"k{n}", b"v", 0, 60) for n in range(10)]
    assert sender.send([*plain, SetItem("add", b"v", 0, 60, Mode.ADD)], 1.0) is None
    assert sender.send([SetItem(f"{n:05}", b"v", 0, 60) for n in range(1_025)], 1.0) is None
    assert sender.send([SetItem(f"k{n}", b"v" * 400_000, 0, 60) for n in range(3)], 1.0) is None
    wires[0].has_room = False
    assert sender.send(plain, 1.0) is None
    assert [wire.sent for wire in wires] == [b"", b""]


def test_what_is_remembered_is_bounded() -> None:
    sender, wires = bursts(1, heads_max=8, tails_max=8)
    for round_ in range(5):
        wires[0].sent = b""
        items = [SetItem(f"{round_}-{n}", b"v" * n, 0, 60) for n in range(20)]
        assert sender.send(items, 1.0)
        wanted = [set_request(item.key.encode(), item.value, 0, 60) for item in items]
        assert wires[0].sent == b"".join([*wanted, BARRIER])
    heads, tails = sender.remembered
    assert tails <= 8 and heads <= 8 + 20


@pytest.mark.real("memcached")
async def test_a_burst_that_a_node_does_not_take_goes_to_its_stand_in(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        keys = [*keys_of(cluster, servers[0], 5), *keys_of(cluster, servers[1], 5)]
        items = [SetItem(key, key.encode(), 0, 60) for key in keys]
        await pause(servers[0])
        outcomes = await cluster.set_many(items)
        assert outcomes == [WriteResult(True, servers[1].address)] * 10
        assert [got.value.decode() for got in await cluster.get_many(keys)] == keys
        resume(servers[0])
        await until(lambda: state_of(cluster, servers[0]).value == "up")
        with pytest.raises(KeyFormatError):
            await cluster.set_many([*items, SetItem("no key", b"v", 0, 60)])
