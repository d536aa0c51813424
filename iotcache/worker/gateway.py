"""The HTTP gateway: readings in by POST, the newest reading out, metrics and health.

Runs inside the ingest process, so that a POST goes the same way as a message: its answer of 200 means
that the readings are committed. On a loopback address it needs no token, and then serves no web page of
another site; anywhere else it demands one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import re
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote

import msgspec

from iotcache.decode.outcomes import Refused
from iotcache.errors import ConfigError, IotCacheError, StackError, StoreError
from iotcache.model import Source
from iotcache.read_json import read_fields
from iotcache.text import printable

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from iotcache.config.schema import HttpSettings
    from iotcache.worker.http_server import HttpServer
    from iotcache.worker.view import WorkerView

log = logging.getLogger(__name__)

BODY_LIMIT_BYTES: Final = 1024 * 1024
COMMIT_WAIT_S: Final = 10.0
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?#\s]+)(?::\d{1,5})?")
BODY_WAIT_S: Final = 10.0
REQUESTS: Final = 64
"""Most requests under way; with the body limit this bounds the memory that they take."""
_LENGTH_DIGITS: Final = 20
_CLOSE: Final = {"Connection": "close"}
_CLOSE_S: Final = 2.0
"""Longest wait for requests under way at the end; the server gives them one second itself."""


class Gateway:
    """An async context manager: inside, :attr:`url` answers. Raises `ConfigError` or `StackError`."""

    def __init__(self, worker: WorkerView, settings: HttpSettings) -> None:
        self.url = ""
        self._worker = worker
        self._token = settings.token
        self._host, self._port = _listen(settings.listen)
        self._loopback = _is_loopback(self._host)
        if not self._loopback and not self._token:
            raise ConfigError(
                f"http.listen {settings.listen!r} can be reached from other machines: set http.token or "
                "http.token_file, or listen on 127.0.0.1"
            )
        self._room = asyncio.Semaphore(REQUESTS)
        self._server: HttpServer | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        # Its libraries take a good part of a second to load; the worker goes on meanwhile.
        make_server = await asyncio.to_thread(_server_class)
        sock = _bind(self._host, self._port)
        started = asyncio.Event()
        self._server = make_server(_as_sent(self._app()), started.set)
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]), name="gateway")
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not started.is_set():
            sock.close()
            raise StackError(f"the HTTP gateway did not start on {self._host}:{self._port}")
        host, port = sock.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None and self._server is not None:
            self._server.should_exit = True
            done, _ = await asyncio.wait({self._task}, timeout=_CLOSE_S)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task})

    # Routes

    def _app(self) -> Starlette:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.routing import Route

        def refused(request: Request, error: Exception) -> Response:
            assert isinstance(error, HTTPException)
            return _problem(error.status_code, str(error.detail))

        def broken(request: Request, error: Exception) -> Response:
            log.error("a request failed: %s: %s", type(error).__name__, error)
            return _problem(500, "an error that was not foreseen; the worker's log says more")

        app = Starlette(
            routes=[
                Route("/v1/readings", self._guarded(self._post_readings), methods=["POST"]),
                Route("/v1/devices/{device}/{sensor}", self._guarded(self._get_reading), methods=["GET"]),
                Route("/metrics", self._guarded(self._get_metrics), methods=["GET"]),
                Route("/openapi.json", self._guarded(self._get_openapi), methods=["GET"]),
                Route("/healthz", self._get_health, methods=["GET"]),
            ],
            exception_handlers={HTTPException: refused, Exception: broken},
        )
        # A redirect of /metrics/ would name whatever host the request's header names.
        app.router.redirect_slashes = False
        return app

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            self._worker.counters.http_requests += 1
            if self._room.locked():
                return _problem(503, "too many requests at once: try again", {"Retry-After": "1"})
            async with self._room:
                return await answer(request)

        return guarded

    def _refusal(self, request: Request) -> Response | None:
        """Why the sender may not ask, if so."""
        if self._token:
            # As bytes: header values are decoded as Latin-1, and a token may be any UTF-8.
            header = next((value for name, value in request.headers.raw if name == b"authorization"), b"")
            kind, _, given = header.partition(b" ")
            valid = hmac.compare_digest(given.strip(), self._token.encode())
            if kind.lower() != b"bearer" or not valid:
                return _problem(401, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})
            return None
        # Without a token, a page in this machine's browser must not reach us: neither by a request of
        # its own nor under a name that it made point here.
        if "origin" in request.headers or not _is_loopback(_host(request)):
            return _problem(403, "requests of web pages, or under another host name, need http.token")
        return None

    async def _post_readings(self, request: Request) -> Response:
        try:
            body = await _body(request)
        except BodyError as error:
            return _problem(error.status, str(error), _CLOSE)
        try:
            readings = self._worker.decode_body(body, time.time_ns() // 1000)
        except Refused as refused:
            return _problem(400, str(refused))
        self._worker.counters.received += 1
        try:
            async with asyncio.timeout(COMMIT_WAIT_S):
                await self._worker.submit(readings, [])
        except StoreError as error:
            return _problem(503, printable(str(error)), {"Retry-After": "1"})
        except TimeoutError:
            return _problem(
                503, "the store has not confirmed them yet: send them again, duplicates do no harm",
                {"Retry-After": "5"},
            )  # fmt: skip
        return _json(200, {"committed": len(readings)})

    async def _get_reading(self, request: Request) -> Response:
        device, sensor = (unquote(request.path_params[name]) for name in ("device", "sensor"))
        cache = self._worker.cache
        if cache is None:
            return _problem(503, self._worker.waiting_for, {"Retry-After": "1"})
        try:
            read = await cache.read(device, sensor)
        except IotCacheError as error:
            return _problem(400, printable(str(error)))
        if read.source is Source.NONE:
            if read.error:
                return _problem(503, printable(read.error), {"Retry-After": "1"})
            return _problem(
                404, f"nothing is known of sensor {printable(sensor, 80)} of device {printable(device, 80)}"
            )
        return _json(200, read_fields(read))

    async def _get_metrics(self, request: Request) -> Response:
        from starlette.responses import Response

        from iotcache.worker.metrics import CONTENT_TYPE, exposition

        return Response(await exposition(self._worker), media_type=CONTENT_TYPE)

    async def _get_openapi(self, request: Request) -> Response:
        from iotcache.worker.openapi import document

        return _json(200, document(self.url))

    async def _get_health(self, request: Request) -> Response:
        waiting = self._worker.waiting_for
        if waiting:
            return _json(503, {"status": "waiting", "waiting_for": waiting})
        return _json(200, {"status": "ok", "waiting_for": ""})


def _json(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import Response

    return Response(
        msgspec.json.encode(content), status, headers=headers, media_type="application/json; charset=utf-8"
    )


def _problem(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return _json(status, {"error": text}, headers)


def _as_sent(app: ASGIApp) -> ASGIApp:
    """The app, its routes looked up by the path as sent: then a name may hold a slash (%2F) or a newline."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            names = [name for name, _ in scope["headers"]]
            if b"content-length" in names and b"transfer-encoding" in names:
                # Two ways to tell a body's end: a proxy before us may follow the other one (RFC 9112, 6.1).
                refusal = _problem(400, "a request has either Content-Length or Transfer-Encoding", _CLOSE)
                await refusal(scope, receive, send)
                return
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await app(scope, receive, send)

    return asked


