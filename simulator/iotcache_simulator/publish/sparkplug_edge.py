"""Edge nodes of Sparkplug B: which devices each speaks for, and the births, deaths and numbers it owes.

One edge node is one connection. Its group is the site, and all its devices stand there. Eclipse Sparkplug
3.0.0, 6.4: each CONNECT has an NDEATH with a new bdSeq as last will; NBIRTH repeats that bdSeq and has seq 0,
DBIRTH of every device and all data follow, counting to 255 and on from 0. One with a primary host application
is born only while that is online (6.4.6, "Primary Host Application").
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from iotcache.decode.sparkplug.host_states import HostStatePayload, host_state_topic
from iotcache.decode.topics import SPARKPLUG
from iotcache.mqtt.codec import Will
from iotcache.text import printable
from iotcache_simulator.fleet.formats.sparkplug import (
    BD_SEQ,
    BOOLEAN,
    INT64,
    REBIRTH,
    UINT64,
    alias_of,
    asks_for_births,
    datatype_of,
    historical,
    metric,
    payload,
    stamped,
)
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import SHARDS
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.wire.dialect import Demand

UPTIME: Final = "Statistics/Uptime"
DEVICES: Final = "Statistics/Devices"
"""What an edge node measures of itself: seconds since its first birth, and devices that are alive."""


class SparkplugEdge:
    """One edge node, as its connection asks it."""

    def __init__(
        self, roster: Roster, group: str, node: str, devices: Sequence[int], *, aliases: bool = False,
        primary_host: str = "", keeps_time: bool = True,
    ) -> None:  # fmt: skip
        """``aliases``: its births give every metric one, by which its data go. ``primary_host``: the host
        application without which it is silent. ``keeps_time``: its data show the present, so that older
        ones were kept until now."""
        self._aliases = aliases
        self.devices = tuple(devices)
        self._roster = roster
        self._group = group
        self._node = node
        self._bd_seq = -1
        self._seq = 0
        self._dead: set[int] = set()
        self._by_topic = {self.data_topic(device).encode(): device for device in devices}
        self._host = host_state_topic(primary_host) if primary_host else ""
        self._host_online = False
        self._host_since_ms = -1
        """The time of the newest state heard: an older one says nothing (6.4.26)."""
        self._keeps_time = keeps_time
        self._began_ms = self._session_ms = 0
        self._session_key = b""
        """The time of its first births, in the form in which `stamp` compares it; empty: not to be."""

    def data_topic(self, device: int) -> str:
        """Where the readings of one of its devices go."""
        return self._topic("DDATA", device)

    def full_name(self, device: int) -> str:
        """What a host application calls one of its devices: group, edge node and device."""
        return f"{self._group}/{self._node}/{self._roster.names[device]}"

    # As its connection asks

    def will(self) -> Will:
        """The last will of the next connection."""
        self._bd_seq = (self._bd_seq + 1) % 256
        self._session_ms = 0
        self._host_online = False
        return Will(self._topic("NDEATH"), self.death(), 1)

    @property
    def waits(self) -> str:
        """Why it may not be born just now; empty when it may."""
        if not self._host or self._host_online:
            return ""
        return f"the primary host application {printable(self._host.rpartition('/')[2])} is not online"

    def death(self) -> bytes:
        """NDEATH of this connection; it has no sequence number."""
        now_ms = _now_ms()
        return payload(now_ms, [metric(BD_SEQ, UINT64, self._bd_seq, now_ms)])

    def farewell(self) -> tuple[str, bytes]:
        """NDEATH, said by itself before it leaves."""
        return self._topic("NDEATH"), self.death()

    @property
    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Its commands, and the state of its host application."""
        return [(self._topic("NCMD"), 1), *([(self._host, 1)] if self._host else [])]

    def received(self, topic: str, payload: bytes) -> Demand:
        """What a host application says."""
        if topic == self._host:
            return self._heed(payload)
        return Demand.BIRTHS if asks_for_births(payload) and not self.waits else Demand.NOTHING

    def _heed(self, payload: bytes) -> Demand:
        try:
            state = msgspec.json.decode(payload, type=HostStatePayload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Demand.NOTHING
        if state.timestamp < self._host_since_ms:
            return Demand.NOTHING
        before, self._host_online, self._host_since_ms = self._host_online, state.online, state.timestamp
        if before == state.online:
            return Demand.NOTHING
        return Demand.BIRTHS if state.online else Demand.LEAVE

    def births(self) -> Iterator[tuple[str, bytes]]:
        """NBIRTH, then the DBIRTH of each device that is alive: what comes first on a new connection."""
        now_ms = _now_ms()
        self._seq = 0
        if not self._session_ms:
            self._began_ms = self._began_ms or now_ms
            self._session_ms = now_ms
            self._session_key = _time_key(payload(now_ms, ())) if self._keeps_time else b""
        node = [
            metric(BD_SEQ, UINT64, self._bd_seq, now_ms), metric(REBIRTH, BOOLEAN, False, now_ms),
            *self._own_metrics(now_ms, born=True),
        ]  # fmt: skip
        yield self._topic("NBIRTH"), self.stamp(payload(now_ms, node))
        for device in self.devices:
            if device not in self._dead:
                yield self._birth(device, now_ms)

    def before(self, topic: bytes) -> Iterator[tuple[str, bytes]]:
        """The birth of a device that was dead, before its data."""
        if self._dead and (device := self._by_topic.get(topic)) in self._dead:
            assert device is not None
            yield self.revive(device)

    def stamp(self, body: bytes) -> bytes:
        """A payload with the next sequence number; historical when it was measured before this session."""
        seq, self._seq = self._seq, (self._seq + 1) % 256
        if self._session_key and _time_key(body) < self._session_key:
            body = historical(body)
        return stamped(body, seq)

    # Its devices, and itself

    def end(self, device: int) -> tuple[str, bytes]:
        """DDEATH of a device: topic, and payload without its number."""
        self._dead.add(device)
        return self._topic("DDEATH", device), payload(_now_ms(), ())

    def is_dead(self, device: int) -> bool:
        """Whether a device was told to be."""
        return device in self._dead

    def revive(self, device: int) -> tuple[str, bytes]:
        """DBIRTH of a device that was dead, with its number."""
        self._dead.discard(device)
        return self._birth(device, _now_ms())

    def own_data(self) -> tuple[str, bytes]:
        """NDATA: what it measures of itself, without its number."""
        now_ms = _now_ms()
        return self._topic("NDATA"), payload(now_ms, self._own_metrics(now_ms))

    def _own_metrics(self, now_ms: int, *, born: bool = False) -> Iterator[bytes]:
        uptime_s = (now_ms - self._began_ms) // 1_000
        for name, value, unit in (
            (UPTIME, uptime_s, "s"),
            (DEVICES, len(self.devices) - len(self._dead), ""),
        ):
            alias = alias_of("", name) if self._aliases else None
            by_alias = self._aliases and not born
            yield metric("" if by_alias else name, INT64, value, now_ms, alias, unit if born else "")

    def _birth(self, device: int, now_ms: int) -> tuple[str, bytes]:
        return self._topic("DBIRTH", device), self.stamp(payload(now_ms, self._metrics(device, now_ms)))

    def _metrics(self, device: int, now_ms: int) -> Iterable[bytes]:
        roster = self._roster
        for function in roster.functions[roster.kinds[device]]:
            value = function.measure(roster.keys[device], now_ms * 1_000)
            sensor = function.sensor
            alias = alias_of(roster.names[device], sensor.name) if self._aliases else None
            yield metric(sensor.name, datatype_of(sensor), value, now_ms, alias, sensor.unit)

    def _topic(self, kind: str, device: int | None = None) -> str:
        below = "" if device is None else f"/{self._roster.names[device]}"
        return f"{SPARKPLUG}{self._group}/{kind}/{self._node}{below}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _time_key(body: bytes) -> bytes:
    """The timestamp of a payload as bytes of the same order: until 2109 it is a varint of six bytes, of which
    the last counts most."""
    return body[6:0:-1]


def edges_of_run(spec: FleetSpec, roster: Roster) -> list[SparkplugEdge]:
    """The edge nodes of all processes of a run."""
    return [edge for part in range(spec.processes) for edge in edges_of_part(spec, roster, part)]


def edges_of_part(spec: FleetSpec, roster: Roster, part: int) -> tuple[SparkplugEdge, ...]:
    """Those of one of them."""
    lanes = spec.lanes(part)
    devices = [device for device in range(len(roster)) if device % SHARDS in lanes]
    count = max(1, -(-spec.connections // spec.processes))
    wanted = None if spec.own_connections else count
    return edges_of(spec, roster, devices, wanted, part=part)


def edges_of(
    spec: FleetSpec, roster: Roster, devices: Iterable[int], wanted: int | None, *, part: int = 0
) -> tuple[SparkplugEdge, ...]:
    """Edge nodes for ``devices``: about ``wanted``, but one a site at least; ``None``: one a device."""
    keeps_time = spec.start_us is None and spec.speed == 1.0
    sites: dict[str, list[int]] = {}
    for device in devices:
        sites.setdefault(roster.site(device), []).append(device)
    total = sum(map(len, sites.values()))
    edges: list[SparkplugEdge] = []
    for site, members in sites.items():
        count = len(members) if wanted is None else min(max(1, wanted * len(members) // total), len(members))
        for n in range(count):
            node = f"edge-{part + 1}-{len(edges) + 1:04d}"
            edge = SparkplugEdge(
                roster, site, node, members[n::count], aliases=spec.payload.aliases,
                primary_host=spec.primary_host, keeps_time=keeps_time,
            )  # fmt: skip
            edges.append(edge)
    return tuple(edges)
