"""Curves as values: hit ratio against memory and against the TTL, and what is read off them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import log

from msgspec import Struct


def _between(at: float, xs: tuple[float, ...], ys: tuple[float, ...]) -> float:
    """``ys`` at ``at``, straight between the points on a logarithmic axis, level beyond both ends."""
    if at <= xs[0]:
        return ys[0]
    if at >= xs[-1]:
        return ys[-1]
    right = bisect_left(xs, at)
    left = right - 1
    share = log(at / xs[left]) / log(xs[right] / xs[left])
    return ys[left] + share * (ys[right] - ys[left])


def merged(curves: Sequence[TtlCurve]) -> TtlCurve | None:
    """One group's curves on several nodes as one, each weighing as its gets; ``None`` without any."""
    if not curves:
        return None
    total = sum(curve.sampled_gets for curve in curves) or 1.0
    shares = [curve.sampled_gets / total for curve in curves]
    longest = max(curves, key=lambda curve: curve.sampled_gets)

    def mean(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
        return tuple(
            sum(share * value for share, value in zip(shares, column, strict=True))
            for column in zip(*rows, strict=True)
        )

    return TtlCurve(
        ttl_s=longest.ttl_s,
        factors=longest.factors,
        ratios=mean([curve.ratios for curve in curves]),
        ages_p99_s=tuple(max(ages) for ages in zip(*(curve.ages_p99_s for curve in curves), strict=True)),
        live_bytes=mean([curve.live_bytes for curve in curves]),
        sampled_gets=total,
    )


def default_sizes(now_bytes: int) -> tuple[int, ...]:
    """Sixteen sizes from a sixteenth of ``now_bytes`` to eight times as much, with today's among them."""
    return (*(round(now_bytes * 2.0 ** (step / 2)) for step in range(-8, 7)), now_bytes * 16)


class MemoryCurve(Struct, frozen=True):
    """Hit ratio against the memory of one node."""

    sizes: tuple[int, ...]
    """Bytes, ascending."""
    ratios: tuple[float, ...]
    """0 to 1, never falling."""
    now_bytes: int
    working_set_bytes: float
    """Of all live entries that were used while the sampler looked, evicted or not."""
    sampled_gets: float

    def at(self, size: float) -> float:
        """The hit ratio with ``size`` bytes."""
        return _between(size, tuple(map(float, self.sizes)), self.ratios)

    @property
    def now(self) -> float:
        """The hit ratio predicted for today's memory."""
        return self.at(self.now_bytes)

    def smallest_for(self, ratio: float) -> float | None:
        """The least memory that reaches ``ratio``; ``None`` when none of the curve's sizes does."""
        if self.ratios[-1] < ratio:
            return None
        right = bisect_left(self.ratios, ratio)
        if right == 0 or self.ratios[right] == self.ratios[right - 1]:
            return float(self.sizes[right])
        low, high = self.ratios[right - 1], self.ratios[right]
        share = (ratio - low) / (high - low)
        return float(self.sizes[right - 1] * (self.sizes[right] / self.sizes[right - 1]) ** share)

    @property
    def knee_bytes(self) -> float:
        """The size from which on more memory brings little: nine tenths of what is still to be had."""
        return self.smallest_for(self.now + 0.9 * (self.ratios[-1] - self.now)) or float(self.sizes[-1])


def ring_curve(parts: Sequence[tuple[MemoryCurve, float]]) -> MemoryCurve | None:
    """Several nodes as one: (curve, gets/s) of each, all resized alike; ``None`` without gets."""
    total = sum(gets for _, gets in parts)
    if total <= 0:
        return None
    now = sum(curve.now_bytes for curve, _ in parts)
    first = parts[0][0]
    factors = [size / first.now_bytes for size in first.sizes]
    ratios = tuple(
        sum(curve.at(factor * curve.now_bytes) * gets for curve, gets in parts) / total for factor in factors
    )
    return MemoryCurve(
        tuple(round(factor * now) for factor in factors), ratios, now,
        sum(curve.working_set_bytes for curve, _ in parts), sum(curve.sampled_gets for curve, _ in parts),
    )  # fmt: skip


class TtlCurve(Struct, frozen=True):
    """Hit ratio and age of what is served, against the TTL of one group of keys."""

    ttl_s: float
    """Today's, the median of the group."""
    factors: tuple[float, ...]
    """Multiples of today's TTL, ascending; 1 among them."""
    ratios: tuple[float, ...]
    ages_p99_s: tuple[float, ...]
    """99 of 100 hits are served an entry no older than this."""
    live_bytes: tuple[float, ...]
    """Memory of the live entries of all groups, as a multiple of today's, were this group's TTL another."""
    sampled_gets: float

    def at(self, factor: float) -> float:
        """The hit ratio with ``factor`` times today's TTL."""
        return _between(factor, self.factors, self.ratios)

    @property
    def now(self) -> float:
        """The hit ratio predicted for today's TTL."""
        return self.at(1.0)

    def age_p99_s(self, factor: float) -> float:
        return _between(factor, self.factors, self.ages_p99_s)

    @property
    def knee(self) -> float:
        """The least factor that has nine tenths of what a longer TTL brings; 1 when it brings nothing."""
        goal = self.now + 0.9 * (self.ratios[-1] - self.now)
        return next(
            (
                factor
                for factor, ratio in zip(self.factors, self.ratios, strict=True)
                if factor >= 1.0 and ratio >= goal
            ),
            1.0,
        )

    def jitter_price(self, share: float) -> float:
        """Hit ratio lost to spreading TTLs evenly over the last ``share`` of the TTL (0 to 1)."""
        steps = 8
        spread = [1.0 - share * (step + 0.5) / steps for step in range(steps)]
        return max(self.now - sum(self.at(factor) for factor in spread) / steps, 0.0)
