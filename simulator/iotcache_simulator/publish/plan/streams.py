"""The stream that a spec asks for: one place that knows, for publishing, the ledger and the labels."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from iotcache_simulator.faults.intervals import ListeningStream
from iotcache_simulator.faults.stream import FaultyStream
from iotcache_simulator.fleet.classes import shipped_classes
from iotcache_simulator.fleet.definition import DeviceClass
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.fleet.load import LiveLoad, Load
from iotcache_simulator.fleet.messages import with_message
from iotcache_simulator.fleet.rendering.group import TopicOf
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import SHARDS, Stream, Timeline
from iotcache_simulator.publish.plan.spec import FleetSpec


def roster_of(spec: FleetSpec) -> Roster:
    """The devices of a run."""
    return Roster(spec.seed, spec.devices, classes_of(spec))


def classes_of(spec: FleetSpec) -> tuple[DeviceClass, ...]:
    """Their classes, with the messages that the run asks for in place of their own."""
    classes = spec.classes or shipped_classes()
    template = spec.payload.template or None
    if spec.topic is None and template is None:
        return classes
    return with_message(classes, spec.topic, template, spec.zone)


def stream_of(
    spec: FleetSpec,
    roster: Roster,
    timeline: Timeline,
    *,
    shards: Collection[int] = range(SHARDS),
    topic: TopicOf | None = None,
    live: LiveLoad | None = None,
) -> Stream:
    """The messages of a run, or of some of its lanes. ``live``: a load to be turned while it runs."""
    options = _options(spec)
    if spec.listen or spec.intervals:
        return _listening(spec, roster, timeline, shards=shards, topic=topic)
    if spec.faults or spec.control:
        if live is not None:
            options["load"] = live
        return FaultyStream(roster, timeline, spec.faults, shards=shards, topic=topic, **options)
    return Stream(roster, timeline, shards=shards, topic=topic, **options)


def labels_of(spec: FleetSpec, roster: Roster, timeline: Timeline) -> FaultyStream:
    """A run's stream once more, with the truth behind each fault."""
    if spec.listen:
        return _listening(spec, roster, timeline, shards=spec.own_lanes, labels=True)
    return FaultyStream(roster, timeline, spec.faults, shards=spec.own_lanes, labels=True, **_options(spec))


def _listening(
    spec: FleetSpec, roster: Roster, timeline: Timeline, *,
    shards: Collection[int], topic: TopicOf | None = None, labels: bool = False,
) -> ListeningStream:  # fmt: skip
    options = _options(spec)
    stream = ListeningStream(
        roster, timeline, spec.faults, shards=shards, topic=topic, labels=labels, **options
    )
    stream.change(spec.intervals)
    return stream


class _Options(TypedDict):
    rate: float
    load: Load | LiveLoad | None
    scattered: bool
    payload: Format


def _options(spec: FleetSpec) -> _Options:
    return {"rate": spec.rate, "load": spec.load, "scattered": spec.scattered, "payload": spec.payload}
