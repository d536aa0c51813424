"""A broker's double: passes MQTT on, swallows the publishes it is told to, and notes what it handed to whom.

It speaks MQTT 3.1.1 as far as that takes: it cuts the byte stream into packets (section 2.2) and answers for
a swallowed QoS 1 publish as the broker would (3.4), so that the publisher believes it safe.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Self

_CONNECT, _PUBLISH, _PUBACK = 1, 3, 4

Published = tuple[bytes, bytes]
"""Topic and payload."""
Swallow = Callable[[str], bool]
"""Whether a publish on this topic is to vanish; asked once for each."""


class Wiretap:
    """An async context manager before the broker on ``port``; listens on `self.port`."""

    def __init__(self, port: int, swallow: Swallow = lambda topic: False) -> None:
        self._broker = port
        self._swallow = swallow
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.swallowed: list[Published] = []
        """What never reached the broker."""
        self._handed: list[tuple[list[str], list[Published]]] = []

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def handed_to(self, client: str) -> list[Published]:
        """What was handed to the clients whose identifier begins so, over all their connections."""
        return [
            message
            for ids, messages in self._handed
            if ids and ids[0].startswith(client)
            for message in messages
        ]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        with contextlib.closing(writer), contextlib.suppress(OSError):
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker)
            with contextlib.closing(broker_writer):
                ids: list[str] = []
                handed: list[Published] = []
                self._handed.append((ids, handed))
                ways = (
                    asyncio.create_task(self._up(reader, broker_writer, writer, ids)),
                    asyncio.create_task(self._down(broker_reader, writer, handed)),
                )
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _up(
        self, reader: asyncio.StreamReader, broker: asyncio.StreamWriter, client: asyncio.StreamWriter,
        ids: list[str],
    ) -> None:  # fmt: skip
        while True:
            head, body, packet = await _packet(reader)
            if head >> 4 == _CONNECT:
                # Protocol name, level, flags and keep-alive are 10 bytes; the client id follows (3.1.3.1).
                ids.append(_text(body, 10).decode())
            if head >> 4 == _PUBLISH:
                topic, payload = _publish(head, body)
                if self._swallow(topic.decode()):
                    self.swallowed.append((topic, payload))
                    if head & 0x06:
                        after = 2 + len(topic)
                        client.write(bytes([_PUBACK << 4, 2]) + body[after : after + 2])
                    continue
            broker.write(packet)
            await broker.drain()

    async def _down(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, handed: list[Published]
    ) -> None:
        while True:
            head, body, packet = await _packet(reader)
            client.write(packet)
            await client.drain()
            if head >> 4 == _PUBLISH:
                handed.append(_publish(head, body))


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """First byte, variable header with payload, and the whole of the next packet."""
    start = await reader.readexactly(2)
    while start[-1] & 0x80:
        start += await reader.readexactly(1)
    length = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(start[1:]))
    body = await reader.readexactly(length)
    return start[0], body, start + body


def _text(body: bytes, at: int) -> bytes:
    return body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "big")]


def _publish(head: int, body: bytes) -> Published:
    topic = _text(body, 0)
    return topic, body[2 + len(topic) + (2 if head & 0x06 else 0) :]
