"""Small servers that keep lists of nodes: DNS over UDP, and the configuration endpoint of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Self, cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer(asyncio.DatagramProtocol):
    """Answers from `records`: by name and type, the lifetime and the records as a zone file has them."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.silent_for: set[str] = set()
        """Types that get no answer."""
        self.garbled = False
        self.questions: list[tuple[str, str]] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, kind))
        if kind in self.silent_for:
            return
        if self.garbled:
            self._transport.sendto(data[:2] + b"\xff" * 20, addr)
            return
        response = dns.message.make_response(query)
        if not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif (name, kind) in self.records:
            ttl, records = self.records[name, kind]
            response.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, *records))
        self._transport.sendto(response.to_wire(), addr)


@contextlib.asynccontextmanager
async def dns_server() -> AsyncIterator[tuple[DnsServer, str]]:
    """The server, and its address as ``?server=`` takes it."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(DnsServer, local_addr=("127.0.0.1", 0))
    try:
        yield server, "127.0.0.1:{}".format(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


class Endpoint:
    """A configuration endpoint: `answer` makes of a request line what is sent back, ``None`` is nothing."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self.requests.append(line)
                answer = self.answer(line)
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
                    if answer.endswith(b"<cut>"):
                        break
        writer.close()


def cluster_value(version: int, *entries: str) -> bytes:
    """The value of a list: its version and ``host|ip|port`` of each node."""
    return f"{version}\n{' '.join(entries)}\n".encode()


def managed(value: bytes, *, old: bool = False) -> Callable[[bytes], bytes | None]:
    """Answers as ElastiCache does; ``old``: as its engines before 1.4.14, which know no ``config``."""

    def answer(line: bytes) -> bytes:
        if line == b"config get cluster\r\n":
            return b"ERROR\r\n" if old else b"CONFIG cluster 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)
        if line == b"get AmazonElastiCache:cluster\r\n":
            return b"VALUE AmazonElastiCache:cluster 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)
        return b"ERROR\r\n"

    return answer
