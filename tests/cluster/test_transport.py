"""Ways to a node: names with several addresses, IPv6, Unix sockets, TLS, login; and what never shows."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iotcache.cluster import Cluster, SetItem
from iotcache.cluster.wire.answers import LineReply
from iotcache.cluster.wire.connection import Connection, ConnectionLost
from iotcache.cluster.wire.dial import connect, tls_context
from iotcache.config.schema import CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import ConfigError
from iotcache.model import NodeState

from ..conftest import Server, program
from .tools import until

pytestmark = pytest.mark.real("memcached")
SECRET = "correct-horse-battery"


async def works(cluster: Cluster) -> bool:
    set_to = os.urandom(6).hex().encode()
    outcomes = await cluster.set_many([SetItem("k", set_to, 7, 60)])
    (got,) = await cluster.get_many(["k"])
    return outcomes[0].ok and got.value == set_to


async def test_a_name_with_several_addresses_is_tried_to_the_last(
    memcached: Server, over: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def both(host: Any, port: Any, *rest: Any) -> Any:
        if host == "localhost":
            return real("::1", port, *rest) + real("127.0.0.1", port, *rest)
        return real(host, port, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", both)
    async with over(f"localhost:{memcached.port}") as cluster:
        assert await works(cluster)


async def test_ipv6(memcached_factory: Callable[..., Server], over: Any) -> None:
    server = memcached_factory("-l", "::1")
    async with over(f"[::1]:{server.port}") as cluster:
        assert await works(cluster)
        assert cluster.health()[0].name == f"[::1]:{server.port}"


def open_to_all(folder: Path) -> None:
    """Servers that run as nobody must get to it, through however many folders of ours."""
    ours = os.geteuid()
    for path in (folder, *folder.parents):
        if path.stat().st_uid != ours or path == Path(path.anchor) or path == Path(tempfile.gettempdir()):
            return
        path.chmod(path.stat().st_mode | 0o755)


@pytest.fixture
def unix_socket(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "cache.sock"
    tmp_path.chmod(0o777)
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    open_to_all(tmp_path.parent)
    found = program("memcached")
    assert found is not None
    process = subprocess.Popen([found, "-s", str(path), "-a", "0777", *user])
    deadline = time.monotonic() + 5
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    yield str(path)
    process.kill()
    process.wait()


async def test_a_unix_socket(unix_socket: str, over: Any) -> None:
    async with over(unix_socket) as cluster:
        assert await works(cluster)
        assert cluster.node_of("k") == unix_socket


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    open_to_all(tmp_path)
    key.chmod(0o644)
    return cert, key


async def test_tls(
    memcached_factory: Callable[..., Server], certificate: tuple[Path, Path], over: Any
) -> None:
    cert, key = certificate
    server = memcached_factory("-Z", "-o", f"ssl_chain_cert={cert},ssl_key={key}")
    context = tls_context(CacheSettings(tls=True, tls_ca_file=str(cert)))
    async with over(server, tls_context=context, connect_timeout_s=2.0) as cluster:
        assert await works(cluster)
        big = os.urandom(700_000)
        await cluster.set_many([SetItem("big", big, 0, 60)])
        assert (await cluster.get_many(["big"]))[0].value == big
        server.kill()
        await until(lambda: cluster.health()[0].state is NodeState.DOWN)
        server.start()
        await until(lambda: cluster.health()[0].state is NodeState.UP)
        assert await works(cluster)


async def test_a_certificate_that_is_not_trusted_keeps_the_node_out(
    memcached_factory: Callable[..., Server], certificate: tuple[Path, Path], over: Any
) -> None:
    cert, key = certificate
    server = memcached_factory("-Z", "-o", f"ssl_chain_cert={cert},ssl_key={key}")
    async with over(server, tls_context=ssl.create_default_context(), connect_timeout_s=2.0) as cluster:
        assert "not trusted" in cluster.health()[0].reason


async def test_plain_text_at_the_other_end_is_named(memcached: Server, over: Any) -> None:
    async with over(memcached, tls_context=ssl.create_default_context(), connect_timeout_s=1.0) as cluster:
        assert cluster.health()[0].state is not NodeState.UP
        assert cluster.health()[0].reason


def test_a_certificate_file_that_cannot_be_read_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigError, match="tls_ca_file"):
        tls_context(CacheSettings(tls=True, tls_ca_file="/nowhere/ca.pem"))


@pytest.fixture
def guarded(memcached_factory: Callable[..., Server], tmp_path: Path) -> Server:
    open_to_all(tmp_path)
    users = tmp_path / "users"
    users.write_text(f"dash:{SECRET}\n")
    users.chmod(0o644)
    return memcached_factory("-Y", str(users))


async def test_login(guarded: Server, over: Any) -> None:
    async with over(guarded, username="dash", password=SECRET) as cluster:
        assert await works(cluster)


@pytest.mark.parametrize(("username", "password"), [("dash", "wrong"), ("", ""), ("dash", f"{SECRET} x")])
async def test_a_refused_login_is_named_and_the_password_never_shows(
    guarded: Server, over: Any, caplog: pytest.LogCaptureFixture, username: str, password: str
) -> None:
    caplog.set_level(logging.DEBUG)
    async with over(guarded, username=username, password=password) as cluster:
        assert cluster.health()[0].state is not NodeState.UP
        told = repr([cluster, vars(cluster), cluster.health(), asyncio.all_tasks(), caplog.text])
        assert "login" in cluster.health()[0].reason or "unauthenticated" in cluster.health()[0].reason
        assert SECRET not in told
        assert password == "" or password not in told


async def test_settings_make_the_same_cluster(guarded: Server) -> None:
    settings = CacheSettings(
        username="dash", password=SECRET, operation_timeout_s=1.0, placement="rendezvous"
    )
    async with Cluster.from_settings([parse_node(guarded.address)], settings) as cluster:
        assert await works(cluster)


async def test_what_a_closed_connection_has_not_sent_is_never_sent() -> None:
    """Else the kernel sends it when it can, and the node carries it out long after it was fenced."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        address = parse_node(f"127.0.0.1:{listening.getsockname()[1]}")
        connection = await connect(address, Connection, timeout_s=2.0)
        accepted, _ = await loop.sock_accept(listening)
        with accepted:
            sent = connection.submit(b"v" * (8 << 20), LineReply(), 2.0)
            assert await loop.sock_recv(accepted, 1)  # on its way, and more than both kernels hold
            connection.close()
            with pytest.raises(ConnectionResetError):
                while await loop.sock_recv(accepted, 1 << 20):
                    pass
            with pytest.raises(ConnectionLost):
                await sent


async def test_something_else_on_the_port_is_named(over: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-\x1b[31mOpenSSH\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with over(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as cluster:
            reason = cluster.health()[0].reason
            assert reason and reason.isprintable() and "\x1b" not in reason
    finally:
        server.close()
