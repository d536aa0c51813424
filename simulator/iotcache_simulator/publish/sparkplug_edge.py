"""Edge nodes of Sparkplug B: which devices each speaks for, and the births, deaths and numbers it owes.

One edge node is one connection. Its group is the site, and all its devices stand there. Eclipse Sparkplug
3.0.0, 6.4: each CONNECT has an NDEATH with a new bdSeq as last will; NBIRTH repeats that bdSeq and has seq 0,
DBIRTH of every device and all data follow, counting to 255 and on from 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from iotcache.mqtt.codec import Will
from iotcache_simulator.fleet.formats.sparkplug import (
    BD_SEQ,
    BOOLEAN,
    REBIRTH,
    UINT64,
    alias_of,
    datatype_of,
    metric,
    payload,
    stamped,
)
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import SHARDS
from iotcache_simulator.publish.plan.spec import FleetSpec

NAMESPACE = "spBv1.0"


class SparkplugEdge:
    """One edge node, as its connection asks it."""

    def __init__(
        self, roster: Roster, group: str, node: str, devices: Sequence[int], *, aliases: bool = False
    ) -> None:
        """``aliases``: its births give every metric one, by which its data go."""
        self._aliases = aliases
        self.devices = tuple(devices)
        self._roster = roster
        self._group = group
        self._node = node
        self._bd_seq = -1
        self._seq = 0

    def data_topic(self, device: int) -> str:
        """Where the readings of one of its devices go."""
        return self._topic("DDATA", device)

    def full_name(self, device: int) -> str:
        """What a host application calls one of its devices: group, edge node and device."""
        return f"{self._group}/{self._node}/{self._roster.names[device]}"

    def will(self) -> Will:
        """The last will of the next connection."""
        self._bd_seq = (self._bd_seq + 1) % 256
        return Will(self._topic("NDEATH"), self.death(), 1)

    def death(self) -> bytes:
        """NDEATH of this connection; it has no sequence number."""
        now_ms = time.time_ns() // 1_000_000
        return payload(now_ms, [metric(BD_SEQ, UINT64, self._bd_seq, now_ms)])

    @property
    def command_topic(self) -> str:
        """Where host applications tell it what to do."""
        return self._topic("NCMD")

    def is_rebirth(self, command: bytes) -> bool:
        """Whether a command asks for the births again."""
        return REBIRTH.encode() in command

    @property
    def death_topic(self) -> str:
        return self._topic("NDEATH")

    def births(self) -> Iterator[tuple[str, bytes]]:
        """NBIRTH, then each DBIRTH: what comes first on a new connection."""
        now_ms = time.time_ns() // 1_000_000
        self._seq = 0
        node = [metric(BD_SEQ, UINT64, self._bd_seq, now_ms), metric(REBIRTH, BOOLEAN, False, now_ms)]
        yield self._topic("NBIRTH"), self.stamp(payload(now_ms, node))
        for device in self.devices:
            yield self._topic("DBIRTH", device), self.stamp(payload(now_ms, self._metrics(device, now_ms)))

    def stamp(self, body: bytes) -> bytes:
        """A payload with the next sequence number."""
        seq, self._seq = self._seq, (self._seq + 1) % 256
        return stamped(body, seq)

    def _metrics(self, device: int, now_ms: int) -> Iterable[bytes]:
        roster = self._roster
        for function in roster.functions[roster.kinds[device]]:
            value = function.measure(roster.keys[device], now_ms * 1_000)
            sensor = function.sensor
            alias = alias_of(roster.names[device], sensor.name) if self._aliases else None
            yield metric(sensor.name, datatype_of(sensor), value, now_ms, alias, sensor.unit)

    def _topic(self, kind: str, device: int | None = None) -> str:
        below = "" if device is None else f"/{self._roster.names[device]}"
        return f"{NAMESPACE}/{self._group}/{kind}/{self._node}{below}"


def edges_of_run(spec: FleetSpec, roster: Roster) -> list[SparkplugEdge]:
    """The edge nodes of all processes of a run."""
    return [edge for part in range(spec.processes) for edge in edges_of_part(spec, roster, part)]


def edges_of_part(spec: FleetSpec, roster: Roster, part: int) -> tuple[SparkplugEdge, ...]:
    """Those of one of them."""
    lanes = spec.lanes(part)
    devices = [device for device in range(len(roster)) if device % SHARDS in lanes]
    count = max(1, -(-spec.connections // spec.processes))
    wanted = None if spec.own_connections else count
    return edges_of(roster, devices, wanted, part=part, aliases=spec.payload.aliases)


def edges_of(
    roster: Roster, devices: Iterable[int], wanted: int | None, *, part: int = 0, aliases: bool = False
) -> tuple[SparkplugEdge, ...]:
    """Edge nodes for ``devices``: about ``wanted``, but one a site at least; ``None``: one a device."""
    sites: dict[str, list[int]] = {}
    for device in devices:
        sites.setdefault(roster.site(device), []).append(device)
    total = sum(map(len, sites.values()))
    edges: list[SparkplugEdge] = []
    for site, members in sites.items():
        count = len(members) if wanted is None else min(max(1, wanted * len(members) // total), len(members))
        for n in range(count):
            node = f"edge-{part + 1}-{len(edges) + 1:04d}"
            edges.append(SparkplugEdge(roster, site, node, members[n::count], aliases=aliases))
    return tuple(edges)
