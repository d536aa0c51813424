"""What one client knows of the ring of nodes and of copies of hot keys, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from iotcache.cluster import Cluster


def ring_metrics(cluster: Cluster) -> Iterator[Metric]:
    """As the client stands now; no node is asked."""
    ring, counts = cluster.ring(), cluster.copy_counts
    yield GaugeMetricFamily(
        "iotcache_ring_epoch", "How often the ring of nodes was changed.", value=ring.epoch
    )
    yield GaugeMetricFamily(
        "iotcache_ring_changing", "1 while a change of the ring is under way.", value=ring.phase != "steady"
    )
    yield GaugeMetricFamily(
        "iotcache_hot_keys", "Keys that have copies on further nodes.", value=len(ring.hot_keys)
    )
    yield GaugeMetricFamily(
        "iotcache_hot_key_nodes", "Nodes that each of them is on, its owner included.", value=ring.hot_nodes
    )
    yield CounterMetricFamily(
        "iotcache_copies_read", "Gets of this process that copies of hot keys answered.", value=counts.reads
    )
    yield CounterMetricFamily(
        "iotcache_copies_written", "Sets and deletes of this process sent to copies.", value=counts.writes
    )
    yield CounterMetricFamily(
        "iotcache_copies_brought", "Copies that this process made of what owners had.", value=counts.brought
    )
