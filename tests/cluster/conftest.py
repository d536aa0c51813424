"""A cluster over real memcached processes, and small tools to wait for what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iotcache.cluster import Cluster
from iotcache.config.schema import BreakerSettings
from iotcache.config.urls import parse_node

QUICK = BreakerSettings(failures=3, open_min_s=0.05, open_max_s=0.2)


@pytest.fixture
def over() -> Callable[..., Any]:
    """``async with over(server, …, **options) as cluster``: a cluster with short time-outs."""

    @asynccontextmanager
    async def make(*servers: Any, **options: Any) -> AsyncIterator[Cluster]:
        addresses = [parse_node(server if isinstance(server, str) else server.address) for server in servers]
        options = {"breaker": QUICK, "operation_timeout_s": 0.25, "connect_timeout_s": 0.25, **options}
        async with Cluster(addresses, **options) as cluster:
            yield cluster

    return make
