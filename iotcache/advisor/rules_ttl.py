"""How long entries should live, and how far apart they should expire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iotcache.advisor.advice import Advice, Confidence, Subject
from iotcache.advisor.curves import TtlCurve
from iotcache.advisor.evidence import Evidence, GroupEvidence
from iotcache.advisor.rules_memory import GETS_FOR_HIGH, GETS_FOR_MEDIUM, GETS_LEAST, evicting

GAIN_LEAST: Final = 0.02
"""Of the group's hit ratio; less is not worth serving older values for."""
SHARE_LEAST: Final = 0.005
"""Of all gets, that a longer TTL has to spare the store."""
LOSS_MOST: Final = 0.002
SAVED_LEAST: Final = 0.25
"""Of the memory in use, that a shorter TTL has to give back."""
TOGETHER: Final = 5.0
"""Misses in the worst second, as a multiple of their mean, from which on entries expire together."""
JITTER: Final = 0.1


def ttl(evidence: Evidence) -> Iterator[Advice]:
    """Longer up to the knee where that spares the store; shorter where nothing is lost by it."""
    for group in evidence.groups:
        curve = group.ttl
        if curve is None or curve.sampled_gets < GETS_LEAST:
            continue
        gain = curve.at(curve.knee) - curve.now
        reads = gain * group.gets_per_s
        if gain >= GAIN_LEAST and reads >= SHARE_LEAST * evidence.gets_per_s:
            yield _longer(group, curve, gain, reads, evidence.skipped)
            continue
        shorter = next(
            factor
            for factor, ratio in zip(curve.factors, curve.ratios, strict=True)
            if ratio >= curve.now - LOSS_MOST
        )
        at = curve.factors.index(shorter)
        saved = 1.0 - curve.live_bytes[at]
        if shorter < 1.0 and saved >= SAVED_LEAST and any(map(evicting, evidence.nodes)):
            yield _shorter(group, curve, shorter, saved, evidence)


def _sure(curve: TtlCurve, skipped: float) -> Confidence:
    if curve.sampled_gets >= GETS_FOR_HIGH and skipped < 0.2:
        return Confidence.HIGH
    known = curve.sampled_gets >= GETS_FOR_MEDIUM and skipped < 0.5
    return Confidence.MEDIUM if known else Confidence.LOW


def _longer(group: GroupEvidence, curve: TtlCurve, gain: float, reads: float, skipped: float) -> Advice:
    factor = curve.knee
    older = curve.age_p99_s(factor) - curve.age_p99_s(1.0)
    return Advice(
        subject=Subject.TTL,
        about=group.name,
        text=f"{group.name}: {curve.ttl_s:g} s → {factor * curve.ttl_s:g} s: {100 * gain:+.1f} points, "
        f"{-reads:.0f} store reads/s, age served p99 {older:+.0f} s",
        reason=f"{100 * (1 - curve.now):.1f} % of its reads find nothing, {100 * gain:.1f} % as the entry "
        f"has expired too soon (jitter of {100 * JITTER:.0f} % would cost "
        f"{100 * curve.jitter_price(JITTER):.1f} points)",
        do=f"TTL of {group.name}: {factor * curve.ttl_s:g} s",
        target=factor * curve.ttl_s,
        undo=f"TTL of {group.name}: {curve.ttl_s:g} s",
        confidence=_sure(curve, skipped),
        store_reads_per_s=reads,
        now=curve.now,
        predicted=curve.now + gain,
    )


def _shorter(
    group: GroupEvidence, curve: TtlCurve, factor: float, saved: float, evidence: Evidence
) -> Advice:
    freed = saved * sum(node.used_bytes for node in evidence.nodes)
    # What is freed is as good as more memory to the entries that are evicted today.
    reads = sum(
        (node.curve.at(node.memory_bytes / (1.0 - saved)) - node.curve.now) * node.gets_per_s
        for node in evidence.nodes
        if node.curve is not None
    )
    return Advice(
        subject=Subject.TTL,
        about=group.name,
        text=f"{group.name}: {curve.ttl_s:g} s → {factor * curve.ttl_s:g} s: its hit ratio stays "
        f"{100 * curve.at(factor):.1f} %, {freed / (1 << 20):.0f} MB for other entries, "
        f"{-reads:.0f} store reads/s",
        reason="its entries are read soon or not at all, and others are evicted to keep them",
        do=f"TTL of {group.name}: {factor * curve.ttl_s:g} s",
        target=factor * curve.ttl_s,
        undo=f"TTL of {group.name}: {curve.ttl_s:g} s",
        confidence=_sure(curve, evidence.skipped),
        store_reads_per_s=reads,
        saved_bytes=freed,
        now=curve.now,
        predicted=curve.at(factor),
    )


def jitter(evidence: Evidence) -> Iterator[Advice]:
    """Entries that expire together bring their readers to the store together."""
    for group in evidence.groups:
        curve = group.ttl
        if curve is None or group.misses_peak < TOGETHER or group.jitter >= JITTER:
            continue
        misses = group.gets_per_s * (1.0 - curve.now)
        if misses < SHARE_LEAST * evidence.gets_per_s:
            continue
        price = curve.jitter_price(JITTER)
        yield Advice(
            subject=Subject.JITTER,
            about=group.name,
            text=f"{group.name}: spread its TTL of {curve.ttl_s:g} s by {100 * JITTER:.0f} %: the worst "
            f"second has {misses * group.misses_peak:.0f} → some {misses * 2:.0f} store reads, "
            f"at {100 * price:.1f} points of hit ratio",
            reason=f"the worst second has {group.misses_peak:.0f} times the mean of misses: "
            "entries expire together",
            do=f"cache.ttl.jitter = {JITTER:g}",
            undo=f"cache.ttl.jitter = {group.jitter:g}",
            confidence=Confidence.MEDIUM,
            # What it spares the store is its peak; ranked by the tenth of it that is above the mean.
            store_reads_per_s=0.1 * misses * (group.misses_peak - 2.0),
        )
