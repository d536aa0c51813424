"""Strangers who connect and idle, dribble or flood keep nobody out, and leave descriptors to the worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from iotcache.worker import connections
from iotcache.worker.gateway import REQUESTS
from tests.conftest import Server, free_port
from tests.gateway.door import READING, Open
from tests.stack.living import until

pytestmark = pytest.mark.real("memcached")


@contextmanager
def strangers(port: int, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that send ``data`` and nothing more."""
    with ExitStack() as exits:
        found = []
        for _ in range(count):
            one = exits.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            if data:
                one.sendall(data)
            found.append(one)
        yield found


@pytest.mark.parametrize("data", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "half"])
async def test_idle_strangers_keep_nobody_out(door: Open, data: bytes) -> None:
    http = await door(token="t")
    with strangers(http.port, 300, data):
        for _ in range(3):
            assert (await http.ask("GET", "/healthz")).json["waiting_for"].startswith("broker")
            assert (await http.post(READING, Authorization="Bearer t")).status == 200


async def test_strangers_in_a_stream_keep_nobody_out(door: Open) -> None:
    http = await door()
    stop = asyncio.Event()

    async def stream() -> None:
        held: list[asyncio.StreamWriter] = []
        while not stop.is_set():
            _, writer = await asyncio.open_connection(http.host, http.port)
            held.append(writer)
            if len(held) > 260:
                held.pop(0).close()
        for writer in held:
            writer.close()

    streaming = asyncio.create_task(stream())
    try:
        for _ in range(20):
            assert (await http.post(READING)).status == 200
    finally:
        stop.set()
        await streaming


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the gateway ends the connection; a reset is an end, too."""
    async with asyncio.timeout(8):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
async def test_a_header_is_not_waited_for_long(
    door: Open, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_WAIT_S", 0.3)
    http = await door()
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(first)

    async def dribble() -> None:
        while first:
            await asyncio.sleep(0.05)
            writer.write(b"x")  # a byte now and then buys no time

    dribbling = asyncio.create_task(dribble())
    assert await _rest(reader) == b""
    dribbling.cancel()
    writer.close()


async def test_a_connection_kept_alive_is_not_kept_for_long(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_WAIT_S", 0.5)
    http = await door()
    reader, writer = await asyncio.open_connection(http.host, http.port)
    for _ in range(2):
        writer.write(f"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1:{http.port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
    writer.write(b"GET /op")
    await _rest(reader)
    writer.close()


async def test_a_request_is_not_served_for_ever(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWER_WAIT_S", 0.4)
    http = await door()
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(
        f"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1:{http.port}\r\nContent-Length: 9\r\n\r\n".encode()
    )
    assert await _rest(reader) == b""
    writer.close()
    assert (await http.post(READING)).status == 200


async def test_so_many_requests_are_under_way_and_no_more(
    door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    http = await door()
    begun = f"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1:{http.port}\r\nContent-Length: 9\r\n\r\n"
    with strangers(http.port, REQUESTS, begun.encode()):
        async with asyncio.timeout(8):
            while http.worker.counters.http_requests < REQUESTS:
                await asyncio.sleep(0.01)
        refused = await http.post(READING)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "waiting_for" in (await http.ask("GET", "/healthz")).json
    # All of them leave amid their bodies: that is no failure of ours, and no line in the log.
    async with asyncio.timeout(8):
        while (await http.post(READING)).status != 200:
            await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class _Silent(asyncio.Protocol):
    """Takes whatever comes and never begins a request: a parser without bounds of its own."""


async def _listening(limit: int) -> tuple[connections.Connections, asyncio.Task[None], int]:
    pool = connections.Connections(limit, _Silent)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(connections.BACKLOG)
    listener.setblocking(False)
    return pool, asyncio.create_task(pool.accept(listener)), listener.getsockname()[1]


async def test_a_header_without_end_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    pool, accepting, port = await _listening(4)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(ConnectionError):
        for _ in range(1_000):
            writer.write(b"x" * 65_536)
            await writer.drain()
            if reader.at_eof():
                raise ConnectionResetError
    accepting.cancel()
    pool.close()
    writer.close()


async def test_a_newcomer_takes_the_place_of_the_one_that_waited_longest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, connections.__name__)
    pool, accepting, port = await _listening(3)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
    for reader, _ in opened[:5]:
        assert await _rest(reader) == b""
    assert not any(reader.at_eof() for reader, _ in opened[5:])
    assert len(pool) == 3
    assert len(caplog.messages) == 1
    accepting.cancel()
    pool.close()
    for _, writer in opened:
        writer.close()


_STARVED = """
import asyncio, logging, resource, socket
from iotcache.worker.connections import Connections

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
logging.basicConfig(level="INFO")

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def main():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    listener.setblocking(False)
    pool = Connections(10_000, Echo)
    print(listener.getsockname()[1], flush=True)
    await pool.accept(listener)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are bounded by POSIX limits")
