"""What was predicted of a change, and what came of it: fed with evidence, it notices changes by itself.

A change is a node's memory, the life that a group of keys is given, or a node's share of the keys; whoever
made it. The curve from before it says what is to come, and the same figure is measured once it stands still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import log, sqrt
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from iotcache.advisor.advice import MEBIBYTE, Subject
from iotcache.advisor.curves import MemoryCurve, TtlCurve
from iotcache.advisor.evidence import Evidence, GroupEvidence, NodeEvidence
from iotcache.text import figure

WINDOW_S: Final = 60.0
"""Over which a figure is measured."""
PATIENCE_S: Final = 900.0
"""A figure that moves for longer is taken as it is then."""
HISTORY: Final = 50
GETS_LEAST: Final = 500
"""Fewer sampled gets are no curve to predict by."""
TTL_STEP: Final = 1.25
"""A life counts as changed from this factor on: jitter moves the median of the last sets by less."""
SHARE_STEP: Final = 0.02
_STEADY: Final = 0.005
_SECONDS_LEAST: Final = 10.0
"""After an act, before measuring begins: nodes free or take pages one by one."""


class Checked(Struct, frozen=True, kw_only=True):
    """One prediction; ratios are 0 to 1, loads gets a second."""

    at_s: float
    """When the change was noticed, wall time."""
    subject: Subject
    about: str
    change: str
    """``64 → 128 MB``."""
    before: float
    predicted: float
    measured: float | None = None
    """``None`` while it is waited for, or where it never will be known: `note` says why."""
    after_s: float = 0.0
    """From the change to the end of the measurement."""
    note: str = ""

    @property
    def error(self) -> float | None:
        """Of a hit ratio its difference, of a load its share; ``None`` before it is measured."""
        if self.measured is None:
            return None
        off = self.measured - self.predicted
        return off / max(self.predicted, 1e-9) if self.subject is Subject.WEIGHT else off

    @property
    def text(self) -> str:
        """``64 → 128 MB: predicted 84.2 %, got 83.7 %``."""

        def measured(value: float) -> str:
            return f"{value:.0f} gets/s" if self.subject is Subject.WEIGHT else f"{100 * value:.1f} %"

        got = f"got {measured(self.measured)}" if self.measured is not None else self.note or "being measured"
        return f"{self.change}: predicted {measured(self.predicted)}, {got}"


class _Known(Struct, frozen=True):
    """What stands before the next change."""

    lever: float
    """Bytes, seconds, or a share of the keys."""
    value: float | None
    """The figure that hangs on it."""
    curve: MemoryCurve | TtlCurve | None


class _Open(Struct):
    """A prediction that is not measured yet."""

    checked: Checked
    settles_s: float
    """From the change to the first moment that counts."""
    values: deque[tuple[float, float, float]]
    """(time, the figure, what has to stand still besides)."""


Key = tuple[Subject, str]


class _Seen(Struct, frozen=True):
    """One lever and its figure, as the evidence has them."""

    key: Key
    lever: float
    value: float | None
    curve: MemoryCurve | TtlCurve | None
    gets: float
    """Over the time that the figure is measured over."""
    steady: float = 0.0
    """What has to stand still besides: the bytes that a node has in use."""


class Predictions:
    """Feed it evidence, a look after another. Bounded."""

    def __init__(self, *, window_s: float = WINDOW_S, patience_s: float = PATIENCE_S) -> None:
        """``window_s`` is the time over which the evidence's figures are measured."""
        self._window_s = window_s
        self._patience_s = patience_s
        self._known: dict[Key, _Known] = {}
        self._open: dict[Key, _Open] = {}
        self._done: deque[Checked] = deque(maxlen=HISTORY)

    @property
    def history(self) -> tuple[Checked, ...]:
        """The newest first; those that are still being measured before all others."""
        waiting = sorted((one.checked for one in self._open.values()), key=lambda one: -one.at_s)
        return (*waiting, *reversed(self._done))

    def note(self, at_s: float, evidence: Evidence) -> None:
        """Take in a look of that wall time."""
        for seen in (*_nodes(evidence), *_groups(evidence)):
            known = self._known.get(seen.key)
            if known is not None and _changed(seen.key[0], known.lever, seen.lever):
                self._begin(at_s, known, seen)
                self._known[seen.key] = _Known(seen.lever, None, None)
            else:
                self._known[seen.key] = _renewed(known, seen)
            if seen.key in self._open:
                self._measure(at_s, seen)

    def _begin(self, at_s: float, known: _Known, seen: _Seen) -> None:
        before = self._open.pop(seen.key, None)
        if before is not None:
            self._done.append(replace(before.checked, note="changed again before it was measured"))
        predicted = _predicted(known, seen)
        if predicted is None or known.value is None:
            return
        subject, about = seen.key
        settles_s = min(_SECONDS_LEAST, self._window_s)
        if subject is Subject.TTL:
            settles_s = max(settles_s, known.lever, seen.lever)  # until then old lives end
        self._open[seen.key] = _Open(
            Checked(
                at_s=at_s, subject=subject, about=about, before=known.value, predicted=predicted,
                change=_words(subject, known.lever, seen.lever),
            ),
            min(settles_s, self._patience_s),
            deque(maxlen=512),
        )  # fmt: skip

    def _measure(self, at_s: float, seen: _Seen) -> None:
        waiting = self._open[seen.key]
        since_s = at_s - waiting.checked.at_s
        if seen.value is not None and since_s >= waiting.settles_s + self._window_s:
            waiting.values.append((at_s, seen.value, seen.steady))
        late = since_s >= self._patience_s
        if not waiting.values:
            if late:
                del self._open[seen.key]
                self._done.append(replace(waiting.checked, note="nobody asked for it since"))
            return
        steady = _is_steady(waiting.values, self._window_s / 2, seen, waiting.checked.subject)
        if steady or late:
            del self._open[seen.key]
            self._done.append(
                replace(
                    waiting.checked, measured=waiting.values[-1][1], after_s=since_s,
                    note="" if steady else "it still moves",
                )
            )  # fmt: skip


