"""What a rule of ``[[alerts]]`` means: for which subjects it is, when it holds, and what it says then.

The keys and kinds themselves are declared in `iotcache.config.schema.AlertRuleSettings`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final

from iotcache.config.schema import AlertRuleSettings
from iotcache.keys import escape, unescape
from iotcache.model import Series, Severity
from iotcache.text import printable

TEXT_LIMIT: Final = 300
CLUSTER: Final = "cache"
"""The subject of rules about all cache nodes together."""
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OF_READINGS: Final = ("site", "device", "sensor")
_MESSAGES: Final = {
    "threshold": "{subject} is at {value}, {limit}",
    "rate": "{subject} changes by {value} per {per_s} s, {limit}",
    "silent": "nothing was heard of {subject} for {value} s",
    "hit_ratio": "{value} % of the reads hit the cache, {limit}",
    "node_down": "the cache node {subject} is down",
}
_CLEARED: Final = {
    "threshold": "{subject} is at {value}, no longer {limit}",
    "rate": "{subject} changes by {value} per {per_s} s, no longer {limit}",
    "hit_ratio": "{value} % of the reads hit the cache, no longer {limit}",
}
"""What is said instead when one is cleared; who finds a device or node well again says so itself."""


def wrong_rule(rules: Sequence[AlertRuleSettings]) -> str | None:
    """What a rule cannot be, as a sentence; ``None`` when all can."""
    names: set[str] = set()
    for n, rule in enumerate(rules, 1):
        at = f"alerts[{n}]"
        if not _NAME.fullmatch(rule.name):
            shown = printable(rule.name, 80)
            return f'{at}.name is "{shown}": allowed are 1 to 64 letters, digits and the signs ". _ -"'
        at = f"{at} ({rule.name})"
        if rule.name in names:
            return f"{at}: another alert has the same name; each needs a name of its own"
        names.add(rule.name)
        if wrong := _wrong_limits(rule) or _wrong_subject(rule) or _wrong_figures(rule):
            return f"{at}: {wrong}"
    return None


def _wrong_limits(rule: AlertRuleSettings) -> str | None:
    above, below = rule.above, rule.below
    if rule.kind in ("threshold", "rate"):
        if above is None and below is None:
            return f'kind "{rule.kind}" needs above, below, or both'
        if above is not None and below is not None and above - rule.hysteresis < below + rule.hysteresis:
            return f"between below = {below:g} and above = {above:g} there is no room for its hysteresis"
    elif rule.kind == "hit_ratio":
        if above is not None or below is None or not 0 < below <= 100:
            return 'kind "hit_ratio" needs below, a number from 0 to 100 (percent), and no above'
    elif above is not None or below is not None:
        return f'above and below mean nothing to kind "{rule.kind}": leave them out'
    return None


def _wrong_subject(rule: AlertRuleSettings) -> str | None:
    of_readings = rule.kind in ("threshold", "rate", "silent")
    idle = ("node",) if of_readings else _OF_READINGS if rule.kind == "node_down" else (*_OF_READINGS, "node")
    for name in idle:
        if getattr(rule, name) != "*":
            return f'{name} means nothing to kind "{rule.kind}": leave it out'
    return None


def _wrong_figures(rule: AlertRuleSettings) -> str | None:
    if rule.hysteresis < 0:
        return f"hysteresis is {rule.hysteresis:g}: allowed is a number from 0 on"
    if rule.per_s <= 0:
        return f"per_s is {rule.per_s:g}: allowed is a number above 0"
    if not 0 <= rule.for_s <= 2_592_000:
        return f"for_s is {rule.for_s:g}: allowed is a number from 0 to 2592000"
    return None


class AlertRule:
    """A rule at work. Its settings are known to be right."""

    def __init__(self, settings: AlertRuleSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.kind = settings.kind
        self.for_s = settings.for_s
        self.severity = Severity(settings.severity)

    def is_for(self, site: str, device: str, sensor: str) -> bool:
        """Whether it is about this series."""
        want = self.settings
        return (
            fnmatchcase(site, want.site)
            and fnmatchcase(device, want.device)
            and fnmatchcase(sensor, want.sensor)
        )

    def is_for_node(self, name: str) -> bool:
        return fnmatchcase(name, self.settings.node)

    def holds(self, figure: float) -> bool:
        """Whether ``figure`` is beyond a limit."""
        above, below = self.settings.above, self.settings.below
        return (above is not None and figure > above) or (below is not None and figure < below)

    def is_over(self, figure: float) -> bool:
        """Whether ``figure`` is so far inside the limits that an alert ends."""
        want = self.settings
        return (want.above is None or figure <= want.above - want.hysteresis) and (
            want.below is None or figure >= want.below + want.hysteresis
        )

    def text(
        self,
        subject: str,
        value: float | None,
        series: Series | None = None,
        site: str = "",
        *,
        cleared: bool = False,
    ) -> str:
        """What an alert says when it is raised, or cleared; safe to show."""
        filled = {
            "subject": subject,
            "value": "" if value is None else f"{value:.10g}",
            "limit": self._limits,
            "per_s": f"{self.settings.per_s:g}",
            "device": series.device if series else "",
            "sensor": series.sensor if series else "",
            "site": site,
        }
        usual = _MESSAGES[self.kind]
        form = self.settings.message or (_CLEARED.get(self.kind, usual) if cleared else usual)
        # One pass: what a device calls itself is no form to be filled in.
        return printable(re.sub(r"\{(\w+)\}", lambda hit: filled.get(hit[1], hit[0]), form), TEXT_LIMIT)

    @cached_property
    def _limits(self) -> str:
        want = self.settings
        limits = [
            f"{word} {limit:g}"
            for word, limit in (("above", want.above), ("below", want.below))
            if limit is not None
        ]
        return " or ".join(limits)


def subject_of(series: Series) -> str:
    """A series as an alert's subject: plain ASCII, and no two series have the same."""
    return f"{escape(series.device)}:{escape(series.sensor)}"


def series_named(subject: str) -> Series:
    """The series that `subject_of` made ``subject`` of."""
    device, _, sensor = subject.partition(":")
    return Series(unescape(device), unescape(sensor))
