"""The dashboard as a page in a browser: who may have it, what a visitor can do to the server, and its end."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from iotcache.config.schema import BrokerSettings, Settings
from iotcache.errors import UsageError
from iotcache_tui.cli.main import main
from iotcache_tui.cli.serving import _environment, address, session_arguments
from iotcache_tui.web.access import Access, checked_token, checked_url
from iotcache_tui.web.session import WIDTHS, clamped
from tests.cli.conftest import TUI
from tests.conftest import free_port
from tests.stack.living import all_gone, children, kill_quietly

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:9", ("127.0.0.1", 9)),
        ("8123", ("127.0.0.1", 8123)),
        ("[::1]:80", ("::1", 80)),
        (":80", ("127.0.0.1", 80)),
    ],
)
def test_addresses_to_serve_on(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found


def test_a_bad_address_is_a_usage_mistake() -> None:
    for text in ("a:b", "x:0", "x:99999"):
        with pytest.raises(UsageError, match="HOST:PORT"):
            address(text)


def test_sessions_are_this_command_line_read_only_and_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["iotcache-tui", "--serve", "127.0.0.1:1", "--config", "a b", "--serve=x"]
    )
    assert session_arguments(read_only=True) == ["--config", "a b", "--read-only"]
    monkeypatch.setattr(
        sys, "argv",
        ["iotcache-tui", "--no-read-only", "--serve", "--serve-tok", "secret", "--serve-url=u", "--ascii"],
    )  # fmt: skip
    assert session_arguments(read_only=False) == ["--ascii", "--no-read-only"]
    asked = Settings(broker=BrokerSettings(url="mqtt://u:secret@h"))
    real = Settings()
    assert "secret" not in str(_environment(asked, real))


async def _what_the_browser_got(url: str, profile: Path, until: tuple[str, ...]) -> str:
    """Opens ``url`` in Chromium; everything its web sockets received until all of ``until`` was there."""
    browser = await asyncio.create_subprocess_exec(
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        "--window-size=1200,800", f"--user-data-dir={profile}", "about:blank",
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert browser.stderr is not None
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            port = ""
            while not port:
                line = (await browser.stderr.readline()).decode()
                port = line.split(":")[2].split("/")[0] if "DevTools listening" in line else ""
            async with http.get(f"http://127.0.0.1:{port}/json") as answer:
                page = next(one for one in await answer.json() if one["type"] == "page")
            got = ""
            async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as tools:
                await tools.send_json({"id": 1, "method": "Network.enable"})
                await tools.send_json({"id": 2, "method": "Page.navigate", "params": {"url": url}})
                async for message in tools:
                    event = json.loads(message.data)
                    if event.get("method") == "Network.webSocketFrameReceived":
                        frame = event["params"]["response"]
                        payload = frame["payloadData"]
                        got += (
                            base64.b64decode(payload).decode(errors="replace")
                            if frame["opcode"] == 2
                            else payload
                        )
                        if all(word in got for word in until):
                            break
            return got
    finally:
        browser.kill()
        await browser.wait()


@pytest.mark.long
@pytest.mark.real("chromium")
async def test_a_browser_shows_the_live_fleet_read_only(stack: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        *TUI, "--serve", str(port), "--set", "cache.embedded_server=bundled",
        "--set", "simulator.devices=6", stdout=asyncio.subprocess.PIPE, env=stack,
    )  # fmt: skip
    assert server.stdout is not None
    assert f"http://127.0.0.1:{port}  read-only" in (await server.stdout.readline()).decode()
    got = await _what_the_browser_got(
        f"http://127.0.0.1:{port}/", tmp_path / "profile", ("iotcache", "Hit ratio", "LIVE", "-0001", "cache")
    )
    assert "Fleet" in got
    server.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(server.wait(), 20) == 0


Process = Any
"""`asyncio.subprocess.Process`, or `subprocess.Popen` for a server that several tests share."""


class Page:
    """A server of the dashboard, in a folder and with preferences of its own."""

    def __init__(self, process: Process, port: int, first: str, folder: Path) -> None:
        self.process = process
        self.port = port
        self.first = first
        self.folder = folder
        self.base = f"127.0.0.1:{port}"

    def sessions(self) -> set[int]:
        """The processes of its visitors."""
        return {
            pid for pid in children(self.process.pid)
            if "iotcache_tui.web.child" in Path(f"/proc/{pid}/cmdline").read_text()
        }  # fmt: skip


Serve = Callable[..., Coroutine[Any, Any, Page]]


@pytest.fixture
async def serve(stack: dict[str, str], tmp_path: Path) -> AsyncIterator[Serve]:
    """``await serve(*flags)``"""
    async with AsyncExitStack() as exits:

        async def started(*flags: str, where: str = "127.0.0.1") -> Page:
            port = free_port()
            folder = tmp_path / "here"
            folder.mkdir()
            process = await asyncio.create_subprocess_exec(
                *TUI, "--serve", f"{where}:{port}", *flags,
                "--broker", stack["BROKER"], "--nodes", stack["NODES"], "--store", stack["STORE"],
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=folder,
                env=stack | {"XDG_STATE_HOME": str(tmp_path / "state")},
            )  # fmt: skip

            async def end() -> None:
                if process.returncode is None:
                    left = children(process.pid)
                    process.kill()
                    await process.wait()
                    kill_quietly(left)

            exits.push_async_callback(end)
            assert process.stdout is not None
            async with asyncio.timeout(30):
                first = (await process.stdout.readline()).decode()
            return Page(process, port, first, folder)

        yield started


@pytest.fixture(scope="module")
def shared(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A server without flags, for tests that leave it as it was."""
    port, folder = free_port(), tmp_path_factory.mktemp("shared")
    with subprocess.Popen(
        [*TUI, "--serve", f"127.0.0.1:{port}", "--broker", stack["BROKER"], "--nodes", stack["NODES"],
         "--store", stack["STORE"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
        env=stack | {"XDG_STATE_HOME": str(folder)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield Page(process, port, process.stdout.readline().decode(), folder)
        process.terminate()
        assert process.communicate(timeout=30)[1] == b""


async def _screen(socket: Any, until_there: str) -> str:
    """What the terminal was sent until a text was in it."""
    got = ""
    async with asyncio.timeout(30):
        async for message in socket:
            got += message.data.decode(errors="replace") if isinstance(message.data, bytes) else message.data
            if until_there in got:
                return got
    raise AssertionError(f"no {until_there!r} in {got[-500:]}")


async def test_pages_of_other_sites_and_other_names_get_nothing(shared: Page) -> None:
    page = shared
    async with aiohttp.ClientSession() as http:
        for path in ("/", "/ws", "/static/js/textual.js"):
            for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
                async with http.get(f"http://{page.base}{path}", headers=headers) as answer:
                    assert answer.status == 403
                    assert "--serve-url" in await answer.text()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"ws://{page.base}/ws", headers={"Origin": "http://evil.example"})
        assert refused.value.status == 403
        assert all_gone(page.sessions())
        async with http.ws_connect(f"ws://{page.base}/ws", headers={"Origin": f"http://{page.base}"}) as ours:
            await _screen(ours, "Hit ratio")


async def test_the_page_names_no_address_and_takes_nothing_from_elsewhere(serve: Serve) -> None:
    page = await serve("--serve-url", "https://fleet.example/iot/")
    assert page.first.startswith("https://fleet.example/iot  read-only")
    async with aiohttp.ClientSession() as http:
        for path in ("/", "/page/page.js", "/page/page.css"):
            async with http.get(f"http://{page.base}{path}") as answer:
                assert answer.status == 200
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                text = await answer.text()
                assert "://" not in text
                assert str(page.port) not in text
        # A proxy asks under our address, on behalf of a page of its own.
        for host in (page.base, "fleet.example"):
            headers = {"Origin": "https://fleet.example", "Host": host}
            async with http.ws_connect(f"ws://{page.base}/ws", headers=headers) as socket:
                await _screen(socket, "iotcache")
        for path in ("/static/", "/page/", "/static/..%2f..%2fserver.py"):
            async with http.get(f"http://{page.base}{path}") as answer:
                assert answer.status in (403, 404)


async def test_a_screen_has_bounds_whatever_a_browser_asks_for(shared: Page) -> None:
    page = shared
    assert all_gone(page.sessions())
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{page.base}/ws?width=100000000&height=-5") as socket,
    ):
        await _screen(socket, "\x1b[?1049h")
        (pid,) = page.sessions()
        environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
        assert f"COLUMNS={WIDTHS[1]}" in environment
        for size in ({"width": 10**9, "height": 10**9}, {"width": "x"}, {}, {"width": None, "height": True}):
            await socket.send_json(["resize", size])
        await socket.send_json(["ping", "still there"])
        await _screen(socket, "still there")
        await socket.send_str("no message of the page")
        async with asyncio.timeout(20):
            async for _ in socket:
                pass
    assert all_gone([pid], 20)


async def test_there_are_so_many_sessions_and_no_more(serve: Serve) -> None:
    page = await serve("--serve-sessions", "1")
    async with aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"ws://{page.base}/ws")
        await _screen(socket, "iotcache")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"ws://{page.base}/ws")
        assert refused.value.status == 503
        async with http.get(f"http://{page.base}/") as answer:
            assert (answer.status, "open already: 1 session" in await answer.text()) == (503, True)
        pids = page.sessions()
        assert len(pids) == 1
        await socket.close()
        assert all_gone(pids, 20)
        async with asyncio.timeout(20):
            while True:
                try:
                    again = await http.ws_connect(f"ws://{page.base}/ws")
                    break
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.05)
        await again.close()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGKILL]
)
async def test_sessions_end_with_the_server(serve: Serve, number: signal.Signals) -> None:
    page = await serve()
    count = 2 if number == signal.SIGKILL else 1
    async with aiohttp.ClientSession() as http:
        opened = [await http.ws_connect(f"ws://{page.base}/ws", autoping=False) for _ in range(count)]
        for socket in opened:
            await _screen(socket, "iotcache")
        pids = page.sessions()
        assert len(pids) == count
        page.process.send_signal(number)
        _, told = await asyncio.wait_for(page.process.communicate(), 30)
        assert page.process.returncode == (-number if number == signal.SIGKILL else 0)
        assert all_gone(pids, 10)
        assert told == b""


