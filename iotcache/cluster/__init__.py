"""The cluster client: many memcached nodes as one, right when nodes fail."""

from __future__ import annotations

from iotcache.cluster.cluster import Cluster
from iotcache.cluster.stats import NodeLimits, NodeStats, NodeTelemetry, SlabClass
from iotcache.cluster.types import GetResult, ItemInfo, Lease, Mode, SetItem, WriteResult
from iotcache.cluster.writing import CONFLICTS

__all__ = [
    "CONFLICTS",
    "Cluster",
    "GetResult",
    "ItemInfo",
    "Lease",
    "Mode",
    "NodeLimits",
    "NodeStats",
    "NodeTelemetry",
    "SetItem",
    "SlabClass",
    "WriteResult",
]
