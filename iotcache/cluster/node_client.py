"""A line of our own to one node, beside the cluster's: for what is asked of that node and of no other.

The cluster sends a key where it belongs. A person who looks into a node wants what lies *there*, wherever
it belongs; and a crawl may take seconds, which no read may wait for.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

from msgspec import Struct

from iotcache.cluster.types import FOREVER_S
from iotcache.cluster.wire import dial
from iotcache.cluster.wire.answers import ERRORS, MAX_LINE_BYTES, StatsReplies, unexpected
from iotcache.cluster.wire.metadump import DUMP_ALL, CrawlBusy, DumpedItem, Metadump
from iotcache.cluster.wire.protocol import login_request
from iotcache.errors import NodeError
from iotcache.keys import MAX_KEY_BYTES
from iotcache.text import printable_bytes

if TYPE_CHECKING:
    from iotcache.config.schema import CacheSettings
    from iotcache.config.urls import NodeAddress

_READ_BYTES: Final = 1 << 16
_SILENCE_S: Final = 5.0
"""A crawler that says nothing for so long has hung. It writes in batches, far more often."""
_WATCH_PAUSE_S: Final = 1.0
_BUSY_TRIES: Final = 6
_BUSY_PAUSE_S: Final = 0.5


class ItemValue(Struct, frozen=True):
    """An item as it lies in a node."""

    value: bytes
    flags: int
    ttl_s: float
    """``inf`` when it never expires."""
    size: int
    """Bytes of the value; more than ``len(value)`` when it was cut."""


class _Line(asyncio.StreamReaderProtocol):
    """A stream that keeps hold of its transport."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        self.transport: asyncio.Transport | None = None
        super().__init__(self.reader)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, transport)


