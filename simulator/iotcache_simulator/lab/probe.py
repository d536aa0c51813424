"""A device of the Lab's own, whose value and configuration are changed on purpose, and read all the time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from iotcache.model import Document, DocumentKind, Reading, StoredReading
from iotcache.onboarding.push import push_config
from iotcache.store.base import Store
from iotcache_simulator.lab.arm import PROBE, Arm


class Probe:
    """Writes as the scenario says, and tells how long the readers have been given something else."""

    def __init__(self, store: Store, arms: Sequence[Arm]) -> None:
        self._store = store
        self._arms = arms
        self._value: float | None = None
        self._version: int | None = None
        self._refused = 0
        self._stale_since: dict[str, float] = {}
        self._seq = 0

    async def write(self, value: float, *, behind: bool, invalidate: bool = False) -> None:
        """Commit a value; through the cache, unless it is done behind its back or the entries are deleted."""
        self._seq += 1
        now_us = time.time_ns() // 1_000
        reading = Reading(
            PROBE.device,
            PROBE.sensor,
            value,
            now_us,
            site="lab",
            unit="°C",
            seq=self._seq,
            received_us=now_us,
        )
        cache = self._arms[0].cache
        through = not (behind or invalidate)
        until_us = cache.plan_ttl(reading) if through else 0
        committed = await self._store.commit([StoredReading(reading, until_us)])
        self._value = value
        for arm in self._arms:
            if through:
                await arm.cache.write_through(committed.newest)
            elif invalidate:
                await arm.cache.invalidate([PROBE])

    async def configure(self, version: int, *, behind: bool) -> None:
        """A new configuration: pushed through the cache, or put into the database alone."""
        content = {"version": version, "interval_s": 60 // min(version, 60)}
        if behind:
            self._version = version
            document = Document(
                PROBE.device,
                DocumentKind.CONFIG,
                version,
                json.dumps(content),
                "lab",
                time.time_ns() // 1_000,
            )
            await self._store.documents.upsert([document])
            return
        stored = True
        for arm in self._arms:
            pushed = await push_config(arm.cache, PROBE.device, content, version=version, site="lab")
            self._version = pushed.stored_version
            stored = stored and pushed.stored
        self._refused += not stored

    async def invalidate(self) -> None:
        """Delete what the cache has of the probe."""
        for arm in self._arms:
            await arm.cache.invalidate([PROBE])
            key = arm.keys.config(PROBE.device)
            await arm.cache.cluster.delete_many([key])

    async def figures(self) -> dict[str, float | None]:
        """Read as an application does, and compare with what was written."""
        figures: dict[str, float | None] = {}
        if self._version is not None:
            figures["pushes_refused"] = float(self._refused)
        for arm in self._arms:
            prefix = f"{arm.name}." if arm.name else ""
            if self._value is not None:
                read = await arm.cache.read(*PROBE)
                figures[f"{prefix}probe_stale_s"] = self._stale(f"v{prefix}", read.value == self._value)
            if self._version is not None:
                config = await arm.cache.config(PROBE.device)
                figures[f"{prefix}config_version"] = None if config.version is None else float(config.version)
                figures[f"{prefix}config_stale_s"] = self._stale(
                    f"c{prefix}", config.version == self._version
                )
        return figures

    def _stale(self, metric: str, fresh: bool) -> float:
        if fresh:
            self._stale_since.pop(metric, None)
            return 0.0
        now_s = time.monotonic()
        # Seen for the first time now: it has been so for some part of the second since the last look.
        return round(now_s - self._stale_since.setdefault(metric, now_s - 0.5), 1)
