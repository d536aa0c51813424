"""Embedded cache nodes: real memcached processes where the program is there, else the bundled Python node."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

from msgspec import Struct

from iotcache.config.schema import CacheSettings
from iotcache.errors import StackError
from iotcache_simulator.processes.process import Exit, Process
from iotcache_simulator.stack.embedded import EmbeddedServer
from iotcache_simulator.stack.ports import LOOPBACK, Port
from iotcache_simulator.stack.probe import memcached_answers, until_answering

_MEMCACHED_DEFAULT_ITEM_BYTES = 1_000_000  # -I 1m holds values up to 1,048,513 bytes less the key
_ITEM_OVERHEAD_BYTES = 512


class NodeProgram(Struct, frozen=True):
    """Which program embedded nodes run, and why."""

    path: str
    """memcached's; empty for the bundled node."""
    why: str

    @property
    def bundled(self) -> bool:
        return not self.path


def choose_program(choice: str, path: str | None = None) -> NodeProgram:
    """The program for ``cache.embedded_server``: ``auto``, ``memcached`` or ``bundled``.

    ``path`` replaces ``$PATH``. Raises :class:`StackError` when memcached is asked for by name and not there.
    """
    if choice == "bundled":
        return NodeProgram("", "cache.embedded_server asks for the bundled node")
    executable = shutil.which("memcached", path=path)
    if executable:
        return NodeProgram(os.path.realpath(executable), f"memcached found at {executable}")
    if choice == "memcached":
        raise StackError(
            "cache.embedded_server asks for memcached, which is not on PATH: "
            'install it, or set cache.embedded_server to "auto" or "bundled"'
        )
    return NodeProgram("", "memcached is not on PATH")


class EmbeddedNode(EmbeddedServer):
    """One cache node on a loopback port that stays its own while the node is restarted."""

    def __init__(self, program: NodeProgram, settings: CacheSettings) -> None:
        super().__init__()
        self.program = program
        self.memory_mb = settings.embedded_memory_mb
        self._max_item_bytes = settings.max_value_bytes + _ITEM_OVERHEAD_BYTES

    @property
    def name(self) -> str:
        """``127.0.0.1:PORT``."""
        return self._port.address

    @property
    def _port(self) -> Port:
        return self._ports[0]

    async def _launch_once(self, on_exit: Callable[[Exit], None]) -> Process:
        # Killed without a grace: nothing in a cache is worth it, and memcached takes a second to leave
        # politely.
        process = Process(
            f"cache node {self.name}",
            self._command(),
            guarded=True,
            user="nobody" if self.program.path and _is_root() else "",
            grace_s=0.0,
            on_exit=on_exit,
        )
        try:
            await process.start()
            await until_answering(process, lambda: memcached_answers(LOOPBACK, self._port.number))
        except BaseException:
            await process.stop()
            raise
        return process

    def _command(self) -> list[str]:
        port, memory = str(self._port.number), str(self.memory_mb)
        large = self._max_item_bytes > _MEMCACHED_DEFAULT_ITEM_BYTES + _ITEM_OVERHEAD_BYTES
        if self.program.bundled:
            module = [sys.executable, "-P", "-m", "iotcache_simulator.cachenode", "--watch-stdin"]
            limit = ["--max-item-bytes", str(self._max_item_bytes)] if large else []
            return [*module, "--listen", LOOPBACK, "--port", port, "--memory-mb", memory, *limit]
        limit = ["-I", str(self._max_item_bytes)] if large else []
        return [self.program.path, "-l", LOOPBACK, "-p", port, "-U", "0", "-m", memory, "-t", "2", *limit]


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
