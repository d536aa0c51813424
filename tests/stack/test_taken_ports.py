"""Another program takes an embedded server's port just before the server listens on it."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from iotcache.config.schema import CacheSettings
from iotcache_simulator.stack.broker import EmbeddedBroker
from iotcache_simulator.stack.embedded import EmbeddedServer, ServerInUse
from iotcache_simulator.stack.nodes import EmbeddedNode, NodeProgram


def taken(address: str) -> socket.socket:
    """A program that listens on ``host:port``, as servers do."""
    host, _, port = address.rpartition(":")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen()
    return listener


@pytest.fixture(
    params=[
        pytest.param("memcached", marks=pytest.mark.real("memcached")),
        "bundled",
        "broker 3.1.1",
        "broker 5",
    ]
)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[EmbeddedServer, str]:
    """A server that has not started yet, and which of its ports is to be taken (a protocol, or none)."""
    if request.param.startswith("broker"):
        return EmbeddedBroker(tmp_path), request.param.partition(" ")[2]
    path = shutil.which("memcached") if request.param == "memcached" else ""
    return EmbeddedNode(NodeProgram(path or "", "for the test"), CacheSettings()), ""


def address(server: EmbeddedServer, protocol: str) -> str:
    if isinstance(server, EmbeddedBroker):
        return server.url(protocol).removeprefix("mqtt://")
    assert isinstance(server, EmbeddedNode)
    return server.name


async def test_a_first_start_goes_on_with_another_port(server: tuple[EmbeddedServer, str]) -> None:
    embedded, protocol = server
    before = address(embedded, protocol)
    with taken(before):
        process = await embedded.launch(lambda _: None)
        try:
            assert process.running
            assert address(embedded, protocol) != before
        finally:
            await process.stop()
            embedded.release()


async def test_a_restart_keeps_the_port_that_others_know_and_says_why_it_cannot(
    server: tuple[EmbeddedServer, str],
) -> None:
    embedded, protocol = server
    process = await embedded.launch(lambda _: None)
    await process.stop()
    before = address(embedded, protocol)
    with taken(before), pytest.raises(ServerInUse):
        await embedded.launch(lambda _: None)
    assert address(embedded, protocol) == before
    process = await embedded.launch(lambda _: None)
    await process.stop()
    embedded.release()
