"""What the advisor says of a lesson's nodes before something is changed, and how far off it was."""

from __future__ import annotations

import asyncio
from collections import deque
from statistics import fmean
from typing import Final

from iotcache.advisor.curves import merged, ring_curve
from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import IotCacheError
from iotcache.tasks import end
from iotcache.traffic.look import StandingLook
from iotcache.traffic.observation import Observation

MEASURED_S: Final = 15
"""Seconds that are compared with what was predicted: of single ones chance alone makes a point or two."""
_EVERY_S: Final = 1.0
_HALF_LIFE_S: Final = 10.0
"""What was seen so long ago weighs half …"""
_EMPTY_LOOKS: Final = 15
"""… and the first looks, and those after a change, not at all: a cache that fills is not what goes on."""
_LOOKS: Final = 8
"""… and of so many is what is said made at the least."""
_SEEN_WITHIN_S: Final = 90.0
"""On a busy machine a look takes its time, and says nothing where the node's log was read late."""
_MARKS: Final = "iotcache:"
"""Where the keys of all marks of the cluster client begin (`iotcache.cluster`)."""


class Predictor:
    """Looks at all nodes as `iotcache-tui advise` does: by their log of requests."""

    def __init__(self, cache: CacheSettings) -> None:
        """Begins to look at once, at the nodes that ``cache`` names."""
        assert not isinstance(cache.nodes, str)
        self._look = StandingLook(
            [parse_node(node) for node in cache.nodes], cache, half_life_s=_HALF_LIFE_S, window_s=MEASURED_S
        )
        self._stop = asyncio.Event()
        self._seen = asyncio.Event()
        """Set by each look."""
        self._looks = 0
        self._observation: Observation | None = None
        self._predicted: float | None = None
        self._measured: deque[float] | None = None
        """Hit ratios since the change, the last few; ``None`` before there is one."""
        self._task = asyncio.create_task(self._look.run(self._take, stop=self._stop, every_s=_EVERY_S))

    def _take(self, observation: Observation) -> None:
        self._looks += 1
        if self._looks == _EMPTY_LOOKS:
            self._look.forget()
        elif self._looks > _EMPTY_LOOKS:
            self._observation = observation
        self._seen.set()

    async def predict(self, *, memory_mb: int | None, ttl_s: float | None) -> None:
        """Keep what the curves say of another memory of each node, or of another TTL of all entries.

        Raises `IotCacheError` when no requests were seen that it could rest on.
        """
        try:
            async with asyncio.timeout(_SEEN_WITHIN_S):
                while (ratio := self._ratio(memory_mb, ttl_s)) is None:
                    self._seen.clear()
                    await self._seen.wait()
        except TimeoutError:
            raise IotCacheError(
                f"within {_SEEN_WITHIN_S:g} s the advisor has seen too few requests of the readers"
            ) from None
        self._predicted, self._measured = 100.0 * ratio, None

    def note_change(self) -> None:
        """What was predicted is being done; what is looked at from now on is another cache, that fills."""
        self._measured = deque(maxlen=MEASURED_S)
        self._looks = 0

    def _ratio(self, memory_mb: int | None, ttl_s: float | None) -> float | None:
        """``None`` while too little was seen."""
        if self._looks < _EMPTY_LOOKS + _LOOKS:
            return None
        return self._with_memory(memory_mb) if memory_mb is not None else self._with_ttl(ttl_s or 0.0)

    def _with_memory(self, memory_mb: int) -> float | None:
        if self._observation is None:
            return None
        nodes, groups = self._observation.evidence.nodes, self._observation.evidence.groups
        curve = ring_curve([(one.curve, one.gets_per_s) for one in nodes if one.curve is not None])
        gets_per_s = sum(one.gets_per_s for one in groups)
        if curve is None or not gets_per_s:
            return None
        # The clients look at the nodes' marks a few times a second, and there are none: no reads of theirs.
        own = sum(one.gets_per_s for one in groups if one.name.startswith(_MARKS)) / gets_per_s
        return min(curve.at(memory_mb * len(nodes) << 20) / (1.0 - own), 1.0) if own < 1.0 else None

    def _with_ttl(self, ttl_s: float) -> float | None:
        groups = self._observation.evidence.groups if self._observation is not None else ()
        curve = merged([one.ttl for one in groups if one.ttl is not None])
        return None if curve is None else curve.at(ttl_s / curve.ttl_s)

    def figures(self, hit_percent: float | None) -> dict[str, float | None]:
        """Once a second, with the readers' hit ratio as it is."""
        if self._predicted is None:
            return {}
        measured = self._measured
        if measured is not None and hit_percent is not None:
            measured.append(hit_percent)
        known = measured is not None and len(measured) == MEASURED_S
        error = abs(fmean(measured or ()) - self._predicted) if known else None
        return {"predicted_hit_percent": self._predicted, "prediction_error": error}

    async def close(self) -> None:
        self._stop.set()
        await end(self._task)
