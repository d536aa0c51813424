"""Aggregates and buckets as they lie in the cache: JSON with the figures in the open, for anyone to use."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from iotcache.entry_codec import COMPRESS_MIN_BYTES, pack, unpack
from iotcache.errors import CorruptValue
from iotcache.model import Value
from iotcache.model.aggregates import Figures
from iotcache.quantile_sketch import QuantileSketch


class Window(Struct, omit_defaults=True):
    """One window of a site's sensor."""

    start: int
    """Microseconds since the epoch."""
    window_s: int
    count: int = 0
    min: float = 0.0
    max: float = 0.0
    mean: float = 0.0
    p95: float = 0.0
    exact: bool = True
    settled: bool = False
    """Counted from the store after its end: final."""
    parts: dict[str, QuantileSketch] = {}
    """What each worker of a group counted; without a group there are none."""
    doubts: list[str] = []
    """Whose parts may be wrong."""

    @property
    def figures(self) -> Figures:
        return Figures(
            self.start, self.window_s, self.count, self.min, self.max, self.mean, self.p95, self.exact
        )


class CachedAggregate(Struct, omit_defaults=True):
    """The value of an ``agg:…`` key: the newest window with readings, and the one before it."""

    last: Window
    before: Window | None = None


class CachedBucket(Struct, omit_defaults=True):
    """The value of a history bucket's key."""

    start: int
    """Microseconds since the epoch."""
    bucket_s: int
    readings: list[tuple[int, Value]]
    figures: Window | None = None
    left_out: bool = False
    open: bool = False


def window_of(
    start_us: int, window_s: int, sketch: QuantileSketch, *, exact: bool = True, settled: bool = False
) -> Window:
    """The figures of what ``sketch`` counted."""
    if not sketch.n:
        return Window(start_us, window_s, exact=exact, settled=settled)
    return Window(
        start_us, window_s, sketch.n, sketch.low, sketch.high, sketch.mean, sketch.quantile(0.95),
        exact, settled,
    )  # fmt: skip


_encode = msgspec.json.Encoder().encode
_decode_aggregate = msgspec.json.Decoder(CachedAggregate).decode
_decode_bucket = msgspec.json.Decoder(CachedBucket).decode


def encode_value(
    value: CachedAggregate | CachedBucket, min_bytes: int = COMPRESS_MIN_BYTES
) -> tuple[bytes, int]:
    """An aggregate or a bucket as value and flags."""
    return pack(_encode(value), min_bytes)


def decode_aggregate(value: bytes, flags: int) -> CachedAggregate:
    """What `encode_value` made of an aggregate. Raises `CorruptValue` for anything else."""
    try:
        return _decode_aggregate(unpack(value, flags))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptValue(f"the value is no aggregate: {error}") from error


def decode_bucket(value: bytes, flags: int) -> CachedBucket:
    """What `encode_value` made of a bucket. Raises `CorruptValue` for anything else."""
    try:
        return _decode_bucket(unpack(value, flags))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptValue(f"the value is no bucket: {error}") from error