class NodeClient:
    """An async context manager; everything raises `NodeError` in plain words."""

    def __init__(
        self,
        address: NodeAddress,
        cache: CacheSettings,
        *,
        connect: dial.Dial = dial.connect,
        tls_context: SSLContext | None = None,
    ) -> None:
        """``tls_context``: in place of what the settings ask for."""
        self.name = address.name
        self._address = address
        self._cache = cache
        self._connect = connect
        self._tls_context = tls_context
        self._line: _Line | None = None

    async def __aenter__(self) -> Self:
        cache = self._cache
        timeout_s = cache.connect_timeout_s
        self._line = await self._connect(
            self._address,
            _Line,
            timeout_s=timeout_s,
            tls_context=self._tls_context or dial.tls_context(cache),
        )
        if cache.username or cache.password:
            try:
                if await self._ask(login_request(cache.username, cache.password)) != b"STORED":
                    raise NodeError("the node refused the login")
            except BaseException:
                self._close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._line is not None and self._line.transport is not None:
            # Abort, not close: a node that hangs would keep unsent bytes, and the socket, for ever.
            self._line.transport.abort()

    # Asking

    def _send(self, request: bytes) -> asyncio.StreamReader:
        line = self._line
        if line is None or line.transport is None or line.transport.is_closing():
            raise NodeError("the connection is closed")
        line.transport.write(request)
        return line.reader

    async def _read_line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._cache.operation_timeout_s):
                return (await reader.readuntil(b"\r\n"))[:-2]
        except TimeoutError:
            raise NodeError(f"no answer within {self._cache.operation_timeout_s:g} s") from None
        except (asyncio.IncompleteReadError, OSError) as error:
            raise NodeError("the node closed the connection") from error
        except asyncio.LimitOverrunError as error:
            raise NodeError("the node's answer is no answer") from error

    async def _ask(self, request: bytes) -> bytes:
        line = await self._read_line(self._send(request))
        if line.startswith(ERRORS):
            raise NodeError(f"refused: {printable_bytes(line, 120)}")
        return line

    async def stats(self, which: str = "") -> dict[str, str]:
        """The node's general statistics, or those of ``slabs``, ``items``, ``settings``."""
        reader, answer = self._send(f"stats {which}".rstrip().encode() + b"\r\n"), StatsReplies()
        while not answer.complete:
            answer.feed(await self._read_line(reader) + b"\r\n", 0)
        if not isinstance(answer.out, dict):
            raise NodeError(f"refused: {answer.out.text}")
        return answer.out

    async def watch(self, *kinds: str) -> AsyncGenerator[bytes, None]:
        """What the node logs of these kinds, as it comes; it ends when it is closed or the node ends.

        Yields ``b""`` once a second while nothing is logged. Raises `NodeError` when the node refuses.
        Source: doc/protocol.txt, "Watchers".
        """
        answer = await self._ask(f"watch {' '.join(kinds)}\r\n".encode())
        if answer != b"OK":
            raise NodeError(f"refused: {printable_bytes(answer, 120)}")
        assert self._line is not None
        while True:
            try:
                async with asyncio.timeout(_WATCH_PAUSE_S):
                    data = await self._line.reader.read(_READ_BYTES)
            except TimeoutError:
                yield b""
                continue
            except OSError as error:
                raise NodeError("the node closed the connection") from error
            if not data:
                raise NodeError("the node closed the connection")
            yield data

    async def dump(self) -> AsyncGenerator[list[DumpedItem], None]:
        """Every live item, as the node's crawler comes by it. Counts as no read and moves nothing.

        Cancel it by leaving: the connection is closed, and the crawler stops.
        """
        for left in range(_BUSY_TRIES, -1, -1):
            try:
                async for items in self._dump():
                    yield items
                return
            except CrawlBusy:
                if not left:
                    raise
            await asyncio.sleep(_BUSY_PAUSE_S)

    async def _dump(self) -> AsyncGenerator[list[DumpedItem], None]:
        dump, reader = Metadump(), self._send(DUMP_ALL)
        while not dump.ended:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    data = await reader.read(_READ_BYTES)
            except TimeoutError:
                raise NodeError(f"the crawler has been silent for {_SILENCE_S:g} s") from None
            except OSError as error:
                raise NodeError("the node closed the connection") from error
            if not data:
                raise NodeError("the node closed the connection")
            yield dump.feed(data)

    async def value(self, key: bytes, most_bytes: int) -> ItemValue | None:
        """The item under ``key``, its value cut after ``most_bytes``; ``None`` when it is not there.

        The node counts one get (a hit or a miss); with ``u`` the item's place in the LRU, its last access
        and its mark of having been fetched stay as they are. Source: doc/protocol.txt, "Meta Get".
        """
        reader = self._send(b"mg %b v t f u%b\r\n" % _key_form(key))
        line = await self._read_line(reader)
        if line == b"EN":
            return None
        if line.startswith(ERRORS):
            raise NodeError(f"refused: {printable_bytes(line, 120)}")
        parts = line.split(b" ")
        try:
            fields = {part[:1]: int(part[1:]) for part in parts[2:] if part[:1] in b"tf"}
            size, ttl, flags = int(parts[1]), fields[b"t"], fields[b"f"]
        except (ValueError, IndexError, KeyError) as error:
            raise unexpected(line) from error
        if parts[0] != b"VA" or size < 0:
            raise unexpected(line)
        try:
            async with asyncio.timeout(_SILENCE_S):
                value = await reader.readexactly(min(size, most_bytes))
        except (TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise NodeError("the node ended in the middle of the value") from error
        if size > most_bytes:
            self._close()  # the rest is not worth reading
        else:
            await self._read_line(reader)
        return ItemValue(value, flags, FOREVER_S if ttl < 0 else float(ttl), size)

    async def delete_many(self, keys: Sequence[bytes]) -> int:
        """Delete what lies here under ``keys``, in one pipelined batch; how many there were."""
        return await self._batch([b"md %b%b\r\n" % _key_form(key) for key in keys])

    async def touch_many(self, keys: Sequence[bytes], ttl_s: int) -> int:
        """Give what lies here under ``keys`` so many seconds to live; how many there were.

        The node counts a get and a touch of each. Source: doc/protocol.txt, "Meta Get", flag ``T``.
        """
        return await self._batch([b"mg %b%b T%d\r\n" % (*_key_form(key), ttl_s) for key in keys])

    async def _batch(self, requests: Sequence[bytes]) -> int:
        reader, there = self._send(b"".join(requests)), 0
        for _ in requests:
            line = await self._read_line(reader)
            if line.startswith(ERRORS):
                raise NodeError(f"refused: {printable_bytes(line, 120)}")
            there += line.startswith(b"HD")
        return there

    async def delete(self, key: bytes) -> bool:
        """Delete what lies here under ``key``; whether there was anything."""
        return await self._ask(b"md %b%b\r\n" % _key_form(key)) == b"HD"


def _key_form(key: bytes) -> tuple[bytes, bytes]:
    """The key as it goes into a meta command, and the flag that tells its form.

    What another client stored may hold bytes that would end the line: those go as base64.
    """
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise NodeError(f"a key has 1 to {MAX_KEY_BYTES} bytes, not {len(key)}")
    if all(0x21 <= byte <= 0x7E for byte in key):
        return key, b""
    return b64encode(key), b" b"
