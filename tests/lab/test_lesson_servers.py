"""While a lesson runs, all screens look at its servers; and its recording is one of a lesson."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from msgspec import structs

from iotcache.config.schema import Settings
from iotcache.config.urls import parse_node
from iotcache.model import Event, Severity
from iotcache_simulator.lab.definition.scenario import parse
from iotcache_simulator.lab.run import ScenarioRun
from iotcache_simulator.lab.state import CheckResult, LabState, StepResult
from iotcache_tui.feed.lab_only import LabFeed
from iotcache_tui.record.player import RecordingPlayer, ReplayFeed
from iotcache_tui.record.recorder import Recorder
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.keys.model import CountKeys
from iotcache_tui.state.lab import LabCurve, LabExport, LabImprovise, LabRun, LabStep, LabView
from iotcache_tui.state.requests import Answer
from iotcache_tui.state.updates import Drained
from tests.lab.test_run import SHORT


def all_answer(state: DashboardState) -> bool:
    return state.node_figures is not None and all(node.answered for node in state.node_figures.nodes)


@pytest.mark.real("memcached")
def test_the_screens_look_at_the_lessons_servers_and_faults_are_improvised_in_them(tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text(SHORT)
    feed, state = LabFeed(Settings()), DashboardState()
    answers: list[Answer] = []

    def until(wanted: Callable[[], object]) -> None:
        ends_s = time.monotonic() + 60
        while not wanted():
            assert time.monotonic() < ends_s, (state.parts, answers)
            for drained in feed.mailbox.drain_all():
                state.apply(drained)
            answers.extend(feed.mailbox.take_answers())
            time.sleep(0.02)

    feed.start()
    try:
        until(lambda: state.ready)
        lesson = feed.ask(LabRun(str(file)))
        until(
            lambda: (
                len(state.fleet) and state.node_figures and all(n.answered for n in state.node_figures.nodes)
            )
        )
        assert [node.ring_name for node in state.node_figures.nodes] == ["node-1", "node-2"]  # type: ignore[union-attr]
        assert state.placement is None, "the worker of a lesson may well write elsewhere"
        counted = feed.ask(CountKeys())
        until(lambda: any(one.ticket == counted and one.done for one in answers))
        assert not [one.error for one in answers if one.error]
        feed.ask(LabImprovise("kill", 2))
        until(lambda: any(entry.kind == "node" for entry in state.log.everything()))
        assert "node 2 killed" in [mark.text for mark in state.lab.state.marks]  # type: ignore[union-attr]
        feed.cancel(lesson)
        until(lambda: state.lab is not None and not state.lab.name and not len(state.fleet))
    finally:
        feed.stop()


def test_a_recorded_lesson_opens_on_it_marks_its_steps_and_is_written_down(tmp_path: Path) -> None:
    check = CheckResult("a.hit_percent > 60", "green", 91.0, "%", 2.0, "a: Hit ratio > 60 %")
    result = StepResult("One", (check,), ("lease on",), 0.0)
    curves = tuple(
        LabCurve(f"{side}.hit_percent", "%", tuple((float(at), 50.0) for at in range(20))) for side in "ab"
    )
    view = LabView(
        "two", "Two", "basic", (LabStep("One", "Look.", (), None),), "S", "It was **so**.", ("a", "b"),
        LabState("running", steps=(result,)), curves,
    )  # fmt: skip
    state, path = DashboardState(), tmp_path / "lesson.rec"
    recorder = Recorder(path)
    for second in range(12):
        kind = {3: "lab.step", 6: "lab.act", 9: "lab.remark"}.get(second)
        events = [Event(float(second), kind, Severity.INFO, "lab", "x")] if kind else []
        drained = structs.replace(Drained(events=events), lab=view if second else None)
        state.apply(drained)
        recorder.add(100.0 + second, 1_000.0 + second, drained, state)
    recorder.close()
    player = RecordingPlayer(path)
    assert player.of_a_lesson
    assert [at for at, _ in player.marks()] == pytest.approx([103, 106, 109], abs=1.1)
    player.state = DashboardState()
    player.play(False)
    player.seek(player.end_s)
    for drained in player.deliver():
        player.state.apply(drained)
    feed = ReplayFeed(player)
    for number in range(2):
        feed.ask(LabExport(str(tmp_path)))
        (answer,) = feed.mailbox.take_answers()
        assert [Path(file).name for file in answer.value.files] == [
            f"two-summary{f'-{number + 1}' if number else ''}.md",
            f"two-summary{f'-{number + 1}' if number else ''}-hit_percent.svg",
        ]
    text = (tmp_path / "two-summary.md").read_text()
    assert "✓ a: Hit ratio > 60 %: 91 % after 2 s" in text
    drawn = (tmp_path / "two-summary-hit_percent.svg").read_text()
    assert drawn.count("<polyline") == 2, "both sides in one plot"
    assert "a: Hit ratio" in drawn


ROOM = """
title = "Room"
level = "basic"
minutes = 1
summary = "Readers fill a small node."
teaches = ["x"]
explanation = "It is theirs."
[stack]
nodes = 1
memory_mb = 8
memcached = true
devices = 20
ingest_writes = false
[[step]]
title = "All is well"
say = "Look."
expect = ["hit_percent > 50 for 3 within 30"]
"""


@pytest.mark.real("memcached")
async def test_a_small_node_is_the_readers_that_fill_it() -> None:
    """Each slab class of what the worker writes as well would have a page of it, now and then one more."""
    async with ScenarioRun(parse(ROOM, "room.toml"), auto=True) as run:
        await run.play()
        assert run.servers is not None
        node = parse_node(run.servers.cache.nodes[0])
        reader, writer = await asyncio.open_connection(node.host, node.port)
        writer.write(b"lru_crawler metadump all\r\n")
        dumped = await reader.readuntil(b"END\r\n")
        writer.close()
    keys = [unquote(key) for key in re.findall(r"^key=(\S+)", dumped.decode(), re.MULTILINE)]
    assert any(key.startswith("r:") for key in keys)
    assert [key for key in keys if "agg:" in key] == []
