"""``iotcache-tui --serve``: the dashboard in a browser, every visitor with a session of their own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shlex
import sys
import threading
from typing import TYPE_CHECKING

from iotcache.errors import IotCacheError, UsageError
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.schema import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
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


def session_command(read_only: bool) -> str:
    """What each visitor's session runs: this very command line, without ``--serve``."""
    kept: list[str] = []
    skip = False
    arguments = sys.argv[1:]
    for place, argument in enumerate(arguments):
        if skip:
            skip = False
        elif argument == "--serve":
            following = arguments[place + 1] if place + 1 < len(arguments) else "-"
            skip = not following.startswith("-")
        elif not argument.startswith("--serve=") and argument not in ("--read-only", "--no-read-only"):
            kept.append(argument)
    kept.append("--read-only" if read_only else "--no-read-only")
    return shlex.join([sys.executable, "-P", "-m", "iotcache_tui", *kept])


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
        async with Stack(self._settings) as stack:
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
    if isinstance(settings.cache.nodes, str):
        found["IOTCACHE_CACHE_NODES"] = ",".join(real.cache.nodes)
    if settings.store.url == "embedded":
        found["IOTCACHE_STORE_URL"] = real.store.url
    return found


def serve(settings: Settings, where: str, *, read_only: bool) -> int:
    """Serve until Ctrl-C or SIGTERM. Raises `UsageError` for a bad address or without textual-serve."""
    host, port = address(where)
    if importlib.util.find_spec("textual_serve") is None:
        raise UsageError(
            "--serve needs the package textual-serve: pip install 'iotcache-tui[web]', or "
            "in a clone: uv pip install -e '.[web]'"
        )
    from textual_serve.server import Server

    with _Servers(settings) as real:
        os.environ.update(_environment(settings, real))
        shown = f"[{host}]" if ":" in host else host
        print(
            f"http://{shown}:{port}  {'read-only' if read_only else 'with acts that change things'}",
            flush=True,
        )
        if host not in LOOPBACK:
            print(
                "iotcache-tui: whoever reaches this address sees the dashboard: there is no login",
                file=sys.stderr, flush=True,
            )  # fmt: skip
        server = Server(session_command(read_only), host=host, port=port, title="iotcache")
        server.console.quiet = True  # we have said it all
        try:
            server.serve()
        except OSError as error:
            raise IotCacheError(f"cannot listen on {shown}:{port}: {error.strerror}") from error
    return 0
