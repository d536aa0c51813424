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
_SET_WITHIN_S: Final = 0.01
"""A set is logged at once after the get that it makes; a get older than this is one of its own."""
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


class WatchEvent(NamedTuple):
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
    """Feed it what the socket brings. Bounded: holds less than one line, and the gets of the last moment."""

    def __init__(self) -> None:
        self.skipped = 0
        """Events that the node dropped, as it says itself."""
        self.evictions = 0
        self.unread_lines = 0
        """Lines of no known form."""
        self._rest = b""
        self._held: list[tuple[bytes, WatchEvent]] = []
        """Gets, with their connections, of which it is not known yet whether a set of their own follows."""
        self._out: list[WatchEvent | None] = []
        self._last_get: dict[bytes, int] = {}
        """Where the last get of each connection is in what is given out now."""

    def feed(self, data: bytes) -> list[WatchEvent]:
        """The requests whose meaning is known now, in their order; without data also those held back."""
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = b""
            self.unread_lines += 1
        self._out = [event for _, event in self._held]
        self._last_get = {line: at for at, (line, _) in enumerate(self._held) if line}
        self._held = []
        whole = whole.replace(b"\r", b"")
        last_s = 0.0
        for found in _EVENT.findall(whole):
            last_s = self._one(found)
        for number in _SKIPPED.findall(whole) if b"skipped=" in whole else ():
            self.skipped += int(number[:18])
        if b"type=eviction" in whole:
            self.evictions += len(_EVICTED.findall(whole))
        if data:
            self._hold_back(last_s)
        out = [event for event in self._out if event is not None]
        self._out, self._last_get = [], {}
        return out

    def rest(self) -> list[WatchEvent]:
        """The gets still held back; none of them was a set's."""
        return self.feed(b"")

    def begin_anew(self) -> None:
        """Another connection follows: what is left of the last one's is no whole line."""
        self._rest = b""

    def _hold_back(self, last_s: float) -> None:
        for line, at in self._last_get.items():
            event = self._out[at]
            if event is not None and (not last_s or last_s - event.time_s < _SET_WITHIN_S):
                self._held.append((line, event))
                self._out[at] = None

    def _one(self, found: tuple[bytes, ...]) -> float:
        """Take in one line; returns its time."""
        seconds, micros, kind, key, text = found
        fields = dict(_FIELD.findall(text))
        if b"%" in key:
            key = unquote_to_bytes(key)
        line = fields.get(b"cfd", b"")
        time_s = int(seconds[:12]) + int(micros[:6]) / 1e6
        slab, size = _number(fields.get(b"clsid")), _number(fields.get(b"size"))
        last = self._last_get.pop(line, None)
        if kind == b"item_get":
            answer = _ANSWERS.get(fields.get(b"status", b""))
            if answer is None:
                self.unread_lines += 1
                return time_s
            if line:
                self._last_get[line] = len(self._out)
            self._out.append(WatchEvent(key, answer, time_s, 0.0, slab, size))
            return time_s
        get = self._out[last] if last is not None else None
        if last is not None and get is not None and get.key == key:
            self._out[last] = None
        if kind == b"deleted":
            self._out.append(WatchEvent(key, What.DELETE, time_s, 0.0, slab, size))
        elif fields.get(b"status") in _STORED:
            ttl_s = _number(fields.get(b"ttl"))
            # A negative TTL has expired before it began.
            what = What.SET if ttl_s >= 0 else What.DELETE
            self._out.append(WatchEvent(key, what, time_s, float(max(ttl_s, 0)), slab, size))
        return time_s


def _number(text: bytes | None) -> int:
    try:
        return int(text[:18]) if text else 0
    except ValueError:
        return 0
