"""A running stack is found without flags; a dead one is not, and what it left is swept up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from iotcache.config.schema import BrokerSettings, CacheSettings, Settings, StoreSettings
from iotcache.errors import StackError
from iotcache_simulator.stack.rundir import (
    Announcement,
    entry_of_this_process,
    find_running,
    make_stack_folder,
    new_stack_folder,
    process_started,
    running,
    runtime_folder,
)


def announce(**fields: object) -> Announcement:
    announcement = Announcement()
    announcement.write(
        replace(
            entry_of_this_process(None),
            **{
                "broker": "mqtt://127.0.0.1:1",
                "broker_v5": "mqtt://127.0.0.1:5",
                "nodes": ("127.0.0.1:2",),
                "store": "sqlite:////tmp/x",
                **fields,
            },
        )
    )
    return announcement


def test_embedded_parts_are_filled_in_and_others_left_alone() -> None:
    announcement = announce()
    found = find_running(Settings())
    assert found.broker.url == "mqtt://127.0.0.1:1"
    assert found.cache.nodes == ("127.0.0.1:2",)
    assert found.store.url == "sqlite:////tmp/x"
    assert find_running(Settings(broker=BrokerSettings(protocol="5"))).broker.url == "mqtt://127.0.0.1:5"
    own_store = find_running(Settings(store=StoreSettings(url="postgresql://db/x")))
    assert own_store.store.url == "postgresql://db/x"
    assert own_store.cache.nodes == ("127.0.0.1:2",)
    announcement.remove()
    with pytest.raises(StackError, match="no stack is running: start one with 'iotcache-tui stack'"):
        find_running(Settings())


def test_settings_that_name_all_servers_need_no_stack() -> None:
    named = Settings(
        broker=BrokerSettings(url="mqtt://b"),
        cache=CacheSettings(nodes=("a:1",)),
        store=StoreSettings(url="sqlite:///x"),
    )
    assert find_running(named) is named


def test_the_newest_stack_that_has_what_is_wanted_is_found() -> None:
    announce(created_s=1.0, nodes=("127.0.0.1:11",))
    announce(created_s=3.0, nodes=("127.0.0.1:33",), store="")
    announce(created_s=2.0, nodes=("127.0.0.1:22",))
    assert find_running(Settings()).cache.nodes == ("127.0.0.1:22",)
    attached = Settings(store=StoreSettings(url="sqlite:///mine"))
    assert find_running(attached).cache.nodes == ("127.0.0.1:33",)


def test_the_file_of_a_dead_process_is_swept_up_with_its_folder(own_folders: tuple[Path, Path]) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder = new_stack_folder()
    make_stack_folder(folder)
    (folder / "readings.sqlite3").write_text("x")
    announce(pid=process.pid, started=process_started(process.pid), folder=str(folder))
    assert len(running()) == 1
    process.communicate(b"\n")
    assert running() == []
    assert not folder.exists()
    assert list(own_folders[0].iterdir()) == []


def test_the_draft_of_a_killed_process_is_swept_up_and_no_other(own_folders: tuple[Path, Path]) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.communicate(b"\n")
    kept = [runtime_folder() / f".stack-{os.getpid()}-abc", runtime_folder() / ".stack-abc"]
    for draft in (*kept, runtime_folder() / f".stack-{process.pid}-abc"):
        draft.write_text("")
    assert running() == []
    assert sorted(own_folders[0].iterdir()) == sorted(kept)


def test_a_number_used_again_by_another_process_is_not_the_stack() -> None:
    announce(started="some-boot:12345")
    assert running() == []


def test_a_dead_stacks_file_cannot_have_foreign_folders_removed(tmp_path: Path) -> None:
    precious = tmp_path / "iotcache-stack-precious"
    precious.mkdir()
    link = Path(os.environ["TMPDIR"]) / "iotcache-stack-link"
    link.symlink_to(precious)
    for folder in (precious, link, Path(os.environ["TMPDIR"])):
        announce(started="gone", folder=str(folder))
        assert running() == []
        assert folder.exists()
    assert precious.exists()


def test_the_file_is_private_and_rubbish_beside_it_is_ignored(own_folders: tuple[Path, Path]) -> None:
    announce()
    folder = runtime_folder()
    [path] = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "stack-1-broken.json").write_text("{")
    (folder / "stack-2-list.json").write_text("[]")
    (folder / "stack-3-folder.json").mkdir()
    (folder / "stack-4-link.json").symlink_to(path)
    os.mkfifo(folder / "stack-5-pipe.json")
    assert len(running()) == 1


def test_a_runtime_folder_that_others_can_write_is_not_trusted(own_folders: tuple[Path, Path]) -> None:
    announce()
    own_folders[0].chmod(0o777)
    with pytest.raises(StackError, match="can be changed by, other users"):
        find_running(Settings())


def test_no_secret_of_the_configuration_is_in_the_entry() -> None:
    assert b"password" not in msgspec.json.encode(entry_of_this_process(None))