async def test_with_a_token_only_who_has_it_gets_in(serve: Serve) -> None:
    page = await serve("--serve-token")
    address_of_page = page.first.split()[0]
    token = address_of_page.partition("?token=")[2]
    assert len(token) > 30
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        for path, headers in (
            ("/", {}), ("/ws", {}), ("/static/js/textual.js", {}), ("/?token=wrong", {}),
            ("/", {"Authorization": "Bearer wrong"}), ("/", {"Cookie": f"iotcache_{page.port}={token}"}),
        ):  # fmt: skip
            async with http.get(f"http://{page.base}{path}", headers=headers) as answer:
                assert answer.status == 401
        async with http.get(f"http://{page.base}/ws", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 400  # let in, and no web socket
        async with http.get(address_of_page, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "./")
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert token not in cookie
        async with http.ws_connect(f"ws://{page.base}/ws") as socket:
            await _screen(socket, "Hit ratio")
        (pid,) = page.sessions()
        assert token not in Path(f"/proc/{pid}/cmdline").read_text()
        assert token not in Path(f"/proc/{pid}/environ").read_text()


async def test_a_visitor_leaves_nothing_on_the_server(serve: Serve, tmp_path: Path) -> None:
    page = await serve()
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{page.base}/ws?width=140&height=40") as socket,
    ):
        await _screen(socket, "LIVE")
        for key in ("s", "l"):  # another order, another panel: what a user's preferences are made of
            await socket.send_json(["stdin", key])
        await socket.send_json(["stdin", "\x05"])
        await _screen(socket, "Download")
        await socket.send_json(["stdin", "\r"])
        got = await _screen(socket, '"open_url"')
        offered = json.loads(got[got.index('["open_url"') :].partition("]")[0] + "]")[1]
        assert offered["url"].startswith("download/")
        async with http.get(f"http://{page.base}/{offered['url']}") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Disposition"].startswith('attachment; filename="iotcache-fleet-')
            assert "device" in (await answer.text()).splitlines()[0].lower()
        async with http.get(f"http://{page.base}/{offered['url']}") as answer:
            assert answer.status == 404  # once
    page.process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(page.process.communicate(), 30)
    assert not list(page.folder.iterdir())
    assert not list((tmp_path / "state").rglob("dashboard.json"))


