"""First-order inertia on its grid: the weighted mean of a source's past, remembered for each device.

A reading needs the source at two dozen points of the past, but those of the next reading are mostly the same
ones. What is remembered is a pure function of device and grid point, so that it may be forgotten at any time.
"""

from __future__ import annotations

from typing import cast

from iotcache_simulator.fleet.rendering.array_waves import ArrayFunction, Floats, Integers, Keys
from iotcache_simulator.fleet.rendering.single_threaded_numpy import np
from iotcache_simulator.fleet.waves.derived import LAG_TAPS, lag_weights


class InertiaCache:
    """The response at the grid point of each device that was asked for last, and at the one before it."""

    def __init__(self, source: ArrayFunction, step_s: float) -> None:
        self._source = source
        self._step_s = step_s
        self._weights = lag_weights()
        self._back = np.arange(LAG_TAPS + 1)[:, None]
        self._keys: Keys = np.zeros(1, np.uint64)
        """Sorted; the columns below belong to them."""
        self._points: Integers = np.full(1, -1)
        self._before: Floats = np.zeros(1)
        self._now: Floats = np.zeros(1)

    def around(self, keys: Keys, k: Integers) -> tuple[Floats, Floats]:
        """The response at the grid points ``k - 1`` and ``k`` of each device."""
        at = np.minimum(self._keys.searchsorted(keys), len(self._keys) - 1)
        unknown = (self._keys.take(at) != keys) | (self._points.take(at) != k)
        before, now = self._before.take(at), self._now.take(at)
        if unknown.any():
            new_keys, new_points = keys[unknown], k[unknown]
            new_before, new_now = self._responses(new_keys, new_points)
            before[unknown], now[unknown] = new_before, new_now
            self._remember(new_keys, new_points, new_before, new_now)
        return before, now

    def _responses(self, keys: Keys, k: Integers) -> tuple[Floats, Floats]:
        times = cast(Floats, ((k - self._back) * self._step_s).ravel())
        past = self._source(np.tile(keys, LAG_TAPS + 1), times).reshape(LAG_TAPS + 1, len(k))
        before: Floats = np.full(len(k), 0.0)
        now: Floats = np.full(len(k), 0.0)
        for n, weight in enumerate(self._weights):
            now += weight * past[n]
            before += weight * past[n + 1]
        return before, now

    def _remember(self, keys: Keys, k: Integers, before: Floats, now: Floats) -> None:
        """Keep the last of each device, in place of what was kept of it."""
        all_keys = np.concatenate((keys[::-1], self._keys))
        self._keys, first = np.unique(all_keys, return_index=True)
        self._points = np.concatenate((k[::-1], self._points)).take(first)
        self._before = np.concatenate((before[::-1], self._before)).take(first)
        self._now = np.concatenate((now[::-1], self._now)).take(first)
