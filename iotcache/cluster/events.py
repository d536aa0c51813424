"""What a person is told of a node's changes: each as one event with its reason, and nothing twice."""

from __future__ import annotations

import logging
from collections.abc import Callable

from iotcache.clock import Clock
from iotcache.cluster.node import Node
from iotcache.model import Event, NodeState, Severity

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
    return "node_up", Severity.INFO, "is up again" + (", restarted and empty" if node.restarted else "")
