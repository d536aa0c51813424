"""A circuit breaker: closed, open, half-open; pure, with the clock and the dice passed in."""

from __future__ import annotations

from enum import Enum
from random import Random

from iotcache.backoff import Backoff
from iotcache.clock import Clock
from iotcache.config.schema import BreakerSettings


class Circuit(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Opens after some failures in a row, or one hard failure; probes at jittered, growing intervals."""

    def __init__(self, settings: BreakerSettings, clock: Clock, rng: Random) -> None:
        self._settings = settings
        self._clock = clock
        self._pauses = Backoff(settings.open_min_s, settings.open_max_s, rng=rng)
        self._failures = 0
        self._retry_at = 0.0
        self.circuit = Circuit.CLOSED

    def success(self) -> None:
        """A question was answered. Closes a half-open circuit."""
        self._failures = 0
        if self.circuit is Circuit.HALF_OPEN:
            self.circuit = Circuit.CLOSED
            self._pauses.reset()

    def failure(self, *, hard: bool = False) -> bool:
        """A question was not answered; True when this opened the circuit.

        ``hard`` opens it at once: nobody listens, or a whole time-out passed without a byte.
        """
        self._failures += 1
        if self.circuit is Circuit.CLOSED and not hard and self._failures < self._settings.failures:
            return False
        opened = self.circuit is Circuit.CLOSED
        self.circuit = Circuit.OPEN
        # Many clients that lost one node at the same moment do not come back to it at the same moment.
        self._retry_at = self._clock.monotonic() + self._pauses.next_s()
        return opened

    def retry_in_s(self) -> float:
        """Seconds until the next probe is due; 0 when it is."""
        return max(0.0, self._retry_at - self._clock.monotonic())

    def probe(self) -> None:
        """A probe is under way: open becomes half-open."""
        self.circuit = Circuit.HALF_OPEN
