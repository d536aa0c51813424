"""Which series is read next: pure functions of a seed and a counter."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

from iotcache.errors import UsageError
from iotcache_simulator.fleet.waves.noise import scramble, stream_key, unit

Choice = Callable[[int], int]
"""The number of the series of the ``n``-th read."""
NAMES = ("zipf", "uniform", "scan")
_ZIPF_EXPONENT = 1.0


def popularity(text: str, series: int, seed: int) -> Choice:
    """``zipf[:EXPONENT]`` (few are read often), ``uniform``, ``scan`` (in turn). Raises `UsageError`."""
    name, _, given = text.partition(":")
    key = stream_key(seed, "readers", name)
    if name == "scan" and not given:
        return lambda n: n % series
    if name == "uniform" and not given:
        return lambda n: int(unit(key, n) * series)
    if name == "zipf":
        try:
            exponent = float(given) if given else _ZIPF_EXPONENT
        except ValueError:
            exponent = -1.0
        if 0.0 < exponent <= 10.0:
            return _zipf(series, key, exponent)
        raise UsageError(f"--popularity {text!r}: the exponent of zipf is a number above 0, to 10")
    raise UsageError(f"--popularity {text!r}: there is no such popularity; there are {', '.join(NAMES)}")


def _zipf(series: int, key: int, exponent: float) -> Choice:
    # Which series are the popular ones hangs on the seed, not on the order in which they are known.
    ranked = sorted(range(series), key=lambda index: scramble(key ^ index))
    bounds = list(accumulate(1.0 / rank**exponent for rank in range(1, series + 1)))
    total = bounds[-1]
    return lambda n: ranked[min(bisect_right(bounds, unit(key, n) * total), series - 1)]
