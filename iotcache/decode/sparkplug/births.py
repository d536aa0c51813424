"""What births teach of an edge node's metrics: which alias stands for which name, and the type of each.

Data messages may leave out a metric's name (for its alias) and its type (3.0, section 6.4.16). What is
remembered is bounded in bytes, as anyone who may publish can send births: the edge node that was silent
longest is forgotten first, and a rebirth is asked for when it is heard again.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Final

from iotcache.decode.sparkplug.sequence import Sequence

MEMORY_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""For all edge nodes together: some 150,000 metrics with names of usual length."""
METRICS_REMEMBERED: Final = 10_000
"""Of one device, or of an edge node itself: as many as one birth may hold."""
AMBIGUOUS: Final = ("", 0)
"""For an alias that a birth gives to two metrics, which it must not: data by it are nobody's."""
_NODE_BYTES: Final = 1_500
_METRIC_BYTES: Final = 150
"""Of the containers, measured in CPython 3.11 and rounded up; texts come on top."""


class NodeBirths:
    """What the births of one edge node taught."""

    __slots__ = ("aliases", "bd_seq", "bytes", "is_born", "sequence", "types", "units")

    def __init__(self, key_bytes: int = 0) -> None:
        self.aliases: dict[str, dict[int, tuple[str, int]]] = {}
        """By device ("" for the edge node itself): the name and type behind an alias. They should be unique
        under the edge node, and there are programs that number the metrics of each device from 0."""
        self.types: dict[str, dict[str, int]] = {}
        """The type of each metric by device ("" for the edge node itself) and name."""
        self.units: dict[tuple[str, str], str] = {}
        """The engineering unit of a metric that has one, by device and name."""
        self.sequence = Sequence()
        self.bd_seq: int | None = None
        """The number of its birth, which its death repeats."""
        self.is_born = False
        """Whether the birth of the edge node itself was seen, not only those of its devices."""
        self.bytes = _NODE_BYTES + key_bytes

    def begin(self, device: str) -> int:
        """Begin the birth of a device, which is known from then on; how many bytes more that takes.

        What its last birth taught counts no more: an alias that the new one leaves out stands for nothing.
        """
        before = self.bytes
        self.bytes -= _METRIC_BYTES * len(self.aliases.pop(device, ()))
        known = self.types.pop(device, None)
        if known is not None:
            self.bytes -= _METRIC_BYTES + sys.getsizeof(device)
        for name in known or ():
            self.bytes -= _METRIC_BYTES + sys.getsizeof(name)
            unit = self.units.pop((device, name), None)
            self.bytes -= 0 if unit is None else _METRIC_BYTES + sys.getsizeof(unit)
        self.types[device] = {}
        self.bytes += _METRIC_BYTES + sys.getsizeof(device)
        return self.bytes - before

    def learn(self, device: str, name: str, alias: int | None, kind: int, unit: str = "") -> int:
        """Remember a metric of a birth; how many bytes that takes more."""
        before = self.bytes
        types = self.types.get(device)
        if types is None:
            types = self.types[device] = {}
            self.bytes += _METRIC_BYTES + sys.getsizeof(device)
        if name in types or len(types) < METRICS_REMEMBERED:
            if name not in types:
                self.bytes += _METRIC_BYTES + sys.getsizeof(name)
            types[name] = kind
            if unit and (device, name) not in self.units:
                self.units[device, name] = unit
                self.bytes += _METRIC_BYTES + sys.getsizeof(unit)
        if alias is not None:
            aliases = self.aliases.setdefault(device, {})
            if alias in aliases or len(aliases) < METRICS_REMEMBERED:
                if alias not in aliases:
                    self.bytes += _METRIC_BYTES
                known = aliases.get(alias, (name, kind))
                aliases[alias] = (name, kind) if known[0] == name else AMBIGUOUS
        return self.bytes - before


class Births:
    """What is remembered of all edge nodes."""

    def __init__(self, limit_bytes: int = MEMORY_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._nodes: OrderedDict[tuple[str, str], NodeBirths] = OrderedDict()
        self.bytes = 0
        """An estimate of the memory in use, from above."""

    def __len__(self) -> int:
        return len(self._nodes)

    def of(self, group: str, node: str) -> NodeBirths | None:
        """What is remembered of an edge node, if anything."""
        births = self._nodes.get((group, node))
        if births is not None:
            self._nodes.move_to_end((group, node))
        return births

    def put(self, group: str, node: str, births: NodeBirths) -> None:
        """Remember what a new birth of the edge node itself taught, in place of all before."""
        self.forget(group, node)
        self._nodes[group, node] = births
        self.bytes += births.bytes
        self.shrink()

    def grown(self, by_bytes: int) -> None:
        """Births that are remembered learnt more."""
        self.bytes += by_bytes
        self.shrink()

    def forget(self, group: str, node: str) -> None:
        """Forget an edge node."""
        births = self._nodes.pop((group, node), None)
        if births is not None:
            self.bytes -= births.bytes

    def overdue(self, now_us: int, tolerance_us: int) -> list[tuple[str, str]]:
        """Edge nodes of which a message is missing for longer than that."""
        return [
            key for key, births in self._nodes.items() if births.sequence.is_overdue(now_us, tolerance_us)
        ]

    def shrink(self) -> None:
        """Forget those that were silent longest until the rest is within the limit."""
        while self.bytes > self._limit_bytes and self._nodes:
            _, births = self._nodes.popitem(last=False)
            self.bytes -= births.bytes


def new_node(group: str, node: str) -> NodeBirths:
    """For an edge node of which nothing is remembered."""
    return NodeBirths(sys.getsizeof(group) + sys.getsizeof(node))
