"""Silent rules: devices of which nothing was heard for too long. Pure, told the time.

What is heard causes no work: every device has a deadline in a heap, and one that was heard of since is put
back when its deadline comes. A deadline that was brought forward leaves its old one in the heap, to be passed
over.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from iotcache.alerts.rule_state import Verdict
from iotcache.config.alert_rules import AlertRule
from iotcache.keys import escape, unescape
from iotcache.model import Reading, Series

DEVICES_LIMIT: Final = 500_000
INTERVALS: Final = 3.0
OWN_MIN_S: Final = 10.0
"""By its own interval a device is silent after this at the least: networks hiccup."""
INTERVAL_DEFAULT_S: Final = 60.0
_KNOWN_LIMIT: Final = 1_000_000


class _Device:
    __slots__ = ("due_s", "interval_s", "last_seen_s", "name", "raised", "rules", "series", "site", "subject")

    def __init__(self, name: str, site: str, last_seen_s: float) -> None:
        self.name = name
        self.site = site
        self.subject = escape(name)
        self.last_seen_s = last_seen_s
        self.interval_s = 0.0
        self.rules: list[AlertRule] = []
        self.raised: set[str] = set()
        self.due_s: dict[str, float] = {}
        """The next deadline, by rule."""
        self.series: list[Series] = []
        """Those that a rule is about."""


class SilenceRules:
    """All silent rules and the devices that they are about."""

    def __init__(
        self, rules: Sequence[AlertRule], stands: Callable[[str, str], bool] = lambda name, subject: False
    ) -> None:
        self._rules = [rule for rule in rules if rule.kind == "silent"]
        self._by_name = {rule.name: rule for rule in self._rules}
        self._stands = stands
        self._series: dict[tuple[str, str], _Device | None] = {}
        self._devices: dict[str, _Device] = {}
        self.deadlines: list[tuple[float, str, str]] = []
        self.unwatched = 0
        self.deaf_until_s = float("-inf")
        """Until then we could hear nobody, so that nobody was silent."""

    @property
    def wanted(self) -> bool:
        """Whether there are such rules at all."""
        return bool(self._rules)

    def follow(self, readings: Iterable[Reading], now_s: float) -> list[Verdict]:
        """These were heard, also those that come late, but for what devices and broker had kept."""
        verdicts: list[Verdict] = []
        if not self._rules:
            return verdicts
        known = self._series
        for reading in readings:
            try:
                device = known[reading.device, reading.sensor]
            except KeyError:
                device = self.add_series(reading.series, reading.site, 0.0, now_s)
            if device is not None and reading.is_news:
                device.last_seen_s = now_s
                if device.raised:
                    verdicts += self._seen_again(device)
        return verdicts

    def add_series(self, series: Series, site: str, interval_s: float, now_s: float) -> _Device | None:
        """Watch a series from now on, if a rule is about it; heard of it was at ``now_s``."""
        if (series.device, series.sensor) in self._series:
            device = self._series[series.device, series.sensor]
            self.interval(series, interval_s)
            return device
        rules = [rule for rule in self._rules if rule.is_for(site, series.device, series.sensor)]
        device = self._devices.get(series.device) if rules else None
        if rules and device is None:
            if len(self._devices) >= DEVICES_LIMIT:
                self.unwatched += 1
            else:
                device = self._devices[series.device] = _Device(series.device, site, now_s)
        if device is not None:
            device.series.append(series)
            self._note_interval(device, interval_s)
            for rule in rules:
                if rule not in device.rules:
                    device.rules.append(rule)
                    if self._stands(rule.name, device.subject):
                        device.raised.add(rule.name)
                    self._await(device, rule)
        if len(self._series) < _KNOWN_LIMIT:
            self._series[series.device, series.sensor] = device
        return device

    def interval(self, series: Series, interval_s: float) -> None:
        """So often a series says something."""
        device = self._series.get((series.device, series.sensor))
        if device is not None:
            self._note_interval(device, interval_s)

    def due(self, now_s: float, retired: Collection[str] = ()) -> list[Verdict]:
        """Devices that are silent by now; each is told once until it is heard of again."""
        verdicts: list[Verdict] = []
        deadlines = self.deadlines
        while deadlines and deadlines[0][0] <= now_s:
            due_s, name, rule_name = heapq.heappop(deadlines)
            device, rule = self._devices[name], self._by_name[rule_name]
            if device.due_s.get(rule_name) != due_s:
                continue
            del device.due_s[rule_name]
            if name in retired or rule_name in device.raised:
                self._push(device, rule, now_s + _limit_s(device, rule))
            elif now_s - self._last_seen_s(device) >= _limit_s(device, rule):
                device.raised.add(rule_name)
                verdicts.append(self._verdict(device, rule, True, now_s - device.last_seen_s))
                self._push(device, rule, now_s + _limit_s(device, rule))
            else:
                self._await(device, rule)
        return verdicts

    def retire(self, retired: Collection[str]) -> list[Verdict]:
        """Devices out of service may be silent."""
        verdicts = []
        for name in retired:
            device = self._devices.get(name)
            if device is not None and device.raised:
                verdicts += self._seen_again(device, "the device was put out of service")
        return verdicts

    def seen_elsewhere(self, device: str, at_s: float) -> None:
        """Another worker heard of it, at ``at_s``, so that we were wrong to call it silent."""
        known_device = self._devices.get(device)
        if known_device is not None:
            known_device.last_seen_s = max(known_device.last_seen_s, at_s)
            known_device.raised.clear()

    def turn(self, name: str, subject: str, raised: bool) -> None:
        """Another worker raised or cleared it."""
        known_device = self._devices.get(unescape(subject))
        if known_device is not None and name in self._by_name:
            (known_device.raised.add if raised else known_device.raised.discard)(name)

    def series_of(self, device: str) -> Sequence[Series]:
        """The series that rules are about."""
        known_device = self._devices.get(device)
        return known_device.series if known_device is not None else ()

    def _seen_again(self, device: _Device, text: str = "") -> list[Verdict]:
        cleared, device.raised = device.raised, set()
        return [
            self._verdict(device, rule, False, None, text or f"{device.subject} is heard again")
            for rule in device.rules
            if rule.name in cleared
        ]

    def _await(self, device: _Device, rule: AlertRule) -> None:
        self._push(device, rule, self._last_seen_s(device) + _limit_s(device, rule))

    def _push(self, device: _Device, rule: AlertRule, due_s: float) -> None:
        device.due_s[rule.name] = due_s
        heapq.heappush(self.deadlines, (due_s, device.name, rule.name))

    def _note_interval(self, device: _Device, interval_s: float) -> None:
        """Of a device with several sensors the one that speaks most often tells first."""
        shortest = device.interval_s or INTERVAL_DEFAULT_S
        if interval_s <= 0 or interval_s == device.interval_s:
            return
        if device.interval_s and interval_s > shortest:
            return
        device.interval_s = interval_s
        if interval_s < shortest / 1.5:  # by little it is not worth a place in the heap
            for rule in device.rules:
                if rule.for_s <= 0:
                    self._await(device, rule)

    def _last_seen_s(self, device: _Device) -> float:
        return max(device.last_seen_s, self.deaf_until_s)

    def _verdict(
        self, device: _Device, rule: AlertRule, raised: bool, value: float | None, text: str = ""
    ) -> Verdict:
        figure = None if value is None else round(value, 1)
        return Verdict(rule, device.subject, raised, figure, Series(device.name, ""), device.site, text)


def _limit_s(device: _Device, rule: AlertRule) -> float:
    if rule.for_s > 0:
        return rule.for_s
    return max(INTERVALS * (device.interval_s or INTERVAL_DEFAULT_S), OWN_MIN_S)
