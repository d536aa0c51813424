"""The cluster client: many memcached nodes as one, right when nodes fail.

The names are imported when they are first used: `iotcache.cluster.types` and the like can be had without
sockets and protocols.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iotcache.cluster.cluster import Cluster
    from iotcache.cluster.outcomes import CONFLICTS
    from iotcache.cluster.rings.types import ResizeResult, RingFollower, RingPhase, RingStatus
    from iotcache.cluster.stats import NodeLimits, NodeStats, NodeTelemetry, SlabClass
    from iotcache.cluster.types import GetResult, ItemInfo, Lease, Mode, SetItem, WriteResult

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
    "ResizeResult",
    "RingFollower",
    "RingPhase",
    "RingStatus",
    "SetItem",
    "SlabClass",
    "WriteResult",
]
_ELSEWHERE = {
    "CONFLICTS": "outcomes",
    "Cluster": "cluster",
    "NodeLimits": "stats",
    "NodeStats": "stats",
    "NodeTelemetry": "stats",
    "ResizeResult": "rings.types",
    "RingFollower": "rings.types",
    "RingPhase": "rings.types",
    "RingStatus": "rings.types",
    "SlabClass": "stats",
}
"""Modules of names that are not in `types`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'types')}"), name)
    globals()[name] = found
    return found
