"""Which node a key lives on: the algorithms by name, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from iotcache.cluster.placement.ring import Ketama
from iotcache.errors import ConfigError

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

_MASK = 0xFFFFFFFF


class Placement(Protocol):
    """Maps a key to indexes of the configured nodes; pure, and the same in every process."""

    def owner(self, key: str) -> int:
        """Index of the node that owns ``key``."""
        ...

    def order(self, key: str) -> Iterator[int]:
        """Every node once, the owner first, then those that stand in for it, in turn."""
        ...


def murmur3_32(text: str) -> int:
    """MurmurHash3_x86_32 with seed 0 over one byte a character, as pymemcache computes it."""
    data = bytes(ord(char) & 0xFF for char in text)
    size = len(data)
    state = 0
    for start in range(0, size & ~3, 4):
        state ^= _scramble(int.from_bytes(data[start : start + 4], "little"))
        state = ((state << 13 | state >> 19) * 5 + 0xE6546B64) & _MASK
    if size & 3:
        state ^= _scramble(int.from_bytes(data[size & ~3 :], "little"))
    state ^= size
    state = (state ^ state >> 16) * 0x85EBCA6B & _MASK
    state = (state ^ state >> 13) * 0xC2B2AE35 & _MASK
    return state ^ state >> 16


def _scramble(word: int) -> int:
    word = word * 0xCC9E2D51 & _MASK
    return (word << 15 | word >> 17) * 0x1B873593 & _MASK


class Rendezvous:
    """Highest score wins, as `pymemcache.client.hash.HashClient` has it (weights play no part)."""

    def __init__(self, nodes: Sequence[NodeAddress]) -> None:
        self._names = [node.ring_name or node.path or f"{node.host}:{node.port}" for node in nodes]

    def _score(self, index: int, key: str) -> tuple[int, str]:
        name = self._names[index]
        return murmur3_32(f"{name}-{key}"), name

    def owner(self, key: str) -> int:
        return max(range(len(self._names)), key=lambda index: self._score(index, key))

    def order(self, key: str) -> Iterator[int]:
        yield from sorted(range(len(self._names)), key=lambda index: self._score(index, key), reverse=True)


class Modulo:
    """``crc32(key) % N``: what a ring is there to avoid, kept to show why (one node more moves most keys)."""

    def __init__(self, nodes: Sequence[NodeAddress]) -> None:
        self._size = len(nodes)

    def owner(self, key: str) -> int:
        return crc32(key.encode()) % self._size

    def order(self, key: str) -> Iterator[int]:
        first = self.owner(key)
        yield from ((first + step) % self._size for step in range(self._size))


_BY_NAME: dict[str, Callable[[Sequence[NodeAddress]], Placement]] = {
    "ketama": Ketama,
    "rendezvous": Rendezvous,
    "modulo": Modulo,
}


def placement(name: str, nodes: Sequence[NodeAddress]) -> Placement:
    """The placement called ``name`` over ``nodes``. Raises `ConfigError` for an unknown one."""
    if name not in _BY_NAME:
        raise ConfigError(f"placement {name!r} is not known; allowed are {', '.join(_BY_NAME)}")
    if not nodes:
        raise ConfigError("a cluster needs at least one cache node")
    return _BY_NAME[name](nodes)
