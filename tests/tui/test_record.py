"""Recordings: written while the dashboard runs, readable wherever they are cut off, played as it was."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from array import array
from math import sin
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec import structs

from iotcache.advisor.rules import advise
from iotcache.clock import ManualClock
from iotcache.config.schema import DashboardSettings
from iotcache.model import Event, MissReason, Read, Severity, Source
from iotcache_tui.app import IotCacheApp
from iotcache_tui.cli.main import main
from iotcache_tui.record import chunks
from iotcache_tui.record.chunks import FRAMES, ChunkFile, RecordingError
from iotcache_tui.record.export import export
from iotcache_tui.record.keyframe_columns import pack, unpack
from iotcache_tui.record.player import RecordingPlayer, ReplayClock, ReplayFeed
from iotcache_tui.record.recorder import Recorder
from iotcache_tui.state.advisor.model import AdvisorView
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.fleet.fleet_state import TREND_POINTS
from iotcache_tui.state.requests import ActionProgress, Answer, Request
from iotcache_tui.state.updates import Drained, Latest, Mailbox, RowUpdate, Second, TtlUpdate
from tests.advisor.histories import too_little_memory
from tests.tui.conftest import WALL_S, screen_text
from tests.tui.scripted import NODES, ScriptedFeed, fill

LENGTH_S = 100
ADVISED_AT_S = 25


class Looked(Request, frozen=True):
    shows_payload: ClassVar[bool] = False
    what: str


class LookedRaw(Request, frozen=True):
    shows_payload: ClassVar[bool] = True
    what: str


def drained_at(second: int, now_s: float, wall_s: float, state: DashboardState) -> Drained:
    """What second ``second`` of the made-up run brings."""
    rows = []
    for row in range(second % 5, len(state.fleet), 5):
        read = Read(
            *state.fleet.series[row], value=round(sin(second + row), 3), source=Source.CACHE, unit="u",
            ts_us=int(wall_s * 1e6), node=NODES[row % 3], ttl_s=float("inf") if row == 0 else 30.0,
        )  # fmt: skip
        rows.append(RowUpdate(row, read, now_s, second + 1, second))
    events = [Event(wall_s, "node.down", Severity.ERROR, NODES[1], "down")] if second == 50 else []
    return Drained(
        rows=rows,
        ttls=[TtlUpdate(1, now_s, None)],
        seconds=[Second(now_s, 100, 90 + second % 10, {MissReason.EXPIRED: 3}, 0.4, 1.5, 10.0, 10.0)],
        events=events,
    )


def record(path: Path, **choices: Any) -> tuple[list[str], DashboardState]:
    """Records `LENGTH_S` seconds; what the state looked like after each."""
    clock, state = ManualClock(WALL_S), DashboardState()
    clock.advance(1000.0)
    recorder = Recorder(path, **choices)
    scratch = DashboardState()
    fill(scratch, 40, now_s=clock.monotonic(), wall_s=clock.now())
    mailbox = Mailbox()
    mailbox.put_latest(Latest(nodes=scratch.nodes, parts=scratch.parts, ready=True))
    first = mailbox.drain()
    from iotcache.store.base import SeriesInfo

    joined = [
        SeriesInfo(one, scratch.fleet.site[row], scratch.fleet.unit[row], scratch.fleet.interval_s[row], row)
        for row, one in enumerate(scratch.fleet.series)
    ]
    looks = []
    for second in range(LENGTH_S):
        now_s, wall_s = clock.monotonic(), clock.now()
        drained = drained_at(second, now_s, wall_s, state)
        if second == 0:
            drained = Drained(joined=joined, nodes=first.nodes, parts=first.parts, ready=True)
        if second == ADVISED_AT_S:
            evidence = too_little_memory()
            seen = AdvisorView(running=True, evidence=evidence, advice=tuple(advise(evidence)))
            drained = structs.replace(drained, advisor=seen)
        state.apply(drained)
        if second == 20:
            recorder.answered(Looked("x"), Answer(1, ActionProgress(1, 2, 3), done=False))
            recorder.answered(Looked("x"), Answer(1))
            recorder.answered(LookedRaw("secret"), Answer(2, ActionProgress(7, 7, 7)))
        recorder.add(now_s, wall_s, drained, state)
        looks.append(look(state))
        clock.advance(1.0)
    recorder.close()
    assert not recorder.problem
    assert not recorder.frames_lost
    return looks, state


def look(state: DashboardState) -> str:
    fleet = state.fleet
    fleet.settle()
    return repr(
        (
            fleet.value, fleet.node, list(fleet.reads), bytes(fleet.source), fleet.sites,
            [str(left) for left in fleet.ttl_end_at], [str(span) for span in fleet.ttl_span_s],
            [str(at) for at in fleet.measured_at],
            [list(fleet.trend(row)) for row in range(len(fleet))],
            list(state.seconds), [entry.text for entry in state.log.everything()], state.nodes, state.ready,
            state.advisor,
        )
    )  # fmt: skip


class Hand:
    """Real time that a test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    path = tmp_path_factory.mktemp("record") / "run.rec"
    looks, _ = record(path)
    return path, looks


