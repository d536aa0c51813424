"""Contexts on the screen: named in its first line, and switched from the palette without a new process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iotcache.config.contexts import ConfigContext
from iotcache_tui.screens.context_choice import ContextChoice
from iotcache_tui.widgets.common.top_bar import TopBar
from tests.cli.conftest import stack
from tests.tui.conftest import RunApp, until_shown
from tests.tui.test_terminal import LIVE_ROW, Terminal, terminal

__all__ = ["stack", "terminal"]


@pytest.fixture
def config(stack: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    nodes = stack["NODES"].split(",")
    file = tmp_path / "config.toml"
    file.write_text(
        f'broker.url = "{stack["BROKER"]}"\nstore.url = "{stack["STORE"]}"\n'
        f'[context.lab]\nread_only = false\ncache.nodes = ["{nodes[0]}"]\n'
        f'[context.prod]\ncache.nodes = ["{nodes[1]}"]\n'
    )
    yield file


@pytest.mark.real("tmux")
@pytest.mark.long
@pytest.mark.timeout(120)
def test_the_palette_goes_over_to_another_context_and_the_process_stays(
    terminal: Callable[..., Terminal], config: Path
) -> None:
    here = terminal(IOTCACHE_CONTEXT="lab")
    text = here.until(lambda text: LIVE_ROW.search(text))
    assert re.match(r" ?iotcache  lab ", text)
    assert "READ-ONLY" not in text
    here.press("3")
    here.until(lambda text: "[3 Nodes]" in text)
    here.press("C-p")
    here.until(lambda text: "Context prod" in text)
    here.press(*"context prod")
    here.until(lambda text: "Watch the servers of this context" in text and "Context lab" not in text)
    here.press("Enter")
    text = here.until(lambda text: "iotcache  prod " in text and "READ-ONLY" in text and "up" in text)
    assert "[3 Nodes]" in text
    assert here._program() == here.pid
    # A mistake that was made in the file meanwhile is told, and all stays as it is.
    config.write_text(config.read_text().replace("read_only = false", "read_onyl = false"))
    here.press("C-p")
    here.until(lambda text: "Context lab" in text)
    here.press(*"context lab")
    here.until(lambda text: "Watch the servers of this context" in text and "Context: none" not in text)
    here.press("Enter")
    here.until(lambda text: "read_onyl" in text and "iotcache  prod " in text)
    here.press("q")
    assert here.exit_code() == 0


async def test_a_name_has_its_colour_in_the_first_line(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await app.screen.mount(TopBar(context=("prod", "red"), id="second"))
        bar = app.screen.query_one("#second", TopBar)
        bar.show((), "LIVE", "12:00:00")
        await pilot.pause()
        (name,) = [segment for segment in bar.render_line(0) if "prod" in segment.text]
        assert name.style is not None and name.style.bgcolor is not None
        assert name.style.bgcolor.name == app.theme_variables["error"].lower()
        await until_shown(app, pilot, " prod ")


async def test_the_palette_has_the_other_contexts_and_none_that_cannot_be_read(run_app: RunApp) -> None:
    prod, lab = ConfigContext("prod", "red"), ConfigContext("lab")
    async with run_app() as (app, pilot):
        app.contexts = ContextChoice(lab, (prod, lab), lambda name: "it is broken" if name == "prod" else "")
        offered = app.get_system_commands(app.screen)
        found = {one.title: one.callback for one in offered if one.title.startswith("Context")}
        assert set(found) == {"Context: none", "Context prod"}
        found["Context prod"]()
        await until_shown(app, pilot, "it is broken")
        assert app.switch_to is None
        found["Context: none"]()
        assert app.switch_to == ""
