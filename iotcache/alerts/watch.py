"""The ingest worker's alert watch: rules over what it takes in, the nodes and the clock; what comes of them.

What several workers of a group raise and clear meets in the store: one alert of a name and subject, and of
the workers that tell the same one has the news to publish. As a worker of a group sees only a share of a
series' readings, it looks at the newest in the store before it believes itself. Devices' silence and the
nodes are watched by one of them (`iotcache.cluster.leader`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from iotcache.alerts.node_rules import RATIO_EVERY_S, NodeRules
from iotcache.alerts.publish import AlertLink, AlertPublisher
from iotcache.alerts.reading_rules import ReadingRules
from iotcache.alerts.rule_state import Verdict, alert_of
from iotcache.alerts.silence_rules import SilenceRules
from iotcache.alerts.webhook import Webhook
from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.cluster.leader import LeaderLock
from iotcache.config.alert_rules import AlertRule
from iotcache.errors import IotCacheError, StoreError
from iotcache.faults import Faults
from iotcache.model import Series, Severity, StoredReading, figure_of
from iotcache.model.alerts import Alert, AlertState

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.config.schema import Settings
    from iotcache.model.batches import CommittedBatch

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
RETIRED_EVERY_S: Final = 60.0
PRUNE_EVERY_S: Final = 3_600.0
ACTIVE_LIMIT: Final = 10_000
_UNSETTLED_LIMIT: Final = 10_000
_TURNS: Final = 3
"""Of what was raised and cleared again and again before it was settled, the first and the last is told."""
_PAGE: Final = 5_000
_LOGGED: Final = 20
"""Of many alerts at once only so many are logged each."""
_RETIRED_LIMIT: Final = 100_000
_LEVELS: Final = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}
_ANNOUNCING: Final = "announcing an alert"
_RECORDING: Final = "recording alerts"
_Key = tuple[str, str]


class AlertWatch:
    """A follower of the committed batches (`iotcache.model.Follower`)."""

    def __init__(
        self,
        cache: DeviceCache,
        settings: Settings,
        link: AlertLink,
        *,
        instance: str = "",
        well: Callable[[], bool] = lambda: True,
        clock: Clock = SYSTEM_CLOCK,
        tick_s: float = TICK_S,
        faults: Faults | None = None,
    ) -> None:
        """``well`` tells whether readings can come in just now; while they cannot, nobody is silent."""
        rules = [AlertRule(one) for one in settings.alerts]
        self._rules = {rule.name: rule for rule in rules}
        self._cache = cache
        self._link = link
        self._clock = clock
        self._faults = faults or Faults(clock)
        self._well = well
        self.tick_s = tick_s
        """How often nodes, clock and store are looked at; another value counts from the next time on."""
        self._shared = bool(settings.ingest.group)
        self._keep_us = round(settings.store.retention_days * 86_400e6)
        self._leader = LeaderLock(cache.cluster, f"{cache.keys.prefix}lock:alerts", instance, clock=clock)
        self._readings = ReadingRules(rules, self._stands)
        self._silence = SilenceRules(rules, self._stands)
        self._nodes = NodeRules(rules, self._stands)
        self._publisher = AlertPublisher(link, self._faults)
        alerting = settings.alerting
        self._webhook = (
            Webhook(alerting.webhook, alerting.webhook_timeout_s, faults=self._faults)
            if alerting.webhook
            else None
        )
        self._standing: dict[_Key, Alert] = {}
        self._unsettled: dict[_Key, list[Verdict]] = {}
        self._some = asyncio.Event()
        self._retired: frozenset[str] = frozenset()
        self._next_s = {"refresh": 0.0, "ratio": 0.0, "retired": 0.0, "prune": 0.0}
        self._connects = 0
        self.raised = 0
        """Alerts that this worker raised since its start."""

    @property
    def standing(self) -> int:
        """Alerts that stand, as of the last look into the store."""
        return len(self._standing)

    @property
    def webhook_failures(self) -> int:
        """Changes that the webhook never took."""
        return self._webhook.failed if self._webhook is not None else 0

    # Following

    def follow(self, batch: CommittedBatch) -> None:
        """Judge a batch; what comes of it is settled in the background."""
        now_s = self._clock.monotonic()
        self._put(self._readings.follow(batch.readings, now_s))
        if self._silence.wanted:
            self._put(self._silence.follow(batch.readings, now_s))
            for stored in batch.newest:
                self._silence.interval(stored.reading.series, stored.reading.interval_s)

    def missed(self, batches: int) -> None:
        """What passed by cannot be judged; the next readings of the same series can."""

    def _put(self, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            key = (verdict.rule.name, verdict.subject)
            if key not in self._unsettled and len(self._unsettled) >= _UNSETTLED_LIMIT:
                # No room: as if it had not been judged, so that it is judged again.
                self._take_over(key, not verdict.raised)
                continue
            row = self._unsettled.setdefault(key, [])
            if not row or row[-1].raised is not verdict.raised:
                row.append(verdict)
            if len(row) > _TURNS:
                del row[1:3]
        if self._unsettled:
            self._some.set()

    def _stands(self, name: str, subject: str) -> bool:
        return (name, subject) in self._standing

    # In the background

    async def run(self) -> None:
        """Work until cancelled. Without rules there is nothing to do but to end what stands of old ones."""
        keep_running = self._faults.keep_running
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_running("publishing alerts", self._publisher.run))
            if self._webhook is not None:
                tasks.create_task(keep_running("posting alerts", self._webhook.run))
            tasks.create_task(keep_running("watching for alerts", self._watch))

    async def _watch(self) -> None:
        await self.begin()
        try:
            while True:
                try:
                    with self._faults.contained("a turn of the alert watch"):
                        await self.turn()
                except IotCacheError as error:  # what is unsettled is tried again
                    log.debug("alerts wait: %s", error)
                await self._rest()
        finally:
            if self._shared:
                await self._leader.give_up()

    async def _rest(self) -> None:
        """Until the next tick; a moment only when there is something to settle."""
        self._some.clear()
        if not self._unsettled:
            try:
                async with asyncio.timeout(self.tick_s):
                    await self._some.wait()
            except TimeoutError:
                return
        await asyncio.sleep(self.tick_s / 5)

    async def begin(self) -> None:
        """Take over from the store what stood before our time, and whom to listen for."""
        while True:
            try:
                await self._refresh()
                above = 0
                while self._silence.wanted and (page := await self._cache.store.directory(above, _PAGE)):
                    for info in page:
                        now_s = self._clock.monotonic()
                        with self._faults.contained("taking over a series"):
                            self._silence.add_series(info.series, info.site, info.interval_s, now_s)
                    above = page[-1].order
                    await asyncio.sleep(0.02)
            except StoreError as error:
                log.debug("alerts wait for the store: %s", error)
                await asyncio.sleep(self.tick_s)
            else:
                return

    async def turn(self) -> None:
        """What is done every `tick_s`; each part fails by itself, and what is to be settled always is."""
        now_s = self._clock.monotonic()
        contained = self._faults.contained
        with contained("judging readings by the clock"):
            self._put(self._readings.tick(now_s))
        with contained("looking for alerts of others"):
            if not self._well():
                self._silence.deaf_until_s = now_s
            if now_s >= self._next_s["refresh"]:
                await self._refresh()
                self._next_s["refresh"] = now_s + self.tick_s
        with contained("watching nodes and silent devices"):
            if not self._shared or await self._leader.hold():
                await self._watch_all(now_s)
                self._tell_again()
        await self._settle()

    def _tell_again(self) -> None:
        """A broker that was away may have lost what it retained."""
        if self._connects != self._link.connects:
            self._connects = self._link.connects
            for alert in self._standing.values():
                with self._faults.contained(_ANNOUNCING):
                    self._publisher.put(alert)

    async def _watch_all(self, now_s: float) -> None:
        """What one worker watches for all: the nodes, silence, the end of rules and of devices."""
        cluster = self._cache.cluster
        contained = self._faults.contained
        with contained("watching nodes"):
            self._put(self._nodes.health(cluster.health(), now_s))
            if self._nodes.wants_ratio and self._is_time("ratio", RATIO_EVERY_S, now_s):
                self._put(self._nodes.ratio(await cluster.stats(), now_s))
        with contained("watching for silent devices"):
            await self._watch_silence(now_s)
        with contained("deleting old alerts"):
            if self._is_time("prune", PRUNE_EVERY_S, now_s):
                await self._cache.store.alerts.prune(round(self._clock.now() * 1e6) - self._keep_us)
        orphans = [alert for alert in self._standing.values() if alert.name not in self._rules]
        ended = [_ended(alert, self._now_us(), "there is no such rule any more") for alert in orphans]
        await self._faults.all_or_each(_RECORDING, self._tell, ended)

    async def _watch_silence(self, now_s: float) -> None:
        if self._silence.wanted:
            if self._is_time("retired", RETIRED_EVERY_S, now_s):
                self._retired = await self._out_of_service()
                self._put(self._silence.retire(self._retired))
            if self._well():
                self._put(self._silence.due(now_s, self._retired))

    def _is_time(self, what: str, every_s: float, now_s: float) -> bool:
        if now_s < self._next_s[what]:
            return False
        self._next_s[what] = now_s + every_s
        return True

    async def _out_of_service(self) -> frozenset[str]:
        found: set[str] = set()
        above = ""
        while page := await self._cache.store.documents.decommissioned(above):
            found.update(page)
            above = page[-1]
            if len(found) >= _RETIRED_LIMIT:
                break
        return frozenset(found)

    async def _refresh(self) -> None:
        """See what others raised, acknowledged and cleared."""
        now = {
            (alert.name, alert.subject): alert
            for alert in await self._cache.store.alerts.active(ACTIVE_LIMIT)
        }
        before, self._standing = self._standing, now
        if len(now) >= ACTIVE_LIMIT:  # not all of them: what is missing need not be gone
            self._standing = before | now
        for key, alert in now.items():
            old = before.get(key)
            with self._faults.contained(_ANNOUNCING):
                if old is None:
                    self._take_over(key, True)
                elif old.state is not alert.state and (not self._shared or self._leader.held):
                    self._announce(alert)
        for key in before.keys() - self._standing.keys():
            with self._faults.contained(_ANNOUNCING):
                self._take_over(key, False)
                self._publisher.empty(*key)

    def _take_over(self, key: _Key, raised: bool) -> None:
        if key not in self._unsettled:
            self._readings.turn(*key, raised)
            self._silence.turn(*key, raised)

    # Settling

    async def _settle(self) -> None:
        """Believe, keep and tell what the rules came to. Raises `StoreError`; nothing is forgotten then."""
        verdicts = [verdict for row in self._unsettled.values() for verdict in row]
        if not verdicts:
            return
        # Those that this fails on unforeseen are left out: they would fail again, and others wait.
        await self._faults.all_or_each("settling alerts", self._believe, verdicts)
        for verdict in verdicts:
            key = (verdict.rule.name, verdict.subject)
            row = self._unsettled[key]
            if verdict in row:
                row.remove(verdict)
            if not row:
                del self._unsettled[key]

    async def _believe(self, verdicts: Sequence[Verdict]) -> None:
        believed = await self._confirm(verdicts) if self._shared else verdicts
        now_us = self._now_us()
        alerts = [alert_of(verdict, now_us) for verdict in believed]
        await self._faults.all_or_each(_RECORDING, self._tell, alerts)

    async def _tell(self, alerts: Sequence[Alert]) -> None:
        news = await self._cache.store.alerts.record(alerts) if alerts else ()
        for alert in news[:_LOGGED]:
            level = _LEVELS[alert.severity] if alert.state is AlertState.RAISED else logging.INFO
            log.log(level, "alert %s %s: %s", alert.name, alert.state, alert.text)
        if len(news) > _LOGGED:
            log.warning("%d more alerts were raised or cleared at the same time", len(news) - _LOGGED)
        for alert in news:
            key = (alert.name, alert.subject)
            if alert.stands:
                self._standing[key] = alert
                self.raised += 1
            else:
                self._standing.pop(key, None)
            with self._faults.contained(_ANNOUNCING):
                self._announce(alert)

    def _announce(self, alert: Alert) -> None:
        self._publisher.put(alert)
        if self._webhook is not None:
            self._webhook.put(alert)

    async def _confirm(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Those that the newest readings in the store, whoever took them in, do not speak against."""
        wanted: set[Series] = set()
        for verdict in verdicts:
            wanted.update(self._witnesses(verdict))
        newest = await self._cache.store.latest_many(list(wanted)) if wanted else {}
        believed: list[Verdict] = []
        for verdict in verdicts:
            found = [newest[series] for series in self._witnesses(verdict) if series in newest]
            if verdict.rule.kind == "threshold" and found and not _agrees(verdict, found[0]):
                self._readings.turn(verdict.rule.name, verdict.subject, not verdict.raised)
            elif verdict.rule.kind == "silent" and verdict.raised and not self._still_silent(verdict, found):
                pass
            else:
                believed.append(verdict)
        return believed

    def _witnesses(self, verdict: Verdict) -> Sequence[Series]:
        if verdict.series is None:
            return ()
        if verdict.rule.kind == "silent":
            return self._silence.series_of(verdict.series.device) if verdict.raised else ()
        return (verdict.series,) if verdict.rule.kind == "threshold" else ()

    def _still_silent(self, verdict: Verdict, found: Sequence[StoredReading]) -> bool:
        assert verdict.series is not None
        newest_us = max((stored.reading.received_us for stored in found), default=0)
        age_s = self._clock.now() - newest_us / 1e6
        if age_s >= (verdict.rule.for_s or verdict.value or 0.0):
            return True
        self._silence.seen_elsewhere(verdict.series.device, self._clock.monotonic() - age_s)
        return False

    def _now_us(self) -> int:
        return round(self._clock.now() * 1e6)


def _agrees(verdict: Verdict, stored: StoredReading) -> bool:
    figure = figure_of(stored.reading.value)
    if figure is None:
        return not verdict.raised
    return verdict.rule.holds(figure) if verdict.raised else verdict.rule.is_over(figure)


def _ended(alert: Alert, now_us: int, why: str) -> Alert:
    return Alert(
        name=alert.name,
        subject=alert.subject,
        severity=alert.severity,
        state=AlertState.CLEARED,
        since_us=alert.since_us,
        text=why,
        kind=alert.kind,
        site=alert.site,
        changed_us=now_us,
    )
