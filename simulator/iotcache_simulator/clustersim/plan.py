"""What a simulation does, as data: programs of the clients and faults of the world.

A plan is a flat list of steps, so that one that fails can be shortened step by step and printed.
"""

from __future__ import annotations

from msgspec import Struct


class SimulationStep(Struct, frozen=True):
    """One thing that is done, by a client or to the world."""

    at_s: float
    verb: str
    client: int = -1
    node: int = -1
    track: int = 0
    """Steps of one track of a client follow each other; tracks run side by side."""
    keys: tuple[int, ...] = ()
    value: float = 0.0
    """Seconds, or 1 for yes, as the verb has it."""
    cancel_s: float = -1.0
    """The operation is cancelled after so many seconds; negative: never."""
    ring: tuple[tuple[int, int], ...] = ()
    """Of a change of the ring: its nodes with their weights."""

    def text(self) -> str:
        """For a person."""
        parts = [f"{self.at_s:7.3f} s", self.verb]
        if self.client >= 0:
            parts.append(f"client={self.client} track={self.track}")
        if self.node >= 0:
            parts.append(f"node={self.node}")
        if self.keys:
            parts.append(f"keys={','.join(map(str, self.keys))}")
        if self.ring:
            parts.append(f"ring={','.join(f'{node}*{weight}' for node, weight in self.ring)}")
        if self.value:
            parts.append(f"value={self.value:g}")
        if self.cancel_s >= 0:
            parts.append(f"cancelled after {self.cancel_s:.3f} s")
        return " ".join(parts)


class SimulationPlan(Struct, frozen=True):
    """A whole simulation. The same plan gives the same history."""

    seed: int
    nodes: int
    writers: int
    """Clients 0 to ``writers`` - 1 write; each key is one track's of one of them."""
    readers: int
    tracks: int
    keys: int
    shuffle: float
    open_min_s: float
    open_max_s: float
    timeout_s: float
    steps: tuple[SimulationStep, ...]
    end_s: float
    """When all faults end; what comes after must find everything well."""
    failover: bool = True
    alert: bool = False
    """Whenever a client sees a node change, all read and write soon after: that is when it matters."""
    storm: bool = False
    """Writers write without pause while they miss a node."""
    readers_only: bool = False
    """Faults befall readers alone: no other client may notice."""
    adds: bool = False
    """Readers add what they have loaded, without a lease."""
    strict: bool = False
    """A read gives nothing older than a write that has *ended* before, confirmed or not."""

    busy: bool = False
    """On a machine that has much to do: time passes between two looks at the clock."""
    spares: int = 0
    """Nodes that run and are in no client's own list; the ring may be changed to them."""
    whole: bool = False
    """Nothing befalls anybody and nothing is deleted: what was confirmed once must never be missed."""

    def writer_of(self, key: int) -> tuple[int, int]:
        """Client and track that write ``key``."""
        return key % self.writers, key // self.writers % self.tracks

    def keys_of(self, client: int, track: int) -> list[int]:
        """What that track writes."""
        return [key for key in range(self.keys) if self.writer_of(key) == (client, track)]
