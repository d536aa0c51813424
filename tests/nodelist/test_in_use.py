"""What programs do with a list that is kept elsewhere: begin when it is there, and tell when it changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from iotcache.config.schema import CacheSettings, Settings
from iotcache.nodelist.opening import until_listed
from iotcache_tui.checks.node_list import check_node_list
from iotcache_tui.cli.main import main
from iotcache_tui.feed.request_context import is_read_only
from tests.conftest import Server
from tests.ingest.conftest import link, settings_for, until, worker
from tests.nodelist.test_sources import written

__all__ = ["link", "settings_for", "worker"]
Make = Callable[..., Any]


def at(place: str) -> Settings:
    return Settings(cache=CacheSettings(nodes=place))


@pytest.mark.real("memcached", "mosquitto")
async def test_a_worker_begins_when_its_list_is_there_and_tells_when_it_changes(
    memcached: Server, mosquitto: Server, settings_for: Make, worker: Make, tmp_path: Path
) -> None:
    path, waits = tmp_path / "nodes", asyncio.Event()
    named = settings_for(mosquitto.port, [memcached])
    named = structs.replace(named, cache=structs.replace(named.cache, nodes=f"file://{path}"))
    opening = asyncio.create_task(until_listed(named, on_waiting=lambda why: waits.set()))
    await waits.wait()
    written(path, f"{memcached.address}\n")
    settings, watch = await opening
    assert settings.cache.nodes == (memcached.address,)
    made = await worker(settings, node_list=watch)
    await until(lambda: made.stats().node_list.source == f"file://{path}")
    assert made.stats().node_list.difference == ""
    written(path, f"{memcached.address}\ncache4:11211\n")
    await until(lambda: made.stats().node_list.difference == "to be added: cache4:11211")


def test_commands_take_the_nodes_of_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = ["127.0.0.1:1", "127.0.0.1:2=3", "127.0.0.1:3"]
    path = written(tmp_path / "nodes", "\n".join([*listed, ""]))
    answers = []
    for nodes in (f"file://{path}", ",".join(listed)):
        assert main(["where", "dev-1:temperature:latest", "--json", "--nodes", nodes]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    assert main(["where", "k", "--nodes", f"file://{tmp_path}/gone"]) == 1
    assert "the list of nodes at file:///" in capsys.readouterr().err


async def test_the_doctor_names_the_list_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = written(tmp_path / "nodes", "a:1\nb:1\n")
    settings = at(f"file://{path}")
    ((found,), listed) = await check_node_list(settings)
    assert (found.level, found.found) == ("ok", f"file://{path} names 2 nodes")
    assert listed.cache.nodes == ("a:1", "b:1")
    written(path, "a:1\nb:")
    ((found,), _) = await check_node_list(settings)
    assert found.level == "fail"
    assert "line 2 may be half-written" in found.found


def test_a_list_elsewhere_is_of_somebodys_own_nodes() -> None:
    """Acts on them are out of reach as on nodes that are named one by one."""
    assert is_read_only(at("dns://cache"))
    assert is_read_only(at("none"))
    assert not is_read_only(at("embedded:3"))
