"""What was written and confirmed, and the check of every read against it.

A value is its key and its version; a key has one writer that counts up, so that "older" is a comparison of
numbers. The promise: a read gives nothing older than the newest confirmed write that ended before it began,
never another key's value, and an answer for each key. A deletion is a version as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.cluster.types import GetResult
from iotcache.text import plural


class WriteHistory:
    """The versions of all keys."""

    def __init__(self, keys: int, *, strict: bool = False) -> None:
        self._strict = strict
        self.names = [f"dev-{number}:temperature:latest" for number in range(keys)]
        self.stored = [0] * keys
        """Version in the durable store, which is written before the cache."""
        self.confirmed = [0] * keys
        self.ended = [0] * keys
        """Version of the newest write that has ended, confirmed or not."""
        self.violations: list[str] = []
        self.reads = 0
        self.hits = 0
        self.writes = 0
        self.writes_confirmed = 0

    def value(self, key: int, version: int) -> bytes:
        """What is written for it."""
        return f"{self.names[key]}={version}".encode()

    def commit(self, keys: Sequence[int]) -> list[int]:
        """Write new versions to the durable store."""
        for key in keys:
            self.stored[key] += 1
        self.writes += len(keys)
        return [self.stored[key] for key in keys]

    def confirm(self, key: int, version: int) -> None:
        """The cache has confirmed it."""
        self.writes_confirmed += 1
        self.confirmed[key] = max(self.confirmed[key], version)

    def end(self, key: int, version: int) -> None:
        """The write has returned, one way or the other."""
        self.ended[key] = max(self.ended[key], version)

    def begin(self, keys: Sequence[int]) -> list[int]:
        """The least version that a read which begins now may give, for each key."""
        newest = self.ended if self._strict else self.confirmed
        return [newest[key] for key in keys]

    def check(
        self, who: str, now_s: float, keys: Sequence[int], least: Sequence[int], answers: Sequence[GetResult]
    ) -> list[str]:
        """What is wrong with a read's answers; noted as well."""
        found = []
        if len(answers) != len(keys):
            found.append(f"{plural(len(answers), 'answer')} for {plural(len(keys), 'key')}")
        for key, wanted, got in zip(keys, least, answers, strict=False):
            self.reads += 1
            if not got.hit:
                continue
            self.hits += 1
            name, _, version = got.value.decode("ascii", "replace").rpartition("=")
            if name != self.names[key] or not version.isdigit():
                found.append(f"key {key} was answered with {got.value!r} by {got.node}")
            elif int(version) < wanted:
                found.append(
                    f"key {key}: version {version} from {got.node} (life {got.ttl_s:g} s), "
                    f"but {wanted} was written before"
                )
            elif int(version) > self.stored[key]:
                found.append(f"key {key}: version {version} from {got.node} was never written")
        found = [f"{now_s:.4f} s {who} {text}" for text in found]
        self.violations += found
        return found
