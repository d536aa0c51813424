"""Asks a freshly started server whether it answers yet."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

from iotcache.errors import StackError
from iotcache_simulator.processes.process import Process

_STEP_S = 0.005
_ATTEMPT_S = 1.0
_CONNACK_ACCEPTED = (b"\x20", 0)


async def until_answering(
    process: Process, ask: Callable[[], Awaitable[bool]], timeout_s: float = 10.0
) -> None:
    """Return once ``ask`` says yes.

    Raises :class:`StackError` when the process ends before, or has not answered after ``timeout_s`` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while loop.time() < deadline:
        if not process.running:
            raise StackError(f"{process.name} ended at start ({(await process.wait()).reason})")
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(_ATTEMPT_S):
                if await ask():
                    return
        await asyncio.sleep(_STEP_S)
    raise StackError(f"{process.name} does not answer after {timeout_s:g} s")


async def memcached_answers(host: str, port: int) -> bool:
    """Whether the cache node answers ``version`` (memcached doc/protocol.txt, "version")."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"version\r\n")
        return (await reader.readline()).startswith(b"VERSION ")
    finally:
        writer.close()


async def mqtt_answers(host: str, port: int, protocol: str) -> bool:
    """Whether the broker accepts an MQTT CONNECT.

    Source: MQTT 3.1.1 and 5.0, sections 3.1 and 3.2 (byte 4 of CONNACK is the return or reason code).
    """
    # Ever new: rumqttd leaves both without an answer when two connections claim one name at the same time.
    client_id = f"probe-{secrets.token_hex(4)}".encode()
    level, properties = (b"\x05", b"\x00") if protocol == "5" else (b"\x04", b"")
    clean_start, keepalive_s = b"\x02", b"\x00\x05"
    body = b"\x00\x04MQTT" + level + clean_start + keepalive_s + properties
    body += len(client_id).to_bytes(2, "big") + client_id
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"\x10" + bytes([len(body)]) + body)
        answer = await reader.readexactly(4)
        writer.write(b"\xe0\x00")
        return (answer[:1], answer[3]) == _CONNACK_ACCEPTED
    finally:
        writer.close()
