"""The curves that can be shown, and the one that a piece of advice is about."""

from __future__ import annotations

from msgspec import Struct

from iotcache.advisor.advice import MEBIBYTE, Advice, Subject
from iotcache.advisor.curves import MemoryCurve, TtlCurve, ring_curve
from iotcache.advisor.evidence import Evidence
from iotcache.text import figure

RING = "all nodes"


class CurveMark(Struct, frozen=True):
    """A place on a curve that matters."""

    name: str
    x: float
    ratio: float


class AdviceCurve(Struct, frozen=True):
    """One curve to draw: hit ratio against megabytes or seconds."""

    subject: Subject
    about: str
    xs: tuple[float, ...]
    ratios: tuple[float, ...]
    unit: str
    marks: tuple[CurveMark, ...]
    note: str
    """What goes with it, in a line."""


def curves(evidence: Evidence | None, advice: tuple[Advice, ...]) -> list[AdviceCurve]:
    """Memory of all nodes and of each, then the TTL of each group; those without gets are left out."""
    if evidence is None:
        return []
    shown: list[AdviceCurve] = []
    ring = ring_curve([(node.curve, node.gets_per_s) for node in evidence.nodes if node.curve is not None])
    if ring is not None and len(evidence.nodes) > 1:
        marks_per_s = sum(node.marks_per_s for node in evidence.nodes)
        shown.append(_memory(RING, ring, evidence.gets_per_s, marks_per_s, advice))
    for node in evidence.nodes:
        if node.curve is not None:
            shown.append(_memory(node.name, node.curve, node.gets_per_s, node.marks_per_s, advice))
    for group in evidence.groups:
        if group.ttl is not None:
            shown.append(_ttl(group.name, group.ttl, group.gets_per_s, advice))
    return shown


def place_of(shown: list[AdviceCurve], one: Advice) -> int | None:
    """The curve that the advice is about."""
    about = {Subject.TTL: Subject.TTL, Subject.JITTER: Subject.TTL, Subject.WRITES: Subject.TTL}
    subject = about.get(one.subject, Subject.MEMORY)
    return next(
        (at for at, curve in enumerate(shown) if curve.subject is subject and curve.about == one.about), None
    )


def _proposal(advice: tuple[Advice, ...], subject: Subject, about: str) -> Advice | None:
    return next((one for one in advice if one.subject is subject and one.about == about), None)


def _memory(
    name: str, curve: MemoryCurve, gets_per_s: float, marks_per_s: float, advice: tuple[Advice, ...]
) -> AdviceCurve:
    marks = [CurveMark("now", curve.now_bytes / MEBIBYTE, curve.now)]
    proposal = _proposal(advice, Subject.MEMORY, name)
    knee = curve.knee_bytes
    if knee > curve.now_bytes and curve.at(knee) - curve.now >= 0.001:
        marks.append(CurveMark("knee", knee / MEBIBYTE, curve.at(knee)))
    if proposal is not None and proposal.target is not None:
        marks.append(CurveMark("proposal", proposal.target, curve.at(proposal.target * MEBIBYTE)))
    used = curve.working_set_bytes / MEBIBYTE
    apart = f"   marks apart: {marks_per_s:.3g} gets/s" if marks_per_s else ""
    return AdviceCurve(
        Subject.MEMORY,
        name,
        tuple(size / MEBIBYTE for size in curve.sizes),
        curve.ratios,
        "MB",
        tuple(marks),
        f"in use {figure(used)} MB   {(1 - curve.now) * gets_per_s:.0f} store reads/s{apart}",
    )


def _ttl(name: str, curve: TtlCurve, gets_per_s: float, advice: tuple[Advice, ...]) -> AdviceCurve:
    marks = [CurveMark("now", curve.ttl_s, curve.now)]
    if curve.knee > 1.0 and curve.at(curve.knee) - curve.now >= 0.001:
        marks.append(CurveMark("knee", curve.knee * curve.ttl_s, curve.at(curve.knee)))
    proposal = _proposal(advice, Subject.TTL, name)
    if proposal is not None and proposal.target is not None:
        marks.append(CurveMark("proposal", proposal.target, curve.at(proposal.target / curve.ttl_s)))
    return AdviceCurve(
        Subject.TTL,
        name,
        tuple(factor * curve.ttl_s for factor in curve.factors),
        curve.ratios,
        "s",
        tuple(marks),
        f"age served p99 {figure(curve.age_p99_s(1.0))} s   {(1 - curve.now) * gets_per_s:.0f} store reads/s"
        f"   10 % jitter costs {100 * curve.jitter_price(0.1):.1f} points",
    )
