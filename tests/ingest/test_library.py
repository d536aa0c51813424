"""What we need of aiomqtt and paho beyond their documents: a release without it fails here, and only here."""

from __future__ import annotations

import asyncio
import inspect
import socket
from importlib.metadata import requires, version

import aiomqtt
import paho.mqtt.client as paho
import pytest
from packaging.requirements import Requirement

from iotcache.mqtt import library


def test_the_versions_in_use_are_those_that_the_private_names_were_tested_with() -> None:
    needed = {made.name: made for made in map(Requirement, requires("iotcache-tui") or [])}
    for name in ("aiomqtt", "paho-mqtt"):
        assert needed[name].specifier.contains(version(name)), f"{name} {version(name)} is not within bounds"


def test_the_private_names_are_these_two_and_have_these_signatures() -> None:
    assert library.PRIVATE_NAMES == (
        "aiomqtt.Client._client",
        "paho.mqtt.client.Client._create_socket",
    )
    assert str(inspect.signature(paho.Client._create_socket)).startswith("(self)")


async def test_the_private_names_do_what_they_are_used_for() -> None:
    client = aiomqtt.Client("nowhere.invalid", identifier="x", timeout=10)
    inner = client._client
    assert isinstance(inner, paho.Client)
    ours, theirs = socket.socketpair()
    inner._create_socket = lambda: theirs  # type: ignore[method-assign]
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    entering = asyncio.create_task(client.__aenter__())
    async with asyncio.timeout(20):
        assert (await loop.sock_recv(ours, 100)).startswith(b"\x10")
        await loop.sock_sendall(ours, b"\x20\x02\x00\x00")
        await entering
    assert inner.socket() is theirs
    async with asyncio.timeout(20):
        await client.__aexit__(None, None, None)
        assert await loop.sock_recv(ours, 100) == b"\xe0\x00"
    assert inner.socket() is None
    ours.close()


async def test_a_client_that_is_cut_off_while_it_writes_leaves_no_descriptor_watched() -> None:
    loop = asyncio.get_running_loop()
    complaints: list[str] = []
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    for _ in range(3):
        sent: list[bytes] = []
        login = library.Login(client_id="x", version=4, clean_start=True, keep_alive_s=60)
        client = library.LibraryClient(login, 10, sent.append, lambda: None)
        async with asyncio.timeout(20):
            await client.connect()
            while not sent:
                await asyncio.sleep(0.001)
            client.feed(b"\x20\x02\x00\x00")
            await client.connected()
            assert client.publish("a", b"b", 1, retain=False)
            await client.shut(1)
        pairs = [socket.socketpair() for _ in range(4)]  # they get the numbers that are free again
        await asyncio.sleep(0.01)
        ends = [one for pair in pairs for one in pair]
        assert not [one for one in ends if loop.remove_writer(one.fileno())], "they are another's"
        for one in ends:
            one.close()
    assert not complaints


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("disable_logger", []),
        ("socket", []),
        ("loop_write", []),
        ("want_write", []),
        ("disconnect", ["reasoncode", "properties"]),
        ("publish", ["topic", "payload", "qos", "retain", "properties"]),
    ],
)
def test_the_public_methods_of_paho_that_aiomqtt_hides(name: str, parameters: list[str]) -> None:
    signature = inspect.signature(getattr(paho.Client, name))
    assert list(signature.parameters) == ["self", *parameters]


def test_no_other_module_reaches_into_the_libraries() -> None:
    from pathlib import Path

    import iotcache

    for path in Path(iotcache.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if path.name != "library.py":
            assert "aiomqtt" not in text or "import aiomqtt" not in text, path
            assert "paho.mqtt" not in text, path
