"""The parts of the system as the header names them: broker, nodes, store, ingest, fleet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.config.parts import absent_parts
from iotcache.config.schema import Settings
from iotcache.config.urls import mask, parse_embedded_nodes
from iotcache.model import Event, NodeHealth, NodeState, Severity
from iotcache.text import printable
from iotcache_simulator.stack.service import PartState, StartProgress
from iotcache_tui.format import short_nodes
from iotcache_tui.state.problems.causes import cause_first
from iotcache_tui.state.updates import Latest, Mailbox, Part, Processes

if TYPE_CHECKING:
    from iotcache_simulator.stack.stack import Stack

_STATES = {
    PartState.STARTING: "starting",
    PartState.READY: "up",
    PartState.RESTARTING: "starting",
    PartState.KILLED: "down",
    PartState.PAUSED: "down",
    PartState.STOPPED: "off",
}


NAMED_MOST = 3
"""Of the nodes that are out."""
REASON_LIMIT = 500
"""Of a part's text: machines read it as well, and screens cut it to their width."""


class Parts:
    """Folds what the stack, the cluster and the workers say into one line of parts."""

    def __init__(self, mailbox: Mailbox, settings: Settings, clock: Clock = SYSTEM_CLOCK) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._settings = settings
        self._parts: dict[str, Part] = {}
        self._node_states: dict[str, PartState] = {}
        self._nodes: tuple[NodeHealth, ...] = ()
        self.newest_order = 0
        broker, store = settings.broker.url, settings.store.url
        nodes = settings.cache.nodes
        self._what = {
            "broker": "embedded" if broker == "embedded" else mask(broker),
            "store": "sqlite" if store == "embedded" or store.startswith("sqlite") else "postgresql",
        }
        embedded = parse_embedded_nodes(nodes) if isinstance(nodes, str) else None
        self._node_count = embedded or (len(nodes) if isinstance(nodes, tuple) else 1)
        self._node_kind = "memcached"
        for name in ("broker", "nodes", "store"):
            self._parts[name] = Part(name, "starting", self._what.get(name, ""))
        for key in absent_parts(settings):
            name = key.partition(".")[0].replace("cache", "nodes")
            self._parts[name] = Part(name, "off", "none")
        self._put()

    def _put(self) -> None:
        self._mailbox.put_latest(Latest(parts=tuple(self._parts.values())))

    def turn(self, name: str, state: str, why: str = "") -> None:
        """A part changed its state; ``why`` stands beside it unless it is up."""
        text = (
            self._what.get(name, "")
            if state == "up" and not why
            else cause_first(printable(why, REASON_LIMIT))
        )
        before = self._parts.get(name)
        if before is None or (before.state, before.text) != (state, text):
            same = before is not None and before.state == state
            since_s = before.since_s if before is not None and same else self._clock.monotonic()
            self._parts[name] = Part(name, state, text, since_s)
            self._put()

    def progress(self, progress: StartProgress) -> None:
        """One step of the stack."""
        state = _STATES[progress.state]
        if not progress.part.startswith("node "):
            if progress.part == "broker" and progress.state is PartState.READY:
                self.turn("broker", "up")
            else:
                self.turn(progress.part, state, progress.text if state != "up" else "")
            return
        self._node_states[progress.part] = progress.state
        if not self._nodes:
            ready = sum(state is PartState.READY for state in self._node_states.values())
            self.turn("nodes", "starting", f"{ready} of {self._node_count} answer")

    def started(self, stack: Stack) -> None:
        """The stack is up: what its nodes are is known now."""
        if stack.bundled:
            self._node_kind = "bundled"
        if stack.broker is None and self._parts["broker"].state != "off":
            self.turn("broker", "starting", "connecting")

    def nodes(self, health: Sequence[NodeHealth]) -> list[Event]:
        """Where the nodes stand; the changes since the last time, as events."""
        now = tuple(health)
        if now == self._nodes or self._parts["nodes"].state == "off":
            return []
        before = {node.name: node for node in self._nodes}
        events: list[Event] = []
        for node in now:
            old = before.get(node.name)
            if old is not None and old.state is not node.state:
                severity = Severity.INFO if node.state is NodeState.UP else Severity.ERROR
                text = f"is {node.state}" + (f": {node.reason}" if node.reason else "")
                events.append(
                    Event(self._clock.now(), f"node.{node.state}", severity, node.name, printable(text))
                )
        self._nodes = now
        self._mailbox.put_latest(Latest(nodes=now))
        up = sum(node.state is NodeState.UP for node in now)
        kind = "bundled" if now and all(node.bundled for node in now) else self._node_kind
        if up == len(now):
            self._what["nodes"] = f"{up} {kind}"
            self.turn("nodes", "up")
        else:
            short = short_nodes([node.name for node in now])
            out = [short[node.name] for node in now if node.state is not NodeState.UP]
            names = ", ".join(out[:NAMED_MOST]) + (", …" if len(out) > NAMED_MOST else "")
            self.turn("nodes", "down", f"{names} ({len(out)} of {len(now)})")
        return events

    def processes(self, processes: Processes) -> None:
        """Who published counters lately."""
        self._mailbox.put_latest(Latest(processes=processes))