def playing(path: Path) -> tuple[RecordingPlayer, DashboardState, Hand]:
    hand = Hand()
    player, state = RecordingPlayer(path, real_s=hand), DashboardState()
    player.state = state
    return player, state, hand


def take_in(player: RecordingPlayer, state: DashboardState) -> None:
    for drained in player.deliver():
        state.apply(drained)


def test_played_from_the_start_every_second_is_as_it_was(recorded: tuple[Path, list[str]]) -> None:
    path, looks = recorded
    player, state, hand = playing(path)
    for second in range(LENGTH_S):
        hand.now_s = second + 0.001
        take_in(player, state)
        assert look(state) == looks[second], second
    assert player.ended
    assert player.wall() == pytest.approx(WALL_S + 1000.0 + LENGTH_S - 1)


@pytest.mark.parametrize("order", [(80, 10, 55), (99, 0, 31, 30), (5, 6, 64)])
def test_wherever_one_goes_the_state_is_as_it_was(
    recorded: tuple[Path, list[str]], order: tuple[int, ...]
) -> None:
    path, looks = recorded
    player, state, _ = playing(path)
    player.play(False)
    for second in order:
        player.seek(player.start_s + second)
        take_in(player, state)
        assert look(state) == looks[second], second


def test_speed_pause_and_marks(recorded: tuple[Path, list[str]]) -> None:
    player, _, hand = playing(recorded[0])
    player.set_speed(4.0)
    hand.now_s = 5.0
    assert player.position() - player.start_s == pytest.approx(20.0)
    player.play(False)
    hand.now_s = 50.0
    assert player.position() - player.start_s == pytest.approx(20.0)
    player.faster(1)
    assert player.speed == 8.0
    assert [gravity for _, gravity in player.marks()] == [2]
    player.to_mark(1)
    assert player.position() - player.start_s == pytest.approx(50.0, abs=1.0)
    player.play(True)
    hand.now_s = 1000.0
    assert player.ended
    player.play(True)
    assert player.position() == player.start_s


