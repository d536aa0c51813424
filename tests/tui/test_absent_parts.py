"""Parts that there are not: each screen says so; and what the dashboard itself does is always to be seen."""

from __future__ import annotations

import itertools

import pytest
from msgspec import structs

from iotcache.config.parts import PART_KEYS
from iotcache.model import NodeState
from iotcache.published_stats import ReaderStats
from iotcache_tui.app import IotCacheApp
from iotcache_tui.screens.catalog import SCREENS
from iotcache_tui.screens.fleet.screen import FleetScreen
from iotcache_tui.state.absent_parts import own_load
from iotcache_tui.state.nodes.model import NodeFigures, NodesFigures
from iotcache_tui.state.updates import Attachment, Latest, Part, Reader, Second
from iotcache_tui.widgets.fleet.fleet_table import FleetTable
from tests.tui.conftest import RunApp, screen_lines, screen_text, until_shown
from tests.tui.scripted import NODES

SUBSETS = [keys for size in (1, 2) for keys in itertools.combinations(PART_KEYS, size)]


@pytest.mark.parametrize("absent", SUBSETS, ids="+".join)
async def test_each_screen_says_what_it_cannot_show_and_why(run_app: RunApp, absent: tuple[str, ...]) -> None:
    async with run_app((80, 24), devices=0) as (app, pilot):
        names = {"broker.url": "broker", "cache.nodes": "nodes", "store.url": "store"}
        parts = tuple(
            Part(name, "off" if key in absent else "up", "none" if key in absent else "")
            for key, name in names.items()
        )
        named = tuple(key for key in PART_KEYS if key not in absent)
        app.feed.mailbox.put_latest(Latest(parts=parts, ready=True, attachment=Attachment(named, absent)))
        app.feed.mailbox.put_second(Second(app.clock.monotonic(), 200, 200))
        for entry in SCREENS:
            app.show_screen(entry.name)
            for _ in range(3):
                app.frame()
                await pilot.pause()
            text = screen_text(app)
            if entry.name == "fleet" and "store.url" in absent:
                assert "the list of devices comes from a store" in text
                assert "no store" in text
            if entry.name in ("nodes", "keys", "advisor"):
                assert ("there are no cache nodes" in text) is ("cache.nodes" in absent), entry.name
            if entry.name == "device" and "store.url" in absent:
                assert "no store" in text
            if entry.name == "flow":
                assert text.count("none named") == len(absent)
                assert ("none can be heard" in text) is ("broker.url" in absent)
            assert "200/s 0 sets" in text, entry.name


async def test_applications_stand_first_on_the_tile_and_ours_second(run_app: RunApp) -> None:
    async with run_app((120, 40)) as (app, pilot):
        node = NodeFigures(
            name=NODES[0], at_s=1.0, answered=True, others_gets_per_s=4_200.0, others_hit_percent=61.0
        )
        app.feed.mailbox.put_latest(Latest(node_figures=NodesFigures("ketama", (node,))))
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "Applications" in text
        assert "61.0%" in text
        assert "4200 gets/s" in text
        readers = (Reader("r", app.clock.monotonic(), ReaderStats(reads_per_s=9.0)),)
        for named, title in (((), "Readers' hits"), (("cache.nodes",), "Applications")):
            processes = structs.replace(app.state.processes, readers=readers)
            app.feed.mailbox.put_latest(Latest(processes=processes, attachment=Attachment(named)))
            app.frame()
            await pilot.pause()
            assert title in screen_text(app)


@pytest.mark.parametrize(
    ("flushed", "out", "calm"), [(False, False, True), (True, False, False), (False, True, False)]
)
async def test_applications_hits_are_not_called_well_beside_nodes_that_are_not(
    run_app: RunApp, flushed: bool, out: bool, calm: bool
) -> None:
    async with run_app((200, 40)) as (app, pilot):
        now_s = app.clock.monotonic()
        node = NodeFigures(
            name=NODES[0], at_s=now_s, answered=True, others_gets_per_s=4_200.0, others_hit_percent=99.0,
            flushed_at_s=now_s if flushed else 0.0,
        )  # fmt: skip
        nodes = [
            structs.replace(one, state=NodeState.DOWN if out and not at else one.state)
            for at, one in enumerate(app.state.nodes)
        ]
        app.feed.mailbox.put_latest(Latest(node_figures=NodesFigures("ketama", (node,)), nodes=nodes))
        app.frame()
        await pilot.pause()
        assert app.screen.query_one("#kpi-hit").has_class("-ok") is calm
        assert ("to 2 of 3 nodes" in screen_text(app)) is out


def test_what_the_dashboard_does_fits_where_it_is_told() -> None:
    assert own_load(420.4, 0.0, 60) == "this dashboard: 420 looks/s, 0 writes/s"
    for width in range(80):
        assert len(own_load(12_345.0, 7.0, width)) <= width


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (120, 40)], ids=str)
@pytest.mark.parametrize("plots", [False, True])
async def test_the_fleet_keeps_rows_at_every_size(
    run_app: RunApp, size: tuple[int, int], plots: bool
) -> None:
    async with run_app(size) as (app, pilot):
        if plots:
            await pilot.press("g")
        app.tell("something that matters happened and it takes quite some words to say what it was")
        app.tell("and another thing")
        for _ in range(3):
            app.frame()
            await pilot.pause()
        table = app.screen.query_one(FleetTable)
        assert len(table.visible_rows()) >= (3 if plots and size[1] < 30 else 6)
        lines = screen_lines(app)
        assert sum("-00" in line for line in lines) >= 3
        assert any("Nodes" in line for line in lines[:6])


async def test_a_read_only_dashboard_says_so_and_offers_no_act(run_app: RunApp) -> None:
    async with run_app((200, 60), read_only=True) as (app, pilot):
        assert "READ-ONLY" in screen_text(app)
        for name, words in (("nodes", "Acts"), ("events", "acknowledges")):
            app.show_screen(name)
            shown = await until_shown(
                app, pilot, "q Quit", f"[{'3 Nodes' if name == 'nodes' else '7 Events'}]"
            )
            assert words not in shown.splitlines()[-1]
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert not [title for title in titles if "rain" in title]
    async with run_app((200, 60)) as (app, _):
        titles = [command.title for command in app.get_system_commands(app.screen)]
        for wanted in ("Help", "Theme iotcache-light", "Site plant-north", "Columns of the fleet",
                       "Group the fleet by site", "Drain or rejoin a node",
                       "Watch in the fleet"):  # fmt: skip
            assert wanted in titles


async def test_the_palette_s_site_shows_its_devices_alone(run_app: RunApp) -> None:
    async with run_app((120, 40)) as (app, pilot):
        app.show_screen("nodes")
        (command,) = [one for one in app.get_system_commands(app.screen) if one.title == "Site office-hq"]
        command.callback()
        for _ in range(4):
            app.frame()
            await pilot.pause()
        view = app.view("fleet")
        assert isinstance(view, FleetScreen) and isinstance(app, IotCacheApp)
        assert {view.fleet_view.fleet.site[row] for row in view.fleet_view.order} == {"office-hq"}
