"""The recorder without a screen: bounded in time and room, whole after a kill, and no burden to anybody."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.config.schema import CacheSettings, Settings, StoreSettings
from iotcache.errors import UsageError
from iotcache.model import Read, Reading, Series, Source, StoredReading
from iotcache.store.base import SeriesInfo
from iotcache_tui.cli.commands.record import LOOKS_PER_S, keep_s, most_bytes
from iotcache_tui.cli.main import main
from iotcache_tui.record.chunks import FRAMES, KEYFRAME, ChunkFile, RecordingError
from iotcache_tui.record.player import RecordingPlayer
from iotcache_tui.record.recorder import Recorder
from iotcache_tui.record.rotation import Rotation, earlier_files
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.updates import Drained, RowUpdate, Second
from tests.conftest import Server

SERIES = [Series(f"device-{number}", "temperature") for number in range(50)]


def fly(path: Path, rotation: Rotation, seconds: int, begun_s: float) -> DashboardState:
    """Record made-up seconds; the state at their end."""
    state, chance = DashboardState(), random.Random(1)
    recorder = Recorder(path, rotation=rotation, keyframe_s=20.0)
    joined = [SeriesInfo(one, "site", "u", 1.0, row) for row, one in enumerate(SERIES)]
    for second in range(seconds):
        now_s = begun_s + second
        rows = [
            RowUpdate(row, Read(*one, chance.random(), Source.CACHE, ts_us=second), now_s, second, second)
            for row, one in enumerate(SERIES)
        ]
        drained = Drained(
            joined=() if second else joined, rows=rows, seconds=[Second(now_s, 50, 50)], ready=True
        )
        state.apply(drained)
        recorder.add(now_s, now_s + 1e9, drained, state)
        while recorder.waiting > 100:
            time.sleep(0.001)
    recorder.close()
    assert not recorder.problem
    assert not recorder.frames_lost
    return state


def frames_in(path: Path) -> int:
    """How many seconds are in it so far."""
    try:
        file = ChunkFile(path)
    except RecordingError:
        return 0
    file.close()
    return sum(chunk.kind == FRAMES for chunk in file.chunks)


def look(state: DashboardState) -> tuple[Any, ...]:
    state.fleet.settle()
    return list(state.fleet.value), list(state.fleet.device), state.seconds[-1]


def test_the_oldest_goes_and_what_is_left_plays_as_one(tmp_path: Path) -> None:
    path, rotation = tmp_path / "flight.rec", Rotation(keep_s=86_400.0, most_bytes=900_000)
    state = fly(path, rotation, 1_000, 5_000.0)
    files = [*earlier_files(path), path]
    assert len(files) > 3
    assert sum(file.stat().st_size for file in files) <= rotation.most_bytes
    assert ChunkFile(files[1]).chunks[-1].kind == FRAMES
    assert all(ChunkFile(file).chunks[0].kind == KEYFRAME for file in files)
    player = RecordingPlayer(path)
    # Less than all of it is left, in one piece, and its end is as it was.
    assert 200 < player.length_s < 1_000
    assert player.end_s == 5_000.0 + 999
    player.state = replayed = DashboardState()
    for at_s in (player.start_s, player.start_s + player.length_s / 2, player.end_s):
        player.seek(at_s)
        for drained in player.deliver():
            replayed.apply(drained)
        assert len(replayed.fleet) == len(SERIES)
    assert look(replayed) == look(state)
    gaps = [b.now_s - a.now_s for a, b in zip(player.chunks, player.chunks[1:], strict=False)]
    assert max(gaps) <= 5.0
    player.close()


def test_a_recorder_that_starts_again_goes_on_beside_what_it_had(tmp_path: Path) -> None:
    path, rotation = tmp_path / "flight.rec", Rotation(keep_s=86_400.0, most_bytes=10_000_000)
    fly(path, rotation, 30, 5_000.0)
    fly(path, rotation, 20, 6_000.0)
    (before,) = earlier_files(path)
    newest, older = RecordingPlayer(path), RecordingPlayer(before)
    assert (newest.length_s, older.length_s) == (19.0, 29.0)
    for player in (newest, older):
        player.close()


def test_what_is_too_old_goes_and_other_files_stay(tmp_path: Path) -> None:
    path, rotation = tmp_path / "flight.rec", Rotation(keep_s=3_600.0, most_bytes=10_000_000)
    names = ["flight.rec.20260101T000000", "flight.rec.20260101T000000-2", "flight.rec.20260101T000000-10"]
    for age_s, name in zip((9_000, 5_000, 60), names, strict=True):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    others = ["flight.rec.txt", "flight.rec.20260101", "flight.recx", "other.rec.20260101T000000"]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    assert [file.name for file in earlier_files(path)] == names
    rotation.prune(path, time.time())
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*others, names[2]])
    path.write_bytes(b"somebody else's file")
    assert main(["record", str(path)]) == 1
    assert path.read_bytes() == b"somebody else's file"


@pytest.mark.parametrize("text", ["", "0h", "24", "h", "-1h", "1y", "9" * 9 + "d"])
def test_a_time_or_a_size_of_no_use_is_refused(text: str) -> None:
    assert (keep_s("24h"), most_bytes("200MB"), most_bytes("2GiB")) == (86_400.0, 200_000_000, 2 << 30)
    for parse in (keep_s, most_bytes):
        with pytest.raises(UsageError):
            parse(text)


@pytest.mark.parametrize("flag", ["--plain", "--serve"])
def test_recording_is_refused_where_it_was_ignored(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([flag, "--record", "x.rec"]) == 2
    assert "iotcache-tui record FILE" in capsys.readouterr().err
    assert not (tmp_path / "x.rec").exists()


@pytest.mark.real("memcached")
async def test_a_recorder_that_is_killed_has_lost_seconds_and_has_written_nothing_to_a_node(
    memcached: Server, tmp_path: Path, memcached_factory: Callable[..., Server]
) -> None:
    url = f"sqlite:///{tmp_path}/r.db"
    settings = Settings(cache=CacheSettings(nodes=(memcached.address,)), store=StoreSettings(url=url))
    readings = [StoredReading(Reading(one.device, one.sensor, 1.0, 1_700_000_000_000_000)) for one in SERIES]
    async with DeviceCache.from_settings(settings) as cache:
        committed = await cache.store.commit(readings)
        await cache.write_through(committed.newest[:25])
        before = await cache.cluster.node_stats()
        path = tmp_path / "flight.rec"
        command = [sys.executable, "-P", "-m", "iotcache_tui", "record", str(path)]
        command += ["--nodes", memcached.address, "--store", url]
        recorder = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, "IOTCACHE_RUNTIME_DIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 30
            while frames_in(path) < 7:
                assert recorder.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            recorder.send_signal(signal.SIGKILL)
            killed_s = time.time()
            recorder.wait(10)
        after = await cache.cluster.node_stats()
    (was,), (now,) = before.values(), after.values()
    assert was is not None and now is not None
    assert (now.cmd_set, now.cmd_touch, now.curr_items) == (was.cmd_set, was.cmd_touch, was.curr_items)
    player = RecordingPlayer(path)
    player.state = state = DashboardState()
    player.seek(player.end_s)
    for drained in player.deliver():
        state.apply(drained)
    assert killed_s - player.wall() <= 5.0
    assert len(state.fleet) == len(SERIES)
    assert state.node_figures is not None and state.node_figures.nodes[0].slabs
    # The work that it makes, in counts: a chunk a second, and few looks.
    frames = [chunk for chunk in player.chunks if chunk.kind == FRAMES]
    assert len(frames) <= player.length_s / 0.9 + 2
    assert sum(second.reads for second in state.seconds) <= LOOKS_PER_S * (len(state.seconds) + 1)
    player.close()
