"""Asks a freshly started server whether it answers yet."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

from iotcache.errors import StackError
from iotcache.mqtt.codec import Connack, Connect, Disconnect, MalformedPacket, Version, decode_packet
from iotcache_simulator.processes.process import Process

_STEP_S = 0.005
_ATTEMPT_S = 1.0


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
    """Whether the broker accepts an MQTT CONNECT."""
    version: Version = 5 if protocol == "5" else 4
    # Ever new: rumqttd leaves both without an answer when two connections claim one name at the same time.
    hello = Connect(f"probe-{secrets.token_hex(4)}", version, keep_alive_s=5)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(hello.encode())
        head = await reader.readexactly(2)
        # The length of a CONNACK is one byte, or what answers is no broker that a stack starts.
        answer = decode_packet(head + await reader.readexactly(head[1]), version)
        writer.write(Disconnect().encode(version))
        return isinstance(answer, Connack) and answer.code == 0
    except MalformedPacket:
        return False
    finally:
        writer.close()
