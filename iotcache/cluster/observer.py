"""Who may look on while a cluster client reads and writes: the advisor's tap is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from iotcache.cluster.types import GetResult, SetItem, WriteResult


class TrafficObserver(Protocol):
    """Called after each batch, in the caller's task: it must be quick, and raise nothing."""

    def read(self, keys: Sequence[str], results: Sequence[GetResult]) -> None:
        """A batch of gets and its answers, in the same order."""

    def written(self, items: Sequence[SetItem], results: Sequence[WriteResult]) -> None:
        """A batch of sets and what became of them."""

    def deleted(self, keys: Sequence[str]) -> None:
        """A batch of deletes."""
