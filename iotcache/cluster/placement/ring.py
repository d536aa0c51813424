"""Ketama, point for point as libmemcached's ``KETAMA_WEIGHTED`` places keys.

Source: libmemcached ``src/libmemcached/hosts.cc`` (``update_continuum``) and ``hash.cc``; checked against
its own fixtures and, in the tests, against ``pylibmc``. The whole key counts, prefix included.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import md5
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

_POINTS_PER_NODE = 160
_POINTS_PER_HASH = 4
_DEFAULT_PORT = 11211
_FLOAT = struct.Struct("<f")
_FOUR_WORDS = struct.Struct("<4I")
_WORD = struct.Struct("<I")


def _float32(value: float) -> float:
    """``value`` as C's ``float`` would hold it."""
    rounded: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    return rounded


def points_of(weight: int, total: int, live: int) -> int:
    """How many points a node of ``weight`` gets on the ring of ``live`` nodes.

    Every step is rounded to ``float`` as libmemcached's C does, which for 25, 47 or 50 equal nodes
    gives 156 points and not 160: whoever computes in double places some keys elsewhere.
    """
    share = _float32(_float32(weight) / _float32(total))
    points = _float32(_float32(share * _POINTS_PER_NODE) / _POINTS_PER_HASH)
    return math.floor(_float32(_float32(points * live) + 1e-10)) * _POINTS_PER_HASH


def key_hash(key: bytes) -> int:
    """Where a key lies on the ring: the first little-endian word of its MD5."""
    found: int = _WORD.unpack_from(md5(key, usedforsecurity=False).digest())[0]
    return found


class Ketama:
    """A ring of weighted nodes; a key belongs to the first point at or after its hash."""

    def __init__(self, nodes: Sequence[NodeAddress]) -> None:
        total = sum(max(node.weight, 1) for node in nodes)
        ring: list[tuple[int, int]] = []
        for index, node in enumerate(nodes):
            count = points_of(max(node.weight, 1), total, len(nodes))
            for number in range(count // _POINTS_PER_HASH):
                digest = md5(f"{_ring_name(node)}-{number}".encode(), usedforsecurity=False).digest()
                ring.extend((point, index) for point in _FOUR_WORDS.unpack(digest))
        ring.sort()
        self._points = [point for point, _ in ring]
        self._owners = [index for _, index in ring]
        self._size = len(nodes)

    @property
    def points(self) -> list[tuple[int, int]]:
        """The ring itself: (place, index of the node) in ascending order."""
        return list(zip(self._points, self._owners, strict=True))

    def owner(self, key: str) -> int:
        """Index of the node that owns ``key``."""
        if self._size == 1:
            return 0
        found = bisect_left(self._points, key_hash(key.encode()))
        return self._owners[found if found < len(self._owners) else 0]

    def order(self, key: str) -> Iterator[int]:
        """All nodes in the order in which they stand in for each other for ``key``: owner first."""
        if self._size == 1:
            yield 0
            return
        start = bisect_left(self._points, key_hash(key.encode()))
        seen: set[int] = set()
        for step in range(len(self._owners)):
            index = self._owners[(start + step) % len(self._owners)]
            if index not in seen:
                seen.add(index)
                yield index
                if len(seen) == self._size:
                    return
        # A node whose share of the weight is too small for a single point stands in last.
        yield from (index for index in range(self._size) if index not in seen)


def _ring_name(node: NodeAddress) -> str:
    if node.ring_name:
        return node.ring_name
    if node.path:
        return f"{node.path}:0"
    return node.host if node.port == _DEFAULT_PORT else f"{node.host}:{node.port}"
