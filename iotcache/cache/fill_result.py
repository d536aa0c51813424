"""The outcome of adding entries to the cache from the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from iotcache.cluster import Cluster


class FillResult(Struct, frozen=True):
    """Counts of entries; those requested are the sum of the others."""

    asked: int = 0
    """Requested."""
    present: int = 0
    """In the cache already, or put there by another process meanwhile."""
    added: int = 0
    unknown: int = 0
    """The store has nothing to put there."""
    failed: int = 0
    """Not accepted by their node, or too large."""
    reason: str = ""
    """Of a failure; safe to show."""

    def __add__(self, other: FillResult) -> FillResult:
        return FillResult(
            self.asked + other.asked,
            self.present + other.present,
            self.added + other.added,
            self.unknown + other.unknown,
            self.failed + other.failed,
            other.reason or self.reason,
        )


async def fill_result(
    cluster: Cluster, asked: int, missing: int, stored: int, not_added: Sequence[str]
) -> FillResult:
    """The outcome of a fill of ``asked`` keys, of which ``missing`` were not in the cache.

    The store had ``stored`` of the missing ones. The keys ``not_added`` of those were not accepted: their
    node is out, the entry is too large, or a writer has set them meanwhile. The nodes are asked which.
    """
    failures = (
        [item.failure for item in await cluster.probe_many(not_added) if not item.present]
        if not_added
        else []
    )
    reason = ""
    if failures:
        failure = next((failure for failure in failures if failure is not None), None)
        reason = (
            f"a cache node did not take it: {failure.value}"
            if failure
            else "an entry is too large for the cache"
        )
    return FillResult(
        asked=asked,
        present=asked - missing + len(not_added) - len(failures),
        added=stored - len(not_added),
        unknown=missing - stored,
        failed=len(failures),
        reason=reason,
    )
