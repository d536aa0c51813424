"""What all parts of one `DeviceCache` share: the cluster, the store, the policies and the bookkeeping."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from msgspec import Struct

from iotcache.cache.budget import Budget
from iotcache.cache.counters import CacheCountersBuilder
from iotcache.cache.node_facts import NodeFactsCache
from iotcache.cache.promise import Promises
from iotcache.clock import Clock
from iotcache.keys import Keys
from iotcache.misses import Records
from iotcache.ttl import TtlPolicy

if TYPE_CHECKING:
    from iotcache.cluster import Cluster
    from iotcache.store.base import Store


class CacheContext(Struct, kw_only=True):
    """One instance for each `DeviceCache`; `ttl` and `leases` may be set at any time."""

    cluster: Cluster
    store: Store
    keys: Keys
    ttl: TtlPolicy
    clock: Clock
    rng: Random
    budget: Budget
    """Of store reads on behalf of nodes that are out."""
    node_facts: NodeFactsCache
    records: Records
    promises: Promises
    counters: CacheCountersBuilder
    """Of readings; what is counted of documents and aggregates is their own."""
    compress_min_bytes: int
    max_value_bytes: int
    repopulate: bool
    """Whether what was loaded from the store is put into the cache."""
    leases: bool
    """Whether one reader among all processes loads what is missing, and the others wait for it."""
    shared_writers: bool
    """Whether others may write the same series."""

    def since_ms(self, began_s: float) -> float:
        """Milliseconds since a monotonic time."""
        return (self.clock.monotonic() - began_s) * 1e3
