"""The lines of memcached's ``watch`` as requests: bytes in, events out; no socket, no clock.

Every set also looks its key up, and memcached logs that as a get: such a get is dropped when the set of the
same key on the same connection follows. So is the one of a delete, where deletions are logged (1.6.20).
Times are seconds and microseconds with a dot between them and no leading zeros: ``12.345`` is 12 s and 345
µs. Keys come percent-encoded. Source: memcached's ``logger.c`` and doc/protocol.txt, "Watchers".
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

MAX_LINE_BYTES: Final = 4_096
"""A key of 250 bytes, each of them encoded, and the fields: less than a quarter of it."""
MAX_CONNECTIONS: Final = 65_536
"""Connections of which the last get is remembered."""
_EVENT: Final = re.compile(
    rb"^ts=(\d+)\.(\d+) gid=\d+ type=(item_get|item_store|deleted) key=(\S+)([^\n]*)$", re.MULTILINE
)
_FIELD: Final = re.compile(rb"(status|cmd|ttl|clsid|cfd|size)=(-?\w+)")
_EVICTED: Final = re.compile(rb"^ts=\S+ gid=\d+ type=eviction ", re.MULTILINE)
_SKIPPED: Final = re.compile(rb"skipped=(\d+)")
_STORED: Final = frozenset({b"stored"})


class What(IntEnum):
    """The kind of a logged request."""

    HIT = 0
    MISS = 1
    EXPIRED = 2
    """A miss: the entry was there, past its end."""
    SET = 3
    DELETE = 4


class Event(NamedTuple):
    """One request."""

    key: bytes
    what: What
    time_s: float
    ttl_s: float
    """Of a set; 0 never expires."""
    slab: int
    """Class number; 0 when it is not told."""
    size: int
    """Bytes of the value; 0 when it is not told."""


_ANSWERS: Final = {
    b"found": What.HIT,
    b"not_found": What.MISS,
    b"expired": What.EXPIRED,
    b"flushed": What.MISS,
}


class WatchLines:
    """Feed it what the socket brings. Bounded: holds less than one line, and one get a connection."""

    def __init__(self) -> None:
        self.skipped = 0
        """Events that the node dropped, as it says itself."""
        self.evictions = 0
        self.unread_lines = 0
        """Lines of no known form."""
        self._rest = b""
        self._pending: dict[bytes, Event] = {}
        """The last get of each connection, until it is known that no set of its own follows."""

    def feed(self, data: bytes) -> list[Event]:
        """The requests whose meaning is known now, in their order; a connection's last get waits."""
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = b""
            self.unread_lines += 1
        out: list[Event] = []
        whole = whole.replace(b"\r", b"")
        for found in _EVENT.findall(whole):
            self._one(found, out)
        for number in _SKIPPED.findall(whole) if b"skipped=" in whole else ():
            self.skipped += int(number[:18])
        if b"type=eviction" in whole:
            self.evictions += len(_EVICTED.findall(whole))
        return out

    def rest(self) -> list[Event]:
        """The gets still held back; none of them was a set's."""
        left = [*self._pending.values()]
        self._pending.clear()
        return left

    def _one(self, found: tuple[bytes, ...], out: list[Event]) -> None:
        seconds, micros, kind, key, text = found
        fields = dict(_FIELD.findall(text))
        if b"%" in key:
            key = unquote_to_bytes(key)
        line = fields.get(b"cfd", b"")
        pending = self._pending.pop(line, None)
        time_s = int(seconds[:12]) + int(micros[:6]) / 1e6
        slab, size = _number(fields.get(b"clsid")), _number(fields.get(b"size"))
        if kind == b"item_get":
            if pending is not None:
                out.append(pending)
            answer = _ANSWERS.get(fields.get(b"status", b""))
            if answer is None:
                self.unread_lines += 1
                return
            event = Event(key, answer, time_s, 0.0, slab, size)
            if line and len(self._pending) < MAX_CONNECTIONS:
                self._pending[line] = event
            else:
                out.append(event)
            return
        if pending is not None and pending.key != key:
            out.append(pending)
        if kind == b"deleted":
            out.append(Event(key, What.DELETE, time_s, 0.0, slab, size))
        elif fields.get(b"status") in _STORED:
            ttl_s = _number(fields.get(b"ttl"))
            # A negative TTL has expired before it began.
            what = What.SET if ttl_s >= 0 else What.DELETE
            out.append(Event(key, what, time_s, float(max(ttl_s, 0)), slab, size))


def _number(text: bytes | None) -> int:
    try:
        return int(text[:18]) if text else 0
    except ValueError:
        return 0
