"""The dashboard without a screen: one picture, a line an event, or a page in a browser."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iotcache.config.schema import BrokerSettings, Settings
from iotcache.errors import UsageError
from iotcache_tui.cli.main import main
from iotcache_tui.cli.serving import _environment, address, session_command

TUI = [sys.executable, "-P", "-m", "iotcache_tui"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running stack, and the environment in which it is found."""
    env = {**os.environ, "IOTCACHE_RUNTIME_DIR": str(tmp_path_factory.mktemp("run"))}
    with subprocess.Popen(
        [*TUI, "stack", "--set", "cache.embedded_server=bundled", "--set", "simulator.devices=6"],
        stdout=subprocess.PIPE, env=env,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        yield env
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def test_a_snapshot_is_one_json_document_of_what_the_dashboard_shows(stack: dict[str, str]) -> None:
    done = subprocess.run(
        [*TUI, "snapshot", "--json", "--watch", "1", "--sort", "ttl", "--limit", "5"],
        capture_output=True, env=stack, timeout=60, check=True,
    )  # fmt: skip
    data = json.loads(done.stdout)
    assert data["schema"] == 1
    assert {part["name"] for part in data["parts"]} >= {"broker", "nodes", "store"}
    assert all(node["state"] == "up" for node in data["nodes"])
    assert 0 < len(data["series"]) <= 5
    assert data["series_total"] >= len(data["series"])
    assert {"device", "value", "ttl_s", "source", "stale"} <= set(data["series"][0])
    assert data["figures"]["reads_per_s"] > 0


def test_plain_prints_lines_until_it_is_told_to_end(stack: dict[str, str]) -> None:
    with subprocess.Popen([*TUI, "--plain"], stdout=subprocess.PIPE, env=stack, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "figures" in line:
                break
        assert any(" part        store up" in line for line in lines)
        assert "hit ratio" in lines[-1]
        assert "\x1b" not in "".join(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    # It follows the stack that runs: a broker of its own would be called embedded.
    assert any("broker up mqtt://127.0.0.1:" in line for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sort", "beauty"],
        ["--filter", "ttl<x"],
        ["--watch", "0"],
        ["--limit", "-1"],
    ],
)
def test_a_usage_mistake_is_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshot", *arguments]) == 2
    said = capsys.readouterr().err
    assert arguments[0] in said
    assert said.count("\n") == 1


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
    command = session_command(read_only=True)
    assert command.endswith("-P -m iotcache_tui --config 'a b' --read-only")
    monkeypatch.setattr(sys, "argv", ["iotcache-tui", "--no-read-only", "--serve", "--ascii"])
    assert session_command(read_only=False).endswith("-m iotcache_tui --ascii --no-read-only")
    asked = Settings(broker=BrokerSettings(url="mqtt://u:secret@h"))
    real = Settings()
    assert "secret" not in str(_environment(asked, real))


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _what_the_browser_got(url: str, profile: Path, until: tuple[str, ...]) -> str:
    """Opens ``url`` in Chromium; everything its web sockets received until all of ``until`` was there."""
    import base64

    import aiohttp

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


@pytest.mark.real("chromium")
async def test_a_browser_shows_the_live_fleet_read_only(stack: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("textual_serve")
    port = _free_port()
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
