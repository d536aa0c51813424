"""The Lab screen: the list, a run with its lights and plot, and every key of it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from rich.cells import cell_len
from rich.console import Console

from iotcache_simulator.lab.course import ORDER
from iotcache_simulator.lab.state import CheckResult, LabState, Mark, StepResult
from iotcache_tui.app import IotCacheApp
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.lab import LabScreen
from iotcache_tui.state.lab import (
    NO_LAB,
    LabCatalogue,
    LabCurve,
    LabDo,
    LabEntry,
    LabExport,
    LabExported,
    LabQuestion,
    LabRun,
    LabStep,
    LabView,
    LoadLabCatalogue,
)
from iotcache_tui.state.requests import SlowStore, SwitchPart
from iotcache_tui.state.updates import Latest
from iotcache_tui.widgets.lab.lab_big import big_lines
from iotcache_tui.widgets.lab.lab_plot import plot_lines
from iotcache_tui.widgets.lab.lab_words import done_in, written
from tests.tui.conftest import RunApp, screen_lines, screen_text, until_shown

SIZES = [(80, 24), (120, 40), (200, 60)]
CATALOGUE = LabCatalogue(
    (
        LabEntry("cache-stampede", "Cache stampede", "basic", 4, "One key.", ("what a lease does",), (), 3),
        LabEntry("hot-key", "Hot key", "advanced", 3, "One node works.", ("rings",), ("hashes",), 4),
    ),
    ("mine.toml, line 3: level: 'easy' cannot be used",),
)  # fmt: skip
QUESTION = LabQuestion("What now?", ("nothing", "it grows"), 2, "Because it is slow.")
STEPS = (
    LabStep("Many readers", "They read **one key**.", ("hit",), None),
    LabStep("The database", "All ask it.", ("fallbacks", "plot"), QUESTION),
)


def view(
    step: int = 0, *, settled: bool = True, status: str = "running", shown: int | None = None
) -> LabView:
    lights = (
        CheckResult(
            "hit_percent > 60 within 15",
            "green" if settled else "pending",
            91.0,
            "%",
            2.0,
            "Hit ratio > 60 %",
        ),
    )
    results = tuple(StepResult(one.title, lights, (), 0.0) for one in STEPS[: step + 1])
    figures = {"hit_percent": 91.0, "p99_ms": 8.5, "misses.expired": 7.0, "store_reads_of_one_key": 20.0}
    state = LabState(
        status, step, step if shown is None else shown, settled, 42.0, figures,
        (Mark(10.0, "lease on"), Mark(20.0, "look here", note=True)), results, settled, tuple(figures),
    )  # fmt: skip
    curve = LabCurve("hit_percent", "%", tuple((float(at), 50.0 + at % 40) for at in range(40)))
    return LabView(
        "cache-stampede",
        "Cache stampede",
        "basic",
        STEPS,
        "One key.",
        "It was the **lease**.",
        (),
        state,
        (curve,),
    )


def show(app: IotCacheApp, lab: LabView) -> None:
    app.feed.mailbox.put_latest(Latest(lab=lab))
    app.frame()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_list_tells_what_each_scenario_teaches(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(size) as (app, pilot):
        await pilot.press("6")
        await pilot.pause()
        assert "looking for scenarios" in screen_text(app)
        assert app.feed.asked == [LoadLabCatalogue()]
        app.feed.answer(CATALOGUE)
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        for words in ("Cache stampede", "basic", "4 min", "what a lease does", "line 3: level"):
            assert words in text
        await pilot.press("down")
        await pilot.pause()
        assert size[0] == 80 or "You should know" in screen_text(app)
        await pilot.press("enter")
        assert app.feed.asked[-1] == LabRun("hot-key")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_run_shows_words_lights_figures_and_progress(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(size) as (app, pilot):
        await pilot.press("6")
        show(app, view())
        await pilot.pause()
        app.frame()
        text = await until_shown(app, pilot, "n goes on", "▶ Hit ratio", "91.0 %", "q Quit")
        for words in (
            "Cache stampede",
            "step 1 of 2",
            "◉○",
            "They read one key",
            "● Hit ratio > 60 %",
            "91.0 %",
        ):
            assert words in text
        assert "n goes on" in text
        assert "▶ Hit ratio" in text
        assert "What happened" in text
        assert "Hit ratio 89.0 %" in text
        assert "│lease on" in text
        assert "* look here" in text
        assert "q Quit" in text
        assert all(cell_len(line) <= size[0] for line in screen_lines(app))


async def test_keys_drive_the_run_and_answers_are_judged(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("6")
        show(app, view(settled=False))
        await pilot.press("n")
        await until_shown(app, pilot, "not yet: a light is still open")
        assert LabDo("next") not in app.feed.asked
        show(app, view(1))
        await pilot.pause()
        assert "a nothing" in screen_text(app)
        assert "Press a or b." in screen_text(app)
        await pilot.press("n", "left", "x", "b")
        assert app.feed.asked[-4:] == [LabDo("next"), LabDo("back"), LabDo("skip"), LabDo("answer", 2)]
        answered = view(1)
        steps = (answered.state.steps[0], StepResult("x", (), (), 0.0, answered=2))
        from msgspec import structs

        show(app, structs.replace(answered, state=structs.replace(answered.state, steps=steps)))
        await pilot.pause()
        assert "Right. Because it is slow." in screen_text(app)
        await pilot.press("t", *"look at this")
        await pilot.pause()
        assert "look at this" in screen_text(app)
        await pilot.press("enter")
        assert app.feed.asked[-1] == LabDo("note", text="look at this")
        await pilot.press("B")
        app.frame()
        await pilot.pause()
        assert "Figures" not in screen_text(app)
        assert "█ █  ███  ███" not in screen_text(app)
        assert "For the back row" in screen_text(app)


async def test_the_end_explains_is_written_down_and_left(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("6")
        show(app, view(1, status="done", shown=2))
        await pilot.pause()
        text = screen_text(app)
        assert "summary" in text
        assert "What it means" in text
        assert "Every expectation held." in text
        assert "1. Many readers" in text
        assert "✓ Hit ratio > 60 %: 91 %" in text
        show(app, view(1, status="done", shown=1))
        await pilot.pause()
        assert "All ask it." in screen_text(app)
        assert "What it means" not in screen_text(app)
        await pilot.press("E")
        assert isinstance(app.feed.asked[-1], LabExport)
        app.feed.answer(LabExported(("/somewhere/cache-stampede-summary.md",)))
        app.frame()
        await pilot.pause()
        assert "written: cache-stampede-summary.md" in screen_text(app)
        show(app, NO_LAB)
        await pilot.pause()
        assert "Scenario " in screen_text(app)


async def test_the_list_shows_the_lesson_that_was_left(run_app: RunApp) -> None:
    entries = tuple(
        structs.replace(CATALOGUE.entries[0], name=f"l{n}", title=f"Lesson {n}") for n in range(30)
    )
    async with run_app((80, 24)) as (app, pilot):
        await pilot.press("6")
        app.feed.answer(LabCatalogue(entries, ()))
        app.frame()
        show(app, structs.replace(view(1, status="done", shown=2), name="l29"))
        await pilot.pause()
        show(app, NO_LAB)
        await until_shown(app, pilot, "Lesson 29  ")


async def test_leaving_in_the_middle_asks_first_and_cancels_the_run(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("6")
        app.feed.answer(CATALOGUE)
        app.frame()
        await pilot.press("enter")
        ticket = len(app.feed.asked)
        show(app, view())
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("n")
        assert not app.feed.cancelled
        await pilot.press("escape", "y")
        await pilot.pause()
        assert app.feed.cancelled == [ticket]


async def test_a_file_of_ones_own_is_begun_again_as_it_was_asked_for(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        lab = app.view("lab")
        assert isinstance(lab, LabScreen)
        lab.begin_with = ("own/mine.toml", False)
        await pilot.press("6")
        show(app, view())
        await pilot.pause()
        assert app.feed.asked[-1] == LabRun("own/mine.toml")
        await pilot.press("R", "y")
        show(app, NO_LAB)
        while app.feed.asked.count(LabRun("own/mine.toml")) < 2:
            await pilot.pause(0.05)


async def test_a_long_condition_is_read_to_its_end(run_app: RunApp) -> None:
    async with run_app((100, 30)) as (app, pilot):
        await pilot.press("6")
        text = "modulo.misses.never_set > 1000 for 5 within 120"
        shown = view()
        lights = (CheckResult(text, "green", 1234.0, "reads/s", 6.0),)
        results = (StepResult("Many readers", lights, (), 0.0),)
        show(app, structs.replace(shown, state=structs.replace(shown.state, steps=results)))
        while "(after 6 s)" not in screen_text(app):  # the screen may still be coming up
            await pilot.pause()
        lines = screen_lines(app)
        at = next(number for number, line in enumerate(lines) if "modulo.misses.never_set > 1000" in line)
        assert lines[at + 1].endswith(" 120")
        assert "(after 6 s)" in lines[at + 2]
        assert lines[at + 2].endswith("1234 reads/s")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_light_shows_what_is_now_and_the_text_all_that_was_done(
    run_app: RunApp, size: tuple[int, int]
) -> None:
    begun = view()
    light = structs.replace(begun.state.steps[0].checks[0], metric="hit_percent", value=77.0)
    step = structs.replace(begun.state.steps[0], checks=(light,))
    acts = (
        *(Mark(10.0 + n, "a node added to the list") for n in range(4)),
        Mark(15.0, "every node flushed"), Mark(16.0, "so *this* is it", note=True),
    )  # fmt: skip
    state = structs.replace(begun.state, steps=(step,), marks=acts)
    async with run_app(size) as (app, pilot):
        await pilot.press("6")
        show(app, structs.replace(begun, state=state, beside=True))
        await until_shown(
            app, pilot, "91.0 %", "(after 2 s)", "your own servers:", "● lab servers of its own"
        )
        done = "a node added to the list (4 times); every node flushed; “so *this* is it”"
        assert done_in(state) == done
        assert "Done: a node added to the list (4" in screen_text(app)
        assert "*this*" in screen_text(app)
        assert "77.0" not in screen_text(app)
        over = structs.replace(light, now=12.0)
        step = structs.replace(step, checks=(over,))
        show(app, structs.replace(begun, state=structs.replace(state, steps=(step,), elapsed_s=43.0)))
        await until_shown(app, pilot, "was 77.0 %, now 12.0 %")
        assert "your own servers" not in screen_text(app)


async def test_two_sides_are_plotted_beside_each_other(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("6")
        shown = view()
        curves = tuple(
            structs.replace(shown.curves[0], metric=f"{side}.hit_percent") for side in ("ketama", "modulo")
        )
        show(app, structs.replace(shown, sides=("ketama", "modulo"), curves=curves))
        await pilot.pause()
        app.frame()
        await pilot.pause()
        assert any(
            "ketama: Hit ratio" in line and "modulo: Hit ratio" in line and " │ " in line
            for line in screen_lines(app)
        )


async def test_what_cannot_go_on_says_why(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("6")
        show(app, LabView("x", "X", "basic", STEPS, state=LabState("failed", message="no free port")))
        await pilot.pause()
        assert "It could not go on" in screen_text(app)
        assert "no free port" in screen_text(app)


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_a_fault_switch_does_stays_in_sight(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(size) as (app, pilot):
        await pilot.press("6", "f", "down")
        await pilot.pause()
        text = screen_text(app)
        assert "keeps its connections" in text
        assert "Enter does it" in text


async def test_fault_switches_act_on_the_own_stack_and_not_when_read_only(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("6", "f")
        await pilot.pause()
        assert "kill node 127.0.0.1:21001" in screen_text(app)
        await pilot.press("enter")
        assert app.feed.asked[-1] == SwitchPart("node 127.0.0.1:21001", "kill")
        app.feed.answer()
        app.frame()
        await pilot.pause()
        assert "done: kill node" in screen_text(app)
        await pilot.press("end", "enter")
        assert app.feed.asked[-1] == SlowStore(1_000.0)
    async with run_app(read_only=True) as (app, pilot):
        await pilot.press("6", "f")
        await pilot.pause()
        assert "read-only" in screen_text(app)
        assert not any(isinstance(request, SwitchPart) for request in app.feed.asked)


async def test_a_narrow_screen_shows_all_lights_and_first_the_figures_that_are_pointed_at(
    run_app: RunApp,
) -> None:
    async with run_app((80, 24)) as (app, pilot):
        await pilot.press("6")
        shown = view(1)
        lights = tuple(CheckResult(f"hit_percent > {n}0", "green", 91.0, "%", 1.0) for n in range(5))
        results = (*shown.state.steps[:1], StepResult("The database", lights, (), 0.0))
        state = structs.replace(
            shown.state,
            steps=results,
            figures={
                f"{side}.{name}": float(at)
                for side in ("ketama", "modulo")
                for at, name in enumerate(
                    ("hit_percent", "reads_per_s", "nodes_up", "p50_ms", "fallbacks_per_s")
                )
            }
            | {"ketama.misses.invalidated": 3.0, "modulo.misses.invalidated": 4.0},
            seen=(
                "hit_percent",
                "reads_per_s",
                "nodes_up",
                "p50_ms",
                "fallbacks_per_s",
                "misses.invalidated",
            ),
        )
        show(app, structs.replace(shown, state=state, sides=("ketama", "modulo")))
        for _ in range(3):
            app.frame()
            await pilot.pause()
        text = screen_text(app)
        for n in range(5):
            assert f"hit_percent > {n}0" in text
        assert "▶ Fallbacks" in text
        assert "a nothing" in text
        assert "b it grows" in text


def text_of(lines: object) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]  # type: ignore[attr-defined]


@settings(suppress_health_check=[HealthCheck.too_slow])  # of the machine, not of what is drawn
@given(
    marks=st.lists(st.tuples(st.floats(0, 40), st.text("abcde ", min_size=1, max_size=30)), max_size=12),
    width=st.integers(20, 120),
    height=st.integers(4, 40),
    sides=st.booleans(),
)
def test_marks_go_through_all_plots_and_never_over_one_another(
    marks: list[tuple[float, str]], width: int, height: int, sides: bool
) -> None:
    shown = view()
    state = structs.replace(shown.state, marks=tuple(Mark(at, text) for at, text in sorted(marks)))
    curves = shown.curves
    if sides:
        curves = tuple(structs.replace(curves[0], metric=f"{side}.hit_percent") for side in "ab")
    drawn = plot_lines(
        structs.replace(shown, state=state, curves=curves, sides=("a", "b") if sides else ()),
        width, height, False,
    )  # fmt: skip
    lines = text_of(drawn)
    assert {cell_len(line) for line in lines} <= {cell_len(lines[0])}
    assert cell_len(lines[0]) <= width
    assert len(lines) <= height
    names = "".join(text for line in drawn for text, tone in line if tone == "mark")
    if not sides and len(marks) == 1 and len(marks[0][1]) <= width // 2 - 2:
        assert marks[0][1] in names, "a mark that has room is named whole"


@pytest.mark.parametrize(("width", "height", "digits"), [(78, 15, 5), (118, 34, 8), (198, 50, 8)])
def test_big_type_is_five_to_eight_lines_high_over_a_plot_that_fills_the_rest(
    width: int, height: int, digits: int
) -> None:
    shown = view()
    first = structs.replace(shown.state.steps[0], before={"hit_percent": 20.0})
    steps = (structs.replace(shown.steps[0], metrics=("hit_percent",)), *shown.steps[1:])
    shown = structs.replace(
        shown, steps=steps, state=structs.replace(shown.state, steps=(first, *shown.state.steps[1:]))
    )
    lines = text_of(big_lines(shown, width, height, False))
    caption = next(at for at, line in enumerate(lines) if "before this step → now" in line)
    assert sum(bool(line.strip()) for line in lines[:caption]) == digits
    assert len(lines) == height
    assert lines[-1].count("█") > width // 2


def finished(name: str, answered: int, *, skipped: bool = False) -> LabView:
    shown = view(1, status="done", shown=2)
    steps = (
        shown.state.steps[0],
        structs.replace(shown.state.steps[1], answered=answered, skipped=skipped),
    )
    return structs.replace(shown, name=name, state=structs.replace(shown.state, steps=steps))


async def test_a_lesson_gone_through_is_ticked_and_the_course_ends_with_a_certificate(
    run_app: RunApp,
) -> None:
    async with run_app((120, 40)) as (app, pilot):
        await pilot.press("6")
        await pilot.pause()
        app.feed.answer(CATALOGUE)
        show(app, finished("hot-key", 2, skipped=True))
        assert not app.preferences.lessons, "a step was skipped"
        show(app, structs.replace(finished("hot-key", 2), auto=True))
        assert not app.preferences.lessons, "nobody was there"
        show(app, finished("cache-stampede", 2))
        await until_shown(app, pilot, f"1 of {len(ORDER)} lessons taken; next: ")
        show(app, finished("cache-stampede", 1))
        assert app.preferences.lessons["cache-stampede"].right == 1, "the first time counts"
        app.feed.mailbox.put_latest(Latest(lab=NO_LAB))
        await until_shown(app, pilot, "✓Cache stampede", "C Course")
        await pilot.press("C")
        await until_shown(
            app, pilot, "The course so far", "1 Cache stampede", "1 of 1 right", "Still to come"
        )
        await pilot.press("E")
        asked = app.feed.asked[-1]
        assert isinstance(asked, LabExport)
        assert "The course so far" in asked.certificate
        await pilot.press("escape")
        await until_shown(app, pilot, "✓Cache stampede")
        for name in ORDER[:-1]:
            show(app, finished(name, 2))
        show(app, finished(ORDER[-1], 1))
        await until_shown(app, pilot, f"You have taken all {len(ORDER)} lessons")
        app.feed.mailbox.put_latest(Latest(lab=NO_LAB))
        app.frame()
        await pilot.press("C")
        whole = f"answered {len(ORDER) - 1} of {len(ORDER)} questions rightly"
        await until_shown(app, pilot, "Certificate", "Name: ____", whole)


@pytest.mark.parametrize("sides", [(), ("left", "right")])
def test_a_step_about_nothing_that_the_scenario_plots_still_shows_its_proof(sides: tuple[str, ...]) -> None:
    names = [
        f"{side}.{name}" if side else name for side in sides or ("",) for name in ("hit_percent", "p99_ms")
    ]
    points = tuple((float(at), 50.0) for at in range(20))
    curves = tuple(LabCurve(name, "ms", points, plotted="hit" in name) for name in names)
    steps = tuple(structs.replace(one, metrics=(names[1],)) for one in STEPS)
    shown = structs.replace(view(), curves=curves, sides=sides, steps=steps)
    for height in (8, 30):
        drawn = "\n".join(text_of(plot_lines(shown, 100, height, False)))
        assert all(
            ("left: Read p99" in drawn, "right: Read p99" in drawn) if sides else ["Read p99" in drawn]
        )
        assert ("Hit ratio" in drawn) == (height > 8)


def test_narration_has_the_themes_colours_alone() -> None:
    text = "# A\n**b** and `c`, *d*\n\n- e\n\n1. f\n\n> g\n\n```\nh\n```\n[i](http://j)"
    drawn = Console(width=60, color_system="truecolor").render(written(text, "#123456"))
    styles = [one.style for one in drawn if one.style is not None and one.text.strip()]
    assert {str(style.color.name) for style in styles if style.color is not None} <= {"default", "#123456"}
    assert all(style.bgcolor is None or style.bgcolor.is_default for style in styles)
