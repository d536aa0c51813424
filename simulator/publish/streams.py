"""The stream that a spec asks for: one place that knows, for publishing, the ledger and the labels."""

from __future__ import annotations

from collections.abc import Collection

from simulator.faults.stream import FaultyStream
from simulator.fleet.roster import Roster
from simulator.fleet.stream import LANES, Stream, Timeline
from simulator.publish.spec import FleetSpec


def roster_of(spec: FleetSpec) -> Roster:
    """The devices of a run."""
    return Roster(spec.seed, spec.devices, spec.classes)


def stream_of(
    spec: FleetSpec, roster: Roster, timeline: Timeline, *, lanes: Collection[int] = range(LANES)
) -> Stream:
    """The messages of a run, or of some of its lanes."""
    if spec.faults:
        return FaultyStream(
            roster,
            timeline,
            spec.faults,
            rate=spec.rate,
            lanes=lanes,
            load=spec.load,
            scattered=spec.scattered,
        )
    return Stream(roster, timeline, rate=spec.rate, lanes=lanes, load=spec.load, scattered=spec.scattered)


def labels_of(spec: FleetSpec, roster: Roster, timeline: Timeline) -> FaultyStream:
    """A run's stream once more, with the truth behind each fault."""
    return FaultyStream(
        roster, timeline, spec.faults, rate=spec.rate, load=spec.load, scattered=spec.scattered, labels=True
    )