def test_a_file_cut_off_anywhere_is_played_up_to_there(
    recorded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, looks = recorded
    whole = path.read_bytes()
    cut = tmp_path / "cut.rec"
    for length in (len(whole) - 1, len(whole) * 2 // 3, len(whole) // 3):
        cut.write_bytes(whole[:length])
        player, state, hand = playing(cut)
        assert player.cut_off
        second = int(player.length_s)
        assert 0 < second < LENGTH_S
        hand.now_s = second + 0.001
        take_in(player, state)
        assert look(state) == looks[second]
        player.close()


def test_what_is_no_recording_or_damaged_is_said_in_a_sentence(
    recorded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"hello")
    for path, says in ((other, "no recording"), (tmp_path / "missing", "cannot be read"), (tmp_path, "read")):
        with pytest.raises(RecordingError, match=says):
            ChunkFile(path)
    older = tmp_path / "older"
    older.write_bytes(b"iotcache recording 1\nwhatever")
    with pytest.raises(RecordingError, match="another version of this program: only format 2 is played here"):
        ChunkFile(older)
    damaged = bytearray(recorded[0].read_bytes())
    chunk = next(one for one in ChunkFile(recorded[0]).chunks[3:] if one.kind == FRAMES)
    damaged[chunk.offset + 4] ^= 0xFF
    other.write_bytes(damaged)
    player, state, hand = playing(other)
    take_in(player, state)
    hand.now_s = LENGTH_S
    with pytest.raises(RecordingError, match="damaged"):
        take_in(player, state)


@pytest.mark.parametrize("place", [6, 14])
@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), -1e300])
def test_a_header_without_a_time_is_said_in_a_sentence(
    recorded: tuple[Path, list[str]], tmp_path: Path, place: int, time_s: float
) -> None:
    damaged = bytearray(recorded[0].read_bytes())
    header = ChunkFile(recorded[0]).chunks[2].offset - 22
    damaged[header + place : header + place + 8] = struct.pack(">d", time_s)
    (tmp_path / "other").write_bytes(damaged)
    with pytest.raises(RecordingError, match="has no time"):
        ChunkFile(tmp_path / "other")


