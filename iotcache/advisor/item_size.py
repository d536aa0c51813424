"""How many bytes of a node's memory an item takes: its overhead, and the slab chunk that it lies in.

Sources: memcached 1.6 ``items.h`` and ``slabs.c`` (``item_make_header``, ``slabs_init``); the header is 48
bytes on 64-bit machines, 8 more with CAS, and 4 for client flags where there are any.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

HEADER_BYTES: Final = 48
CAS_BYTES: Final = 8
FLAGS_BYTES: Final = 4
LINE_END_BYTES: Final = 2
"""A value is kept with the CRLF that ended it on the wire."""
_ALIGN: Final = 8
PAGE_BYTES: Final = 1 << 20
_CHUNK_MAX_BYTES: Final = PAGE_BYTES // 2
"""``slab_chunk_max``: a larger item lies in several chunks."""

_CLASSES_MAX: Final = 62
"""``MAX_NUMBER_OF_SLAB_CLASSES``, less the two that are not for items."""


def item_bytes(key_bytes: int, value_bytes: int, *, cas: bool = True, flags: bool = False) -> int:
    """Bytes of an item with its overhead, before it is put into a chunk."""
    overhead = HEADER_BYTES + (CAS_BYTES if cas else 0) + (FLAGS_BYTES if flags else 0)
    return overhead + key_bytes + 1 + value_bytes + LINE_END_BYTES


class Chunks:
    """The chunk sizes of a node, ascending."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self.sizes = tuple(sorted(set(sizes)))

    @classmethod
    def of_settings(cls, factor: float = 1.25, smallest: int = 48) -> Chunks:
        """The sizes that memcached computes at its start, from ``growth_factor`` and ``chunk_size``.

        The smallest chunk has room for a header and ``chunk_size`` bytes; each next one is larger by the
        factor, aligned to 8 bytes, and the last is ``slab_chunk_max``.
        """
        sizes: list[int] = []
        size = HEADER_BYTES + smallest
        while size <= _CHUNK_MAX_BYTES / factor and len(sizes) < _CLASSES_MAX:
            size = -(-size // _ALIGN) * _ALIGN
            sizes.append(size)
            size = int(size * factor)
        return cls([*sizes, _CHUNK_MAX_BYTES])

    def chunk(self, size: int) -> int:
        """Bytes of the chunk (or chunks) that an item of ``size`` bytes takes."""
        at = bisect_left(self.sizes, size)
        if at < len(self.sizes):
            return self.sizes[at]
        whole, rest = divmod(size, self.sizes[-1])
        return whole * self.sizes[-1] + (self.chunk(rest) if rest else 0)

    def below(self, size: int) -> int:
        """The largest chunk too small for ``size``; 0 when there is none."""
        at = bisect_left(self.sizes, size)
        return self.sizes[at - 1] if at else 0


DEFAULT_CHUNKS: Final = Chunks.of_settings()
"""Of a node with its default settings."""
