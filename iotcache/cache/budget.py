"""A token bucket: so many permits a second, with bursts of up to a second's worth."""

from __future__ import annotations

from iotcache.clock import Clock


class Budget:
    """Grants at most ``per_s`` units a second."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self.per_s = per_s
        self._clock = clock
        self._tokens = per_s
        self._refilled_s = clock.monotonic()

    def take(self, wanted: int) -> int:
        """How many of ``wanted`` are granted now; never waits."""
        now_s = self._clock.monotonic()
        self._tokens = min(self.per_s, self._tokens + (now_s - self._refilled_s) * self.per_s)
        self._refilled_s = now_s
        granted = min(wanted, int(self._tokens))
        self._tokens -= granted
        return granted
