"""The gateway's HTTP server: uvicorn, with a listener and bounds of our own.

uvicorn by itself counts idle connections against its limit of requests, waits without end for a header, and
asyncio's own listener logs every failed ``accept``; see `iotcache.worker.connections`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

import uvicorn

from iotcache.tasks import end
from iotcache.worker.connections import BACKLOG, Connections, connection_limit, current_connection

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

CLOSE_S: Final = 1
"""How long requests under way may take when the server ends."""


class HttpServer(uvicorn.Server):
    """Serves ``app`` on one bound socket; leaves signals alone."""

    def __init__(self, app: ASGIApp, on_started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                _watched(app),
                log_config=None,
                log_level="error",  # a stranger's malformed request is no line in our log
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=CLOSE_S,
            )
        )
        self.servers = []
        self._on_started = on_started
        self._connections = Connections(connection_limit(), self._protocol)
        self._accepting: asyncio.Task[None] | None = None

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None
        (listener,) = sockets
        listener.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._connections.accept(listener), name="gateway listener")
        self.started = True
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._accepting is not None:
            await end(self._accepting)
        try:
            await super().shutdown(sockets)
        finally:
            self._connections.close()

    def _protocol(self) -> asyncio.Protocol:
        made = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state={}
        )
        assert isinstance(made, asyncio.Protocol)
        return made


def _watched(app: ASGIApp) -> ASGIApp:
    """The app; each request of it is told to the connection that it came by."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        connection = current_connection()
        with connection.request() if connection is not None else contextlib.nullcontext():
            await app(scope, receive, send)

    return watched
