"""The Events screen: one log of everything, by kind and severity, and the way to what it is about."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec import structs

from iotcache.clock import ManualClock
from iotcache.config.schema import StoreSettings
from iotcache.model import DeadLetter, Event, MissReason, Severity
from iotcache.model.alerts import Alert, AlertState
from iotcache.store import open_store
from iotcache_tui.feed.answers.alerts import SHOWN_MOST, AlertPoller, acknowledge_all
from iotcache_tui.feed.dead_letters import DeadLetterPoller
from iotcache_tui.record.player import RecordingPlayer
from iotcache_tui.record.recorder import Recorder
from iotcache_tui.screens.events import EventsScreen
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.log import KINDS, PER_KIND_MAX, EventLog, LogView
from iotcache_tui.state.requests import AcknowledgeAlerts
from iotcache_tui.state.updates import AlertLine, Drained, FallbackRead, Latest, Mailbox
from tests.tui.conftest import RunApp, screen_lines, screen_text
from tests.tui.scripted import NODES

SIZES = [(80, 24), (120, 40), (200, 60)]
NODE_EVENT = Event(1_750_000_000.0, "node.down", Severity.ERROR, NODES[1], "node is down: refused\x1b[31m")
LETTER_EVENT = Event(
    1_750_000_001.0, "dead_letter", Severity.WARNING, "iot/[bold]x", "no number in value (12 bytes)"
)


def full_log(count: int) -> EventLog:
    log = EventLog()
    for number in range(count):
        log.add(1.0, "fallback", Severity.INFO, f"key-{number}", "expired", row=number)
    return log


def test_a_flood_of_one_kind_drives_out_no_other() -> None:
    log = EventLog()
    log.add(1.0, "node", Severity.ERROR, "n", "down")
    for number in range(PER_KIND_MAX + 50):
        log.add(1.0, "fallback", Severity.INFO, f"key-{number}", "expired")
    assert log.count("fallback") == PER_KIND_MAX
    view = LogView(log)
    view.update()
    assert view.lines[0].kind == "node"
    assert [entry.number for entry in view.lines] == sorted(entry.number for entry in view.lines)


def test_a_view_taken_up_step_by_step_is_the_same_as_one_made_anew() -> None:
    log = full_log(10)
    view = LogView(log)
    view.update()
    for number in range(500):
        log.add(2.0, KINDS[number % len(KINDS)], list(Severity)[number % 3], f"s{number}", "what")
        if number % 7 == 0:
            view.update()
    view.update()
    fresh = LogView(log)
    fresh.update()
    assert view.lines == fresh.lines
    assert view.update() is False
    view.show(kinds=frozenset({"node"}), least=Severity.WARNING, text="S1")
    assert view.lines
    assert all(entry.kind == "node" and entry.severity is not Severity.INFO for entry in view.lines)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_everything_that_happened_is_in_one_log(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(size) as (app, pilot):
        app.feed.mailbox.put_event(NODE_EVENT)
        app.feed.mailbox.put_event(LETTER_EVENT)
        await pilot.press("7")
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "[7 Events]" in text
        lines = screen_lines(app)
        assert any("✗ node" in line and "node is down: refused" in line for line in lines)
        assert any("▲ dead letter iot/[bold]x" in line for line in lines)
        assert any("· fallback" in line and "never set, store 5.2 ms" in line for line in lines)
        assert "\x1b" not in text
        assert "q Quit" in text


async def test_kinds_severities_and_words_filter_and_escape_shows_everything(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        app.feed.mailbox.put_event(NODE_EVENT)
        app.feed.mailbox.put_event(LETTER_EVENT)
        await pilot.press("7", "f")
        app.frame()
        await pilot.pause()
        assert isinstance(app.screen, EventsScreen)
        view = app.screen.view
        assert {entry.kind for entry in view.lines} == {"node", "dead letter"}
        assert "○ f Fallbacks" in screen_text(app)
        await pilot.press("exclamation_mark", "exclamation_mark")
        assert {entry.kind for entry in view.lines} == {"node"}
        await pilot.press("escape")
        assert len(view.lines) > 2
        await pilot.press("slash", *"dead letter")
        await pilot.pause()
        assert {entry.kind for entry in view.lines} == {"dead letter"}
        await pilot.press("enter", "escape")
        assert len(view.lines) > 2


async def test_enter_goes_to_the_device_that_a_fallback_is_about(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        app.feed.mailbox.put_reads(
            [], [FallbackRead(app.clock.now(), 3, "k", MissReason.EXPIRED, NODES[0], 1.0, 5.0)]
        )
        await pilot.press("7")
        app.frame()
        await pilot.press("end", "enter")
        await pilot.pause()
        assert app.selected_row == 3


async def test_the_log_follows_until_somebody_moves_up(run_app: RunApp) -> None:
    async with run_app((80, 24)) as (app, pilot):
        await pilot.press("7")

        async def burst(first: int) -> None:
            for number in range(first, first + 30):
                app.feed.mailbox.put_event(Event(1.0, "x", Severity.INFO, f"burst-{number}", "now"))
            for _ in range(3):
                app.frame()
                await pilot.pause()

        await burst(0)
        assert "burst-29" in screen_text(app)
        assert isinstance(app.screen, EventsScreen)
        log = app.screen.log_view
        await pilot.press("up", "up")
        assert log.selected_entry is not None and log.selected_entry.subject == "burst-28"
        await burst(30)
        assert "burst-59" not in screen_text(app)
        assert "not following" in screen_text(app)
        assert log.selected_entry is not None and log.selected_entry.subject == "burst-28"
        await pilot.press("F")
        await pilot.pause()
        assert "burst-59" in screen_text(app)


@pytest.mark.parametrize("size", [(60, 15), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_an_empty_log_and_a_filter_that_nothing_passes_say_different_things(
    run_app: RunApp, size: tuple[int, int]
) -> None:
    async with run_app(size, devices=0) as (app, pilot):
        await pilot.press("7")
        app.frame()
        await pilot.pause()
        assert isinstance(app.screen, EventsScreen)
        assert "No events yet" in screen_text(app)
        await pilot.press("n")
        app.feed.mailbox.put_event(NODE_EVENT)
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "No events match: hidden: node" in text
        assert "Esc shows everything again" in text
        await pilot.press("escape", "slash", *"zzz")
        app.frame()
        await pilot.pause()
        assert "No events match: “zzz”" in screen_text(app)
        await pilot.press("escape")
        app.frame()
        await pilot.pause()
        assert "node is down" in screen_text(app)


class _Letters:
    def __init__(self) -> None:
        self.dead_letters: list[DeadLetter] = []
        self.asked = 0

    async def recent_dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        self.asked += 1
        return self.dead_letters[:limit]


async def test_dead_letters_are_told_of_once_and_looked_for_only_with_a_reason() -> None:
    from iotcache.published_stats import IngestStats
    from iotcache_tui.state.updates import Worker

    mailbox, clock, store = Mailbox(), ManualClock(1_000.0), _Letters()
    watch = DeadLetterPoller(mailbox, clock)
    store.dead_letters = [DeadLetter("iot/old", b"x", "from long before", 1)]
    workers = [Worker("w", 1.0, IngestStats(dead_letters=1))]
    await watch.poll(store, workers)  # type: ignore[arg-type]
    assert not mailbox.drain().events
    store.dead_letters.insert(0, DeadLetter("iot/new\x1b", b"xyz", "no JSON", int(900e6)))
    await watch.poll(store, workers)  # type: ignore[arg-type]
    assert store.asked == 1
    workers = [Worker("w", 1.0, IngestStats(dead_letters=2))]
    await watch.poll(store, workers)  # type: ignore[arg-type]
    (event,) = mailbox.drain().events
    assert (event.kind, event.text) == ("dead_letter", "no JSON (3 bytes)")
    assert "\x1b" not in event.subject
    clock.advance(60.0)
    await watch.poll(store, workers)  # type: ignore[arg-type]
    assert store.asked == 3
    assert not mailbox.drain().events


async def test_messages_with_nothing_in_them_are_told_of_now_and_then() -> None:
    from iotcache.published_stats import IngestStats
    from iotcache_tui.state.updates import Worker

    mailbox, clock, store = Mailbox(), ManualClock(100.0), _Letters()
    watch = DeadLetterPoller(mailbox, clock)
    counts = []
    for total, passed_s in ((0, 1.0), (2, 1.0), (5, 1.0), (9, 20.0), (9, 60.0), (1, 1.0), (3, 60.0)):
        clock.advance(passed_s)
        stats = IngestStats(nothing_in_it=total, last_nothing_in_it="m/empty")
        await watch.poll(store, [Worker("w", 1.0, stats)])  # type: ignore[arg-type]
        counts += [(event.subject, event.text.partition(" such")[0]) for event in mailbox.drain().events]
    assert counts == [("m/empty", f"nothing in it: {count}") for count in (2, 7, 2)]


async def test_standing_alerts_are_shown_toasted_and_acknowledged(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        lines = (
            AlertLine(
                "node-down", NODES[1], Severity.ERROR, False, app.clock.now() - 65, f"{NODES[1]} is down"
            ),
            AlertLine(
                "too-warm", "cold-1:\x1bt", Severity.WARNING, True, app.clock.now() - 5, "8.5 > 8", "ann"
            ),
        )
        app.feed.mailbox.put_latest(Latest(alerts=lines))
        app.feed.mailbox.put_event(
            Event(app.clock.now(), "alert.raised", Severity.ERROR, NODES[1], "node-down raised: it is down")
        )
        await pilot.press("7")
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "✗ node-down 127.0.0.1:21002 is down" in text
        assert "1m  A acknowledges" in text or "65s  A acknowledges" in text
        assert "known by ann" in text
        assert "node-down raised: it is down" in text
        await pilot.press("A", "y")
        await pilot.pause()
        assert app.feed.asked == [AcknowledgeAlerts((("node-down", NODES[1]),))]
        app.feed.mailbox.put_latest(Latest(alerts=()))
        app.frame()
        await pilot.pause()
        assert "A acknowledges" not in screen_text(app)


async def test_an_alert_is_not_acknowledged_where_nothing_may_be_changed(run_app: RunApp) -> None:
    async with run_app(read_only=True) as (app, pilot):
        line = AlertLine("node-down", NODES[1], Severity.ERROR, False, app.clock.now() - 65, "it is down")
        app.feed.mailbox.put_latest(Latest(alerts=(line,)))
        await pilot.press("7")
        app.frame()
        await pilot.press("A")
        await pilot.pause()
        assert isinstance(app.screen, EventsScreen)
        assert not app.feed.asked


async def test_many_alerts_and_long_subjects_are_heard_and_acknowledged(tmp_path: Path) -> None:
    store = open_store(StoreSettings(url=f"sqlite:///{tmp_path / 's.db'}"))
    async with store:
        mailbox = Mailbox()
        watch = AlertPoller(mailbox)
        old = [
            Alert(name="w", subject=f"d{number}", severity=Severity.WARNING, state=AlertState.RAISED,
                  since_us=10**15 + number)
            for number in range(SHOWN_MOST + 10)
        ]  # fmt: skip
        await store.alerts.record(old)
        await watch.poll(store)
        mailbox.drain()
        subject = f"{'%20' * 256}:{'%20' * 256}"
        await store.alerts.record(
            [structs.replace(old[0], subject=subject, severity=Severity.ERROR, since_us=10**15 + 9_999)]
        )
        await watch.poll(store)
        drained = mailbox.drain()
        assert [event.kind for event in drained.events] == ["alert.raised"]
        assert drained.alerts is not None
        assert len(drained.alerts) == SHOWN_MOST
        first = drained.alerts[0]
        reach = SimpleNamespace(cache=SimpleNamespace(store=store))
        asked = AcknowledgeAlerts(((first.name, first.subject),))
        assert await acknowledge_all(asked, reach) == 1  # type: ignore[arg-type]


def test_alerts_that_stand_are_in_a_recording(tmp_path: Path) -> None:
    line = AlertLine("node-down", "n:1", Severity.ERROR, False, 5.0, "it is down")
    path = tmp_path / "r.rec"
    state = DashboardState()
    recorder = Recorder(path)
    for now_s, alerts in ((1.0, (line,)), (2.0, None), (3.0, ())):
        drained = Drained(alerts=alerts)
        state.apply(drained)
        recorder.add(now_s, 1000.0 + now_s, drained, state)
    recorder.close()
    player = RecordingPlayer(path)
    try:
        player.play(False)
        shown: list[tuple[AlertLine, ...]] = []
        for at_s in (2.0, 3.0):
            player.state = DashboardState()
            player.seek(at_s)
            for drained in player.deliver():
                player.state.apply(drained)
            shown.append(player.state.alerts)
    finally:
        player.close()
    assert shown == [(line,), ()]


async def test_alerts_come_from_the_store_and_each_change_is_told_once(tmp_path: Path) -> None:
    store = open_store(StoreSettings(url=f"sqlite:///{tmp_path / 's.db'}"))
    async with store:
        mailbox = Mailbox()
        watch = AlertPoller(mailbox)
        alert = Alert(
            name="node-down",
            subject="n:1",
            severity=Severity.ERROR,
            state=AlertState.RAISED,
            since_us=10**15,
            text="x",
        )
        await watch.poll(store)
        assert mailbox.drain().alerts is None
        await store.alerts.record([alert])
        await watch.poll(store)
        await watch.poll(store)
        drained = mailbox.drain()
        assert [event.kind for event in drained.events] == ["alert.raised"]
        assert drained.alerts is not None
        assert [(one.name, one.acknowledged) for one in drained.alerts] == [("node-down", False)]
        reach = SimpleNamespace(cache=SimpleNamespace(store=store))
        asked = AcknowledgeAlerts((("node-down", "n:1"), ("gone", "n:2")))
        assert await acknowledge_all(asked, reach) == 1  # type: ignore[arg-type]
        await watch.poll(store)
        assert [event.kind for event in mailbox.drain().events] == ["alert.acknowledged"]
        await store.alerts.record([structs.replace(alert, state=AlertState.CLEARED, changed_us=10**15 + 1)])
        await watch.poll(store)
        drained = mailbox.drain()
        (cleared,) = drained.events
        assert cleared.kind == "alert.cleared"
        assert re.fullmatch(r"node-down cleared after \S+; it was: x", cleared.text)
        assert drained.alerts == ()
