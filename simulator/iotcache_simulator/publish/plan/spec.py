"""What a run of the fleet is asked to be."""

from __future__ import annotations

import secrets
from hashlib import blake2b

import msgspec
from msgspec import Struct

from iotcache_simulator.faults.intervals import IntervalChange
from iotcache_simulator.faults.kinds import Fault
from iotcache_simulator.fleet.classes import shipped_classes
from iotcache_simulator.fleet.definition import DeviceClass
from iotcache_simulator.fleet.formats.encoders import SPARKPLUG, Format
from iotcache_simulator.fleet.load import Load
from iotcache_simulator.fleet.stream import SHARDS, VIRTUAL_EPOCH_US, Timeline


class FleetSpec(Struct, frozen=True, kw_only=True):
    """One run. Times without further words are the fleet's own (virtual) time."""

    devices: int = 100
    rate: float = 0.0
    """Messages a second of the whole fleet; 0: each sensor at its class's interval."""
    duration_s: float | None = None
    """``None``: until stopped."""
    count: int | None = None
    """End after so many messages, if not before."""
    pad_bytes: int = 0
    """Payloads are filled up to this size with spaces, which mean nothing to JSON."""
    ramp_s: float = 0.0
    """Over how many real seconds the connections are made."""
    client_id: str = ""
    """A template of each connection's client id; empty: random names."""
    user: str = ""
    """A template of each connection's user name; empty: the broker's."""
    cert_dir: str = ""
    """Where each device's certificate is, ``DEVICE.crt`` and ``DEVICE.key``; empty: the broker's for all."""
    password_file: str = ""
    """Lines ``USER:PASSWORD`` for these user names; empty: the broker's for all."""
    seed: int = 1
    qos: int = 1
    retain: bool = False
    """The broker keeps the last reading of each series for whoever subscribes later."""
    speed: float = 1.0
    """Seconds of the fleet's own time in a real one; `math.inf`: as fast as it goes."""
    start_us: int | None = None
    """Virtual time of the first moment, also shown in payloads. ``None``: virtual time begins at a fixed
    moment, and payloads show it moved to the present."""
    connections: int = 1
    own_connections: bool = False
    """One for each device, with its death as last will; ``connections`` is then the number of devices."""
    lifecycle: bool = False
    """Devices tell their birth, configuration and death."""
    persistent: bool = False
    """Sessions outlast their connections."""
    storms_s: tuple[float, ...] = ()
    """Real seconds after the start at which all connections are lost at once."""
    storm_within_s: float = 1.0
    """How long at most a connection takes to come back after a storm."""
    user_properties: tuple[tuple[str, str], ...] = ()
    topic_aliases: bool = False
    processes: int = 1
    shard: tuple[int, int] = (1, 1)
    """Which of how many parts of the fleet this run is: the others are run elsewhere."""
    classes: tuple[DeviceClass, ...] = ()
    """None: those that come with the program."""
    load: Load | None = None
    """``None``: constant."""
    scattered: bool = False
    """Each reading at a random moment of its interval."""
    payload: Format = Format()
    primary_host: str = ""
    """The Sparkplug host application without which edge nodes are silent; empty: none."""
    topic: str | None = None
    """A template of every message's topic; ``None``: those of its class."""
    zone: str = ""
    """Of the times that a payload template shows."""
    faults: tuple[Fault, ...] = ()
    listen: bool = False
    """Devices follow configurations and commands."""
    intervals: tuple[IntervalChange, ...] = ()
    """What they were told of how often to report: known after a run."""
    stats: bool = True
    """Whether the fleet tells its counters on ``iotcache/stats/…``, by a connection of their own."""
    control: str = ""
    """The name under which the run hears of faults and load while it goes on; empty: it does not."""
    connect_timeout_s: float = 10.0
    patience_s: float = 10.0
    """How many real seconds after the end the last messages and confirmations may take."""

    @property
    def sparkplug(self) -> bool:
        return self.payload.name == SPARKPLUG

    @property
    def own_lanes(self) -> range:
        """The lanes of devices that this run sends."""
        number, of = self.shard
        return range(number - 1, SHARDS, of)

    def lanes(self, part: int = 0) -> range:
        """Those of them that process ``part`` sends."""
        return self.own_lanes[part :: self.processes]

    def timeline(self, now_us: int) -> Timeline:
        """Where a run that begins now lies in time. All in whole milliseconds, as payloads show them."""
        end_us = None if self.duration_s is None else round(self.duration_s * 1e6)
        if self.start_us is not None:
            start = self.start_us // 1_000 * 1_000
            return Timeline(start, 0, end_us, _boot(self._identity(start)))
        shift = now_us // 1_000 * 1_000 - VIRTUAL_EPOCH_US
        return Timeline(VIRTUAL_EPOCH_US, shift, end_us, _boot(secrets.token_bytes(8)))

    def _identity(self, start_us: int) -> bytes:
        """All that decides which readings a run from ``start_us`` on sends, but not for how long."""
        return msgspec.json.encode(
            (
                self.seed, start_us, self.devices, self.rate, self.classes or shipped_classes(),
                self.load and self.load.pieces, self.scattered, self.faults,
                *(self.shard if self.shard != (1, 1) else ()),
            )
        )  # fmt: skip


def _boot(identity: bytes) -> str:
    return blake2b(identity, digest_size=4).hexdigest()
