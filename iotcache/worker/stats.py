"""A worker's counters as it publishes them: totals, rates, and what its parts say of themselves."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from iotcache.clock import Clock
from iotcache.config.key_placement import placement_on
from iotcache.ingest.counters import IngestCounters
from iotcache.model import NodeHealth, NodeState
from iotcache.published_stats import GroupMembership, IngestStats, KeyPlacement, NodeListReport
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.aggregates.writer import Aggregates
    from iotcache.alerts.watch import AlertWatch
    from iotcache.cache import CacheCounters
    from iotcache.config.urls import NodeAddress
    from iotcache.ingest.sparkplug_host import SparkplugHost
    from iotcache.mqtt import MqttLink
    from iotcache.onboarding.lifecycle import DeviceLifecycle

_STAYS: Final = GroupMembership()
_RATE_OVER_S: Final = 0.5
"""A rate is taken over at least this long."""


class IngestStatsBuilder:
    """Makes one worker's `IngestStats`."""

    def __init__(
        self,
        role: str,
        instance: str,
        counters: IngestCounters,
        clock: Clock,
        placement: KeyPlacement | None = None,
    ) -> None:
        self._placement = placement
        self._role = role
        self._instance = instance
        self._counters = counters
        self._clock = clock
        self._started_us = int(clock.now() * 1e6)
        self._last = (clock.monotonic(), 0, 0, 0)
        self._per_s = (0.0, 0.0, 0.0)

    def stats(
        self,
        state: str,
        waiting_for: str,
        *,
        waiting_store: str,
        waiting_broker: str,
        link: MqttLink,
        cache_counters: CacheCounters | None,
        nodes: Sequence[NodeHealth],
        ring: Sequence[NodeAddress] | None,
        series: int,
        faults: int,
        sparkplug: SparkplugHost | None = None,
        group: str = "",
        membership: GroupMembership = _STAYS,
        session_ended: bool = False,
        lifecycle: DeviceLifecycle | None = None,
        alerts: AlertWatch | None = None,
        aggregates: Aggregates | None = None,
        node_list: NodeListReport | None = None,
    ) -> IngestStats:
        """The counters as they stand."""
        counters = self._counters
        written = cache_counters.writes if cache_counters else 0
        received_per_s, stored_per_s, cache_writes_per_s = self._rates(written)
        commit, through = counters.commit_ms.percentiles(), counters.write_through_ms.percentiles()
        now_us, oldest_us = int(self._clock.now() * 1e6), link.oldest_unacked_us()
        return IngestStats(
            role=self._role,
            instance=self._instance,
            state=state,
            group=group,
            client_id=link.client_id,
            membership=membership,
            session_ended=session_ended,
            waiting_for=waiting_for,
            waiting_store=waiting_store,
            waiting_broker=waiting_broker,
            version=_version(),
            pid=os.getpid(),
            host=platform.node(),
            started_us=self._started_us,
            at_us=now_us,
            received=counters.received,
            readings=counters.readings,
            stored=counters.stored,
            duplicates=counters.duplicates,
            conflicts=counters.conflicts,
            retained=counters.retained,
            dead_letters=counters.dead_letters,
            ignored=counters.ignored,
            nothing_in_it=counters.nothing_in_it,
            last_refusal=counters.last_refusal,
            last_nothing_in_it=counters.last_nothing_in_it,
            batches=counters.batches,
            received_per_s=received_per_s,
            stored_per_s=stored_per_s,
            commit_p50_ms=commit[0],
            commit_p99_ms=commit[1],
            write_through_p50_ms=through[0],
            write_through_p99_ms=through[1],
            unacked=link.unacked,
            queued=link.queued,
            lag_s=round(max(0, now_us - oldest_us) / 1e6, 3) if oldest_us else 0.0,
            commit_failures=counters.commit_failures,
            cache_writes_per_s=cache_writes_per_s,
            cache_write_failures=cache_counters.write_failures if cache_counters else 0,
            dirty_keys=cache_counters.dirty if cache_counters else 0,
            nodes_out=[
                printable(f"{node.name}: {node.reason or 'being probed'}")
                for node in nodes
                if node.state in (NodeState.DOWN, NodeState.PROBING)
            ],
            placement=self._placement if ring is None else placement_on(ring, self._placement),
            node_list=node_list,
            series=series,
            faults=faults,
            rebirths_asked=sparkplug.rebirths_asked if sparkplug else 0,
            births_awaited=sparkplug.held if sparkplug else 0,
            metrics_passed_over=dict(sparkplug.passed_over) if sparkplug else {},
            connects=link.connects,
            sessions_lost=link.sessions_lost,
            takeovers=link.takeovers,
            contested=link.contested,
            http_requests=counters.http_requests,
            max_rss_bytes=_max_rss_bytes(),
            documents=lifecycle.documents if lifecycle else 0,
            documents_outdated=lifecycle.outdated if lifecycle else 0,
            devices_warmed=lifecycle.counts.warmed if lifecycle else 0,
            devices_waiting=lifecycle.counts.waiting if lifecycle else 0,
            devices_skipped=lifecycle.counts.skipped if lifecycle else 0,
            alerts_standing=alerts.standing if alerts else 0,
            alerts_raised=alerts.raised if alerts else 0,
            webhook_failures=alerts.webhook_failures if alerts else 0,
            aggregates=aggregates.pairs if aggregates else 0,
            aggregates_written=aggregates.written if aggregates else 0,
            aggregates_recounted=aggregates.recounted if aggregates else 0,
            aggregates_outside=aggregates.outside if aggregates else 0,
        )

    def _rates(self, written: int) -> tuple[float, float, float]:
        """Messages, readings and ``written`` cache entries a second since some good part of a second ago."""
        now_s, counters = self._clock.monotonic(), self._counters
        last_s, received, stored, written_before = self._last
        passed_s = now_s - last_s
        if passed_s >= _RATE_OVER_S:
            self._per_s = (
                round((counters.received - received) / passed_s, 1),
                round((counters.stored - stored) / passed_s, 1),
                round((written - written_before) / passed_s, 1),
            )
            self._last = (now_s, counters.received, counters.stored, written)
        return self._per_s


@lru_cache
def _version() -> str:
    try:
        return version("iotcache-tui")
    except PackageNotFoundError:
        return ""


def _max_rss_bytes() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
