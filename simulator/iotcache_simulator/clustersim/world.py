"""A whole simulated world, run through a plan."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final
from zlib import crc32

from msgspec import Struct

from iotcache.config.urls import NodeAddress, parse_node
from iotcache.model import Event
from iotcache_simulator.clustersim.client import SimulatedClient, silent
from iotcache_simulator.clustersim.history import WriteHistory
from iotcache_simulator.clustersim.loop import Scheduler
from iotcache_simulator.clustersim.network import Network, SimulatedLink
from iotcache_simulator.clustersim.node import SimulatedNode
from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep

_EVICTED: Final = (b"iotcache:fence", b"iotcache:out", b"dev-", b"iotcache:ring", b"iotcache:epoch")
_HEAL_S: Final = 12.0
"""So long after the last fault every client must see every node up."""
_WRITE_S: Final = 1.0
"""How often the writers write meanwhile, while the ring changes."""
_ALERT_S: Final = 0.02
_ALERTS: Final = 2
_GETS: Final = 0.7
_REST_S: Final = 0.05
_CLOSE_S: Final = 3.0


class SimulationResult(Struct, frozen=True):
    """What came of one simulation."""

    seed: int
    steps: int
    reads: int
    hits: int
    writes: int
    writes_confirmed: int
    violations: tuple[str, ...]
    digest: int
    """Of the whole trace: equal where the history is."""


class World:
    """Nodes, network, clients and their history."""

    def __init__(self, plan: SimulationPlan, note: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.scheduler = Scheduler(Random(plan.seed ^ 0x5EED))
        self.history = WriteHistory(plan.keys, strict=plan.strict)
        self._told = note
        self.digest = 0
        self._alert_until_s = 0.0
        self.clients: list[SimulatedClient] = []
        self.addresses: list[NodeAddress] = [
            parse_node(f"10.0.0.{number + 1}:11211") for number in range(plan.nodes + plan.spares)
        ]
        self.nodes = [SimulatedNode(self.scheduler, address.name) for address in self.addresses]
        self.network = Network(self.scheduler, {node.name: node for node in self.nodes})
        self.clients = [
            SimulatedClient(
                number, plan, self.scheduler, self.network, self.history, self.addresses,
                self._note if note is not None else silent, self._changed,
            )
            for number in range(plan.writers + plan.readers)
        ]  # fmt: skip

    def _note(self, text: str) -> None:
        line = f"{self.scheduler.now:9.4f} {text}"
        self.digest = crc32(line.encode(), self.digest)
        if self._told is not None:
            self._told(line)

    def _changed(self, client: SimulatedClient, event: Event) -> None:
        """A client has seen a node change."""
        plan, scheduler = self.plan, self.scheduler
        number = self.clients.index(client) if client in self.clients else -1
        if plan.readers_only and 0 <= number < plan.writers and event.kind == "node_down":
            self.history.violations.append(
                f"{scheduler.now:.4f} s {client.name} lost a node, though a reader had trouble: {event.text}"
            )
        if scheduler.now > plan.end_s:
            return
        if plan.storm and event.kind == "node_probing" and 0 <= number < plan.writers:
            for track in range(plan.tracks):
                self._own(number, "storm", track)
        if plan.alert and event.kind != "node_probing" and scheduler.now >= self._alert_until_s:
            self._alert_until_s = scheduler.now + _ALERT_S
            for _ in range(_ALERTS):
                scheduler.after(scheduler.rng.random() * _ALERT_S, self._alert)

    def _alert(self) -> None:
        for number, client in enumerate(self.clients):
            if number < self.plan.writers:
                self._own(number, "set", self.scheduler.rng.randrange(self.plan.tracks))
            verb = "get" if self.scheduler.rng.random() < _GETS else "fill"
            keys = tuple(range(self.plan.keys))
            client.do(SimulationStep(self.scheduler.now, verb, number, track=8, keys=keys))

    def _own(self, number: int, verb: str, track: int) -> None:
        keys = tuple(self.plan.keys_of(number, track))
        if keys:
            self.clients[number].do(SimulationStep(self.scheduler.now, verb, number, track=track, keys=keys))

    def run(self) -> SimulationResult:
        """Carry the plan out, heal everything, and look at what is left."""
        plan, scheduler, history = self.plan, self.scheduler, self.history
        for step in plan.steps:
            scheduler.at(step.at_s, self._do, step)
        scheduler.run(plan.end_s)
        self._heal()
        healed_s = scheduler.now
        wrote_s = healed_s
        while not self._well() and scheduler.now < healed_s + _HEAL_S:
            if self._changing() and scheduler.now > wrote_s + _WRITE_S:
                wrote_s = scheduler.now  # as any worker does: without a client that writes, a change stands
                for number in range(plan.writers):
                    self._own(number, "set", 0)
            scheduler.run(scheduler.now + 0.1)
        for client in self.clients:
            if not client.all_up:
                states = [
                    f"{health.name} {health.state.value} ({health.reason})"
                    for health in client.cluster.health()
                ]
                history.violations.append(
                    f"{scheduler.now:.4f} s {client.name} does not see every node up {_HEAL_S:g} s after all "
                    f"faults ended: {', '.join(states)}"
                )
        rings = {client.name: client.ring for client in self.clients if client.ready}
        if len(set(rings.values())) > 1 or any(phase != "steady" for _, phase in rings.values()):
            text = f"not all clients are in one epoch {_HEAL_S:g} s after all faults: {rings}"
            history.violations.append(f"{scheduler.now:.4f} s {text}")
        self._finish()
        self._close()
        history.violations += [f"an exception nobody handled: {text}" for text in scheduler.crashes]
        return SimulationResult(
            plan.seed, scheduler.steps, history.reads, history.hits, history.writes,
            history.writes_confirmed, tuple(history.violations), self.digest,
        )  # fmt: skip

    def _well(self) -> bool:
        """Whether every client sees every node up, and goes by the same ring."""
        if not all(client.all_up for client in self.clients):
            return False
        rings = {client.ring for client in self.clients}
        return len(rings) == 1 and all(phase == "steady" for _, phase in rings)

    def _changing(self) -> bool:
        """Whether a change of the ring is under way, as far as any client knows."""
        return any(client.ready and client.ring[1] != "steady" for client in self.clients)

    def _finish(self) -> None:
        """Read everything, write everything, read everything again."""
        plan, scheduler, history = self.plan, self.scheduler, self.history
        everything = tuple(range(plan.keys))
        scheduler.run(scheduler.now + _REST_S)
        for number, client in enumerate(self.clients):
            client.do(SimulationStep(scheduler.now, "get", number, track=9, keys=everything))
        scheduler.run(scheduler.now + _REST_S)
        before = list(history.confirmed)
        for number in range(plan.writers):
            for track in range(plan.tracks):
                self._own(number, "set", track)
        scheduler.run(scheduler.now + _REST_S)
        if all(client.all_up for client in self.clients):
            for key in everything:
                if history.confirmed[key] == before[key]:
                    history.violations.append(
                        f"{scheduler.now:.4f} s key {key} cannot be written though everything is well"
                    )
        for number, client in enumerate(self.clients):
            client.do(SimulationStep(scheduler.now, "get", number, track=9, keys=everything))
        scheduler.run(scheduler.now + _REST_S)

    def _close(self) -> None:
        """Close all clients; nothing of theirs may be left."""
        for client in self.clients:
            client.close()
        closed_s = self.scheduler.now
        while (
            any(client.loop.leftovers() for client in self.clients)
            and self.scheduler.now < closed_s + _CLOSE_S
        ):
            self.scheduler.run(self.scheduler.now + 0.1)
        for client in self.clients:
            left = client.loop.leftovers()
            if left and not client.loop.killed:
                self.history.violations.append(f"{client.name} has closed, and left tasks behind: {left}")
            client.loop.kill()
        self.scheduler.run(self.scheduler.now + 0.5)

    def _heal(self) -> None:
        for node in self.nodes:
            node.slow_s = 0.0
            node.answer_fault = ""
            node.resume()
            node.restart(keep=False)
        for link in self.network.links():
            self._unblock(link)
        for client in self.clients:
            client.start()
            client.loop.go_on()
            if client.ready:
                for address in self.addresses:
                    client.take("rejoin", address.name)

    def _do(self, step: SimulationStep) -> None:
        node = self.nodes[step.node] if step.node >= 0 else None
        client = self.clients[step.client] if step.client >= 0 else None
        if step.verb not in ("get", "set", "fill", "delete", "sure"):
            self._note(f"-- {step.text()}")
        match step.verb, node, client:
            case "hang", SimulatedNode(), _:
                node.hang()
            case "resume", SimulatedNode(), _:
                node.resume()
            case "kill", SimulatedNode(), _:
                node.kill()
            case "restart", SimulatedNode(), _:
                node.restart(keep=bool(step.value))
            case "slow", SimulatedNode(), _:
                node.slow_s = step.value
            case "lose" | "double", SimulatedNode(), _:
                node.answer_fault = step.verb
            case "evict", SimulatedNode(), _:
                node.evict(_EVICTED[int(step.value)])
            case "stall", _, SimulatedClient():
                client.loop.stall(step.value)
            case "jump", _, SimulatedClient():
                client.clock.offset_s += step.value
            case "end", _, SimulatedClient():
                client.end(cleanly=bool(step.value))
            case "start", _, SimulatedClient():
                client.start()
            case "cut" | "block" | "block up" | "block down" | "unblock", SimulatedNode(), SimulatedClient():
                self._link(step.verb, self.network.link(client.name, node.name))
            case _, _, SimulatedClient():
                client.do(step)
            case _:
                raise AssertionError(step)

    def _link(self, verb: str, link: SimulatedLink) -> None:
        if verb == "cut":
            for transport in list(link.connections):
                transport.reset()
        elif verb == "unblock":
            self._unblock(link)
        else:
            link.up_blocked = verb in ("block", "block up")
            link.blocked_s = self.scheduler.now
            link.down_blocked = verb in ("block", "block down")

    def _unblock(self, link: SimulatedLink) -> None:
        link.up_blocked = link.down_blocked = False
        for transport in list(link.connections):
            transport.unblocked()


def simulate(plan: SimulationPlan, note: Callable[[str], None] | None = None) -> SimulationResult:
    """Run a plan. With ``note`` each thing that happens is told."""
    return World(plan, note).run()