@pytest.mark.parametrize(
    ("access", "host", "origin", "status"),
    [
        (Access(), "127.0.0.1:8000", None, 0),
        (Access(), "localhost:9000", "http://localhost:9000", 0),
        (Access(), "[::1]:8000", "http://[::1]:8000", 0),
        (Access(), "127.0.0.1:8000", "http://127.0.0.1:8001", 403),
        (Access(), "127.0.0.1:8000", "http://localhost:8000", 403),
        (Access(), "127.0.0.1:8000", "https://127.0.0.1:8000", 403),
        (Access(), "192.168.1.5:8000", None, 403),
        (Access(), "evil.example:8000", "http://evil.example:8000", 403),
        (Access(), "", None, 403),
        (Access(loopback=False), "192.168.1.5:8000", "http://192.168.1.5:8000", 0),
        (Access(loopback=False), "evil.example", None, 403),
        (Access(loopback=False, names=frozenset({"box"})), "BOX:8000", "http://box:8000", 0),
        (Access(url="https://a.example"), "a.example", "https://a.example", 0),
        (Access(url="https://a.example"), "127.0.0.1:8000", "https://a.example:443", 0),
        (Access(url="https://a.example"), "a.example", "http://a.example:80", 0),
        (Access(url="https://a.example"), "127.0.0.1:8000", "https://b.example", 403),
        (Access(url="https://a.example"), "127.0.0.1:8000", "https://a.example.evil.example", 403),
        (Access(), "127.0.0.1:8000", "file://", 403),
        (Access(), "127.0.0.1:8000", "http://[", 403),
        (Access(), "127.0.0.1:8000", "null", 403),
    ],
)
def test_who_may_ask(access: Access, host: str, origin: str | None, status: int) -> None:
    refused = access.refusal(host, origin)
    assert (refused.status if refused else 0) == status


