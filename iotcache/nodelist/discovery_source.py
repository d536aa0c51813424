"""A managed cluster's configuration endpoint, asked as ElastiCache and Memorystore answer."""

from __future__ import annotations

import asyncio
import contextlib
from ssl import SSLContext
from typing import Final

from iotcache.nodelist.discovery_text import parse_value, value_length
from iotcache.nodelist.listing import NodeListError, NodeListing

LOOK_EVERY_S: Final = 60.0
"""As the clusters' own clients do."""
_LINE_MAX_BYTES: Final = 2_048


class DiscoverySource:
    """Asks for the list over a connection of its own each time: the endpoint's name leads to another node
    when one is replaced."""

    def __init__(
        self, host: str, port: int, *, timeout_s: float = 2.0, tls_context: SSLContext | None = None
    ) -> None:
        self._host, self._port = host, port
        self._timeout_s = timeout_s
        self._tls_context = tls_context

    async def read(self) -> NodeListing:
        """The list. Raises `NodeListError`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_connection(
                    self._host, self._port, ssl=self._tls_context, limit=_LINE_MAX_BYTES
                )
                try:
                    value = await _value(reader, writer)
                finally:
                    writer.close()
        except TimeoutError:
            raise NodeListError("it does not answer") from None
        except asyncio.IncompleteReadError:
            raise NodeListError("it ends its answer half-way") from None
        except (asyncio.LimitOverrunError, ValueError):
            raise NodeListError("it answers a line without end") from None
        except OSError as error:
            raise NodeListError(f"it is not reached: {error.strerror or 'no such host'}") from None
        version, nodes = parse_value(value)
        return NodeListing(nodes, LOOK_EVERY_S, version)


async def _value(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    head = await _ask(reader, writer, b"config get cluster\r\n")
    if head.startswith((b"ERROR", b"CLIENT_ERROR")):
        head = await _ask(reader, writer, b"get AmazonElastiCache:cluster\r\n")
    if head.startswith((b"END", b"ERROR")):
        raise NodeListError("it keeps no list of nodes: a plain node, no configuration endpoint")
    value = await reader.readexactly(value_length(head))
    with contextlib.suppress(asyncio.IncompleteReadError):
        # A newline and END, of which nothing is wanted but that no more of the value comes.
        if (await reader.readexactly(2)) not in (b"\r\n", b"\n\r"):
            raise NodeListError("its answer is longer than it says")
    return value


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    return await reader.readuntil(b"\n")
