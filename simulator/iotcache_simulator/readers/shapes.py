"""Shapes of real cache workloads: popularity, mix, TTLs and sizes, as published or as our devices have.

The clusters are rows of the table "2020Mar" that goes with Twitter's traces (github.com/twitter/cache-trace,
``stat/2020Mar.md``); the study is Yang, Yue and Rashmi, "A large scale analysis of hundreds of in-memory
cache clusters at Twitter", OSDI '20. Where a cluster has several TTLs, its most common ones are taken. Sets,
adds and cas count as writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from iotcache.errors import UsageError
from iotcache.text import printable


class Shape(Struct, frozen=True):
    """One workload."""

    name: str
    exponent: float
    """Of the Zipf law by which keys are asked for."""
    writes: float
    """Share of requests that write, of keys by the same law; misses are filled besides."""
    ttls_s: tuple[tuple[float, float], ...]
    """(TTL, share); 0 never expires."""
    key_bytes: int
    value_bytes: int
    """Mean; sizes are spread evenly from half of it to one and a half."""
    source: str

    @property
    def ttl_s(self) -> float:
        """The most common TTL."""
        return max(self.ttls_s, key=lambda one: one[1])[0]


_TWITTER: Final = "twitter/cache-trace, stat/2020Mar.md"
_OURS: Final = "device classes of this program"
SHAPES: Final = {
    shape.name: shape
    for shape in (
        Shape("twitter-4", 1.1004, 0.07, ((60, 0.5), (300, 0.3), (3_600, 0.2)), 67, 2_439, _TWITTER),
        Shape("twitter-14", 1.2959, 0.13, ((86_400, 1.0),), 96, 414, _TWITTER),
        Shape("twitter-16", 1.7862, 0.05, ((3_600, 1.0),), 18, 115, _TWITTER),
        Shape("twitter-19", 0.735, 0.25, ((27_000, 1.0),), 42, 101, _TWITTER),
        Shape("twitter-26", 0.6299, 0.29, ((60, 0.75), (120, 0.15), (360, 0.1)), 122, 1_745, _TWITTER),
        Shape("twitter-29", 1.2323, 0.13, ((3_600, 0.67), (7_200, 0.33)), 36, 799, _TWITTER),
        Shape("twitter-34", 1.1401, 0.06, ((37_800, 1.0),), 33, 322, _TWITTER),
        Shape("cold-room", 0.9, 0.33, ((30, 1.0),), 32, 110, _OURS),
        Shape("dashboard", 1.0, 0.1, ((180, 1.0),), 32, 110, _OURS),
    )
}
_BATCH: Final = 4_096


def shape_named(name: str) -> Shape:
    """The shape of that name. Raises `UsageError`."""
    try:
        return SHAPES[name]
    except KeyError:
        raise UsageError(
            f"--workload {printable(name, 40)!r}: there is no such workload; there are {', '.join(SHAPES)}"
        ) from None


class Requests(NamedTuple):
    """A stretch of a workload, an array a field."""

    keys: NDArray[np.int64]
    """Numbers of keys."""
    writes: NDArray[np.bool_]


class Workload:
    """The seeded requests of a shape over ``keys`` keys: the same for the same seed."""

    def __init__(self, shape: Shape, keys: int, seed: int) -> None:
        self.shape = shape
        rng = np.random.default_rng(seed)
        weights = 1.0 / np.arange(1, keys + 1) ** shape.exponent
        self._bounds = np.cumsum(weights / weights.sum())
        self._ranked = rng.permutation(keys)
        low, high = max(shape.value_bytes // 2, 1), max(shape.value_bytes * 3 // 2, 2)
        self.value_bytes = rng.integers(low, high, keys)
        lives, shares = zip(*shape.ttls_s, strict=True)
        self.ttls_s = rng.choice(np.array(lives), keys, p=np.array(shares) / sum(shares))
        """A key keeps its TTL."""
        self._rng = rng

    def key(self, number: int, prefix: str = "w") -> str:
        """The name of a key, as long as the shape says."""
        return f"{prefix}:{number:07}".ljust(self.shape.key_bytes, "_")

    def requests(self, number: int) -> Iterator[Requests]:
        """The next ``number`` requests, in stretches."""
        left = number
        while left > 0:
            size = min(left, _BATCH)
            ranks = np.searchsorted(self._bounds, self._rng.random(size))
            keys = self._ranked[np.minimum(ranks, len(self._ranked) - 1)]
            yield Requests(keys, self._rng.random(size) < self.shape.writes)
            left -= size
