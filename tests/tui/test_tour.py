"""The guided tour: a minute over the live demo, once; and the show on a stand, until a key is pressed."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from iotcache.config import load
from iotcache.errors import UsageError
from iotcache.model import Event, Severity
from iotcache_tui.cli.commands.dashboard import guide_of
from iotcache_tui.screens.guide import Guide
from iotcache_tui.state.lab import LabCatalogue, LabEntry, LabRun, LabView, LoadLabCatalogue
from iotcache_tui.state.requests import SwitchPart
from iotcache_tui.state.tour import STEPS, share_at, step_at
from iotcache_tui.widgets.common.tour_panel import TourPanel
from tests.tui.conftest import RunApp, ScriptedApp, until_shown


def switched(app: ScriptedApp) -> list[str]:
    return [one.what for one in app.feed.asked if isinstance(one, SwitchPart)]


def test_it_takes_a_minute_kills_once_and_heals() -> None:
    assert sum(step.seconds for step in STEPS) == 60
    assert [step.act for step in STEPS if step.act] == ["kill", "restart"]
    assert [step_at(at) for at in (0.0, 13.9, 14.0, 59.9, 60.0)] == [0, 0, 1, 4, None]
    assert (share_at(-1), share_at(30), share_at(99)) == (0.0, 0.5, 1.0)


async def pass_on(app: ScriptedApp, pilot: Any, seconds: float) -> None:
    app.clock.advance(seconds)
    app.frame()
    await pilot.pause()


async def test_it_says_what_is_to_be_seen_and_is_not_begun_again(run_app: RunApp) -> None:
    async with run_app(size=(80, 24)) as (app, pilot):
        app.guide = Guide(app, unattended=False)
        app.frame()
        await pass_on(app, pilot, 1)
        await until_shown(app, pilot, "Tour 1/5", "Esc ends the tour")
        table = app.screen.query_one("#log").region
        assert app.preferences.toured
        await pass_on(app, pilot, 14)
        await until_shown(app, pilot, "A cache node dies")
        assert switched(app) == ["kill"]
        # What an alert says of it, the tour says.
        raised = Event(app.clock.now(), "alert.raised", Severity.ERROR, "n", "node-down raised: refused")
        app.feed.mailbox.put_event(raised)
        await pass_on(app, pilot, 1)
        assert not app.screen.query("Toast")
        await pass_on(app, pilot, 24)
        await until_shown(app, pilot, "It is back")
        assert switched(app) == ["kill", "restart"]
        assert app.screen.query_one("#log").region == table  # nothing beneath it moves
        await pass_on(app, pilot, 30)
        assert app.guide.over
        assert not app.screen.query(TourPanel)


@pytest.mark.parametrize("way", ["escape", "3"])
async def test_leaving_it_starts_the_killed_node_again(run_app: RunApp, way: str) -> None:
    async with run_app() as (app, pilot):
        app.guide = Guide(app, unattended=False)
        app.frame()
        await pass_on(app, pilot, 15)
        assert switched(app) == ["kill"]
        await pilot.press(way)
        await pass_on(app, pilot, 1)
        assert app.guide.over
        assert switched(app) == ["kill", "restart"]
        assert not app.screen.query(TourPanel)
        await pass_on(app, pilot, 30)
        assert len(switched(app)) == 2


async def test_a_show_goes_on_with_a_lesson_and_the_tour_again_until_a_key(run_app: RunApp) -> None:
    entry = LabEntry("hot-key", "A hot key", "basic", 3.0, "", (), (), 3)
    async with run_app() as (app, pilot):
        app.guide = Guide(app, unattended=True)
        app.frame()
        await pass_on(app, pilot, 15)
        await until_shown(app, pilot, "any key ends the show")
        await pass_on(app, pilot, 50)
        assert isinstance(app.feed.asked[-1], LoadLabCatalogue)
        app.feed.answer(LabCatalogue((entry,)))
        await pass_on(app, pilot, 1)
        await pass_on(app, pilot, 1)
        runs = [one for one in app.feed.asked if isinstance(one, LabRun)]
        assert [(one.name, one.auto) for one in runs] == [("hot-key", True)]
        assert app.shown_screen == "lab"
        app.state.lab = LabView("next-lesson")
        await pass_on(app, pilot, 5)
        assert app.shown_screen == "fleet"
        assert app.feed.cancelled
        assert not app.preferences.toured
        await pass_on(app, pilot, 1)
        await until_shown(app, pilot, "Tour 1/5")
        await pilot.press("x")
        await pilot.pause()
        assert not app.is_running or app._exit


@pytest.mark.parametrize(
    ("flags", "settings", "new", "kind"),
    [
        ({}, {}, True, "tour"),
        ({}, {}, False, ""),
        ({"tour": True}, {}, False, "tour"),
        ({"tour": False}, {}, True, ""),
        ({"booth": True}, {}, False, "booth"),
        ({}, {"dashboard.tour": "false"}, True, ""),
        ({}, {"cache.nodes": "cache1:11211"}, True, ""),
        ({"record": "x.rec"}, {}, True, ""),
    ],
)
def test_who_is_greeted(flags: dict[str, Any], settings: dict[str, str], new: bool, kind: str) -> None:
    args = argparse.Namespace(**{"tour": None, "booth": False, "record": None} | flags)
    assert guide_of(args, load(settings, environ={}).settings, new_user=new) == kind


def test_none_is_led_through_servers_of_others() -> None:
    args = argparse.Namespace(tour=True, booth=False, record=None)
    with pytest.raises(UsageError, match="with --tour a cache node is killed"):
        guide_of(args, load({"cache.nodes": "cache1:11211"}, environ={}).settings, new_user=True)
