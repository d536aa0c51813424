"""What a person is told of a node's changes: each as one event with its reason, and nothing twice."""

from __future__ import annotations

import logging
from collections.abc import Callable

from iotcache.clock import Clock
from iotcache.cluster.copies.hot_keys import HotStage
from iotcache.cluster.node import Node
from iotcache.cluster.rings.record import RingRecord, addresses
from iotcache.cluster.rings.types import RingPhase
from iotcache.model import Event, NodeState, Severity
from iotcache.text import plural, printable

_LOG = logging.getLogger(__name__)


class NodeEvents:
    """Makes events of state changes, for whoever listens."""

    def __init__(self, on_event: Callable[[Event], None] | None, clock: Clock) -> None:
        self._on_event = on_event
        self._clock = clock
        self._known: dict[str, list[str]] = {}
        """By node: reasons of events since it went out."""

    def changed(self, node: Node, before: NodeState) -> None:
        """A node is in another state than ``before``."""
        if self._on_event is None:
            return
        known = self._known.pop(node.name, [])
        if not node.up:
            self._known[node.name] = known
            news = "half-open" if node.state is NodeState.PROBING else node.reason
            if news in known:
                return
            known.append(news)
        kind, severity, text = _event(node, before)
        try:
            self._on_event(Event(self._clock.now(), kind, severity, node.name, f"{node.name} {text}"))
        except Exception:  # a listener's mistake must not cost the node its supervisor
            _LOG.exception("a listener to cluster events failed")

    def ring_changed(self, before: RingRecord | None, after: RingRecord) -> None:
        """The ring is in another phase than ``before``."""
        if self._on_event is None:
            return
        text = ring_text(before, after)
        if not text:
            return
        try:
            self._on_event(Event(self._clock.now(), "ring_change", Severity.INFO, "ring", text))
        except Exception:
            _LOG.exception("a listener to cluster events failed")


def ring_text(before: RingRecord | None, after: RingRecord) -> str:
    """What a person is told; empty where nothing is new."""
    change, earlier = after.change, before.change if before is not None else None
    if change is None:
        if earlier is None:
            return _copies_text(before, after)
        if earlier.epoch == after.present.epoch:
            return f"the ring's epoch {after.present.epoch} is complete: {', '.join(after.present.nodes)}"
        return f"the change of the ring to epoch {earlier.epoch} was undone"
    if earlier is not None and (earlier.id, earlier.phase, earlier.undo) == (
        change.id,
        change.phase,
        change.undo,
    ):
        return f"the change of the ring to epoch {change.epoch} is carried on by {change.driver}"
    if change.undo:
        return f"the change of the ring to epoch {change.epoch} is being undone ({change.phase.value})"
    if change.phase is not RingPhase.INVITED:
        return f"the change of the ring to epoch {change.epoch}: {change.phase.value}"
    before_names, after_names = _weights(after.present.nodes), _weights(change.nodes)
    parts = [f"{name} joins" for name in after_names if name not in before_names]
    parts += [f"{name} leaves" for name in before_names if name not in after_names]
    parts += [
        f"{name} weighs {weight} instead of {before_names[name]}"
        for name, weight in after_names.items()
        if before_names.get(name, weight) != weight
    ]
    return f"the ring changes to epoch {change.epoch}: {', '.join(parts)} (by {change.driver})"


def _copies_text(before: RingRecord | None, after: RingRecord) -> str:
    """What a person is told of copies of hot keys."""
    was, now = before.hot if before is not None else None, after.hot
    if now is not None and now.stage is HotStage.READ:
        if was is not None and was.stage is HotStage.READ and was.keys == now.keys:
            return ""
        keys = ", ".join(printable(key, 80) for key in now.keys)
        return f"hot keys are read from {plural(now.copies, 'node')} each: {keys}"
    return "no key has copies any more" if was is not None and now is None else ""


def _weights(nodes: tuple[str, ...]) -> dict[str, int]:
    return {address.name: address.weight for address in addresses(nodes)}


def _event(node: Node, before: NodeState) -> tuple[str, Severity, str]:
    """Kind, severity and text."""
    if node.state is NodeState.PROBING:
        text = f"is probed, its circuit half-open; it was out: {node.reason}"
        return "node_probing", Severity.INFO, text
    if node.state is NodeState.DOWN:
        still = "still " if before is NodeState.PROBING else ""
        return "node_down", Severity.ERROR, f"is {still}out: {node.reason}"
    if before is NodeState.STARTING:
        return "node_up", Severity.INFO, "is up"
    restarted = ""
    if node.restarted:
        restarted = ", restarted with its entries" if node.kept_items else ", restarted and empty"
    return "node_up", Severity.INFO, f"is up again{restarted}"
