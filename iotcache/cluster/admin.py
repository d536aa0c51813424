"""Commands that change how one node works, as pure functions: checked values in, one line out.

Source: memcached's doc/protocol.txt ("flush_all", "cache_memlimit", "LRU_Tuning", "verbosity"). Each is
answered in one line; anything but ``OK`` is a refusal. Raises `UsageError` for a value that no node takes.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from iotcache.errors import UsageError

MEMORY_LEAST_MB: Final = 8
"""1.6.18 answers ``MEMLIMIT_TOO_SMALL`` below that."""
_MEMORY_MOST_MB: Final = 16_777_216
_SEGMENTS_MOST_PERCENT: Final = 80
_TEMP_TTL_MOST_S: Final = 2_592_000


def flush_all(delay_s: int = 0) -> bytes:
    """Everything on the node counts as expired, now or in ``delay_s`` seconds; whoever put it there."""
    if not 0 <= delay_s <= _TEMP_TTL_MOST_S:
        raise UsageError(f"a delay is 0 to {_TEMP_TTL_MOST_S} seconds, not {delay_s}")
    return b"flush_all %d\r\n" % delay_s if delay_s else b"flush_all\r\n"


def cache_memlimit(megabytes: int) -> bytes:
    """The node's memory for items. A lower limit is reached by evictions, page by page."""
    if not MEMORY_LEAST_MB <= megabytes <= _MEMORY_MOST_MB:
        raise UsageError(f"a memory limit is {MEMORY_LEAST_MB} MB or more, not {megabytes}")
    return b"cache_memlimit %d\r\n" % megabytes


def lru_tune(hot_percent: int, warm_percent: int, hot_factor: float, warm_factor: float) -> bytes:
    """How much of a slab class hot and warm may take, and how old they may grow, as factors of cold's age."""
    if hot_percent < 1 or warm_percent < 1 or hot_percent + warm_percent > _SEGMENTS_MOST_PERCENT:
        raise UsageError(
            f"hot and warm are 1 % or more each and {_SEGMENTS_MOST_PERCENT} % at most together, "
            f"not {hot_percent} and {warm_percent}"
        )
    for factor in (hot_factor, warm_factor):
        if not (isfinite(factor) and 0 < factor <= 1_000):
            raise UsageError(f"an age factor is above 0 and 1000 at most, not {factor:g}")
    return f"lru tune {hot_percent} {warm_percent} {hot_factor:.2f} {warm_factor:.2f}\r\n".encode()


def lru_mode(mode: str) -> bytes:
    """``segmented`` (hot, warm, cold) or ``flat`` (one list)."""
    if mode not in {"flat", "segmented"}:
        raise UsageError(f"the LRU's mode is flat or segmented, not {mode!r}")
    return f"lru mode {mode}\r\n".encode()


def lru_temp_ttl(seconds: int) -> bytes:
    """Items with a shorter life than this go to a segment of their own and are never evicted; -1 is off."""
    if not -1 <= seconds <= _TEMP_TTL_MOST_S:
        raise UsageError(f"the temporary TTL is 0 to {_TEMP_TTL_MOST_S} seconds or -1 for off, not {seconds}")
    return b"lru temp_ttl %d\r\n" % seconds


def slabs_reassign(source: int, target: int) -> bytes:
    """Move one page of memory from one slab class to another; -1 lets the node choose the source."""
    if not (-1 <= source <= 63 and 1 <= target <= 63 and source != target):
        raise UsageError(f"a page goes from one slab class to another, not from {source} to {target}")
    return b"slabs reassign %d %d\r\n" % (source, target)


def slabs_automove(mode: int) -> bytes:
    """Whether pages of memory move between slab classes: 0 never, 1 as the ages of their items differ, 2 with
    every eviction."""
    if mode not in (0, 1, 2):
        raise UsageError(f"automove is 0, 1 or 2, not {mode}")
    return b"slabs automove %d\r\n" % mode


def verbosity(level: int) -> bytes:
    """How much the node writes to its own standard error, 0 to 3."""
    if not 0 <= level <= 3:
        raise UsageError(f"the verbosity is 0 to 3, not {level}")
    return b"verbosity %d\r\n" % level
