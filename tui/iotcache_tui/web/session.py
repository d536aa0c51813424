"""A visitor's session: a process with the dashboard in it, spoken to in the frames of Textual's web driver.

A frame is a type byte (``D`` terminal data, ``M`` JSON, ``P`` a packed value), four bytes of length,
big-endian, and the payload; see ``textual.drivers.web_driver``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from textual._binary_encode import load as unpack

WIDTHS: Final = (20, 400)
HEIGHTS: Final = (6, 200)
"""Fewest and most columns and rows: a screen is drawn cell by cell, and its memory grows with them."""
QUIT_WAIT_S: Final = 3.0
"""How long a session may take to leave in good order, and again to obey SIGTERM."""
FRAME_LIMIT_BYTES: Final = 16 * 1024 * 1024
DOWNLOAD_WAIT_S: Final = 5.0
_CHUNK_BYTES: Final = 64 * 1024


def clamped(value: object, bounds: tuple[int, int], default: int) -> int:
    """A size that a browser asks for, within bounds; ``default`` for what is no whole number."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return default
    return max(bounds[0], min(bounds[1], value))


class Download:
    """A file on its way from a session to its visitor."""

    def __init__(self, name: str, mime_type: str) -> None:
        self.name = name
        self.mime_type = mime_type
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue(4)


class Session:
    """The process of one visitor. :meth:`run` it; whatever happens, :meth:`stop` it, once that has ended."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        on_data: Callable[[bytes], Awaitable[object]],
        on_download: Callable[[str], Awaitable[object]],
    ) -> None:
        self._arguments = arguments
        self._environment = environment
        self._on_data = on_data
        self._on_download = on_download
        self._process: asyncio.subprocess.Process | None = None
        self.downloads: dict[str, Download] = {}

    async def start(self, width: int, height: int) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "iotcache_tui.web.child", str(os.getpid()), *self._arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_CHUNK_BYTES * 4,
            env={
                **os.environ, **self._environment,
                "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver", "TEXTUAL_FPS": "60",
                "TEXTUAL_COLOR_SYSTEM": "truecolor", "TERM_PROGRAM": "textual",
                "COLUMNS": str(width), "ROWS": str(height),
            },
        )  # fmt: skip

    async def run(self) -> None:
        """Hand on what the session draws until it ends."""
        assert self._process is not None
        assert self._process.stdout is not None
        read = self._process.stdout
        with contextlib.suppress(asyncio.IncompleteReadError, ValueError):
            while await read.readuntil(b"\n") != b"__GANGLION__\n":
                pass  # what libraries print before the driver takes over
            while True:
                kind = await read.readexactly(1)
                size = int.from_bytes(await read.readexactly(4), "big")
                if size > FRAME_LIMIT_BYTES:
                    return
                payload = await read.readexactly(size)
                if kind == b"D":
                    await self._on_data(payload)
                elif kind == b"M" and not await self._take_meta(json.loads(payload)):
                    return
                elif kind == b"P":
                    await self._take_packed(unpack(payload))

    async def type(self, text: str) -> None:
        await self._send(b"D", text.encode("utf-8", "replace"))

    async def resize(self, width: int, height: int) -> None:
        await self.send_meta({"type": "resize", "width": width, "height": height})

    async def send_meta(self, meta: Mapping[str, object]) -> None:
        await self._send(b"M", json.dumps(meta).encode())

    async def download(self, key: str) -> AsyncIterator[bytes]:
        """The chunks of a file that the session offered; ends where it has ended or does not come."""
        waiting = self.downloads[key]
        try:
            while True:
                await self.send_meta({"type": "deliver_chunk_request", "key": key, "size": _CHUNK_BYTES})
                async with asyncio.timeout(DOWNLOAD_WAIT_S):
                    chunk = await waiting.chunks.get()
                if not chunk:
                    return
                yield chunk
        except TimeoutError:
            return
        finally:
            self.downloads.pop(key, None)

    async def stop(self) -> None:
        """End the process: politely, then by force. Returns once it is gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        steps: tuple[Callable[[], object], ...] = (process.terminate, process.kill)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIT_WAIT_S):
                await self.send_meta({"type": "quit"})
                # Not read any more, its pipe would keep it from ending.
                assert process.stdout is not None
                while await process.stdout.read(_CHUNK_BYTES):
                    pass
                await process.wait()
        for end in steps:
            if process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIT_WAIT_S):
                    await process.wait()

    async def _send(self, kind: bytes, payload: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._process.stdin.write(kind + len(payload).to_bytes(4, "big") + payload)
            await self._process.stdin.drain()

    async def _take_meta(self, meta: Mapping[str, Any]) -> bool:
        """Whether the session goes on. It has no links, so ``open_url`` is not among what it may want."""
        if meta.get("type") == "deliver_file_start":
            key = str(meta["key"])
            name = os.path.basename(str(meta["path"]))  # noqa: PTH119 (a name, no file)
            self.downloads[key] = Download(name, str(meta.get("mime_type") or "application/octet-stream"))
            await self._on_download(key)
        return meta.get("type") != "exit"

    async def _take_packed(self, packed: Any) -> None:
        if isinstance(packed, tuple) and len(packed) == 3 and packed[0] == "deliver_chunk":
            waiting = self.downloads.get(packed[1])
            if waiting is not None:
                chunk = packed[2]
                await waiting.chunks.put(chunk.encode() if isinstance(chunk, str) else chunk)
