"""The stream's digest: one SHA-256 for one seed, at any speed and over any number of processes.

Each message adds a line ``milliseconds device sensor seq value`` to its device's lane; the digest is the
SHA-256 of the lanes' SHA-256s in order. The line holds what the seed decides, and neither the time of day
nor the boot id, which must differ between runs, nor the payload's format.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from iotcache_simulator.fleet.stream import SHARDS, Message

_FLUSH_LINES = 8_192


class StreamDigest:
    """Takes messages in the order in which they are sent."""

    def __init__(self, devices: int) -> None:
        self._devices = devices
        self._hashes = [sha256() for _ in range(SHARDS)]
        self._lines: list[list[bytes]] = [[] for _ in range(SHARDS)]
        self._held = 0

    def add(self, messages: Iterable[Message]) -> None:
        lines, devices = self._lines, self._devices
        for _, series, _, _, line in messages:
            lines[series % devices % SHARDS].append(line)
            self._held += 1
        if self._held >= _FLUSH_LINES:
            self._flush()

    def shards(self) -> list[bytes]:
        """The digest of every lane so far."""
        self._flush()
        return [shard.digest() for shard in self._hashes]

    def hexdigest(self) -> str:
        return combined(self.shards())

    def _flush(self) -> None:
        for shard, lines in zip(self._hashes, self._lines, strict=True):
            if lines:
                shard.update(b"".join(lines))
                lines.clear()
        self._held = 0


def combined(shards: Iterable[bytes]) -> str:
    """The digest of a whole stream from those of its lanes."""
    return sha256(b"".join(shards)).hexdigest()
