"""A write of a hot key goes to the nodes with copies, when its owner has it.

See rule 3 in `iotcache.cluster.copies.hot_keys`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from iotcache.cluster.copies.placed import CopyPlacement
    from iotcache.cluster.router import Router

COPY_OUT: Final = "a node with a copy of it is out, and not all clients know yet"


class CopyTargets(NamedTuple):
    """Where the copies of a key have to be written."""

    nodes: tuple[int, ...]
    """That answer, whether they are used or on their way back."""
    skipped: tuple[int, ...]
    """That are out: all clients must know of it."""


def copy_targets(router: Router, copies: CopyPlacement, key: str) -> CopyTargets:
    """The nodes with copies of ``key``, as this client sees them."""
    found: list[int] = []
    skipped: list[int] = []
    for index in copies.nodes_written(key):
        there = router.nodes[index].up or index in router.fences.returning
        (found if there else skipped).append(index)
    return CopyTargets(tuple(found), tuple(skipped))


def out_of_copies(router: Router, copies: CopyPlacement, keys: Iterable[str]) -> Collection[int]:
    """The nodes with copies of ``keys`` that are out."""
    out: dict[int, None] = {}
    for key in keys:
        if key in copies.written:
            out.update(dict.fromkeys(copy_targets(router, copies, key).skipped))
    return out


def by_node(
    router: Router, copies: CopyPlacement, keys: dict[int, str]
) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Where the copies of ``keys`` (by position) go: positions by node.

    And of those that may not be written because a node is out and not all clients know yet: that node.
    """
    declarations = router.fences.declarations
    groups: dict[int, list[int]] = {}
    refused: dict[int, int] = {}
    for position, key in keys.items():
        nodes, skipped = copy_targets(router, copies, key)
        unknown = [index for index in skipped if not declarations.established(index)]
        if unknown:
            refused[position] = unknown[0]
            continue
        for index in skipped:
            declarations.wrote_past(index)
        for index in nodes:
            groups.setdefault(index, []).append(position)
    return groups, refused
