"""What a ring of many nodes costs."""

from __future__ import annotations

import gc
import tracemalloc

from iotcache.cluster.outage import Claim
from iotcache.cluster.rings import placed
from iotcache.cluster.rings.record import PastRing, RingRecord, RingTransition, step, texts
from iotcache.cluster.rings.types import RingPhase
from iotcache.cluster.rings.view import RingView
from iotcache.config.urls import parse_node

MOST_BYTES = 20_000_000
NODES = 200
KEYS = 2_000


def nodes(count: int) -> tuple[str, ...]:
    return texts([parse_node(f"10.0.{number // 250}.{number % 250}:11211") for number in range(count)])


def test_two_hundred_nodes_have_their_places_in_little_memory_and_a_change_is_applied() -> None:
    """With the rings that are remembered, and as many keys as are kept."""
    many = nodes(NODES + 4)
    addresses = [parse_node(text) for text in many]
    keys = [f"dev-{number}:temperature:latest" for number in range(KEYS)]
    rings = tuple(PastRing(epoch, many[: NODES + epoch]) for epoch in range(4))
    change = RingTransition(1, 4, many[1:], RingPhase.CLOSING, Claim(1, "host", 1, "nodes"))
    gc.collect()
    tracemalloc.start()
    try:
        view = RingView(addresses, "ketama", follow=True, monotonic=lambda: 0.0, grace_s=1.0)
        record = RingRecord(1, 1, "ketama", rings, 4, change)
        view.switch(record)
        view.switch(step(record, 2))
        of_rings, _ = tracemalloc.get_traced_memory()
        for key in keys:
            next(iter(view.read.order(key)))
        with_keys, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(view.read.nodes) == NODES + 3
    assert set(view.read.order(keys[0])) == set(view.read.indexes)
    assert of_rings + (with_keys - of_rings) / KEYS * placed.ORDERS_MAX < MOST_BYTES
