"""How much of all keys each node owns, and how many would move to another; exact, not sampled, on a ring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from iotcache.cluster.placement import placement
from iotcache.cluster.placement.ring import Ketama

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

_SPACE: Final = 1 << 32
_SAMPLES: Final = 2_000


def shares(name: str, nodes: Sequence[NodeAddress]) -> list[float]:
    """The share of all keys, 0 to 1, that each of ``nodes`` owns under the placement called ``name``.

    Raises `ConfigError` for an unknown placement. Other placements than ketama pay no heed to weights and
    spread keys evenly.
    """
    placed = placement(name, nodes)
    if not isinstance(placed, Ketama):
        return [1.0 / len(nodes)] * len(nodes)
    owned = [0] * len(nodes)
    for size, owner in _arcs(placed.points):
        owned[owner] += size
    return [size / _SPACE for size in owned]


def moved(name: str, before: Sequence[NodeAddress], after: Sequence[NodeAddress]) -> float:
    """The share of all keys, 0 to 1, whose owner (by name) is another one after the change."""
    return sum(lost(name, before, after))


def lost(name: str, before: Sequence[NodeAddress], after: Sequence[NodeAddress]) -> list[float]:
    """The share of all keys, 0 to 1, that each node of ``before`` owns, and does not own after the change."""
    old, new = placement(name, before), placement(name, after)
    if isinstance(old, Ketama) and isinstance(new, Ketama):
        sizes = _lost_on_ring(old.points, new.points, before, after)
        return [size / _SPACE for size in sizes]
    counts = [0] * len(before)
    for number in range(_SAMPLES):
        key = f"sample:{number}"
        owner = old.owner(key)
        counts[owner] += before[owner].name != after[new.owner(key)].name
    return [count / _SAMPLES for count in counts]


def _arcs(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(length, owner): a hash belongs to the first point at or after it, past the last one to the first."""
    if not points:
        return [(_SPACE, 0)]
    arcs = []
    last = points[-1][0] - _SPACE
    for point, owner in points:
        arcs.append((point - last, owner))
        last = point
    return arcs


def _lost_on_ring(
    old: Sequence[tuple[int, int]],
    new: Sequence[tuple[int, int]],
    before: Sequence[NodeAddress],
    after: Sequence[NodeAddress],
) -> list[int]:
    """Hashes that each old node loses, by walking both rings at once from the smallest point on."""
    sizes = [0] * len(before)
    if not old or not new:
        sizes[0] = 0 if before[0].name == after[0].name else _SPACE
        return sizes
    last, at_old, at_new = -1, 0, 0
    while last < _SPACE - 1:
        one = old[at_old] if at_old < len(old) else (_SPACE - 1, old[0][1])
        other = new[at_new] if at_new < len(new) else (_SPACE - 1, new[0][1])
        end = min(one[0], other[0])
        if before[one[1]].name != after[other[1]].name:
            sizes[one[1]] += end - last
        last = end
        # Every point at or before the end is passed; of several at one place the first has it.
        while at_old < len(old) and old[at_old][0] <= end:
            at_old += 1
        while at_new < len(new) and new[at_new][0] <= end:
            at_new += 1
    return sizes
