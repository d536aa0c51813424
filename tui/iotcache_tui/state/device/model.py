"""One device in depth: what a screen asks about it, and what it is told."""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from typing import Final

from msgspec import Struct

from iotcache.model import Series, Severity, Value
from iotcache_tui.state.requests import Request

SENSORS_MOST: Final = 200
"""Sensors of one device that are looked at."""
SPANS_S: Final = (300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)
"""How far back a history may look."""
FIGURE_MOST: Final = 1e200
STATES_MOST: Final = 12
"""Texts that a series may take in turn and still be drawn as steps."""


class InspectDevice(Request, frozen=True):
    """Every key of a device as its node holds it, by neutral probes. Answers: one `DeviceKeys`."""

    device: str
    sensors: tuple[str, ...]


class ReadDocuments(Request, frozen=True):
    """A device's metadata and configuration, through the cache. Answers: one `DeviceDocuments`."""

    device: str


class ReadAlerts(Request, frozen=True):
    """The alerts of a device and its sensors that stand. Answers: one `DeviceAlerts`."""

    device: str


class ReadHistory(Request, frozen=True):
    """The last ``span_s`` seconds of a series as the store has them. Answers: one `History`."""

    series: Series
    span_s: float
    points: int
    """About as many as can be told apart on screen."""


class ReadNow(Request, frozen=True):
    """Read a series through the cache at once. Answers: one `iotcache.model.Read`."""

    series: Series


class KeyFacts(Struct, frozen=True):
    """One key of a device."""

    key: str
    kind: str
    """"latest", "bucket", "meta" or "cfg"."""
    sensor: str
    """Empty for a key of the whole device."""
    node: str
    present: bool
    ttl_s: float = inf
    idle_s: float = 0.0
    """Since the last access."""
    size: int = 0
    """Bytes of the whole item."""
    fetched: bool = False
    """Whether it was read since it was set."""
    failure: str = ""
    """Why the node could not say."""


class DeviceKeys(Struct, frozen=True):
    """All keys, at one moment (wall time)."""

    device: str
    at_s: float
    keys: tuple[KeyFacts, ...]


class DocumentView(Struct, frozen=True):
    """A document, and where it was found."""

    kind: str
    version: int | None
    """``None`` when there is none."""
    lines: tuple[str, ...] = ()
    """Laid out; foreign text, not yet safe to show."""
    source: str = "none"
    node: str = ""
    ttl_s: float | None = None
    sent_at_s: float = 0.0
    """Wall time at which this version was said."""
    reason: str = ""
    error: str = ""


class DeviceDocuments(Struct, frozen=True):
    device: str
    meta: DocumentView
    config: DocumentView


class AlertView(Struct, frozen=True):
    """An alert that stands. Texts are safe to show."""

    name: str
    sensor: str
    """Empty for one of the whole device."""
    severity: Severity
    acknowledged: bool
    since_s: float
    """Wall time."""
    text: str


class DeviceAlerts(Struct, frozen=True):
    device: str
    alerts: tuple[AlertView, ...]


class History(Struct, frozen=True):
    """Readings of one series, thinned out to what can be seen. Times are wall time."""

    series: Series
    span_s: float
    until_s: float
    times: list[float]
    values: list[float]
    """Figures; places in ``states`` for a series of texts or truth values."""
    states: tuple[str, ...] = ()
    readings: int = 0
    """In the store, before thinning out."""
    whole: bool = True
    """False when there are more of them than were read: the beginning is missing."""
    cached: tuple[tuple[float, float], ...] = ()
    """Stretches whose buckets lie in the cache."""


class Curve:
    """A history with what came in since, for a plot."""

    def __init__(self) -> None:
        self.series: Series | None = None
        self.times: list[float] = []
        self.values: list[float] = []
        self.states: tuple[str, ...] = ()
        self.cached: tuple[tuple[float, float], ...] = ()
        self.readings = 0
        self.whole = True
        self.version = 0
        """Grows whenever a plot would look different."""

    def clear(self, series: Series | None) -> None:
        self.series = series
        self.times, self.values, self.states, self.cached = [], [], (), ()
        self.readings, self.whole = 0, True
        self.version += 1

    def take(self, history: History) -> None:
        """What the store says; what came in later than it knows stays."""
        if history.series != self.series:
            return
        last = history.times[-1] if history.times else -inf
        later = bisect_left(self.times, last + 1e-6)
        tail = list(zip(self.times[later:], self._spoken(later), strict=True))
        self.times, self.values = list(history.times), list(history.values)
        self.states = history.states
        self.cached, self.readings, self.whole = history.cached, history.readings, history.whole
        for at_s, value in tail:
            self.append(at_s, value)
        self.version += 1

    def _spoken(self, first: int) -> list[Value]:
        if not self.states:
            return list(self.values[first:])
        return [self.states[round(value)] for value in self.values[first:]]

    def append(self, at_s: float, value: Value) -> None:
        """A reading that came in, if it is newer than all others."""
        if self.times and at_s <= self.times[-1]:
            return
        if isinstance(value, bool):
            value = state_text(value)
        if isinstance(value, str):
            if value not in self.states:
                if len(self.states) >= STATES_MOST or (self.times and not self.states):
                    return
                self.states = (*self.states, value)
            height = float(self.states.index(value))
        elif self.states:
            return
        else:
            height = figure(value)
        self.times.append(at_s)
        self.values.append(height)
        self.readings += 1
        self.version += 1

    def forget_before(self, wall_s: float) -> None:
        """Drop what has left the picture, but for one point that the curve comes from."""
        first = bisect_left(self.times, wall_s) - 1
        if first > 64:
            del self.times[:first], self.values[:first]


def figure(value: Value) -> float:
    """A number as a height; what no plot could hold is cut to what it can."""
    if isinstance(value, str):
        return 0.0
    return float(min(max(value, -FIGURE_MOST), FIGURE_MOST))


def state_text(value: Value) -> str:
    """A truth value as a person says it; a text as it is."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
