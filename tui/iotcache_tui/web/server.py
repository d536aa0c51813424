"""The HTTP server of ``--serve``: a page, a web socket a visitor, and bounds on both.

The page's scripts and fonts are textual-serve's files; its server is not used, as it checks neither Host nor
Origin, bounds neither sizes nor sessions, and writes its own address into the page.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import textual_serve
from aiohttp import WSMsgType, web

from iotcache.tasks import end
from iotcache.text import plural
from iotcache.worker.connections import BACKLOG, Connections, connection_limit, current_connection
from iotcache_tui.web.access import Access
from iotcache_tui.web.session import HEIGHTS, WIDTHS, Session, clamped

MESSAGE_LIMIT_BYTES: Final = 256 * 1024
"""Largest message of a browser: what a person pastes."""
HEARTBEAT_S: Final = 15.0
"""A browser that does not answer a ping within this time is gone."""
CLOSE_S: Final = 1.0
_OURS = Path(__file__).parent / "static"
_THEIRS = Path(textual_serve.__file__).parent / "static"
_HEADERS: Final = {
    # Nothing from elsewhere, and no page of elsewhere around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DashboardServer:
    """Serves the sessions of ``arguments``, at most ``sessions`` at a time, while :meth:`run` runs."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        access: Access,
        *,
        port: int,
        sessions: int,
    ) -> None:
        self._arguments = arguments
        self._environment = environment
        self._access = access
        self._cookie = f"iotcache_{port}"  # browsers keep cookies a host, whatever the port
        self._most = sessions
        self._sessions: set[Session] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self._visits: set[asyncio.Future[None]] = set()

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Serve on a listening socket until ``stop`` is set, then end all sessions."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/ws", self._visit),
                web.get("/download/{key}", self._download),
                web.static("/page", _OURS),
                web.static("/static", _THEIRS),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)
        await runner.setup()
        server = runner.server
        assert server is not None
        connections = Connections(connection_limit(), server, lingering=False)
        accepting = asyncio.create_task(connections.accept(listener), name="web listener")
        try:
            await stop.wait()
        finally:
            await end(accepting)
            listener.close()
            # Closing its socket ends a visit, and a visit takes its session with it.
            await asyncio.gather(*(one.close() for one in self._sockets), return_exceptions=True)
            if self._visits:
                await asyncio.wait(self._visits)
            await runner.cleanup()
            connections.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = current_connection()
        assert connection is not None
        with connection.request(bounded=request.path != "/ws"):
            refused = self._access.refusal(request.headers.get("Host", ""), request.headers.get("Origin"))
            if refused is not None:
                return _text(refused.status, refused.text)
            token = request.query.get("token", "")
            known = self._access.knows(
                token=token,
                authorization=request.headers.get("Authorization", ""),
                cookie=request.cookies.get(self._cookie, ""),
            )
            if not known:
                return _text(401, "the dashboard's address has a token in it: ask whoever started it")
            if token and request.path == "/":
                return self._remembered()
            try:
                response = await handler(request)
            except web.HTTPException as refusal:
                return _text(refusal.status, refusal.reason)
            if not response.prepared:
                response.headers.update(_HEADERS)
            return response

    def _remembered(self) -> web.Response:
        """Takes the token out of the address, where it would be seen and kept, into a cookie."""
        response = web.Response(status=303, headers={"Location": "./", **_HEADERS})
        response.set_cookie(
            self._cookie, self._access.cookie, httponly=True, samesite="Strict",
            secure=self._access.url.startswith("https:"),
        )  # fmt: skip
        return response

    async def _page(self, request: web.Request) -> web.StreamResponse:
        if len(self._sessions) >= self._most:
            return self._full()
        return web.FileResponse(_OURS / "page.html")

    def _full(self) -> web.Response:
        return _text(
            503, f"open already: {plural(self._most, 'session')}, and no more may be: close one, or try again"
        )

    async def _visit(self, request: web.Request) -> web.StreamResponse:
        if len(self._sessions) >= self._most:
            return self._full()
        browser = web.WebSocketResponse(
            timeout=CLOSE_S, heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_LIMIT_BYTES
        )
        session = Session(
            self._arguments,
            self._environment,
            on_data=browser.send_bytes,
            # The page's script follows it in place; as an attachment it does not leave the page.
            on_download=lambda key: browser.send_json(
                ["open_url", {"url": f"download/{key}", "new_tab": False}]
            ),
        )
        self._sessions.add(session)  # before anything is awaited: a burst must not pass the bound
        visit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._visits.add(visit)
        running: asyncio.Task[None] | None = None
        try:
            await browser.prepare(request)
            self._sockets.add(browser)
            await session.start(
                clamped(request.query.get("width"), WIDTHS, 80),
                clamped(request.query.get("height"), HEIGHTS, 24),
            )
            running = asyncio.create_task(self._draw(session, browser), name="web session")
            await _obey(browser, session)
        finally:
            if running is not None:
                await end(running)
            await session.stop()
            self._sockets.discard(browser)
            self._sessions.discard(session)
            self._visits.discard(visit)
            visit.set_result(None)
        return browser

    async def _draw(self, session: Session, browser: web.WebSocketResponse) -> None:
        try:
            await session.run()
        except ConnectionError:
            return  # the visitor has left
        await browser.close()

    async def _download(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        session = next((one for one in self._sessions if key in one.downloads), None)
        if session is None:
            raise web.HTTPNotFound
        offered = session.downloads[key]
        response = web.StreamResponse(
            headers={
                **_HEADERS,
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f'attachment; filename="{_plain(offered.name)}"',
            }
        )
        await response.prepare(request)
        async for chunk in session.download(key):
            await response.write(chunk)
        await response.write_eof()
        return response


async def _obey(browser: web.WebSocketResponse, session: Session) -> None:
    """Hand on what the visitor does, until they leave or send what the page never sends."""
    async for message in browser:
        if message.type is not WSMsgType.TEXT:
            continue
        try:
            kind, data = json.loads(message.data)
        except (ValueError, TypeError, RecursionError):
            await browser.close(code=1007, message=b"not a message of the page")
            return
        if kind == "stdin" and isinstance(data, str):
            await session.type(data)
        elif kind == "resize" and isinstance(data, dict):
            await session.resize(
                clamped(data.get("width"), WIDTHS, 80), clamped(data.get("height"), HEIGHTS, 24)
            )
        elif kind == "ping":
            await browser.send_json(["pong", data])
        elif kind in ("blur", "focus"):
            await session.send_meta({"type": kind})


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"iotcache-tui: {text}\n", headers=_HEADERS)


def _plain(name: str) -> str:
    return "".join(one if one.isascii() and (one.isalnum() or one in "-_.") else "_" for one in name)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on the address. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
