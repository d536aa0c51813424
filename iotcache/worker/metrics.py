"""The worker's counters and its nodes' figures in Prometheus' text format.

Our own names follow Prometheus' conventions (base units, ``_total``). Figures of memcached nodes have the
names of ``memcached_exporter``, with the node in the label ``node``, so that boards made for it work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from iotcache.published_stats import IngestStats
from iotcache.worker.ring_metrics import ring_metrics

if TYPE_CHECKING:
    from iotcache.cache import CacheCounters
    from iotcache.worker.view import WorkerView

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_COUNTERS: Final = (
    ("iotcache_ingest_messages", "Messages taken from the broker or the gateway.", "received"),
    ("iotcache_ingest_readings_stored", "Readings that were new in the store.", "stored"),
    ("iotcache_ingest_readings_duplicate", "Readings that the store had already.", "duplicates"),
    ("iotcache_ingest_readings_conflicting", "Readings of a known identity and another value.", "conflicts"),
    ("iotcache_ingest_readings_retained", "Retained readings that told nothing new.", "retained"),
    ("iotcache_ingest_dead_letters", "Messages that could not be decoded.", "dead_letters"),
    ("iotcache_ingest_messages_ignored", "Messages that are no readings.", "ignored"),
    ("iotcache_ingest_messages_nothing_in_it", "Messages of which nothing was used.", "nothing_in_it"),
    ("iotcache_ingest_commits", "Store transactions.", "batches"),
    ("iotcache_ingest_commit_failures", "Store transactions that failed and were tried again.",
     "commit_failures"),
    ("iotcache_ingest_faults", "Unforeseen errors, each contained; the message is a dead letter.", "faults"),
    ("iotcache_ingest_rebirths_asked", "Edge nodes asked for their births.", "rebirths_asked"),
    ("iotcache_ingest_broker_connects", "Connections made to the broker.", "connects"),
    ("iotcache_ingest_sessions_lost", "Times that the broker had forgotten the session.", "sessions_lost"),
    ("iotcache_ingest_client_id_takeovers", "Connections that another program took over.", "takeovers"),
    ("iotcache_ingest_documents", "Births and configurations stored.", "documents"),
    ("iotcache_ingest_devices_warmed", "New devices whose cache entries were filled.", "devices_warmed"),
    ("iotcache_aggregates_written", "Entries of aggregates written to the cache.", "aggregates_written"),
    ("iotcache_aggregates_recounted", "Windows counted anew from the store.", "aggregates_recounted"),
    ("iotcache_aggregates_readings_outside", "Readings too late, or too early, for any window.",
     "aggregates_outside"),
    ("iotcache_alerts_raised", "Alerts that this worker raised.", "alerts_raised"),
    ("iotcache_alerts_webhook_failures", "Changes of alerts that the webhook never took.",
     "webhook_failures"),
    ("iotcache_http_requests", "Requests answered by the gateway.", "http_requests"),
)  # fmt: skip
_GAUGES: Final[tuple[tuple[str, str, Callable[[IngestStats], float]], ...]] = (
    ("iotcache_ingest_up", "1 while nothing is waited for.", lambda s: float(not s.waiting_for)),
    ("iotcache_ingest_unacked_messages", "Messages not acknowledged yet.", lambda s: s.unacked),
    ("iotcache_ingest_lag_seconds", "Age of the oldest message not acknowledged.", lambda s: s.lag_s),
    ("iotcache_ingest_series", "Series seen since the start.", lambda s: s.series),
    ("iotcache_aggregates", "Sites' sensors that have an aggregate now.", lambda s: s.aggregates),
    ("iotcache_alerts_standing", "Alerts raised and not cleared.", lambda s: s.alerts_standing),
    ("iotcache_cache_dirty_keys", "Cache entries that may be old.", lambda s: s.dirty_keys),
    ("iotcache_ingest_start_time_seconds", "Start time since the Unix epoch.", lambda s: s.started_us / 1e6),
)
_QUANTILES: Final = (
    ("iotcache_ingest_commit_duration_seconds", "Recent store transactions.", "commit"),
    ("iotcache_ingest_write_through_duration_seconds", "Recent writes to the cache.", "write_through"),
)
_NODE_GAUGES: Final = (
    ("memcached_uptime_seconds", "Seconds since the node started.", "uptime"),
    ("memcached_time_seconds", "The node's clock, since the Unix epoch.", "time"),
    ("memcached_current_bytes", "Bytes of the items held.", "bytes"),
    ("memcached_limit_bytes", "Bytes that items may take.", "limit_maxbytes"),
    ("memcached_current_items", "Items held.", "curr_items"),
    ("memcached_current_connections", "Open connections.", "curr_connections"),
    ("memcached_max_connections", "Connections that may be open.", "max_connections"),
    ("memcached_accepting_connections", "1 while the node takes new connections.", "accepting_conns"),
)
_NODE_COUNTERS: Final = (
    ("memcached_items", "Items ever stored.", "total_items"),
    ("memcached_items_evicted", "Items thrown out for want of memory.", "evictions"),
    ("memcached_items_reclaimed", "Expired items whose memory was used again.", "reclaimed"),
    ("memcached_connections", "Connections ever opened.", "total_connections"),
    ("memcached_item_too_large", "Items refused because of their size.", "store_too_large"),
    ("memcached_item_no_memory", "Items refused for want of memory.", "store_no_memory"),
    ("memcached_direct_reclaims", "Times that a request had to make room itself.", "direct_reclaims"),
    ("memcached_connections_rejected", "Connections refused at the limit.", "rejected_connections"),
    ("memcached_lru_crawler_starts", "Rounds of the crawler that looks for expired items.",
     "lru_crawler_starts"),
    ("memcached_lru_crawler_reclaimed", "Expired items that the crawler freed.", "crawler_reclaimed"),
    ("memcached_lru_crawler_items_checked", "Items that the crawler looked at.", "crawler_items_checked"),
    ("memcached_lru_crawler_moves_to_cold", "Items moved to the cold list.", "moves_to_cold"),
    ("memcached_lru_crawler_moves_to_warm", "Items moved to the warm list.", "moves_to_warm"),
    ("memcached_lru_crawler_moves_within_lru", "Items kept in their list.", "moves_within_lru"),
    ("memcached_connections_yielded", "Times that a busy connection let others go first.", "conn_yields"),
    ("memcached_connections_listener_disabled", "Times that the limit was reached.", "listen_disabled_num"),
    ("memcached_read_bytes", "Bytes received.", "bytes_read"),
    ("memcached_written_bytes", "Bytes sent.", "bytes_written"),
    ("memcached_process_user_cpu_seconds", "Processor time in user mode.", "rusage_user"),
    ("memcached_process_system_cpu_seconds", "Processor time in the kernel.", "rusage_system"),
)  # fmt: skip
_COMMANDS: Final = (
    *(
        (command, status, f"{command}_{suffix}")
        for command in ("get", "delete", "incr", "decr", "cas", "touch")
        for status, suffix in (("hit", "hits"), ("miss", "misses"))
    ),
    ("cas", "badval", "cas_badval"),
    ("flush", "hit", "cmd_flush"),
)
_SWAPS: Final = ("cas_hits", "cas_misses", "cas_badval")


async def exposition(worker: WorkerView) -> bytes:
    """Everything the worker knows, as a Prometheus server scrapes it."""
    nodes: Mapping[str, Mapping[str, str]] = {}
    up: list[tuple[str, bool]] = []
    counters: CacheCounters | None = None
    ring: Iterable[Metric] = ()
    if worker.cache is not None:
        counters = worker.cache.counters()
        nodes = await worker.cache.cluster.stats()
        ring = ring_metrics(worker.cache.cluster)
        up = [(node.name, node.state == "up") for node in worker.cache.cluster.health()]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given([*_own(worker.stats()), *_cache(counters), *ring, *_nodes(nodes, up)]))
    return generate_latest(registry)


class _Given(Collector):
    """Hands out metrics that were gathered beforehand: a collector itself cannot await."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _own(stats: IngestStats) -> Iterator[Metric]:
    build = InfoMetricFamily("iotcache_build", "The worker's version and name.")
    build.add_metric([], {"version": stats.version, "instance_name": stats.instance})
    yield build
    for name, text, field in _COUNTERS:
        yield CounterMetricFamily(name, text, value=float(getattr(stats, field)))
    for name, text, value in _GAUGES:
        yield GaugeMetricFamily(name, text, value=value(stats))
    for name, text, field in _QUANTILES:
        family = GaugeMetricFamily(name, text, labels=["quantile"])
        family.add_metric(["0.5"], getattr(stats, f"{field}_p50_ms") / 1e3)
        family.add_metric(["0.99"], getattr(stats, f"{field}_p99_ms") / 1e3)
        yield family


