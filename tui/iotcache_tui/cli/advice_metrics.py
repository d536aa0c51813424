"""What the advisor sees and predicts, in Prometheus' text format: one page, as of the last look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from statistics import fmean

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from iotcache.advisor.advice import Subject
from iotcache.traffic.observation import Observation


class AdviceMetrics(Collector):
    """Hand it each observation; it is empty before the first one."""

    def __init__(self) -> None:
        self.observed: Observation | None = None
        self.looks = 0

    def publish(self, observed: Observation) -> None:
        self.observed = observed
        self.looks += 1

    def registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def describe(self) -> list[Metric]:
        return []  # the families hang on what was seen

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("iotcache_advisor_looks", "Looks at the nodes.", self.looks)
        observed = self.observed
        if observed is None:
            return
        yield from _nodes(observed)
        yield from _groups(observed)
        advice = GaugeMetricFamily("iotcache_advisor_advice", "Pieces of advice now.", labels=["subject"])
        counted = Counter(one.subject for one in observed.advice)
        for subject in Subject:
            advice.add_metric([subject.value], counted[subject])
        yield advice
        yield GaugeMetricFamily(
            "iotcache_advisor_skipped_ratio", "Share of requests that the nodes did not log.",
            observed.evidence.skipped,
        )  # fmt: skip
        errors = [
            abs(error)
            for one in observed.checked
            if (error := one.error) is not None and one.subject is not Subject.WEIGHT
        ]
        yield GaugeMetricFamily(
            "iotcache_advisor_predictions_checked", "Hit ratios predicted and then measured.", len(errors)
        )
        if errors:
            yield GaugeMetricFamily(
                "iotcache_advisor_prediction_error_ratio",
                "Mean distance of hit ratios predicted from those measured.",
                fmean(errors),
            )


def _nodes(observed: Observation) -> Iterator[Metric]:
    measured = GaugeMetricFamily(
        "iotcache_advisor_hit_ratio", "Hit ratio of a node over the last look.", labels=["node"]
    )
    predicted = GaugeMetricFamily(
        "iotcache_advisor_predicted_hit_ratio", "Hit ratio that a node would have with so many bytes.",
        labels=["node", "bytes"],
    )  # fmt: skip
    working = GaugeMetricFamily(
        "iotcache_advisor_working_set_bytes", "Memory of the entries of a node that are used.",
        labels=["node"],
    )  # fmt: skip
    for node in observed.evidence.nodes:
        if node.hit_ratio is not None:
            measured.add_metric([node.name], node.hit_ratio)
        if node.curve is not None:
            working.add_metric([node.name], node.curve.working_set_bytes)
            for size, ratio in zip(node.curve.sizes, node.curve.ratios, strict=True):
                predicted.add_metric([node.name, str(size)], ratio)
    yield from (measured, predicted, working)


def _groups(observed: Observation) -> Iterator[Metric]:
    predicted = GaugeMetricFamily(
        "iotcache_advisor_predicted_group_hit_ratio",
        "Hit ratio that keys of a group would have with so many times today's TTL.",
        labels=["group", "factor"],
    )
    lives = GaugeMetricFamily(
        "iotcache_advisor_group_ttl_seconds", "The life that a group is given.", labels=["group"]
    )
    for group in observed.evidence.groups:
        if group.ttl is not None:
            lives.add_metric([group.name], group.ttl.ttl_s)
            for factor, ratio in zip(group.ttl.factors, group.ttl.ratios, strict=True):
                predicted.add_metric([group.name, f"{factor:g}"], ratio)
    yield from (predicted, lives)
