"""The answer to ``lru_crawler metadump``: a line an item, taken out of a byte stream; no socket, no clock.

Lines end in a bare LF and the whole in ``END`` CRLF; unlike in a get no length is told, but keys come
percent-encoded, so that no key can hold a line end or a blank. Source: memcached's doc/protocol.txt,
"LRU_Crawler", and what 1.6.18 was seen to answer.
"""

from __future__ import annotations

import re
from math import inf
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from iotcache.cluster.wire.answers import ProtocolViolation, unexpected
from iotcache.errors import NodeError
from iotcache.text import printable_bytes

DUMP_ALL: Final = b"lru_crawler metadump all\r\n"
MAX_LINE_BYTES: Final = 4_096
"""A key of 250 bytes, each of them encoded, and the fields: less than a quarter of it."""
_USUAL: Final = re.compile(
    rb"key=(\S+) exp=(-1|\d+) la=(\d+) cas=\d+ fetch=(yes|no) cls=(\d+) size=(\d+)(?: .*)?"
)


class CrawlBusy(NodeError):
    """Another crawl runs on the node; it takes one at a time."""


class DumpedItem(NamedTuple):
    """One item. Times in seconds since the epoch, by the node's own clock."""

    key: bytes
    expires_s: float
    """``inf`` when it never does."""
    used_s: int
    """Last access; a set counts as one."""
    fetched: bool
    slab: int
    size: int
    """Bytes of the whole item, memcached's own overhead included."""


class Metadump:
    """Bytes in, items out. Bounded: holds less than one line."""

    def __init__(self) -> None:
        self.ended = False
        self._rest = b""

    def feed(self, data: bytes) -> list[DumpedItem]:
        """The items whose lines are complete now.

        Raises `CrawlBusy` or `NodeError` for a refusal, `ProtocolViolation` for what cannot be a dump.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise ProtocolViolation(f"a line of the dump is longer than {MAX_LINE_BYTES} bytes")
        found: list[DumpedItem] = []
        for line in lines:
            usual = _USUAL.fullmatch(line)
            if usual is not None:
                key, exp, used, fetched, slab, size = usual.groups()
                found.append(
                    DumpedItem(
                        unquote_to_bytes(key) if b"%" in key else key,
                        inf if exp == b"-1" else float(exp),
                        int(used), fetched == b"yes", int(slab), int(size),
                    )
                )  # fmt: skip
            elif line.startswith(b"key="):
                found.append(_unusual(line))
            else:
                self._close(line.rstrip(b"\r"))
        return found

    def _close(self, line: bytes) -> None:
        if line in (b"END", b"NOTSTARTED no items to crawl"):
            self.ended = True
        elif line.startswith(b"BUSY"):
            raise CrawlBusy("another crawl runs on this node; it takes one at a time")
        elif line != b"OK":  # 1.6.43 and later begin with it
            if line.startswith((b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"BADCLASS")):
                raise NodeError(f"the node does not list its keys: {printable_bytes(line, 120)}")
            raise unexpected(line)


def _unusual(line: bytes) -> DumpedItem:
    """Fields in another order, or fewer of them: what is missing is 0, what is unknown is passed over."""
    fields = dict(part.partition(b"=")[::2] for part in line.rstrip(b"\r").split(b" "))
    try:
        expires = int(fields.get(b"exp", b"-1"))
        return DumpedItem(
            unquote_to_bytes(fields[b"key"]),
            inf if expires < 0 else float(expires),
            int(fields.get(b"la", b"0")),
            fields.get(b"fetch") == b"yes",
            int(fields.get(b"cls", b"0")),
            int(fields.get(b"size", b"0")),
        )
    except ValueError as error:
        raise unexpected(line) from error
