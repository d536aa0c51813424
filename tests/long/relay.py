"""A relay between a program and a memcached, which notes every command and can be cut through."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from typing import Literal

Mode = Literal["open", "refused", "hangs"]
COMMANDS_MOST = 10_000


class Relay:
    """Listens on a port of its own, in a thread of its own; ``mode`` says what becomes of connections."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self.commands: Counter[str] = Counter()
        """How often each command was sent, keys left out: ``mg v t f u``, ``stats slabs``."""
        self.port = 0
        self._mode: Mode = "open"
        self._links: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._listen())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def turn(self, mode: Mode) -> None:
        """Let all pass, refuse everybody, or take connections and answer nothing."""
        self._call(self._turn(mode))

    def close(self) -> None:
        self._call(self._turn("refused"))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _call(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _turn(self, mode: Mode) -> None:
        was, self._mode = self._mode, mode
        if mode == "refused" and self._server is not None:
            self._server.close()
            for link in list(self._links):
                link.transport.abort()
        elif was == "refused":
            await self._listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._links.add(there_writer)
            await asyncio.gather(
                self._forward(reader, there_writer, counted=True),
                self._forward(there_reader, writer, counted=False),
            )
            self._links.discard(there_writer)
        self._links.discard(writer)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                while self._mode == "hangs":
                    await asyncio.sleep(0.05)
                if counted:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._note(line)
                writer.write(data)
                await writer.drain()
        writer.close()

    def _note(self, line: bytes) -> None:
        words = line.decode("ascii", "replace").split() or ["(data)"]
        keyed = len(words) > 1 and words[0] not in ("stats", "lru_crawler", "watch", "verbosity")
        name = " ".join([words[0], *words[2:]] if keyed else words)
        if len(self.commands) < COMMANDS_MOST or name in self.commands:
            self.commands[name] += 1