def _cache(counters: CacheCounters | None) -> Iterator[Metric]:
    if counters is None:
        return
    yield CounterMetricFamily("iotcache_cache_reads", "Series asked for.", value=counters.reads)
    yield CounterMetricFamily("iotcache_cache_hits", "Series answered from the cache.", value=counters.hits)
    misses = CounterMetricFamily("iotcache_cache_misses", "Reads that missed, by reason.", labels=["reason"])
    for reason, count in counters.misses.items():
        misses.add_metric([str(reason)], count)
    yield misses
    yield CounterMetricFamily("iotcache_cache_writes", "Entries written.", value=counters.writes)
    yield CounterMetricFamily(
        "iotcache_cache_write_failures", "Entries that could not be written.", value=counters.write_failures
    )


def _nodes(nodes: Mapping[str, Mapping[str, str]], up: list[tuple[str, bool]]) -> Iterator[Metric]:
    family: Metric = GaugeMetricFamily("memcached_up", "1 while the node answers.", labels=["node"])
    for name, is_up in up:
        family.add_sample("memcached_up", {"node": name}, float(is_up))
    yield family
    version = GaugeMetricFamily("memcached_version", "The node's version.", labels=["node", "version"])
    for name, stats in nodes.items():
        version.add_metric([name, stats.get("version", "")], 1)
    yield version
    for name, text, field in _NODE_GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=["node"])
        for node, value in _numbers(nodes, field):
            gauge.add_metric([node], value)
        yield gauge
    for name, text, field in _NODE_COUNTERS:
        counter = CounterMetricFamily(name, text, labels=["node"])
        for node, value in _numbers(nodes, field):
            counter.add_metric([node], value)
        yield counter
    commands = CounterMetricFamily(
        "memcached_commands", "Commands by kind and outcome.", labels=["node", "command", "status"]
    )
    for command, status, field in _COMMANDS:
        for node, value in _numbers(nodes, field):
            commands.add_metric([node, command, status], value)
    # memcached counts a compare-and-swap in cmd_set as well; the exporter takes them out again.
    swaps = {
        name: sum(value for field in _SWAPS for _, value in _numbers({name: stats}, field))
        for name, stats in nodes.items()
    }
    for node, value in _numbers(nodes, "cmd_set"):
        commands.add_metric([node, "set", "hit"], value - swaps[node])
    yield commands


def _numbers(nodes: Mapping[str, Mapping[str, str]], field: str) -> Iterator[tuple[str, float]]:
    for node, stats in nodes.items():
        try:
            yield node, float(stats[field])
        except (KeyError, ValueError):
            continue
