"""How long cache entries live: the policy by class of key, and the form in which memcached takes a TTL.

A ``latest`` entry lives a few of its series' own intervals, history an hour, metadata a day, configuration a
week. Jitter keeps entries that were set together from expiring together, which would be a stampede.
"""

from __future__ import annotations

from math import isfinite
from random import Random
from typing import Annotated, Final, Self

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import asdict, replace

RELATIVE_LIMIT_S = 60 * 60 * 24 * 30
"""Above 30 days memcached takes an expiration for an absolute Unix time.

Source: doc/protocol.txt, "Expiration times"."""


MAX_TTL_S = 60 * 60 * 24 * 365
"""A year. Far above, the absolute time would not fit memcached's 32 bits, and the item be gone at once."""


LIVES: Final = {
    "latest": ("volatile_intervals", "volatile_min_s", "volatile_max_s"),
    "history": ("history_s",),
    "meta": ("meta_s",),
    "config": ("config_s",),
    "aggregate": ("aggregate_s",),
}
"""By kind of entry, the settings that its life is in proportion to."""


class TtlPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The TTL of each class of key, in seconds: the ``[cache.ttl]`` section of the settings."""

    volatile_intervals: Annotated[float, Meta(gt=0)] = 3.0
    volatile_min_s: Annotated[float, Meta(ge=1, le=2_592_000)] = 2.0
    volatile_max_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 86_400.0
    default_interval_s: Annotated[float, Meta(gt=0)] = 60.0
    history_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 3_600.0
    meta_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 86_400.0
    config_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 604_800.0
    aggregate_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 90.0
    jitter: Annotated[float, Meta(ge=0, le=0.5)] = 0.10
    failover_s: Annotated[float, Meta(ge=1, le=86_400)] = 10.0
    """The longest TTL of a key on a node that takes its owner's place."""

    def volatile_s(self, interval_s: float) -> float:
        """TTL of a ``latest`` key whose series reports every ``interval_s`` (0 for unknown)."""
        ttl_s = self.volatile_intervals * (interval_s if interval_s > 0 else self.default_interval_s)
        return min(max(ttl_s, self.volatile_min_s), self.volatile_max_s)

    def jittered(self, ttl_s: float, rng: Random) -> int:
        """``ttl_s`` with ±jitter, in whole seconds from 1 (0 would mean for ever) to `MAX_TTL_S`."""
        # Called for every reading, hence no max() and no uniform().
        jittered_s = round(ttl_s + ttl_s * self.jitter * (2.0 * rng.random() - 1.0))
        return 1 if jittered_s < 1 else jittered_s if jittered_s <= MAX_TTL_S else MAX_TTL_S

    def scaled(self, entries: str, factor: float) -> Self:
        """With ``factor`` times the life of one kind of entry (a name of `LIVES`). Raises `ValueError`."""
        return replace(self, **{name: factor * getattr(self, name) for name in LIVES[entries]}).checked()

    def checked(self) -> Self:
        """This policy. Raises `ValueError` for what the ranges above do not allow."""
        for name in self.__struct_fields__:
            if not isfinite(getattr(self, name)):
                raise ValueError(f"{name} of the TTL policy is {getattr(self, name)}")
        try:
            convert(asdict(self), type(self))
        except ValidationError as error:
            raise ValueError(f"the TTL policy is out of range: {error}") from error
        if self.volatile_min_s > self.volatile_max_s:
            raise ValueError("volatile_min_s of the TTL policy is above its volatile_max_s")
        return self


def wire_ttl(ttl_s: int, now_s: float) -> int:
    """What to send for a TTL of ``ttl_s`` seconds (> 0): relative up to 30 days, else the absolute time."""
    return ttl_s if ttl_s <= RELATIVE_LIMIT_S else int(now_s) + ttl_s
