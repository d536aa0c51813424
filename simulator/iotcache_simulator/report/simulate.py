"""The report of a fleet's run. The JSON schema is documented in docs/report.md."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from iotcache.model import Value
from iotcache_simulator.report.figures import Duration, Percentiles, Rate
from iotcache_simulator.report.listening import ListeningReport

SCHEMA = "iotcache.simulate/2"


class Missing(Struct, frozen=True):
    """A reading that did not get everywhere."""

    device: str
    sensor: str
    seq: int
    missing_in: tuple[str, ...]
    """Places: ``mqtt``, ``store``."""


class Deviation(Struct, frozen=True):
    """A reading that says something else in one place than what was published."""

    device: str
    sensor: str
    seq: int
    place: str
    """``mqtt``, ``store`` or ``cache``."""
    field: str
    """``value``, ``ts``, ``unit`` or ``topic``."""
    expected: Value | None
    found: Value | None


class Foreign(Struct, frozen=True):
    """A reading of this run's boot id that the run never sent."""

    device: str
    sensor: str
    seq: int
    place: str


class MqttBalance(Struct, frozen=True):
    """What a subscriber received."""

    received: int
    """Different readings."""
    duplicates: int
    out_of_order: int
    """Readings received after a later one of their series."""
    foreign: int
    """Messages on the fleet's topics that are no readings of ours."""
    unexplained: int = 0
    """Of the duplicates and those out of order, those that no fault and no new connection explains."""


class StoreBalance(Struct, frozen=True):
    stored: int
    """Different readings."""
    duplicates: int = 0
    """Rows beyond the first of a reading."""


class CacheBalance(Struct, frozen=True):
    """Series, at the end of the run."""

    fresh: int
    """The newest reading is in the cache."""
    stale: int
    """An older one is: it would be shown as current."""
    absent: int
    """None is, although its TTL has not passed: it was never written, or was lost."""
    others: int = 0
    """One of another run that goes on, too: two fleets have devices of the same names."""
    expired: int = 0
    """None is, and its TTL may have passed: nothing can be said."""
    stale_series: tuple[str, ...] = ()
    """The first 1,000 of them, as ``device sensor``; likewise below."""
    absent_series: tuple[str, ...] = ()


class Ledger(Struct, frozen=True, kw_only=True):
    """What was to be published, held against where it was looked for."""

    expected: int
    lost: int
    """Readings missing in one place at least; likewise below."""
    lost_in: dict[str, int]
    missing: tuple[Missing, ...]
    """The first 1,000 of them; likewise below."""
    altered: int = 0
    """Readings whose value, time or unit is another one."""
    altered_in: dict[str, int] = {}
    misplaced: int = 0
    """Readings on another topic, or of another site."""
    misplaced_in: dict[str, int] = {}
    deviations: tuple[Deviation, ...] = ()
    """How they are altered or misplaced."""
    foreign: int = 0
    """Readings of this run's boot id that it never sent."""
    foreign_in: dict[str, int] = {}
    foreign_readings: tuple[Foreign, ...] = ()
    mqtt: MqttBalance | None
    store: StoreBalance | None
    cache: CacheBalance | None
    end_to_end_ms: Percentiles | None
    """From a reading's deadline to its arrival at a subscriber."""


class Report(Struct, frozen=True, kw_only=True):
    schema: str = SCHEMA
    program: str
    ok: bool
    failures: tuple[str, ...]
    """Each broken promise in a sentence; empty when ``ok``."""
    ended_by: str
    """``duration``, ``signal``, ``failed`` (a process of the fleet died) or ``unreachable``."""
    broker: str
    started: str
    """RFC 3339."""
    seed: int
    devices: int
    series: int
    classes: dict[str, int]
    """Devices of each class."""
    qos: int
    connections: int
    processes: int
    speed: float | None
    """``None`` for as fast as it goes."""
    format: str
    profile: str
    arrival: str
    """``even`` or ``scattered``."""
    faults: int
    """How many faults were scheduled."""
    virtual_start: str
    boot: str
    duration_s: Duration
    rate: Rate
    planned: int
    published: int
    confirmed: int
    unconfirmed: int
    unsent: int
    refused: int
    resent: int
    late: int
    reconnects: int
    lag_ms: Percentiles | None
    """From a message's deadline to its hand-over to the connection; ``None`` without deadlines."""
    ack_ms: Percentiles | None
    """From the hand-over to the broker's acknowledgement; ``None`` for QoS 0."""
    digest: str | None
    """SHA-256 of the stream, in hex; ``None`` when the run was cut short."""
    ledger: Ledger | None = None
    """``None`` unless asked for."""
    shard: str | None = None
    """Which part of the fleet this was, as ``3/8``; ``None`` for all of it."""
    listening: ListeningReport | None = None
    """What became of what was pushed to devices; ``None`` for those that do not listen."""
    count: int | None = None
    """After how many messages it was to end; ``None``: it was not asked for."""

    def json(self) -> bytes:
        """Indented JSON with a newline at its end."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
