"""From which size on values are worth compressing, by a few of them: in chunks, as memory is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from iotcache.advisor.item_size import DEFAULT_CHUNKS, Chunks, item_bytes

VALUES_LEAST: Final = 30
"""Fewer say nothing of all the others."""
_THRESHOLDS: Final = (4_000, 1_000, 400, 200, 100, 64)
_NEARLY: Final = 0.95
"""Of the best there is: packing small values costs time for little."""


class PackedValue(NamedTuple):
    """One value as it lies there, and what zlib makes of it; all in bytes."""

    key: int
    value: int
    packed: int


class Compression(Struct, frozen=True):
    """What it would save to compress values of more than ``min_bytes``."""

    min_bytes: int
    share: float
    """Of the memory that entries take, 0 to 1."""
    values: int
    """On how many it rests."""


def compression(values: Sequence[PackedValue], chunks: Chunks = DEFAULT_CHUNKS) -> Compression | None:
    """The largest threshold that saves nearly all there is to save; ``None`` with too few values."""
    if len(values) < VALUES_LEAST:
        return None
    today = sum(chunks.chunk(item_bytes(one.key, one.value, flags=True)) for one in values)

    def saved(least: int) -> float:
        sizes = (min(one.value, one.packed) if one.value > least else one.value for one in values)
        taken = (
            chunks.chunk(item_bytes(one.key, size, flags=True))
            for one, size in zip(values, sizes, strict=True)
        )
        return 1.0 - sum(taken) / today

    shares = {least: saved(least) for least in _THRESHOLDS}
    best = max(shares.values())
    least = next(least for least, share in shares.items() if share >= _NEARLY * best)
    return Compression(least, shares[least], len(values))
