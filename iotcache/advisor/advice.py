"""Advice as a value, and the order in which it is given."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

MEBIBYTE: Final = 1 << 20


class Subject(StrEnum):
    """What a piece of advice is about."""

    MEMORY = "memory"
    TTL = "ttl"
    JITTER = "jitter"
    HOT_KEY = "hot key"
    WEIGHT = "weight"
    SLABS = "slabs"
    ITEM_SIZE = "item size"
    LRU = "lru"
    WRITES = "writes"
    COMPRESSION = "compression"
    NODES = "nodes"


_BY_NODE: Final = frozenset(
    {Subject.MEMORY, Subject.SLABS, Subject.LRU, Subject.ITEM_SIZE, Subject.COMPRESSION}
)
"""Given for each node by itself."""


class Confidence(StrEnum):
    """How much a piece of advice rests on."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Advice(Struct, frozen=True, kw_only=True):
    """One thing to do, with a number, its reason, and the way back."""

    subject: Subject
    about: str
    """The node, group or key that it concerns."""
    text: str
    """One sentence with the number in it."""
    reason: str
    do: str
    """A command or a setting, as it is typed."""
    undo: str
    confidence: Confidence
    store_reads_per_s: float = 0.0
    """That would no longer reach the store."""
    saved_bytes: float = 0.0
    """Of the nodes' memory."""
    target: float | None = None
    """What it would set: megabytes, or seconds of life."""
    now: float | None = None
    """The figure that it is to change, today …"""
    predicted: float | None = None
    """… and afterwards: to be compared with what comes of it."""
    lasting: bool = True
    """Whether it holds after a restart of the node; a command to a running node does not."""


def ranked(advice: Iterable[Advice], gets_per_s: float, memory_bytes: float) -> list[Advice]:
    """The most useful first: by the share of gets spared the store, or of the memory saved at half its price.

    A store read hurts whoever waits for it; memory is money, so a tenth of it counts as a twentieth of reads.
    The same to be done at several nodes counts as one: twelve that lack memory are one lack of it.
    """
    advice = list(advice)

    def use(one: Advice) -> float:
        reads = one.store_reads_per_s / gets_per_s if gets_per_s > 0 else 0.0
        return max(reads, 0.5 * one.saved_bytes / memory_bytes if memory_bytes > 0 else 0.0)

    together: dict[tuple[Subject, bool], float] = {}
    for one in advice:
        if one.subject in _BY_NODE:
            together[_kind(one)] = together.get(_kind(one), 0.0) + use(one)
    return sorted(advice, key=lambda one: (together.get(_kind(one), use(one)), use(one)), reverse=True)


def _kind(one: Advice) -> tuple[Subject, bool]:
    """More memory and less of it are two things."""
    return one.subject, one.saved_bytes > 0
