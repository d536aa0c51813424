"""A writer's promise, as it is in the store: until when its entry lives, under which prefix, on which node.

`iotcache.model.StoredReading.cached_until_us` lets a reader that has just started tell why an entry is
missing. But the promise says nothing to a reader that uses another key prefix, and to one that looks for the
key on another node it says that the entry is elsewhere. So the low bits of the time, below what memcached's
whole seconds can tell, name both. Zero is no promise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from zlib import crc32

from iotcache.misses import Expected
from iotcache.model import StoredReading

_PART_BITS: Final = 9
_TAG_BITS: Final = 2 * _PART_BITS
"""They cost 0.26 s of the promised time, which is well within `iotcache.misses.EARLY_S`."""
_PART_MASK: Final = (1 << _PART_BITS) - 1


class Promises:
    """Writes and reads promises for one key prefix. A name's tag is the same in every process."""

    def __init__(self, prefix: str) -> None:
        self._space = _part(prefix)
        self._tags: dict[str, int] = {}

    def tag(self, owner: str) -> int:
        """What a promise says of the key prefix and the node that owns the key: to be joined by `write`."""
        tag = self._tags.get(owner)
        if tag is None:
            tag = self._tags[owner] = self._space << _PART_BITS | _part(owner)
        return tag

    @staticmethod
    def write(untils_us: Iterable[int], tags: Iterable[int]) -> list[int]:
        """The promises that entries live until these times, each with its `tag`."""
        return [
            until_us >> _TAG_BITS << _TAG_BITS | tag for until_us, tag in zip(untils_us, tags, strict=True)
        ]

    def read(self, stored: StoredReading, owner: str) -> Expected | None:
        """The promise for a reader to whom ``owner`` owns the key; ``None`` when there is none for it."""
        until_us = stored.cached_until_us
        tag = until_us & ((1 << _TAG_BITS) - 1)
        if until_us <= 0 or tag >> _PART_BITS != self._space:
            return None
        written_us = stored.reading.received_us or stored.reading.ts_us
        here = tag & _PART_MASK == _part(owner)
        return Expected(written_us / 1e6, until_us / 1e6, elsewhere=not here)


def _part(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogatepass")) & _PART_MASK
