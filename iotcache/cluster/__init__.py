"""The cluster client: many memcached nodes as one, right when nodes fail."""

from __future__ import annotations

from iotcache.cluster.cluster import Cluster
from iotcache.cluster.stats import NodeLimits, NodeStats, NodeTelemetry, SlabClass
from iotcache.cluster.types import Got, Item, Lease, Mode, Outcome, Probe
from iotcache.cluster.writing import CONFLICTS

__all__ = [
    "CONFLICTS",
    "Cluster",
    "Got",
    "Item",
    "Lease",
    "Mode",
    "NodeLimits",
    "NodeStats",
    "NodeTelemetry",
    "Outcome",
    "Probe",
    "SlabClass",
]
