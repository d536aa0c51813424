"""How long cache entries live: the policy by class of key, and the form in which memcached takes a TTL.

A ``latest`` entry lives a few of its series' own intervals, history an hour, metadata a day, configuration a
week. Jitter keeps entries that were set together from expiring together, which would be a stampede.
"""

from __future__ import annotations

from random import Random

from msgspec import Struct

RELATIVE_LIMIT_S = 60 * 60 * 24 * 30
"""Above 30 days memcached takes an expiration for an absolute Unix time.

Source: doc/protocol.txt, "Expiration times"."""


class TtlPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The TTL of each class of key, in seconds: the ``[cache.ttl]`` section of the settings."""

    volatile_intervals: float = 3.0
    volatile_min_s: float = 2.0
    volatile_max_s: float = 86_400.0
    default_interval_s: float = 60.0
    history_s: float = 3_600.0
    meta_s: float = 86_400.0
    config_s: float = 604_800.0
    aggregate_s: float = 90.0
    jitter: float = 0.10
    failover_s: float = 10.0
    """The longest TTL of a key on a node that takes its owner's place."""

    def volatile_s(self, interval_s: float) -> float:
        """TTL of a ``latest`` key whose series reports every ``interval_s`` (0 for unknown)."""
        ttl_s = self.volatile_intervals * (interval_s if interval_s > 0 else self.default_interval_s)
        return min(max(ttl_s, self.volatile_min_s), self.volatile_max_s)

    def jittered(self, ttl_s: float, rng: Random) -> int:
        """``ttl_s`` with ±jitter, in whole seconds, never below 1 (0 would mean for ever)."""
        # Called for every reading, hence no max() and no uniform().
        jittered_s = round(ttl_s + ttl_s * self.jitter * (2.0 * rng.random() - 1.0))
        return jittered_s if jittered_s > 1 else 1


def wire_ttl(ttl_s: int, now_s: float) -> int:
    """What to send for a TTL of ``ttl_s`` seconds (> 0): relative up to 30 days, else the absolute time."""
    return ttl_s if ttl_s <= RELATIVE_LIMIT_S else int(now_s) + ttl_s