def _nodes(evidence: Evidence) -> Iterator[_Seen]:
    for node in evidence.nodes:
        gets = node.gets_per_s * evidence.seconds
        curve = node.curve if node.curve is not None and node.curve.sampled_gets >= GETS_LEAST else None
        yield _Seen(
            (Subject.MEMORY, node.name), float(node.memory_bytes), node.hit_ratio, curve, gets,
            float(node.used_bytes),
        )  # fmt: skip
        if node.share:
            yield _Seen((Subject.WEIGHT, node.name), node.share, _load(node), None, gets)


def _load(node: NodeEvidence) -> float | None:
    return node.gets_per_s or None


def _groups(evidence: Evidence) -> Iterator[_Seen]:
    for group in evidence.groups:
        if group.set_ttl_s:
            gets = group.gets_per_s * evidence.seconds
            yield _Seen((Subject.TTL, group.name), group.set_ttl_s, group.hit_ratio, _ttl_curve(group), gets)


def _ttl_curve(group: GroupEvidence) -> TtlCurve | None:
    return group.ttl if group.ttl is not None and group.ttl.sampled_gets >= GETS_LEAST else None


def _renewed(known: _Known | None, seen: _Seen) -> _Known:
    """A look in which nobody asked, or too few did for a curve, takes nothing from what was known before."""
    value, curve = (known.value, known.curve) if known is not None else (None, None)
    return _Known(
        seen.lever,
        value if seen.value is None else seen.value,
        curve if seen.curve is None else seen.curve,
    )


def _changed(subject: Subject, before: float, now: float) -> bool:
    if subject is Subject.TTL:
        return before > 0 and abs(log(now / before)) > log(TTL_STEP)
    if subject is Subject.WEIGHT:
        return abs(now - before) >= SHARE_STEP
    return now != before


def _predicted(known: _Known, seen: _Seen) -> float | None:
    """By the curve from before; a load goes with the share of the keys."""
    if known.value is None:
        return None
    if seen.key[0] is Subject.WEIGHT:
        return known.value * seen.lever / known.lever
    match known.curve:
        case MemoryCurve() as curve:
            return curve.at(seen.lever)
        case TtlCurve() as curve:
            return curve.at(seen.lever / known.lever)
    return None


def _words(subject: Subject, before: float, now: float) -> str:
    if subject is Subject.MEMORY:
        return f"{before / MEBIBYTE:.0f} → {now / MEBIBYTE:.0f} MB"
    if subject is Subject.TTL:
        return f"TTL {figure(before)} → {figure(now)} s"
    return f"{100 * before:.0f} → {100 * now:.0f} % of the keys"


def _is_steady(
    values: deque[tuple[float, float, float]], apart_s: float, seen: _Seen, subject: Subject
) -> bool:
    """Whether the figure is where it was half a window ago, within what chance does."""
    at_s, value, held = values[-1]
    before = next((one for one in reversed(values) if at_s - one[0] >= apart_s), None)
    if before is None:
        return False
    if subject is Subject.WEIGHT:
        return abs(value - before[1]) <= 0.05 * max(value, before[1])
    chance = 3.0 * sqrt(max(value * (1.0 - value), 1e-4) / max(seen.gets, 1.0))
    return abs(value - before[1]) <= max(_STEADY, chance) and abs(held - before[2]) <= 0.02 * max(held, 1.0)
