"""What one kind of cache entry must say of itself so that it can be read through (`ReadThrough`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar, Final, Generic, TypeVar

from iotcache.misses import Expected

K = TypeVar("K", bound=Hashable)
"""The name of an entry: a series, a document's name, …"""
V = TypeVar("V")
"""What an entry holds, as the store gives it."""

LOAD_LEASE_S: Final = 2
"""TTL of the empty item that stands for a lease. memcached counts whole seconds, so this is 1 to 2 s; with 1
it could be none."""


class EntryKind(ABC, Generic[K, V]):
    """One kind of entry: its keys, its encoding, its source and its TTL."""

    lease_s: ClassVar[int] = LOAD_LEASE_S
    """TTL of a lease on such an entry. Above the time that a load usually takes: what is loaded after its
    lease has expired is not put into the cache."""

    fill_leases: ClassVar[bool] = True
    """Whether a fill takes leases, so that it undoes nothing that was set and deleted again meanwhile."""
    rewritten: ClassVar[bool] = False
    """Whether writers set such an entry again and again without a promise in the store."""

    @abstractmethod
    def keys(self, names: Sequence[K]) -> list[str]:
        """The cache keys. Raises `KeyFormatError` for a name that cannot be one."""

    @abstractmethod
    def decode(self, name: K, value: bytes, flags: int) -> V:
        """What `encode` made. Raises `CorruptValue` for anything else."""

    @abstractmethod
    def encode(self, value: V) -> tuple[bytes, int]:
        """Value and flags of an entry."""

    @abstractmethod
    async def load(self, names: Sequence[K]) -> Mapping[K, V]:
        """What the store has of ``names``, in one request. Raises `StoreError`."""

    @abstractmethod
    def ttl_s(self, value: V) -> int:
        """The TTL of an entry that is put into the cache now, in whole seconds, jitter included."""

    def expected(self, value: V, owner: str) -> Expected | None:
        """What the writer of the entry has promised; ``None`` when the store has no promise.

        ``owner`` is the node that owns the key.
        """
        return None