def test_accept_errors_are_told_once_and_outlived() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _STARVED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(process.stdout.readline())
        with strangers(port, 150):
            # The strangers give way one by one, a second each.
            assert "cannot take a connection" in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port), 20) as later:
            later.sendall(b"hello")
            assert later.recv(5) == b"hello"
    finally:
        process.kill()
        _, rest = process.communicate()
    assert len(rest.splitlines()) < 10


@pytest.mark.real("mosquitto")
@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are bounded by POSIX limits")
def test_a_worker_short_of_descriptors_reconnects_while_strangers_hold_its_door(
    memcached: Server, mosquitto: Server, tmp_path: Path
) -> None:
    import resource

    port = free_port()
    log = tmp_path / "worker.log"

    def scarce() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    with log.open("wb") as out:
        worker = subprocess.Popen(
            [
                sys.executable, "-m", "iotcache_tui", "ingest", "--broker", f"mqtt://{mosquitto.address}",
                "--nodes", memcached.address, "--store", f"sqlite:///{tmp_path}/r.db",
                "--http", f"127.0.0.1:{port}",
            ],
            stdout=out, stderr=out, preexec_fn=scarce, env=os.environ | {"NO_COLOR": "1"},
        )  # fmt: skip

    def health() -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as asked:
                asked.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return asked.makefile("rb").read()
        except OSError:
            return b""

    try:
        assert until(lambda: b"200 OK" in health(), 20)
        with strangers(port, 400):
            assert b"200 OK" in health()
            mosquitto.kill()
            memcached.kill()
            assert until(lambda: b"503" in health(), 20)
            mosquitto.start()
            memcached.start()
            assert until(lambda: b"200 OK" in health(), 30)
    finally:
        worker.kill()
        worker.wait(10)
    assert log.stat().st_size < 20_000


@pytest.mark.real("memcached")
@pytest.mark.parametrize("framing", [b"Content-Length: 9999999", b"Transfer-Encoding: chunked"])
async def test_who_sends_too_large_a_body_whole_is_told_so(door: Open, framing: bytes) -> None:
    http = await door()
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(b"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1\r\n" + framing + b"\r\n\r\n")
    chunk = b" " * 0x10000
    for _ in range(40):
        writer.write(b"10000\r\n" + chunk + b"\r\n" if b"chunked" in framing else chunk)
        await writer.drain()
    async with asyncio.timeout(15):
        answer = await reader.read()  # to the end: a connection that is reset would raise here
    assert answer.startswith(b"HTTP/1.1 413 ")
    writer.close()


@pytest.mark.real("memcached")
async def test_who_goes_on_sending_after_the_answer_is_not_listened_to_for_long(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iotcache.worker.connections.LINGER_S", 0.1)
    http = await door()
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(b"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999\r\n\r\n")
    with pytest.raises(OSError):
        async with asyncio.timeout(30):
            while True:
                writer.write(b" " * 0x10000)
                await writer.drain()
    with contextlib.suppress(OSError):
        assert b" 413 " in await reader.readline()
    assert (await http.ask("GET", "/healthz")).status in (200, 503)
