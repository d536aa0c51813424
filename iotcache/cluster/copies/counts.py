"""How often one client has had to do with copies of hot keys."""

from __future__ import annotations

from msgspec import Struct


class CopyCounts(Struct):
    """Of one client, since its start."""

    reads: int = 0
    """Gets that a copy answered."""
    brought: int = 0
    """Copies that it made of what owners had, as there was none."""
    writes: int = 0
    """Sets and deletes that went to copies."""
