"""The fixtures of the ingest tests: brokers, links, workers."""

from __future__ import annotations

from tests.cache.conftest import open_cache
from tests.ingest.conftest import broker_port, iotcore_port, link, settings_for, worker

__all__ = ["broker_port", "iotcore_port", "link", "open_cache", "settings_for", "worker"]