def test_a_token_is_shown_in_one_of_three_ways() -> None:
    access = Access(token="t" * 12)
    assert access.knows(token="t" * 12)
    assert access.knows(authorization="bearer " + "t" * 12)
    assert access.knows(cookie=access.cookie)
    assert not access.knows()
    assert not access.knows(token="é")
    assert not access.knows(cookie="t" * 12)
    assert not access.knows(token=access.cookie)
    assert not access.knows(authorization="t" * 12)
    assert Access().knows()


def test_options_of_the_server_are_checked(tmp_path: Path) -> None:
    for text in ("fleet.example", "ftp://a", "http://", "http://u:p@a", "http://a/?x", "http://["):
        with pytest.raises(UsageError, match="--serve-url"):
            checked_url(text)
    secret = tmp_path / "token"
    secret.write_text("correct horse battery\n")
    assert checked_token(f"@{secret}") == "correct horse battery"
    assert len(checked_token("")) == 43
    for text in ("short", f"@{tmp_path}/none"):
        with pytest.raises(UsageError, match="--serve-token"):
            checked_token(text)


@pytest.mark.parametrize(
    ("value", "size"),
    [("120", 120), (120, 120), ("9" * 50, 80), (10**9, 400), (-3, 20), (None, 80), ("²", 80)],
)
def test_sizes_are_clamped(value: object, size: int) -> None:
    assert clamped(value, WIDTHS, 80) == size


def test_a_recording_is_no_thing_of_many_visitors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--serve", "--record", str(tmp_path / "x")]) == 2
    assert "--record" in capsys.readouterr().err
