"""``iotcache-tui --serve``: the dashboard in a browser, every visitor with a session of their own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from iotcache.config.parts import observes, without_idle_parts
from iotcache.errors import IotCacheError, UsageError
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache_tui.web.server import DashboardServer

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANY = ("0.0.0.0", "::")  # noqa: S104 (names of it, nothing listens here)
SESSIONS_MAX = 100
READY_S = 30.0


def address(text: str) -> tuple[str, int]:
    """``host:port``, ``[v6]:port``, a port or a host. Raises `UsageError`."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = ("127.0.0.1", text) if text.isdigit() else (text, "8000")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(
            f"--serve is '{printable(text, 60)}', allowed is HOST:PORT with a port of 1 to 65535"
        )
    return host, int(port)


def session_arguments(read_only: bool) -> list[str]:
    """What each visitor's session is started with: this command line, without ``--serve`` and its like."""
    kept: list[str] = []
    skip = False
    for argument in sys.argv[1:]:
        if skip and not argument.startswith("-"):
            skip = False
            continue
        skip = argument.startswith("--serv") and "=" not in argument
        if not argument.startswith("--serv") and argument not in ("--read-only", "--no-read-only"):
            kept.append(argument)
    return [*kept, "--read-only" if read_only else "--no-read-only"]


class _Servers:
    """The embedded servers, started once for all sessions, in a thread with a loop of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self.settings = settings
        self._thread = threading.Thread(target=self._run, name="stack", daemon=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        from iotcache_simulator.stack.stack import Stack

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with Stack(self._settings, readers=True) as stack:
            self.settings = stack.settings
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Settings:
        self._thread.start()
        if not self._ready.wait(READY_S):
            raise IotCacheError("the embedded servers did not start in time")
        if self._error is not None:
            raise self._error
        return self.settings

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10.0)


def _environment(settings: Settings, real: Settings) -> dict[str, str]:
    """Where the embedded servers are, for the sessions. No secret is in it: embedded servers have none."""
    found: dict[str, str] = {}
    if settings.broker.url == "embedded":
        found["IOTCACHE_BROKER_URL"] = real.broker.url
    if isinstance(settings.cache.nodes, str) and not isinstance(real.cache.nodes, str):
        found["IOTCACHE_CACHE_NODES"] = ",".join(real.cache.nodes)
    if settings.store.url == "embedded":
        found["IOTCACHE_STORE_URL"] = real.store.url
    found["IOTCACHE_DASHBOARD_OBSERVE"] = "true" if observes(settings) else "false"
    return found


class ServeOptions(Struct, frozen=True):
    """What the command line says of the server, as typed."""

    where: str
    url: str = ""
    token: str | None = None
    """``None``: no token; empty: one is made up."""
    sessions: int = 8
    read_only: bool = True


def serve(settings: Settings, options: ServeOptions) -> int:
    """Serve until Ctrl-C or SIGTERM. Raises `UsageError` for options that cannot be used, or without
    textual-serve, whose scripts the page needs."""
    host, port = address(options.where)
    if not 1 <= options.sessions <= SESSIONS_MAX:
        raise UsageError(f"--serve-sessions is {options.sessions}, allowed is 1 to {SESSIONS_MAX}")
    if importlib.util.find_spec("textual_serve") is None:
        raise UsageError(
            "--serve needs the package textual-serve: pip install 'iotcache-tui[web]', or "
            "in a clone: uv pip install -e '.[web]'"
        )
    from iotcache_tui.web.access import Access, checked_token, checked_url
    from iotcache_tui.web.server import DashboardServer, listening_socket

    machine = socket.gethostname()
    access = Access(
        names=frozenset({"localhost", host.lower(), machine.lower()}),
        loopback=host in LOOPBACK,
        url=checked_url(options.url) if options.url else "",
        token="" if options.token is None else checked_token(options.token),
    )
    try:
        listener = listening_socket(host, port)
    except OSError as error:
        raise IotCacheError(f"cannot listen on {_shown(host)}:{port}: {error.strerror}") from error
    settings = without_idle_parts(settings)
    with listener, _Servers(settings) as real:
        server = DashboardServer(
            session_arguments(options.read_only),
            _environment(settings, real),
            access,
            port=port,
            sessions=options.sessions,
        )
        page = access.url or f"http://{_shown(machine if host in ANY else host)}:{port}"
        shown = f"{page}/?token={access.token}" if access.token else page
        print(f"{shown}  {'read-only' if options.read_only else 'with acts that change things'}", flush=True)
        if host not in LOOPBACK and not access.token:
            print(
                "iotcache-tui: whoever reaches this address sees the dashboard: see --serve-token",
                file=sys.stderr, flush=True,
            )  # fmt: skip
        asyncio.run(_until_stopped(server, listener))
    return 0


async def _until_stopped(server: DashboardServer, listener: socket.socket) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows
            loop.add_signal_handler(getattr(signal, name), stop.set)
    await server.run(listener, stop)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
