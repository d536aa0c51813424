"""`explain` and `ingest preset`: what a person sees who has a fleet to connect."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

from iotcache.config.schema import IngestSettings
from iotcache_tui.cli.explaining import Gathering, explainer_for
from iotcache_tui.cli.main import main
from tests.conforming import conforming
from tests.conftest import Server
from tests.ingest.conftest import link

__all__ = ["link"]
NOW_US = 1_795_348_800_000_000
NOWHERE = ["--broker", "mqtt://127.0.0.1:1"]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    return capsys.readouterr().out


def pasted_toml(text: str) -> str:
    """The mapping within an explanation."""
    return text[text.index("[[ingest.mapping]]") :].partition("\n\n")[0] + "\n"


def test_a_message_is_explained_and_the_proposal_works(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    message = ["heating/boiler-7/state", '{"flow":{"value":61.5,"unit":"°C"},"serial":"x\\u001b[31m"}']
    text = printed(capsys, "explain", *message, code=1)
    assert "not subscribed to" in text
    assert "fits none of the templates" in text
    assert "\x1b" not in text
    config = tmp_path / "config.toml"
    config.write_text(pasted_toml(text), "utf-8")
    text = printed(capsys, "explain", *message, "--config", str(config))
    assert "read by the mapping 'mapping 1'" in text
    assert "boiler-7  flow  61.5 °C" in text
    (line,) = printed(capsys, "explain", *message, "--config", str(config), "--json").splitlines()
    found = conforming("explain", line)
    assert (found["outcome"], found["readings"][0]["unit"]) == ("read", "°C")


def test_it_says_which_mapping_did_not_take_a_message_and_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[[ingest.mapping]]\nname = "status"\ntopic = "{device}/rpc"\nwhen = { method = "Status" }\n'
        '[[ingest.mapping]]\nname = "figures"\ntopic = "{device}/rpc"\nvalue = "data.*"\n',
        "utf-8",
    )
    text = printed(capsys, "explain", "d1/rpc", '{"method":"Event"}', "--config", str(config), code=1)
    assert "not by the mapping 'status': \"method\" is Event, and must be Status" in text
    assert "not by the mapping 'figures': the payload has nothing at \"data.*\"" in text
    text = printed(capsys, "explain", "d1/rpc", '{"data":{"a":null}}', "--config", str(config), code=1)
    assert "nothing in it" in text


def test_payloads_come_from_files_and_from_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "payload").write_bytes(b"21.5\0")
    assert "  21.5  " in printed(capsys, "explain", "iot/s/d/t", "--file", str(tmp_path / "payload"))
    (tmp_path / "lines").write_text('iot/s/d/t 1\nzigbee2mqtt/lamp {"state":"ON"}\n')
    text = printed(capsys, "explain", "--file", str(tmp_path / "lines"), code=1)
    assert "read by the template iot/{site}/{device}/{sensor}" in text
    assert 'ingest.preset = "zigbee2mqtt"' in text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"value":7}')))
    assert "d  t  7  " in printed(capsys, "explain", "iot/s/d/t", "--file", "-")


@pytest.mark.real("mosquitto")
async def test_what_a_broker_has_is_explained_by_kind(
    mosquitto: Server, link: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = await link(mosquitto.port, "sender")
    broker = ["--broker", f"mqtt://127.0.0.1:{mosquitto.port}"]
    listening = asyncio.create_task(asyncio.to_thread(main, ["explain", "--listen", "2", *broker]))
    while not listening.done():
        for room in ("attic", "cellar", "hall"):
            await sender.publish(f"house/{room}/climate", json.dumps({"t": 20.5}).encode())
            await sender.publish(f"tele/{room}/LWT", b"Online")
        await asyncio.sleep(0.1)
    assert await listening == 1
    text = capsys.readouterr().out
    assert "on 3 topics" in text
    assert tomli.loads(pasted_toml(text))["ingest"]["mapping"] == [{"topic": "house/{device}/climate"}]
    assert 'ingest.preset = "tasmota"' in text


def test_what_is_gathered_of_a_broker_is_bounded() -> None:
    gathered = Gathering()
    for n in range(300):
        for device in range(60):
            gathered.add(f"a{n}/{device}", b"1", NOW_US)
    gathered.add("a/b/c", b"x" * 70_000, NOW_US)
    gathered.add("iotcache/stats/ingest/a", b"{}", NOW_US)
    assert gathered.more == 100 * 60 + 1
    found = list(gathered.explained(explainer_for(IngestSettings())))
    assert len(found) == 200
    assert {(messages, topics) for _, messages, topics in found} == {(60, 50)}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a/b"], "explain needs TOPIC and PAYLOAD"),
        (["a/b", "1", "--file", "x"], "both given"),
        (["--listen", "0"], "--listen is 0"),
        (["a/b", "--listen", "5"], "leave out TOPIC"),
        (["a/b", "1", "--topic", "x"], "goes with --listen"),
        (["a/b", "--file", "/nonexistent/x"], "cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *arguments, *NOWHERE]) == 2
    assert says in capsys.readouterr().err


def test_presets_are_listed_and_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = [line.split()[0] for line in printed(capsys, "ingest", "preset", "list").splitlines()]
    assert {"zigbee2mqtt", "tasmota", "sparkplug"} <= set(names)
    config = tmp_path / "config.toml"
    config.write_text(printed(capsys, "ingest", "preset", "show", "tasmota"), "utf-8")
    sensor = ("explain", "tele/attic/SENSOR", '{"AM2301":{"Temperature":1.5},"TempUnit":"C"}')
    assert "1.5 °C" in printed(capsys, *sensor, "--config", str(config))
    for words, says in ((["show", "tasmoto"], "did you mean tasmota?"), (["shaw"], "needs 'list' or 'show")):
        assert main(["ingest", "preset", *words]) == 2
        assert says in capsys.readouterr().err
    assert main(["ingest", "prezet"]) == 2
