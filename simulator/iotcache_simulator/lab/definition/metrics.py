"""What is measured in a scenario, once a second, from the readers' own account, the nodes and the store."""

from __future__ import annotations

from typing import Final

METRICS: Final[dict[str, tuple[str, str]]] = {
    "reads_per_s": ("reads/s", "series that the readers asked for"),
    "hit_percent": ("%", "of the reads, those that the cache answered; over the last 3 s"),
    "fallbacks_per_s": ("reads/s", "reads that the cache could not answer"),
    "store_reads_per_s": ("series/s", "series that the readers asked the store for"),
    "errors_per_s": ("reads/s", "reads that nobody could answer"),
    "p50_ms": ("ms", "median time of a read"),
    "p99_ms": ("ms", "99th percentile of a read's time"),
    "store_reads_of_one_key": ("series/s", "most store reads of one key within a second"),
    "nodes_up": ("nodes", "nodes that the readers use"),
    "nodes_down": ("nodes", "nodes on the list that they do not use"),
    "keys_moved_percent": (
        "%",
        "of the fleet's keys, those whose node changed with the last change of the list",
    ),
    "busiest_node_percent": ("%", "of all gets, those of the busiest node; over the last 3 s"),
    "evictions_per_s": ("items/s", "items thrown out for want of memory"),
    "items": ("items", "items in all nodes"),
    "stored": ("readings", "readings in the store"),
    "stored_per_s": ("readings/s", "readings that came into the store"),
    "missing": ("readings", "readings the broker confirmed to the fleet that the store has not got"),
    "dead_letters": ("messages", "messages that could not be decoded"),
    "probe_stale_s": (
        "s",
        "how long the readers have been given a value of the probe other than the store's",
    ),
    "config_version": ("", "version of the probe's configuration that the readers are given"),
    "config_stale_s": ("s", "how long that version has been other than the store's"),
}
"""Name, unit and meaning. One arm's metric is ``SIDE.NAME``; ``misses.REASON`` counts misses a second."""


def metric_name(text: str) -> tuple[str, str]:
    """Name and arm of a metric as written: ``modulo.hit_percent`` is of arm ``modulo``."""
    arm, dot, name = text.partition(".")
    if dot and arm != "misses":
        return name, arm
    return text, ""


def unit_of(text: str) -> str:
    name, _ = metric_name(text)
    return METRICS[name][0] if name in METRICS else "reads/s"
