"""iotcache: a write-through, read-through cache of device readings over Memcached.

``from iotcache import DeviceCache`` is the front door; names load on first use, so that importing
the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache, Written
    from iotcache.cluster import Cluster
    from iotcache.errors import IotCacheError
    from iotcache.model import MissReason, Read, Reading, Series

_HOME = {
    "Cluster": "iotcache.cluster",
    "DeviceCache": "iotcache.cache",
    "IotCacheError": "iotcache.errors",
    "MissReason": "iotcache.model",
    "Read": "iotcache.model",
    "Reading": "iotcache.model",
    "Series": "iotcache.model",
    "Written": "iotcache.cache",
}

__all__ = ["Cluster", "DeviceCache", "IotCacheError", "MissReason", "Read", "Reading", "Series", "Written"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'iotcache' has no attribute {name!r}")
