"""How the keys on show are spread by what is left of their lives, by size and by idle time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import inf
from typing import Final

from msgspec import Struct

from iotcache_tui.state.keys.view import KeyView

SAMPLE_MOST: Final = 20_000
"""Of more keys, every so manieth stands for the others."""
_SECONDS: Final = (1, 3, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400, 604_800)
_BYTES: Final = (64, 96, 128, 192, 256, 512, 1_024, 4_096, 16_384, 65_536, 1_048_576)


class Spread(Struct, frozen=True):
    """One histogram: ``counts`` has one more than there are ``bounds``, each below its bound."""

    name: str
    bounds: tuple[int, ...]
    counts: tuple[int, ...]
    seconds: bool
    last: str
    """What lies beyond the last bound."""


def spreads(view: KeyView, wall_s: float) -> tuple[Spread, ...]:
    """By TTL, size and idle time; keys whose time is over since the walk are in none of the TTLs."""
    columns, order = view.columns, view.order
    step = max(-(-len(order) // SAMPLE_MOST), 1)
    rows = order[::step]
    left = [columns.expires_at[row] - wall_s for row in rows]
    return (
        _spread("TTL left", _SECONDS, [one for one in left if one >= 0], step, "never", seconds=True),
        _spread("Bytes", _BYTES, [columns.size[row] for row in rows], step, "more", seconds=False),
        _spread(
            "Idle", _SECONDS, [wall_s - columns.used_at[row] for row in rows], step, "more", seconds=True
        ),
    )


def _spread(
    name: str, bounds: tuple[int, ...], values: Sequence[float], step: int, last: str, *, seconds: bool
) -> Spread:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_right(bounds, value) if value < inf else len(bounds)] += step
    return Spread(name, bounds, tuple(counts), seconds, last)
