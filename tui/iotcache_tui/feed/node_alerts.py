"""Alerts about cache nodes alone, judged by this dashboard itself: where no store is named there is no place
in which workers could keep theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from iotcache.alerts.node_rules import RATIO_EVERY_S, NodeRules
from iotcache.alerts.rule_state import Verdict, alert_of
from iotcache.config.alert_rules import AlertRule
from iotcache.model.alerts import Alert, AlertState

if TYPE_CHECKING:
    from iotcache.clock import Clock
    from iotcache.cluster import Cluster
    from iotcache.config.schema import AlertRuleSettings


class NodeAlerts:
    """Used as a store's alerts. Kept in memory, told to nobody else, and gone with the program.

    The rules of the kinds ``node_down`` and ``hit_ratio`` are judged; the others are about readings.
    """

    def __init__(self, rules: Sequence[AlertRuleSettings], clock: Clock) -> None:
        self._rules = NodeRules([AlertRule(rule) for rule in rules], self._stands)
        self._clock = clock
        self._standing: dict[tuple[str, str], Alert] = {}
        self._ratio_s = float("-inf")

    def _stands(self, name: str, subject: str) -> bool:
        return (name, subject) in self._standing

    async def look(self, cluster: Cluster) -> None:
        """Judge by the nodes as they stand, and now and then by what they count."""
        now_s = self._clock.monotonic()
        self._settle(self._rules.health(cluster.health(), now_s))
        if self._rules.wants_ratio and now_s - self._ratio_s >= RATIO_EVERY_S:
            self._ratio_s = now_s
            counted: Mapping[str, Mapping[str, str]] = await cluster.stats()
            self._settle(self._rules.ratio(counted, now_s))

    def _settle(self, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            key = verdict.rule.name, verdict.subject
            if verdict.raised:
                self._standing[key] = alert_of(verdict, self._now_us())
            else:
                self._standing.pop(key, None)

    def _now_us(self) -> int:
        return round(self._clock.now() * 1e6)

    async def active(self, limit: int = 10_000) -> Sequence[Alert]:
        """Those that stand, the oldest first."""
        return sorted(self._standing.values(), key=lambda alert: alert.since_us)[:limit]

    async def acknowledge(self, name: str, subject: str, by: str, at_us: int) -> Alert | None:
        """Note that somebody knows of it; ``None`` when it does not stand."""
        alert = self._standing.get((name, subject))
        if alert is not None and alert.state is AlertState.RAISED:
            alert = structs.replace(
                alert,
                state=AlertState.ACKNOWLEDGED,
                changed_us=at_us,
                acknowledged_us=at_us,
                acknowledged_by=by,
            )
            self._standing[name, subject] = alert
        return alert
