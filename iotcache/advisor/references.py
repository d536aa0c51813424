"""What a cache was asked: one reference a get, write, fill or delete, and the hash that samples keys.

A *write* is a set that the application made of its own accord (write-through); a *fill* is the set that
follows a get's miss (repopulation). The two differ when another memory or TTL is tried on paper: a fill
would not have happened where the get would have been a hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

HASH_SPACE: Final = 1 << 32


class Kind(IntEnum):
    """What was asked."""

    GET = 0
    WRITE = 1
    FILL = 2
    DELETE = 3


class Found(IntEnum):
    """What a get was answered, as far as it is known."""

    UNKNOWN = 0
    HIT = 1
    MISS = 2


class Reference(NamedTuple):
    """One request for one key."""

    key_hash: int
    """`key_hash` of the key, 0 to `HASH_SPACE`."""
    kind: Kind
    time_s: float
    """Of any clock that only goes forward."""
    chunk_bytes: int = 0
    """Of the item in its slab chunk; 0 when it is not known (a get's miss)."""
    ttl_s: float = 0.0
    """Of a write or fill; 0 never expires."""
    group: int = 0
    """Number of the key's group, for a TTL curve of its own."""
    found: Found = Found.UNKNOWN


class Batch(NamedTuple):
    """Many references, an array a field."""

    hashes: NDArray[np.uint32]
    kinds: NDArray[np.uint8]
    times_s: NDArray[np.float64]
    chunks: NDArray[np.int32]
    ttls_s: NDArray[np.float32]
    groups: NDArray[np.uint8]
    found: NDArray[np.uint8]

    @classmethod
    def of(cls, references: Sequence[Reference]) -> Batch:
        """The same as arrays."""
        return cls(
            np.array([one.key_hash for one in references], np.uint32),
            np.array([one.kind for one in references], np.uint8),
            np.array([one.time_s for one in references], np.float64),
            np.array([one.chunk_bytes for one in references], np.int32),
            np.array([one.ttl_s for one in references], np.float32),
            np.array([one.group for one in references], np.uint8),
            np.array([one.found for one in references], np.uint8),
        )

    def reference(self, at: int) -> Reference:
        """The one at position ``at``."""
        return Reference(
            int(self.hashes[at]),
            Kind(int(self.kinds[at])),
            float(self.times_s[at]),
            int(self.chunks[at]),
            float(self.ttls_s[at]),
            int(self.groups[at]),
            Found(int(self.found[at])),
        )


def key_hash(key: bytes) -> int:
    """A hash of ``key`` whose size says whether it is sampled: CRC-32, its bits mixed.

    The mixing is MurmurHash3's 32-bit finaliser: a CRC is linear, so that keys that differ in their last
    digits would otherwise lie side by side.
    """
    return mixed(crc32(key))


def mixed(number: int) -> int:
    """MurmurHash3's finaliser (Appleby, 2011) of 32 bits: a permutation of them."""
    number ^= number >> 16
    number = number * 0x85EBCA6B & 0xFFFFFFFF
    number ^= number >> 13
    number = number * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16