class BodyError(IotCacheError):
    """A request's body that is not taken."""

    status = 400


class BodyTooLarge(BodyError):
    status = 413

    def __init__(self) -> None:
        super().__init__(f"the body is larger than {BODY_LIMIT_BYTES:,} bytes")


class BodyTooSlow(BodyError):
    status = 408

    def __init__(self) -> None:
        super().__init__(f"the body did not arrive within {BODY_WAIT_S:g} s")


async def _body(request: Request) -> bytes:
    """The request's body, never read past the limit nor waited for long. Raises `BodyError`."""
    from starlette.requests import ClientDisconnect

    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > _LENGTH_DIGITS or int(declared) > BODY_LIMIT_BYTES:
        raise BodyTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise BodyTooLarge
    except TimeoutError:
        raise BodyTooSlow from None
    except ClientDisconnect:
        raise BodyError("the sender left before the body was whole") from None
    return bytes(body)


def _server_class() -> type[HttpServer]:
    """Import the server and its libraries."""
    from starlette import applications, responses, routing

    from iotcache.worker.http_server import HttpServer

    assert applications and responses and routing
    return HttpServer


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"http.listen {text!r} is no HOST:PORT, for instance 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _host(request: Request) -> str:
    """The host that a request names, as it names it: a library may take another one for a malformed name.
    Without any (HTTP/1.0, no browser) the one it came to."""
    named = request.headers.get("host")
    if named is None:
        return request.url.hostname or ""
    found = _HOST.fullmatch(named)
    return found[1] if found is not None else ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # On Windows the option would let two programs share the port.
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise StackError(f"the HTTP gateway cannot listen on {host}:{port}: {error.strerror}") from error
    return sock
