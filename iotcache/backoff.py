"""Exponential back-off with jitter: how long to wait before the next attempt of what has just failed.

Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import asyncio
import random
from enum import StrEnum
from typing import Final

_DEFAULT_RANDOM: Final = random.Random()


class Jitter(StrEnum):
    """Which part of a pause is random. Clients that failed together must not come back together."""

    NONE = "none"
    """The whole limit, always: for one client alone."""
    EQUAL = "equal"
    """Between half of the limit and the limit: spreads clients and still keeps them away for a while."""
    FULL = "full"
    """Between nothing and the limit: spreads clients best."""


class Backoff:
    """The pauses between attempts: the limit begins at ``min_s`` and doubles up to ``max_s``.

    Usage::

        backoff = Backoff(0.1, 5.0)
        while not await attempt():
            await backoff.wait()
    """

    def __init__(
        self,
        min_s: float,
        max_s: float,
        *,
        jitter: Jitter = Jitter.EQUAL,
        rng: random.Random | None = None,
    ) -> None:
        """``rng`` is the source of the jitter. ``min_s`` above ``max_s`` is taken as ``max_s``.

        Raises `ValueError` for limits that are not above 0: attempts would follow each other without a pause.
        """
        if not (min_s > 0 and max_s > 0):
            raise ValueError(f"pauses must be above 0 s, not {min_s:g} to {max_s:g} s")
        self._min_s = min(min_s, max_s)
        self._max_s = max_s
        self._jitter = jitter
        self._rng = rng if rng is not None else _DEFAULT_RANDOM
        self._limit_s = self._min_s
        self.attempts = 0
        """Pauses handed out since the start or the last `reset`."""

    @property
    def limit_s(self) -> float:
        """The longest that the next pause may be."""
        return self._limit_s

    def next_s(self) -> float:
        """The next pause in seconds; the one after it may be twice as long."""
        limit_s = self._limit_s
        self._limit_s = min(limit_s * 2.0, self._max_s)
        self.attempts += 1
        match self._jitter:
            case Jitter.NONE:
                return limit_s
            case Jitter.EQUAL:
                return limit_s * self._rng.uniform(0.5, 1.0)
            case Jitter.FULL:
                return self._rng.uniform(0.0, limit_s)

    async def wait(self) -> None:
        """Sleep for `next_s`."""
        await asyncio.sleep(self.next_s())

    def reset(self) -> None:
        """Begin at ``min_s`` again: an attempt succeeded."""
        self._limit_s = self._min_s
        self.attempts = 0
