"""MQTT over WebSockets (MQTT 5, section 6): what goes to TCP otherwise goes in binary frames of RFC 6455.

Frames and handshake are the library's (websockets, its Sans-I/O layer). MQTT packets and frames have nothing
to do with each other: a frame may hold a part of a packet, or several.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from iotcache.errors import BrokerError
from iotcache.text import printable

if TYPE_CHECKING:
    from websockets.client import ClientProtocol

SUBPROTOCOL: Final = "mqtt"
FRAME_LIMIT_BYTES: Final = 32 * 1024 * 1024
"""More than the largest packet that is taken."""
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)
"""The library tells every frame at debug level."""


async def open_transport(
    protocol: asyncio.Protocol, host: str, port: int, *, tls: ssl.SSLContext | None, path: str = "",
    **options: Any,
) -> None:  # fmt: skip
    """Connect ``protocol`` to a broker over TCP, or, with a ``path``, over a WebSocket there.

    Raises `OSError`, or `BrokerError` when what answers is no WebSocket.
    """
    loop = asyncio.get_running_loop()
    if not path:
        await loop.create_connection(lambda: protocol, host, port, ssl=tls, **options)
        return
    client = WebSocketClient(protocol, _uri(host, port, path, encrypted=tls is not None))
    await loop.create_connection(lambda: client, host, port, ssl=tls, **options)
    try:
        await client.opened
    except BaseException:
        client.abort()
        raise


def _uri(host: str, port: int, path: str, *, encrypted: bool) -> str:
    return f"{'wss' if encrypted else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}{path}"


class WebSocketClient(asyncio.Protocol):
    """The socket's side: bytes of the wire to the frames in them, and these to the protocol above."""

    def __init__(self, above: asyncio.Protocol, uri: str) -> None:
        from websockets.client import ClientProtocol
        from websockets.typing import Subprotocol
        from websockets.uri import parse_uri

        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._above = above
        self._frames: ClientProtocol = ClientProtocol(
            parse_uri(uri), subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=FRAME_LIMIT_BYTES, logger=_log
        )
        self._transport: asyncio.Transport | None = None
        self._is_open = False
        self._trouble: BrokerError | None = None

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._frames.send_request(self._frames.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        from websockets.frames import Frame, Opcode

        self._frames.receive_data(data)
        self._flush()
        for event in self._frames.events_received():
            if not isinstance(event, Frame):
                self._answered()
            elif event.opcode in (Opcode.BINARY, Opcode.CONT):
                self._above.data_received(bytes(event.data))
            elif event.opcode is Opcode.TEXT:  # MQTT-6.0.0-1
                self._fail("it sent a text frame, which is no MQTT")
        if self._frames.handshake_exc is not None:
            self._fail(_why_refused(self._frames.handshake_exc))
        elif self._frames.close_expected() and self._transport is not None:
            self._transport.close()

    def _answered(self) -> None:
        """The broker's answer to the request came."""
        if self._frames.handshake_exc is None and self._transport is not None:
            self._is_open = True
            self._above.connection_made(_FrameTransport(self._transport, self._frames, self._flush))
            if not self.opened.done():
                self.opened.set_result(None)

    def _fail(self, why: str) -> None:
        self._trouble = BrokerError(why)
        if not self.opened.done():
            self.opened.set_exception(self._trouble)
            self.opened.exception()  # seen: asyncio need not complain where nobody waits any more
        self.abort()

    def _flush(self) -> None:
        for data in self._frames.data_to_send():
            if data and self._transport is not None:
                self._transport.write(data)

    def eof_received(self) -> None:
        """The default closes the connection, and `connection_lost` says so."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._frames.receive_eof()
        if not self.opened.done():
            why = "it ended the connection without speaking WebSocket (is that a port for ws:// or wss://?)"
            self.opened.set_exception(exc if isinstance(exc, ssl.SSLError) else BrokerError(why))
            self.opened.exception()
        if self._is_open:
            self._above.connection_lost(exc or self._trouble)

    def pause_writing(self) -> None:
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._above.resume_writing()


class _FrameTransport(asyncio.Transport):
    """The transport that the protocol above sees: what it writes is a frame each."""

    def __init__(self, wire: asyncio.Transport, frames: ClientProtocol, flush: Callable[[], None]) -> None:
        super().__init__()
        self._wire = wire
        self._frames = frames
        self._flush = flush

    def write(self, data: bytes | bytearray | memoryview) -> None:
        from websockets.protocol import State

        if self._frames.state is State.OPEN and not self._wire.is_closing():
            self._frames.send_binary(bytes(data))
            self._flush()

    def close(self) -> None:
        from websockets.protocol import State

        if self._frames.state is State.OPEN:
            self._frames.send_close()
            self._flush()
        self._wire.close()

    def abort(self) -> None:
        self._wire.abort()

    def is_closing(self) -> bool:
        return self._wire.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._wire.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        self._wire.resume_reading()

    def is_reading(self) -> bool:
        return self._wire.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._wire.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._wire.get_write_buffer_size()


def _why_refused(error: Exception) -> str:
    from websockets.exceptions import InvalidMessage, InvalidStatus

    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return f"what answers is no MQTT over WebSockets: HTTP status {status} (is that the broker's path?)"
    if isinstance(error, InvalidMessage):
        return "what answers is no WebSocket (is that a port for ws:// or wss://?)"
    return f"what answers is no MQTT over WebSockets: {printable(str(error), 200)}"
