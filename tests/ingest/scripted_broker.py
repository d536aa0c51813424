"""A broker that does what a test tells it: for what no sound broker would send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Self

from iotcache.config.urls import BrokerAddress
from iotcache.mqtt.codec import (
    Connack,
    Connect,
    Packet,
    PacketSplitter,
    PacketType,
    Ping,
    Suback,
    Subscribe,
    Version,
    decode_packet,
)

Answer = Callable[[Packet], bytes | None]
"""The bytes that answer a packet; ``None`` for the usual ones."""


class ScriptedBroker:
    """An async context manager; accepts every client, confirms every subscription, answers every ping."""

    def __init__(self, version: Version, answer: Answer = lambda packet: None) -> None:
        self.packets: asyncio.Queue[Packet] = asyncio.Queue()
        """What the clients sent."""
        self.connections = 0
        self._version: Version = version
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> BrokerAddress:
        assert self._server is not None
        return BrokerAddress("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def packet(self, kind: type[Packet] | None = None, seconds: float = 20.0) -> Packet:
        """The next packet of a client, of that kind if one is given."""
        async with asyncio.timeout(seconds):
            while True:
                packet = await self.packets.get()
                if kind is None or isinstance(packet, kind):
                    return packet

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        splitter = PacketSplitter()
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                for raw in splitter.feed(data):
                    packet = decode_packet(raw, self._version)
                    self.packets.put_nowait(packet)
                    answer = self._answer(packet)
                    writer.write(self._usual(packet) if answer is None else answer)

    def _usual(self, packet: Packet) -> bytes:
        match packet:
            case Connect():
                return Connack(session_present=not packet.clean_start).encode(self._version)
            case Subscribe():
                codes = tuple(options & 3 for _, options in packet.filters)
                return Suback(packet.packet_id, codes).encode(self._version)
            case Ping(kind=PacketType.PINGREQ):
                return Ping(PacketType.PINGRESP).encode(self._version)
            case _:
                return b""
