"""The order of last use of a bounded number of items, and the bytes used since each: stack distances.

Two Fenwick trees over positions, of live items and of all; the newest item has the highest position. When
the positions run out, all are numbered anew. Sources: Mattson et al., "Evaluation techniques for storage
hierarchies", 1970; Fenwick, "A new data structure for cumulative frequency tables", 1994.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray


class Recency:
    """Slots 0 to ``slots - 1``; a slot without a position has never been used."""

    def __init__(self, slots: int) -> None:
        self._size = 1 << (2 * slots - 1).bit_length()
        self._live = array("q", bytes(8 * (self._size + 1)))
        self._all = array("q", bytes(8 * (self._size + 1)))
        self._position = array("i", [0]) * slots
        """1 is the oldest; 0: never used."""
        self._bytes = array("i", [0]) * slots
        self._dropped = bytearray(slots)
        self._next = 1
        self.live_bytes = 0
        """Of items that were not dropped."""
        self.all_bytes = 0

    def size(self, slot: int) -> int:
        """Its bytes at its last use."""
        return self._bytes[slot]

    def sizes(self) -> NDArray[np.int32]:
        """`size` of every slot; a copy."""
        return np.array(self._bytes, np.int32)

    def is_live(self, slot: int) -> bool:
        """Whether it was used and not dropped since."""
        return bool(self._bytes[slot]) and not self._dropped[slot]

    def live(self) -> NDArray[np.bool_]:
        """`is_live` of every slot."""
        live: NDArray[np.bool_] = self.sizes() > 0
        live &= np.frombuffer(bytes(self._dropped), np.uint8) == 0
        return live

    def since(self, slot: int) -> int | None:
        """Bytes of the live items used after ``slot``; ``None`` when it was never used."""
        at = self._position[slot]
        if not at:
            return None
        tree, before = self._live, 0
        while at:
            before += tree[at]
            at &= at - 1
        return self.live_bytes - before

    def all_since(self, slot: int) -> int:
        """Bytes of the items used after ``slot``, dropped ones included."""
        at, tree, before = self._position[slot], self._all, 0
        while at:
            before += tree[at]
            at &= at - 1
        return self.all_bytes - before

    def use(self, slot: int, size: int) -> None:
        """Make ``slot`` the newest and live, with ``size`` bytes."""
        at, held = self._position[slot], self._bytes[slot]
        if at and at == self._next - 1:
            if size != held or self._dropped[slot]:
                self._add(at, size - (0 if self._dropped[slot] else held), size - held)
        else:
            if held:
                self._add(at, 0 if self._dropped[slot] else -held, -held)
            if self._next > self._size:
                self._position[slot] = self._bytes[slot] = 0
                self._renumber()
            self._position[slot] = self._next
            self._add(self._next, size, size)
            self._next += 1
        self._bytes[slot] = size
        self._dropped[slot] = 0

    def drop(self, slot: int) -> None:
        """Take ``slot`` from the live ones; its position stays."""
        if self.is_live(slot):
            self._add(self._position[slot], -self._bytes[slot], 0)
            self._dropped[slot] = 1

    def forget(self, slot: int) -> None:
        """As if it had never been used."""
        self.drop(slot)
        if self._position[slot]:
            self._add(self._position[slot], 0, -self._bytes[slot])
        self._position[slot] = self._bytes[slot] = self._dropped[slot] = 0

    def _add(self, at: int, live: int, every: int) -> None:
        self.live_bytes += live
        self.all_bytes += every
        live_tree, all_tree, end = self._live, self._all, self._size
        while at <= end:
            live_tree[at] += live
            all_tree[at] += every
            at += at & -at

    def _renumber(self) -> None:
        position = np.array(self._position)
        order = np.flatnonzero(position)
        order = order[np.argsort(position[order], kind="stable")]
        position[order] = np.arange(1, len(order) + 1)
        self._position = array("i", position.astype(np.int32).tobytes())
        sizes = self.sizes()
        self._all = self._tree(sizes[order])
        self._live = self._tree(np.where(self.live(), sizes, 0)[order])
        self._next = len(order) + 1

    def _tree(self, weights: NDArray[np.int32]) -> array[int]:
        prefix = np.zeros(self._size + 1, np.int64)
        prefix[1 : len(weights) + 1] = weights
        np.cumsum(prefix, out=prefix)
        index = np.arange(self._size + 1)
        prefix -= prefix[index & (index - 1)]
        return array("q", prefix.tobytes())
