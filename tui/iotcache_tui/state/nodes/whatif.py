"""What the ring would look like with other weights: tried on paper, nothing is changed by it."""

from __future__ import annotations

from msgspec import Struct, structs

from iotcache.config.urls import parse_node
from iotcache.errors import ConfigError
from iotcache_tui.state.nodes.model import NodesFigures

WEIGHT_MOST = 100


class WhatIf(Struct, frozen=True):
    """The ring as it is, and as it would be."""

    placement: str
    names: tuple[str, ...]
    weights: tuple[int, ...]
    virtual: tuple[int, ...]
    shares: tuple[float, ...]
    virtual_shares: tuple[float, ...]
    moved: float
    """Share of all keys, 0 to 1, that would have another node."""

    @property
    def changed(self) -> bool:
        return self.weights != self.virtual


class Weights:
    """The weights tried, by node name; `look` works out what they would come to."""

    def __init__(self) -> None:
        self._tried: dict[str, int] = {}
        self._known: WhatIf | None = None

    def turn(self, figures: NodesFigures, name: str, step: int) -> None:
        """Try a weight more or less for a node, 1 to `WEIGHT_MOST` (or what it has already)."""
        for node in figures.nodes:
            if node.name == name:
                weight = self._tried.get(name, node.weight) + step
                self._tried[name] = min(max(weight, 1), max(WEIGHT_MOST, node.weight))

    def reset(self) -> None:
        self._tried.clear()

    def look(self, figures: NodesFigures) -> WhatIf | None:
        """Both rings; ``None`` when the nodes' names are no addresses (a recording of another version)."""
        names = tuple(node.name for node in figures.nodes)
        weights = tuple(node.weight for node in figures.nodes)
        virtual = tuple(self._tried.get(node.name, node.weight) for node in figures.nodes)
        known = self._known
        if known is None or (known.names, known.weights, known.virtual) != (names, weights, virtual):
            try:
                self._known = _worked_out(figures, names, weights, virtual)
            except ConfigError:
                self._known = None
        return self._known


def _worked_out(
    figures: NodesFigures, names: tuple[str, ...], weights: tuple[int, ...], virtual: tuple[int, ...]
) -> WhatIf:
    shares = tuple(node.share for node in figures.nodes)
    if weights == virtual or not names:
        return WhatIf(figures.placement, names, weights, virtual, shares, shares, 0.0)
    # The cluster client is imported when it is needed: the first frame does not wait for it.
    from iotcache.cluster.placement.share import moved
    from iotcache.cluster.placement.share import shares as shares_of

    before = [
        structs.replace(parse_node(node.name), weight=weight, ring_name=node.ring_name)
        for node, weight in zip(figures.nodes, weights, strict=True)
    ]
    after = [
        structs.replace(node, weight=weight) for node, weight in zip(before, virtual, strict=True)
    ]  # fmt: skip
    return WhatIf(
        figures.placement,
        names,
        weights,
        virtual,
        shares,
        tuple(shares_of(figures.placement, after)),
        moved(figures.placement, before, after),
    )
