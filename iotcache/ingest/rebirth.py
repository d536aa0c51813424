"""Asking Sparkplug edge nodes for their births, when data came that cannot be read without.

A host application that joins late, or has forgotten, publishes the command ``Node Control/Rebirth`` (Eclipse
Sparkplug 3.0.0, section 6.4.22). How often is bounded for each edge node and for all together: whoever may
publish data decides when.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from iotcache.clock import Clock
from iotcache.decode.topics import SPARKPLUG

EVERY_S: Final = 10.0
"""An edge node that did not answer is asked again after this long at the earliest."""
ANSWERED_EVERY_S: Final = 2.0
"""One that did answer."""
PER_S: Final = 20
"""Commands a second to all edge nodes."""
NODES_REMEMBERED: Final = 10_000
_REBIRTH: Final = b"Node Control/Rebirth"
_BOOLEAN: Final = 11


class RebirthRequests:
    """Which edge nodes are to be asked now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_s: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._wanted: dict[tuple[str, str], None] = {}
        self._answered: set[tuple[str, str]] = set()
        """Of those asked, the ones that were born since."""
        self._second = 0
        self._left = PER_S
        self.asked = 0
        """Commands since the start."""

    def want(self, group: str, node: str) -> None:
        """The births of an edge node are not known."""
        if len(self._wanted) < NODES_REMEMBERED:
            self._wanted[group, node] = None

    def born(self, group: str, node: str) -> None:
        """The birth of an edge node came, asked for or not."""
        self._wanted.pop((group, node), None)
        if (group, node) in self._asked_s:
            self._answered.add((group, node))

    def take(self) -> list[tuple[str, bytes]]:
        """Topics and payloads to publish now; what there is no room for waits for the next time."""
        if not self._wanted:
            return []
        now_s = self._clock.monotonic()
        if int(now_s) != self._second:
            self._second, self._left = int(now_s), PER_S
        commands: list[tuple[str, bytes]] = []
        for node in list(self._wanted):
            if self._left <= 0:
                break
            every_s = ANSWERED_EVERY_S if node in self._answered else EVERY_S
            if now_s - self._asked_s.get(node, now_s - every_s) < every_s:
                continue
            del self._wanted[node]
            self._answered.discard(node)
            self._asked_s[node] = now_s
            self._asked_s.move_to_end(node)
            if len(self._asked_s) > NODES_REMEMBERED:
                self._answered.discard(self._asked_s.popitem(last=False)[0])
            self._left -= 1
            self.asked += 1
            commands.append(
                (f"{SPARKPLUG}{node[0]}/NCMD/{node[1]}", _command(round(self._clock.now() * 1e3)))
            )
        return commands


def _command(now_ms: int) -> bytes:
    """The payload: one metric, ``Node Control/Rebirth`` = true, in protobuf's wire format."""
    metric = b"\x0a" + bytes([len(_REBIRTH)]) + _REBIRTH + b"\x20" + bytes([_BOOLEAN]) + b"\x70\x01"
    return b"\x08" + _varint(now_ms) + b"\x12" + bytes([len(metric)]) + metric


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
