"""What is measured in a scenario, once a second, from the readers' own account, the nodes and the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from iotcache.model import MissReason


class LabMetric(NamedTuple):
    """One figure, under the same words wherever it is shown."""

    label: str
    unit: str
    meaning: str
    of_side: bool = False
    """Whether each side of a comparison has its own."""


PEAK_OF_S: Final = 15
"""Longer than the TTLs whose expiries are looked at."""
METRICS: Final[dict[str, LabMetric]] = {
    "reads_per_s": LabMetric("Reads", "reads/s", "series that the readers asked for", True),
    "hit_percent": LabMetric(
        "Hit ratio", "%", "of the reads, those that the cache answered; over the last 3 s", True
    ),
    "predicted_hit_percent": LabMetric(
        "Predicted hit ratio", "%", "what the advisor said that the hit ratio would be after the change"
    ),
    "prediction_error": LabMetric(
        "Prediction off by", "points", "between that and the hit ratio as it is; over the last 15 s"
    ),
    "fallbacks_per_s": LabMetric("Fallbacks", "reads/s", "reads that the cache could not answer", True),
    "store_reads_per_s": LabMetric(
        "Store reads", "series/s", "series that the readers asked the store for", True
    ),
    "store_reads_peak": LabMetric(
        "Store reads, peak", "series/s", f"most store reads within a second, of the last {PEAK_OF_S} s", True
    ),
    "store_reads_of_one_key": LabMetric(
        "Store reads of one key", "series/s", "most store reads of one key within a second", True
    ),
    "store_waiting": LabMetric(
        "Waiting for the store", "requests", "requests that wait for one of the store's connections", True
    ),
    "node_gets_per_s": LabMetric(
        "Gets at the nodes", "gets/s", "series that the readers asked the nodes for", True
    ),
    "nodes_per_request": LabMetric(
        "Nodes per request", "nodes", "nodes that one request of the readers asks, in the mean", True
    ),
    "errors_per_s": LabMetric("Errors", "reads/s", "reads that nobody could answer", True),
    "p50_ms": LabMetric("Read p50", "ms", "median time of a read", True),
    "p99_ms": LabMetric("Read p99", "ms", "99th percentile of a read's time", True),
    "nodes_up": LabMetric("Nodes up", "nodes", "nodes that the readers use", True),
    "nodes_down": LabMetric("Nodes down", "nodes", "nodes on the list that they do not use", True),
    "keys_moved_percent": LabMetric(
        "Keys moved",
        "%",
        "of the fleet's keys, those whose node changed with the last change of the list",
        True,
    ),
    "store_reads_since_change": LabMetric(
        "Store reads since",
        "series",
        "series that the readers asked the store for since the list of nodes began to change",
        True,
    ),
    "busiest_node_percent": LabMetric(
        "Busiest node", "%", "of all gets, those of the busiest node; over the last 3 s"
    ),
    "idle_memory_mb": LabMetric(
        "Idle memory", "MB", "memory that slab classes hold and that holds no item (memcached)"
    ),
    "evictions_per_s": LabMetric("Evictions", "items/s", "items thrown out for want of memory"),
    "items": LabMetric("Items", "items", "items in all nodes"),
    "writes_per_s": LabMetric("Writes", "writes/s", "writes that were acknowledged", True),
    "store_writes_per_s": LabMetric(
        "Store writes", "writes/s", "values that these writes put into the store", True
    ),
    "write_ms": LabMetric("Write p50", "ms", "median time of a write, until it is acknowledged", True),
    "stale_percent": LabMetric(
        "Stale reads",
        "%",
        "of the reads of what is written, those with an older value; over the last 3 s",
        True,
    ),
    "lost_writes": LabMetric(
        "Lost writes", "writes", "last acknowledged values that neither store nor cache has any more", True
    ),
    "stored": LabMetric("Readings in the store", "readings", "readings in the store"),
    "stored_per_s": LabMetric("Stored", "readings/s", "readings that came into the store"),
    "missing": LabMetric(
        "Missing", "readings", "readings the broker confirmed to the fleet that the store has not got"
    ),
    "dead_letters": LabMetric("Dead letters", "messages", "messages that could not be decoded"),
    "probe_stale_s": LabMetric(
        "Probe stale",
        "s",
        "how long the readers have been given a value of the probe other than the store's",
        True,
    ),
    "config_version": LabMetric(
        "Config version", "", "version of the probe's configuration that the readers are given", True
    ),
    "config_stale_s": LabMetric(
        "Config stale", "s", "how long that version has been other than the store's", True
    ),
    "pushes_refused": LabMetric(
        "Pushes refused", "", "pushes of the probe's configuration that came too late, in all"
    ),
}
"""By name. One side's metric is ``SIDE.NAME``; ``misses.REASON`` counts misses a second."""


def metric_name(text: str) -> tuple[str, str]:
    """Name and arm of a metric as written: ``modulo.hit_percent`` is of arm ``modulo``."""
    arm, dot, name = text.partition(".")
    if dot and arm != "misses":
        return name, arm
    return text, ""


def metric_of(name: str) -> LabMetric | None:
    """The metric of a name without a side; ``None`` where there is none."""
    if name in METRICS:
        return METRICS[name]
    kind, _, reason = name.partition(".")
    if kind == "misses" and reason in {one.value for one in MissReason}:
        return LabMetric(f"Misses {reason.replace('_', ' ')}", "reads/s", "misses for that reason", True)
    return None


def plotted_as(text: str) -> str:
    """The metric whose plot shows this one: a peak is seen where it rises."""
    return text.removesuffix("_peak") + "_per_s" if text.endswith("_peak") else text


def label_of(text: str) -> str:
    """What a metric is called on screens and in summaries, its side first."""
    name, arm = metric_name(text)
    metric = metric_of(name)
    label = metric.label if metric is not None else name
    return f"{arm}: {label}" if arm else label


def unit_of(text: str) -> str:
    metric = metric_of(metric_name(text)[0])
    return metric.unit if metric is not None else ""


LATE_S: Final = 1.25
"""Figures are taken once a second; what came in a longer time is reckoned down to one."""
_WITHIN_A_SECOND: Final = {"store_reads_of_one_key", "store_reads_peak"}


def per_second(figures: Mapping[str, float | None], elapsed_s: float) -> dict[str, float | None]:
    """Counts since the last look as rates: on a busy machine a look comes late, and counts more."""
    if elapsed_s < LATE_S:
        return dict(figures)
    return {
        text: value / elapsed_s
        if value is not None and unit_of(text).endswith("/s") and metric_name(text)[0] not in _WITHIN_A_SECOND
        else value
        for text, value in figures.items()
    }


def amount(value: float | None, unit: str) -> str:
    """A value with its unit, for a sentence: ``1 node``, ``91.3 %``."""
    if value is None:
        return "nothing was measured"
    if value == 1 and unit.endswith("s") and "/" not in unit and unit not in ("s", "ms"):
        unit = unit[:-1]
    return f"{value:.4g} {unit}".rstrip()
