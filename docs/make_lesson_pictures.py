"""Take a picture of each lesson's steps as they are settled, at two sizes, dark and light.

``python docs/make_lesson_pictures.py [FOLDER [NAME ...]]``: each lesson is run once on servers of its own,
and the page of every step is drawn from what it came to. Exit code 1 where a page lacks what proves its step.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from terminal_svg import picture_of, svg

from iotcache.config.schema import DashboardSettings
from iotcache_simulator.lab.definition.metrics import label_of
from iotcache_simulator.lab.definition.scenario import Scenario, catalogue, find
from iotcache_simulator.lab.run import ScenarioRun
from iotcache_tui.app import IotCacheApp
from iotcache_tui.bench.frame import StillFeed
from iotcache_tui.feed.answers.lab import view_of
from iotcache_tui.state.lab import LabView
from iotcache_tui.state.updates import Latest

SIZES = ((80, 24), (120, 40))
STANDS_S = 2.0
PLOTS = "What happened"
LABEL_LEAST = 8
THEMES = ("iotcache-dark", "iotcache-light")


async def settled_pages(scenario: Scenario) -> list[LabView]:
    """The page of each step as it stands a little after its lights are settled."""
    pages: dict[int, LabView] = {}
    async with ScenarioRun(scenario) as run:
        playing = asyncio.create_task(run.play())
        while not playing.done():
            await asyncio.sleep(0.2)
            state = run.state
            if state.status != "running" or not state.settled or state.step in pages:
                continue
            await asyncio.sleep(STANDS_S)
            pages[state.step] = view_of(run, run.state)
            run.next(skip=True)
        await playing
    return list(pages.values())


def plotted(drawn: str) -> str:
    """What is drawn under the heading of the plots; in a small window the figures stand beside them."""
    lines = drawn.splitlines()
    first, column = next((number, line.index(PLOTS)) for number, line in enumerate(lines) if PLOTS in line)
    return "\n".join(line[column:] for line in lines[first + 1 :])


async def draw(pages: Sequence[LabView], folder: Path, size: tuple[int, int], theme: str) -> list[str]:
    """Write a picture of each page; what is wrong with any, in sentences."""
    wrong: list[str] = []
    app = IotCacheApp(StillFeed(), DashboardSettings(theme=theme), first="lab")
    async with app.run_test(size=size) as pilot:
        for number, page in enumerate(pages, 1):
            app.feed.mailbox.put_latest(Latest(lab=page, ready=True))
            for _ in range(4):
                app.frame()
                await pilot.pause()
            name = f"{page.name}-{number}-{size[0]}x{size[1]}-{theme.removeprefix('iotcache-')}"
            drawn = picture_of(app)
            (folder / f"{name}.svg").write_text(svg([drawn], f"{page.title}, step {number}"), "utf-8")
            text = "\n".join("".join(run[0] for run in line) for line in drawn)
            (folder / f"{name}.txt").write_text(text, "utf-8")
            labels = [label_of(metric) for metric in page.steps[number - 1].metrics]
            # The end of a name may be cut over its plot.
            if not any(label[:LABEL_LEAST] in plotted(text) for label in labels):
                wrong.append(f"{name}: of {', '.join(labels)} none is plotted")
    return wrong


async def main(folder: Path, names: Sequence[str]) -> int:
    wrong: list[str] = []
    for lesson in [find(name) for name in names] or catalogue()[0]:
        pages = await settled_pages(lesson)
        for size in SIZES:
            for theme in THEMES:
                wrong += await draw(pages, folder, size, theme)
        print(f"{lesson.name}: {len(pages)} steps", flush=True)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "build/lesson-pictures")
    into.mkdir(parents=True, exist_ok=True)
    sys.exit(asyncio.run(main(into, sys.argv[2:])))
