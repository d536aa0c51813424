"""What came of adding entries to the cache from the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from iotcache.cluster import Cluster


class Filled(Struct, frozen=True):
    """Counts of entries; those asked for are the sum of the others."""

    asked: int = 0
    present: int = 0
    """In the cache already, or put there by somebody else meanwhile."""
    added: int = 0
    unknown: int = 0
    """The store knows nothing to put there."""
    failed: int = 0
    """Not taken by their node, or too large."""
    reason: str = ""
    """Of a failure; safe to show."""

    def __add__(self, other: Filled) -> Filled:
        return Filled(
            self.asked + other.asked,
            self.present + other.present,
            self.added + other.added,
            self.unknown + other.unknown,
            self.failed + other.failed,
            other.reason or self.reason,
        )


async def account(cluster: Cluster, asked: int, missing: int, found: int, left: Sequence[str]) -> Filled:
    """The outcome of a fill: of ``asked`` keys so many were ``missing``, the store had ``found`` of them, and
    the keys ``left`` were not taken: by a node that is out, or because a writer put them there meanwhile."""
    failures = (
        [probe.failure for probe in await cluster.probe_many(left) if not probe.present] if left else []
    )
    reason = ""
    if failures:
        out = next((failure for failure in failures if failure is not None), None)
        reason = (
            f"a cache node did not take it: {out.value}" if out else "an entry is too large for the cache"
        )
    return Filled(
        asked=asked,
        present=asked - missing + len(left) - len(failures),
        added=found - len(left),
        unknown=missing - found,
        failed=len(failures),
        reason=reason,
    )
