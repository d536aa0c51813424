"""Each row of docs/outages.md over real servers: every screen, the plain lines, the snapshot, the doctor."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from textual.pilot import Pilot

from iotcache.config import LoadedSettings
from iotcache_tui.app import IotCacheApp
from iotcache_tui.checks import examine
from iotcache_tui.cli.commands.plain import entry_line, problem_lines
from iotcache_tui.cli.commands.snapshot import lines
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.screens.catalog import SCREENS
from iotcache_tui.state.problems.problem import Gravity
from iotcache_tui.state.snapshot import picture
from iotcache_tui.widgets.common.problem_line import ALL_WELL
from tests.outages.site import DEVICES, Site
from tests.outages.stages import BEFORE, FLAGS, STAGES
from tests.store.conftest import Postgres, postgres
from tests.tui.conftest import screen_lines, screen_text

__all__ = ["postgres"]
pytestmark = [pytest.mark.outages, pytest.mark.real("memcached", "mosquitto", "postgres")]
TABLE = Path(__file__).parents[2] / "docs" / "outages.md"
PROBLEM_LINE = 2


class Row(NamedTuple):
    outage: str
    line: str
    besides: tuple[tuple[str, str], ...]
    json: tuple[str, ...]
    doctor: str


def _rows() -> Iterator[Row]:
    for text in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in text.strip("|").split(" | ")] if text.startswith("| ") else []
        if len(cells) == 5 and cells[0] not in ("outage", "---"):
            besides = tuple(re.findall(r"(\w+) `([^`]+)`", cells[2]))
            line, data, doctor = (cells[number].strip("`") for number in (1, 3, 4))
            yield Row(cells[0], line, besides, tuple(data.split()), doctor)


ROWS = {row.outage: row for row in _rows()}


def test_the_table_has_a_row_for_every_stage() -> None:
    assert set(ROWS) == set(STAGES)


@pytest.fixture(scope="module")
def site(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(tmp_path_factory.mktemp("site"), postgres)
    yield one
    one.close()


def pattern(text: str, site: Site) -> re.Pattern[str]:
    """``…`` is any text."""
    text = text.replace("{node}", site.nodes[1].address).replace("{small}", site.nodes[0].address)
    return re.compile(".*".join(map(re.escape, text.split("…"))))


async def until(pilot: Pilot[None], seen: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 40
    while not seen():
        if time.monotonic() > deadline:
            app = pilot.app
            assert isinstance(app, IotCacheApp)
            raise AssertionError(f"never {what} on:\n{screen_text(app)}\n{app.state.problems}")
        await pilot.pause(0.05)


async def shown(app: IotCacheApp, pilot: Pilot[None], text: re.Pattern[str]) -> None:
    await until(pilot, lambda: text.search(screen_text(app)), f"{text.pattern!r}")


@asynccontextmanager
async def dashboard(loaded: LoadedSettings) -> AsyncIterator[tuple[IotCacheApp, Pilot[None]]]:
    feed = LiveFeed(loaded.settings)
    app = IotCacheApp(feed, loaded.settings.dashboard)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            yield app, pilot
    finally:
        feed.stop()


def is_well(app: IotCacheApp) -> bool:
    state = app.state
    return bool(state.seconds) and not state.problems and state.fleet.devices.live >= DEVICES


@pytest.mark.parametrize("outage", list(STAGES))
async def test_an_outage_is_told_alike_everywhere(
    outage: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.folder))
    row, loaded = ROWS[outage], site.settings(**FLAGS.get(outage, {}))
    async with AsyncExitStack() as stack:
        staged = STAGES[outage](site)
        if outage in BEFORE:
            await asyncio.to_thread(staged.__enter__)
            stack.callback(staged.__exit__, None, None, None)
        async with dashboard(loaded) as (app, pilot):
            if outage not in BEFORE:
                await until(pilot, lambda: is_well(app), "well")
                await asyncio.to_thread(staged.__enter__)
                stack.callback(staged.__exit__, None, None, None)
            await _on_every_screen(app, pilot, row, site)
            # Workers may still have been waiting for what the row before had taken away.
            part, kind, gravity, _ = row.json
            await until(pilot, lambda: _gravest(app) == (part, kind, gravity), f"{part} {kind} {gravity}")
            _without_a_screen(app, row)
        findings = await examine(loaded)
        told = [f"{one.level.upper()} {one.what} {one.found}" for one in findings]
        assert any(pattern(row.doctor, site).match(one) for one in told), told


async def _on_every_screen(app: IotCacheApp, pilot: Pilot[None], row: Row, site: Site) -> None:
    wanted = pattern(row.line, site)
    await until(pilot, lambda: wanted.search(screen_lines(app)[PROBLEM_LINE]), f"{row.line!r}")
    for entry in SCREENS:
        await pilot.press(entry.key)
        await until(pilot, lambda: wanted.search(screen_lines(app)[PROBLEM_LINE]), f"{row.line!r}")
        assert ALL_WELL not in screen_text(app)
        for title, text in row.besides:
            if title == entry.title:
                await shown(app, pilot, pattern(text, site))


def _gravest(app: IotCacheApp) -> tuple[str, str, str]:
    problem = picture(app.state, time.monotonic(), time.time())["problems"][0]
    return problem["part"], problem["kind"], problem["gravity"]


def _without_a_screen(app: IotCacheApp, row: Row) -> None:
    """The snapshot and the plain lines say the same, and cut nothing."""
    state, now_s = app.state, time.monotonic()
    first = state.problems[0]
    part, kind, gravity, code = row.json
    data = picture(state, now_s, time.time())
    problem = data["problems"][0]
    assert (problem["part"], problem["kind"], problem["gravity"]) == (part, kind, gravity)
    assert int(any(one.gravity >= Gravity.BLIND for one in state.problems)) == int(code)
    assert "…" not in problem["text"]
    devices = data["devices"]
    assert devices["total"] == devices["live"] + devices["stale"] + devices["unread"]
    assert any(first.sentence in line for line in lines(data))
    plain = [*map(entry_line, state.log.everything()), *problem_lines(state, now_s, 0.0)]
    assert any(first.cause in line and first.head.split()[0] in line for line in plain), plain


def test_no_flag_names_an_outage_that_there_is_not() -> None:
    assert set(FLAGS) < set(STAGES) and set(STAGES) >= BEFORE