def test_a_chunk_unpacks_to_a_bounded_size(recorded: tuple[Path, list[str]], tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    bomb = zlib.compress(bytes(300 << 20), 9)
    path.write_bytes(chunks.MAGIC + struct.pack(">BBIdd", FRAMES, 0, len(bomb), 0.0, 0.0) + bomb)
    assert path.stat().st_size < 1 << 20
    file = ChunkFile(path)
    tracemalloc.start()
    with pytest.raises(RecordingError, match="larger than it may be"):
        file.body(file.chunks[0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * chunks.BODY_LIMIT_BYTES
    with (tmp_path / "written").open("wb") as written, pytest.raises(OSError, match="over 128 MiB"):
        chunks.write_chunk(written, FRAMES, 0, (0.0, 0.0), bytes(chunks.BODY_LIMIT_BYTES + 1))


def test_a_recording_never_overwrites_a_file(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("precious")
    with pytest.raises(RecordingError, match="never overwrites"):
        Recorder(path)
    with pytest.raises(RecordingError, match="cannot be written"):
        Recorder(tmp_path / "no" / "folder")
    assert path.read_text() == "precious"


def test_answers_are_found_again_and_raw_payloads_only_by_choice(
    recorded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    player, state, hand = playing(recorded[0])
    assert "only what was looked at" in player.answers(Looked("x"), 1)[0].error
    hand.now_s = 60.0
    take_in(player, state)
    assert player.answers(Looked("x"), 9) == [Answer(9, ActionProgress(1, 2, 3), done=False), Answer(9)]
    assert "only what was looked at" in player.answers(LookedRaw("secret"), 1)[0].error
    path = tmp_path / "with.rec"
    record(path, payloads=True)
    player, state, hand = playing(path)
    hand.now_s = 60.0
    take_in(player, state)
    assert player.answers(LookedRaw("secret"), 1)[0].value == ActionProgress(7, 7, 7)


def test_without_values_no_measurement_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "no-values.rec"
    record(path, values=False)
    player, state, _ = playing(path)
    player.play(False)
    for second in (99, 40):
        player.seek(player.start_s + second)
        take_in(player, state)
        assert set(state.fleet.value) == {0}
        assert all(set(state.fleet.trend(row)) <= {0.0} for row in range(len(state.fleet)))


def test_a_stretch_is_a_recording_of_its_own(recorded: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, looks = recorded
    out = tmp_path / "stretch.rec"
    assert export(path, out, 20.0, 40.0) == pytest.approx(20.0)
    player, state, hand = playing(out)
    take_in(player, state)
    assert look(state) == looks[20]
    hand.now_s = 20.001
    take_in(player, state)
    assert look(state) == looks[40]
    assert player.ended
    with pytest.raises(RecordingError, match="nothing between"):
        export(path, tmp_path / "none.rec", 90.0, 80.0)
    assert main(["replay", str(path), "--from", "0:10", "--to", "0:20", "--export", str(out)]) == 1
    assert main(["replay", str(path), "--from", "0:10", "--to", "0:20", "--export", str(out) + "2"]) == 0
    assert main(["replay", str(path), "--speed", "99"]) == 2
    assert main(["replay", str(path), "--from", "soon"]) == 2


def test_a_class_that_is_no_answer_is_not_made(recorded: tuple[Path, list[str]]) -> None:
    from iotcache_tui.record.frames import Answered
    from iotcache_tui.record.player import _value

    for kind in (
        "subprocess:Popen",
        "iotcache_tui.state.updates:Mailbox",
        "iotcache_tui.state.nowhere_at_all:X",
    ):
        with pytest.raises((RecordingError, ImportError)):
            _value(Answered("Looked", b"", kind, b"", True, ""))


async def test_the_screens_play_a_recording(
    recorded: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    hand = Hand()
    player = RecordingPlayer(recorded[0], real_s=hand)
    feed = ReplayFeed(player)
    app = IotCacheApp(feed, DashboardSettings(), clock=ReplayClock(player), read_only=True)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        app.frame()
        await pilot.pause()
        hand.now_s = 10.0
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "REPLAY" in text
        assert "▶ 0:00:10 " in text
        assert "[ ] 10 s  < > speed" in text, "keys that nobody would guess"
        assert "m-0001" in text
        await pilot.press("space", "right_square_bracket")
        app.frame()
        await pilot.pause()
        assert "‖ 0:00:20 " in screen_text(app)
        hand.now_s = 50.0
        await pilot.press("greater_than_sign", "full_stop")
        app.frame()
        await pilot.pause()
        assert "2×" in screen_text(app)
        assert "0:00:49" in screen_text(app) or "0:00:50" in screen_text(app)
        await pilot.press("8")
        app.frame()
        await pilot.pause()
        assert "hit ratio" in screen_text(app) and "store reads/s fewer" in screen_text(app), "the Advisor's"
        await pilot.press("1", "left_curly_bracket")
        app.frame()
        await pilot.pause()
        assert "0:00:00" in screen_text(app)
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Replay: the next mark" in screen_text(app)


async def test_without_a_replay_its_keys_are_not_told_of(tmp_path: Path) -> None:
    app = IotCacheApp(ScriptedFeed(), clock=ManualClock(WALL_S))
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Replay" not in screen_text(app)


def test_a_keyframe_holds_every_column_of_the_fleet() -> None:
    """A column that is left out would be empty in a replay, and its drawing would fail there."""
    state = DashboardState()
    fill(state, 20, now_s=1_000.0, wall_s=WALL_S)
    fleet, played = state.fleet, DashboardState().fleet
    rows = len(fleet)
    unpack(pack(fleet), played)
    columns = {
        name: value
        for name, value in vars(fleet).items()
        if isinstance(value, (list, bytearray, array)) and len(value) in (rows, rows * TREND_POINTS)
    }
    assert len(columns) > 15
    for name, value in columns.items():
        # nan equals nothing, so that arrays are compared as bytes.
        left, right = (
            one.tobytes() if isinstance(one, array) else one for one in (value, getattr(played, name))
        )
        assert left == right, name
    assert played.longest == fleet.longest, "columns would be narrower after a seek"
