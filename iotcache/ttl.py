"""Time to live by relevance, with jitter, as memcached wants to be told.

Volatile values live a few of their own intervals, history an hour, metadata a day, configuration a
week. Jitter keeps keys written together from expiring together (the stampede's first cause).
"""

from __future__ import annotations

from random import Random

from msgspec import Struct

RELATIVE_LIMIT_S = 60 * 60 * 24 * 30
"""Above 30 days memcached takes an expiration for an absolute Unix time.

Source: doc/protocol.txt, "Expiration times"."""


class TtlPolicy(Struct, frozen=True):
    """How long each class of key lives, in seconds."""

    volatile_intervals: float = 3.0
    volatile_min_s: float = 2.0
    volatile_max_s: float = 86_400.0
    default_interval_s: float = 60.0
    history_s: float = 3_600.0
    meta_s: float = 86_400.0
    config_s: float = 604_800.0
    aggregate_s: float = 90.0
    jitter: float = 0.10

    def volatile_s(self, interval_s: float) -> float:
        """Life of a ``latest`` key whose series reports every ``interval_s`` (0 for unknown)."""
        life = self.volatile_intervals * (interval_s if interval_s > 0 else self.default_interval_s)
        return min(max(life, self.volatile_min_s), self.volatile_max_s)

    def jittered(self, life_s: float, rng: Random) -> int:
        """``life_s`` with ±jitter, in whole seconds, never below 1 (0 would mean for ever)."""
        # Asked for every reading, hence no max() and no uniform().
        life = round(life_s + life_s * self.jitter * (2.0 * rng.random() - 1.0))
        return life if life > 1 else 1


def wire_ttl(life_s: int, now_s: float) -> int:
    """What to send for a life of ``life_s`` seconds (> 0): relative up to 30 days, else the absolute time."""
    return life_s if life_s <= RELATIVE_LIMIT_S else int(now_s) + life_s
