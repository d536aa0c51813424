"""What a ring of many nodes costs."""

from __future__ import annotations

import gc
import tracemalloc

from iotcache.cluster.outage import Claim
from iotcache.cluster.rings.record import PastRing, RingRecord, RingTransition, step, texts
from iotcache.cluster.rings.types import RingPhase
from iotcache.cluster.rings.view import RingView
from iotcache.config.urls import parse_node

MOST_BYTES = 20_000_000
NODES = 200


def nodes(count: int) -> tuple[str, ...]:
    return texts([parse_node(f"10.0.{number // 250}.{number % 250}:11211") for number in range(count)])


def test_two_hundred_nodes_have_their_places_in_little_memory_and_a_change_is_applied() -> None:
    """With the rings that are remembered, and more keys placed than are kept."""
    many = nodes(NODES + 4)
    addresses = [parse_node(text) for text in many]
    keys = [f"dev-{number}:temperature:latest" for number in range(60_000)]
    rings = tuple(PastRing(epoch, many[: NODES + epoch]) for epoch in range(4))
    change = RingTransition(1, 4, many[1:], RingPhase.CLOSING, Claim(1, "host", 1, "nodes"))
    gc.collect()
    tracemalloc.start()
    try:
        view = RingView(addresses, "ketama", follow=True, monotonic=lambda: 0.0)
        record = RingRecord(1, 1, "ketama", rings, 4, change)
        for phase in (record, step(record, 2)):
            view.switch(phase)
            for key in keys:
                next(iter(view.read.order(key)))
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(view.read.nodes) == NODES + 3
    assert set(view.read.order(keys[0])) == set(view.read.indexes)
    assert held_bytes < MOST_BYTES
