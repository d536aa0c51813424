"""What another list of nodes would come to: tried on paper, nothing is changed by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from iotcache.config.urls import NodeAddress, parse_node
from iotcache.errors import ConfigError, UsageError
from iotcache.text import printable
from iotcache_tui.state.nodes.model import NodesFigures

if TYPE_CHECKING:
    from iotcache.nodelist.whatif import RingChange, RingForecast

WEIGHT_MOST = 100


class TriedNode(Struct, frozen=True):
    """One node of the ring as it is, as it would be, or both; a weight of 0 is not on it."""

    name: str
    weight: int
    weight_after: int
    share: float
    share_after: float
    fits: bool = True
    """Whether its memory is enough for what it would hold."""


class WhatIf(Struct, frozen=True):
    """The ring as it is, and as it would be."""

    placement: str
    nodes: tuple[TriedNode, ...]
    forecast: RingForecast | None = None
    """``None`` while nothing else is tried."""

    @property
    def changed(self) -> bool:
        return self.forecast is not None


class TriedNodes:
    """The list that is tried: other weights, a node more, a node less; `look` works out what it comes to."""

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        self._added: dict[str, NodeAddress] = {}
        self._removed: set[str] = set()
        self._known: tuple[str, list[NodeAddress], list[NodeAddress], RingChange | None] | None = None

    def turn(self, figures: NodesFigures, name: str, step: int) -> None:
        """Try a weight more or less for a node, 1 to `WEIGHT_MOST` (or what it has already)."""
        for node in figures.nodes:
            if node.name == name:
                weight = self._weights.get(name, node.weight) + step
                self._weights[name] = min(max(weight, 1), max(WEIGHT_MOST, node.weight))
        if name in self._added:
            weight = min(max(self._added[name].weight + step, 1), WEIGHT_MOST)
            self._added[name] = structs.replace(self._added[name], weight=weight)

    def add(self, figures: NodesFigures, text: str) -> None:
        """Try a node more. Raises `UsageError` for what is none, or is one already."""
        try:
            node = parse_node(text)
        except ConfigError as error:
            raise UsageError(str(error)) from None
        if node.name in {each.name for each in figures.nodes}:
            raise UsageError(f"{printable(node.name, 60)} is a node already")
        self._added[node.name] = node

    def turn_out(self, figures: NodesFigures, name: str) -> None:
        """Try it without a node; the second time with it again. The last one stays."""
        if name in self._removed:
            self._removed.discard(name)
        elif len(self._removed) + 1 < len(figures.nodes) + len(self._added):
            self._removed.add(name)

    def reset(self) -> None:
        self._weights.clear()
        self._added.clear()
        self._removed.clear()

    def target(self, figures: NodesFigures) -> list[NodeAddress]:
        """The list that is tried. Raises `ConfigError` where the nodes' names are no addresses."""
        kept = [
            structs.replace(node, weight=self._weights.get(node.name, node.weight))
            for node in _present(figures)
            if node.name not in self._removed
        ]
        names = {node.name for node in kept}
        return [*kept, *(node for node in self._added.values() if node.name not in names)]

    def look(self, figures: NodesFigures) -> WhatIf | None:
        """Both rings; ``None`` when the nodes' names are no addresses (a recording of another version)."""
        try:
            before, after = _present(figures), self.target(figures)
        except ConfigError:
            return None
        known = self._known
        if known is None or known[:3] != (figures.placement, before, after):
            known = self._known = (figures.placement, before, after, _change(figures, before, after))
        change = known[3]
        if change is None:
            return WhatIf(
                figures.placement,
                tuple(TriedNode(node.name, node.weight, node.weight, node.share, node.share)
                      for node in figures.nodes),
            )  # fmt: skip
        return _worked_out(figures, change, before, after)


def _present(figures: NodesFigures) -> list[NodeAddress]:
    return [
        structs.replace(parse_node(node.name), weight=node.weight, ring_name=node.ring_name)
        for node in figures.nodes
    ]


def _change(figures: NodesFigures, before: list[NodeAddress], after: list[NodeAddress]) -> RingChange | None:
    if before == after or not before:
        return None
    # The cluster client is imported when it is needed: the first frame does not wait for it.
    from iotcache.nodelist.whatif import ring_change

    return ring_change(figures.placement, before, after)


def _worked_out(
    figures: NodesFigures, change: RingChange, before: list[NodeAddress], after: list[NodeAddress]
) -> WhatIf:
    from iotcache.nodelist.whatif import NodeLoad, forecast

    loads = {
        node.name: NodeLoad(
            items=node.items,
            used_bytes=node.used_bytes,
            limit_bytes=node.limit_bytes,
            gets_per_s=node.gets_per_s or 0.0,
            hits_per_s=(node.gets_per_s or 0.0) * (node.hit_percent or 0.0) / 100.0,
            sets_per_s=node.sets_per_s or 0.0,
        )
        for node in figures.nodes
    }
    comes_to = forecast(change, loads)
    weights, weights_after = (
        {node.name: node.weight for node in before},
        {node.name: node.weight for node in after},
    )
    return WhatIf(
        figures.placement,
        tuple(
            TriedNode(
                node.name,
                weights.get(node.name, 0),
                weights_after.get(node.name, 0),
                node.share,
                node.share_after,
                node.fits,
            )
            for node in comes_to.nodes
        ),
        comes_to,
    )
