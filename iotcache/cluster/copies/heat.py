"""How often this client reads which keys: some of its gets are counted, so that the hottest are known."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from msgspec import Struct

from iotcache.advisor.hot_keys import SpaceSaving
from iotcache.clock import Clock

_MEAN_STEP: Final = 16
"""One of so many gets is counted, at random places: batches that repeat are not counted at the same ones."""
_CAPACITY: Final = 256
_TOLD: Final = 24
"""So many of the hottest keys are told."""
_FADE: Final = 0.5


class KeyRate(Struct, frozen=True):
    """One frequent key."""

    key: str
    gets_per_s: float


class HeatMeter:
    """Gets of one client by key, the latest weighing the most."""

    def __init__(self, clock: Clock, rng: Random) -> None:
        self._monotonic = clock.monotonic
        self._rng = rng
        self._counts = SpaceSaving(_CAPACITY)
        self._next = 0
        self._gets = 0
        self._asked_s = self._monotonic()
        self._seconds = 0.0
        """That are counted, faded as the counts are."""
        self._all = 0.0

    def read(self, keys: Sequence[str]) -> None:
        """Count a batch of gets."""
        size = len(keys)
        self._gets += size
        at = self._next
        found: dict[bytes, float] = {}
        while at < size:
            key = keys[at].encode()
            found[key] = found.get(key, 0.0) + _MEAN_STEP
            at += self._rng.randint(1, 2 * _MEAN_STEP - 1)
        self._next = at - size
        if found:
            self._counts.add(found)

    def take(self) -> tuple[float, tuple[KeyRate, ...]]:
        """Gets a second, and those of the hottest keys. What was counted weighs half from now on."""
        now_s = self._monotonic()
        self._seconds += max(now_s - self._asked_s, 0.001)
        self._all += self._gets
        self._asked_s, self._gets = now_s, 0
        seconds = self._seconds
        hottest = tuple(
            KeyRate(each.key.decode(), round((each.count - each.error) / seconds, 1))
            for each in self._counts.top(_TOLD)
            if each.count > each.error
        )
        per_s = round(self._all / seconds, 1)
        self._counts.fade(_FADE)
        self._seconds *= _FADE
        self._all *= _FADE
        return per_s, hottest
