"""The scenario that is being run: its words, its lights, and what was measured."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from iotcache.config.schema import DashboardSettings
from iotcache_tui.format import fit
from iotcache_tui.state.lab import LabView
from iotcache_tui.widgets.common.panel import Panel
from iotcache_tui.widgets.lab.lab_big import big_lines
from iotcache_tui.widgets.lab.lab_panels import figure_lines, light_lines
from iotcache_tui.widgets.lab.lab_plot import left_out, plot_lines
from iotcache_tui.widgets.lab.lab_words import done_in, headline, narration, written

MEASURED_LEAST, MEASURED_ASKED = 8, 5
"""Lines that figures and plot keep where it is narrow: always, and while a question is to be read."""
TEXT_LEAST = 4
"""Lines that the text keeps there."""


class _QuestionShown(NamedTuple):
    """What the words on show depend on."""

    status: str
    message: str
    shown: int
    answered: int
    asked: bool
    theme: str
    course: str
    done: str


class Room(NamedTuple):
    """How the screen stands: it knows before its widgets do."""

    width: int
    narrow: bool
    big: bool


class LessonView(Vertical):
    """Narration on the left, lights, figures and plots beside it, or below it where it is narrow."""

    SCOPED_CSS: ClassVar[bool] = False
    DEFAULT_CSS = """
    #lab-run { height: 1fr; }
    #lab-head { height: 1; background: $panel; padding: 0 1; color: $foreground; }
    #lab-body { height: 1fr; }
    #lab-tell { width: 1fr; max-width: 84; background: $surface; padding: 1 2 0 2; }
    #lab-tell Static { height: auto; }
    #lab-side { width: 1fr; margin: 0 0 0 1; }
    #lab-lights { height: 6; }
    #lab-measured { height: 1fr; layout: vertical; }
    #lab-figures { height: 1fr; max-height: 13; margin: 1 0 0 0; }
    LabScreen.-wide #lab-figures { max-height: 19; }
    #lab-plot { height: 1fr; margin: 1 0 0 0; }
    #lab-big { height: 1fr; display: none; margin: 1 0 0 0; }
    LabScreen.-narrow #lab-body { layout: vertical; }
    LabScreen.-narrow #lab-tell { height: 1fr; max-width: 100%; padding: 0 1; }
    LabScreen.-narrow #lab-side { height: 11; width: 1fr; margin: 0; }
    LabScreen.-narrow #lab-lights { height: 4; }
    LabScreen.-narrow #lab-measured { layout: horizontal; }
    LabScreen.-narrow #lab-figures { width: 30; max-height: 100%; margin: 0; }
    LabScreen.-narrow #lab-plot { width: 1fr; margin: 0; }
    LabScreen.-big #lab-measured { display: none; }
    LabScreen.-big #lab-tell { display: none; }
    LabScreen.-big #lab-big { display: block; }
    LabScreen.-big #lab-side { margin: 0; height: 1fr; }
    LabScreen.-big.-narrow #lab-big { margin: 0; }
    """

    def __init__(self, settings: DashboardSettings) -> None:
        super().__init__(id="lab-run")
        self._settings = settings
        self.head = Static(id="lab-head", markup=False)
        self.narration_text = Static(markup=False)
        self.tell = VerticalScroll(self.narration_text, id="lab-tell")
        self.big = Panel("For the back row", ascii_only=settings.ascii, id="lab-big")
        self.lights = Panel("Expected", ascii_only=settings.ascii, id="lab-lights")
        self.figures = Panel("Figures", ascii_only=settings.ascii, id="lab-figures")
        self.plot = Panel("What happened", ascii_only=settings.ascii, id="lab-plot")
        self.side = Vertical(id="lab-side")
        self._question_shown: _QuestionShown | None = None
        self._headed = "", "", 0

    def compose(self) -> ComposeResult:
        yield self.head
        with Horizontal(id="lab-body"):
            yield self.tell
            with self.side:
                yield self.lights
                with Container(id="lab-measured"):
                    yield self.figures
                    yield self.plot
                yield self.big

    def begin(self) -> None:
        """Another scenario: nothing of the one before is on show."""
        self._question_shown = None

    def show(self, view: LabView, room: Room, next_key: str, course: str) -> None:
        """One frame; ``course``: how far the learner is, once the lesson is over."""
        state = view.state
        self._draw_head(view, room.width, next_key)
        lights = state.steps[state.shown] if state.shown < len(state.steps) else None
        answered = (lights.answered or -lights.revealed) if lights else 0
        message = _QuestionShown(
            state.status, state.message, state.shown, answered, state.asked, self.app.theme, course,
            done_in(state),
        )  # fmt: skip
        if message != self._question_shown:
            before, self._question_shown = self._question_shown, message
            self.narration_text.update(
                written(narration(view, self._settings.keys, course), self.app.theme_variables["primary"])
            )
            if before is None or message.shown != before.shown:
                self.tell.scroll_home(animate=False)
            elif (message.answered, message.asked) != (before.answered, before.asked):
                # The question comes last, and then what was right, and why.
                self.call_after_refresh(self.tell.scroll_end, animate=False)
        self._share_out(view, room)
        ascii_only = self._settings.ascii
        steps = state.steps if lights is None else (lights,)
        held = sum(check.state == "green" for step in steps for check in step.checks)
        total = sum(len(step.checks) for step in steps)
        self.lights.show(
            (state.elapsed_s, state.shown, lights),
            lambda width, height: light_lines(view, width - 2, ascii_only),
            note=f"{held} of {total} held",
        )
        tick = state.elapsed_s, state.shown, len(state.marks)
        if room.big:
            self.big.show(tick, lambda width, height: big_lines(view, width - 2, height, ascii_only))
            return
        self.figures.show(tick, lambda width, height: figure_lines(view, width - 2, height, ascii_only))
        left = left_out(view, self.plot.size.width - 2, self.plot.size.height - 1)
        more = f"{left} more in a higher window, " if left else ""
        self.plot.show(
            tick, lambda width, height: plot_lines(view, width - 2, height, ascii_only),
            note=f"{more}{state.elapsed_s:.0f} s",
        )  # fmt: skip

    def _share_out(self, view: LabView, room: Room) -> None:
        """Give each part the lines it needs: all lights are seen, and where it is narrow, all of the text."""
        lights = len(light_lines(view, self.lights.size.width - 2, self._settings.ascii))
        wanted = min(max(lights, 1), 8) + 1
        self.lights.styles.height = max(wanted, 2)
        if room.narrow and not room.big and self.size.height:
            height = self.size.height - 1
            least = MEASURED_ASKED if view.state.asked else MEASURED_LEAST
            text = min(self.narration_text.size.height, height - wanted - least)
            self.side.styles.height = height - max(text, TEXT_LEAST)
        else:
            self.side.styles.height = None

    def _draw_head(self, view: LabView, width: int, next_key: str) -> None:
        text = headline(view, next_key, ascii_only=self._settings.ascii)
        if (text, self.app.theme, width) != self._headed:
            self._headed = text, self.app.theme, width
            line = Text(fit(text, width), no_wrap=True)
            line.stylize(f"bold {self.app.theme_variables['primary']}", 0, len(view.title))
            self.head.update(line)
