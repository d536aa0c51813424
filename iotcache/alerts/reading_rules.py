"""Threshold and rate rules over the stream of readings: pure, told the time.

Only a reading newer than the one before it counts: what comes late tells nothing of now. Texts have no
figure; a truth value is 0 or 1. How long a rule holds is measured by the worker's clock, as a device's may be
wrong; a rate is taken by the readings' own times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from iotcache.alerts.rule_state import RuleState, Verdict
from iotcache.config.alert_rules import AlertRule, series_named, subject_of
from iotcache.model import Reading, Series, figure_of

SERIES_LIMIT: Final = 200_000
"""Series that rules are about; `ReadingRules.unwatched` counts those beyond."""
_KNOWN_LIMIT: Final = 1_000_000
RATE_MIN_S: Final = 0.05
"""Of readings closer than this the difference is no rate."""


class _Watched:
    """A series that at least one rule is about."""

    __slots__ = ("rule_states", "series", "site", "subject", "ts_us", "value")

    def __init__(self, series: Series, site: str, rule_states: Sequence[RuleState]) -> None:
        self.series = series
        self.site = site
        self.subject = subject_of(series)
        self.rule_states = rule_states
        self.ts_us = -(2**63)
        self.value: float | None = None


class ReadingRules:
    """All threshold and rate rules, and what they wait for."""

    def __init__(
        self, rules: Sequence[AlertRule], stands: Callable[[str, str], bool] = lambda name, subject: False
    ) -> None:
        """``stands`` tells whether an alert of this name and subject was raised before our time."""
        self._rules = [rule for rule in rules if rule.kind in ("threshold", "rate")]
        self._stands = stands
        self._known: dict[tuple[str, str], _Watched | None] = {}
        self._watched = 0
        self._pending: dict[tuple[str, str], tuple[RuleState, _Watched]] = {}
        self.unwatched = 0
        """Series that a rule is about and that there was no room for."""

    def follow(self, readings: Sequence[Reading], now_s: float) -> list[Verdict]:
        """Take readings in, in the order they came."""
        verdicts: list[Verdict] = []
        if not self._rules:
            return verdicts
        known = self._known
        for reading in readings:
            name = (reading.device, reading.sensor)
            try:
                watched = known[name]
            except KeyError:
                watched = self._add(reading)
            if watched is not None and reading.ts_us > watched.ts_us and reading.is_news:
                self._take(watched, reading, now_s, verdicts)
        return verdicts

    def tick(self, now_s: float) -> list[Verdict]:
        """Raise what has held for long enough without a further reading."""
        ripe = [
            (key, rule_state, watched)
            for key, (rule_state, watched) in self._pending.items()
            if rule_state.ripe(now_s)
        ]
        for key, _, _ in ripe:
            del self._pending[key]
        return [_verdict(rule_state, watched, True) for _, rule_state, watched in ripe]

    def turn(self, name: str, subject: str, raised: bool) -> None:
        """Another worker raised or cleared it, or we were wrong to."""
        watched = self._known.get(series_named(subject))
        for rule_state in watched.rule_states if watched is not None else ():
            if rule_state.rule.name == name:
                rule_state.raised, rule_state.since_s = raised, None
                self._pending.pop((name, subject), None)

    def _add(self, reading: Reading) -> _Watched | None:
        series = reading.series
        rules = [rule for rule in self._rules if rule.is_for(reading.site, series.device, series.sensor)]
        watched: _Watched | None = None
        if rules and self._watched >= SERIES_LIMIT:
            self.unwatched += 1
        elif rules:
            subject = subject_of(series)
            watched = _Watched(
                series, reading.site, [RuleState(rule, self._stands(rule.name, subject)) for rule in rules]
            )
            self._watched += 1
        if len(self._known) < _KNOWN_LIMIT or watched is not None:
            self._known[series.device, series.sensor] = watched
        return watched

    def _take(self, watched: _Watched, reading: Reading, now_s: float, verdicts: list[Verdict]) -> None:
        figure = figure_of(reading.value)
        if figure is None:
            return
        before, passed_us = watched.value, reading.ts_us - watched.ts_us
        watched.ts_us, watched.value, watched.site = reading.ts_us, figure, reading.site
        for rule_state in watched.rule_states:
            rule = rule_state.rule
            if rule.kind == "rate":
                if before is None or passed_us < RATE_MIN_S * 1e6:
                    continue
                turned = rule_state.note((figure - before) / (passed_us / 1e6) * rule.settings.per_s, now_s)
            else:
                turned = rule_state.note(figure, now_s)
            key = (rule.name, watched.subject)
            if rule_state.since_s is not None:
                self._pending[key] = (rule_state, watched)
            else:
                self._pending.pop(key, None)
            if turned is not None:
                verdicts.append(_verdict(rule_state, watched, turned))


def _verdict(rule_state: RuleState, watched: _Watched, raised: bool) -> Verdict:
    return Verdict(rule_state.rule, watched.subject, raised, rule_state.value, watched.series, watched.site)
