"""Screen 6, Lab: scenarios that teach, each on servers of its own, with lights that say what holds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from iotcache_simulator.lab.certificate import certificate
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.dialogs.switches import SwitchesScreen, lesson_switches
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.lab import (
    NO_LAB,
    LabCatalogue,
    LabDo,
    LabExport,
    LabExported,
    LabRun,
    LabView,
    LoadLabCatalogue,
)
from iotcache_tui.state.requests import READ_ONLY, Answer
from iotcache_tui.state.updates import Part
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.lab.course import course_line, course_page, lesson_taken
from iotcache_tui.widgets.lab.lab_list import LabList as ScenarioList
from iotcache_tui.widgets.lab.lab_words import ANSWER_KEYS, about, written
from iotcache_tui.widgets.lab.lesson import LessonView, Room

LESSON_PART = Part("lab", "up", "servers of its own")
"""What the first line tells of, where the dashboard's parts are not those of the scenario."""
_RUN_KEYS = {"next", "back", "skip", "restart", "leave", "answer", "note", "big", "export", "improvise"}


class LabScreen(ViewScreen):
    """A list of scenarios, and the one that is being run."""

    NAME = "lab"
    PANELS = (ScenarioList, VerticalScroll, Input)
    LEGEND = (
        ("◌ ● ✗", "a light: still open, it held, it did not hold in time"),
        ("▶", "what the step asks you to look at"),
        ("│ name", "a line through the plots: where something was done; * is a remark of yours"),
        ("✓", "a lesson of the course that you have gone through"),
        ("Servers", "a scenario starts servers of its own and ends them; yours are not touched"),
    )
    DEFAULT_CSS = """
    LabScreen #lab-choose { height: 1fr; }
    LabScreen #lab-list { width: 54; }
    LabScreen #lab-about { width: 1fr; background: $surface; padding: 0 2; margin: 0 0 0 1; }
    LabScreen #lab-about Static { height: auto; }
    LabScreen #lab-note, LabScreen #lab-note:focus {
        height: 1; border: none; padding: 0 1; background: $panel-lighten-1; display: none;
    }
    LabScreen.-course #lab-list { display: none; }
    LabScreen.-narrow #lab-choose { layout: vertical; }
    LabScreen.-narrow #lab-list { width: 1fr; height: 12; }
    LabScreen.-narrow #lab-about { height: 1fr; margin: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,right", "next", "Next", key_display="n", id="lab.next"),
        Binding("left", "back", "Back", key_display="←", id="lab.back"),
        Binding("x", "skip", "Skip", id="lab.skip"),
        *(
            Binding(key, f"answer({number})", f"Answer {key}", show=False, id=f"_answer.{key}")
            for number, key in enumerate(ANSWER_KEYS, 1)
        ),
        Binding("escape", "leave", "Leave", key_display="Esc", id="lab.leave"),
        Binding("B", "big", "Big", id="lab.big"),
        Binding("E", "export", "Summary", id="lab.export"),
        Binding("R", "restart", "Anew", id="lab.restart"),
        Binding("t", "note", "Remark", id="lab.remark"),
        Binding("f", "switches", "Faults", id="lab.faults"),
        Binding("F", "improvise", "Faults", id="lab.improvise"),
        Binding("C", "certificate", "Course", id="lab.course"),
        Binding("A", "show_all", "Unattended: all scenarios in turn", show=False, id="lab.unattended"),
    ]
    AUTO_FOCUS = "#lab-list"

    def __init__(self, context: DashboardContext) -> None:
        super().__init__(context)
        settings = self.settings
        self.begin_with: tuple[str, bool] | None = None
        """A scenario to run as soon as the screen is shown, and whether by itself."""
        self.list = ScenarioList(id="lab-list")
        self.about_text = Static(markup=False)
        self.about = VerticalScroll(self.about_text, id="lab-about")
        self.note_box = Input(placeholder="your remark; Enter puts it into the plot", id="lab-note")
        self.choose = Horizontal(id="lab-choose")
        self.lesson = LessonView(settings)
        self.lesson.display = False
        self._listed = False
        self._ticket = 0
        self._begun = ""
        """What is being run, as it was asked for: a name of the list, or a file."""
        self._view = NO_LAB

    def body(self) -> ComposeResult:
        with self.choose:
            yield self.list
            yield self.about
        yield self.lesson
        yield self.note_box

    @property
    def going(self) -> bool:
        """Whether a scenario is on show."""
        return bool(self._view.name)

    @property
    def _beside(self) -> bool:
        """Whether the dashboard looks at other servers than those of the scenario on show."""
        return self.state.lab is not None and bool(self.state.lab.name) and self.state.lab.beside

    def header_parts(self) -> Sequence[Part]:
        return (LESSON_PART,) if self._beside else super().header_parts()

    @property
    def whose(self) -> str:
        return "your own servers" if self._beside else ""

    # One frame

    def draw(self, moment: RenderContext) -> None:
        if not self._listed:
            self._listed = True
            self.context.ask(LoadLabCatalogue(), self._take_catalogue)
        if self.begin_with is not None and self.state.ready:
            (name, auto), self.begin_with = self.begin_with, None
            self._begin(name, auto)
        view = self.state.lab or NO_LAB
        if bool(view.name) != self.going:
            self.choose.display, self.lesson.display = not view.name, bool(view.name)
            (self.lesson.tell if view.name else self.list).focus()
            self.remove_class("-course")
            if not view.name:
                # Once the list has its size again: until then it cannot tell which lines are seen.
                self.call_after_refresh(self.list.choose, self._view.name)
            self._view = view
            self.refresh_bindings()
        turned = (view.state.status, view.state.shown) != (self._view.state.status, self._view.state.shown)
        self._view = view
        if turned:
            self.refresh_bindings()
        if view.name:
            self._note_taken(view)
            lessons, key = self.context.preferences.lessons, self.context.key_of("lab.course", "C")
            course = course_line(view, lessons, self._titles(), key)
            room = Room(max(self.size.width - 2, 10), self.has_class("-narrow"), self.has_class("-big"))
            self.lesson.show(view, room, self.context.key_of("lab.next", "n"), course)
        else:
            self.list.sync_lines()

    # The course

    def _note_taken(self, view: LabView) -> None:
        """Keep that a lesson of the course was gone through by a person."""
        known = self.context.preferences.lessons
        day = time.strftime("%Y-%m-%d", time.localtime(self.context.clock.now()))
        lesson = None if self.context.player is not None else lesson_taken(view, known, day)
        if lesson is not None:
            self.context.keep(lessons={**known, view.name: lesson})
            self.list.taken = frozenset(self.context.preferences.lessons)

    def _titles(self) -> dict[str, str]:
        return {entry.name: entry.title for entry in self.list.entries}

    def action_certificate(self) -> None:
        """The page of the course, instead of the list; and back."""
        self.toggle_class("-course")
        self._about()
        (self.about if self.has_class("-course") else self.list).focus()
        self.refresh_bindings()

    def _take_catalogue(self, answer: Answer) -> None:
        if answer.error:
            self.list.waiting = answer.error
            self._listed = False
            self.list.redraw()
        elif isinstance(answer.value, LabCatalogue):
            self.list.taken = frozenset(self.context.preferences.lessons)
            self.list.show(answer.value.entries)
            self._about()
            for wrong in answer.value.wrong[:3]:
                self.context.tell(wrong, "warning")

    @on(ScenarioList.Selected)
    def _about(self) -> None:
        entry = self.list.selected_entry
        if self.has_class("-course"):
            narration_text = course_page(
                self.context.preferences.lessons,
                self._titles(),
                self.context.key_of("lab.export", "E"),
                self.context.key_of("lab.course", "C"),
            )
        elif entry is not None:
            narration_text = about(entry, brief=self.has_class("-narrow"))
        else:
            return
        self.about_text.update(written(narration_text, self.app.theme_variables["primary"]))
        self.about.scroll_home(animate=False)

    def on_resize(self) -> None:
        self._about()

    # Acts

    @on(ScenarioList.Opened)
    def _opened(self, event: ScenarioList.Opened) -> None:
        self._begin(event.entry.name, auto=False)

    def _begin(self, name: str, auto: bool) -> None:
        self.lesson.begin()
        self._begun = name
        self._ticket = self.context.ask(LabRun(name, auto), self._take_run_answer)

    def _take_run_answer(self, answer: Answer) -> None:
        if answer.error:
            self.context.tell(answer.error, "error")

    def _do(self, what: str, number: int = 0, text: str = "") -> None:
        self.context.ask(LabDo(what, number, text), self._take_run_answer)

    def _to_mark(self, step: int) -> bool:
        """In a replay, to the next step, act or remark, or with -1 to the one before."""
        player = self.context.player
        if player is None:
            return False
        here = player.position()
        places = [at for at, _ in player.marks()]
        ahead = [at for at in places if at > here + 0.5]
        behind = [at for at in places if at < here - 1.5]
        if step > 0 and ahead:
            player.seek(ahead[0])
        elif step < 0:
            player.seek(behind[-1] if behind else player.start_s)
        return True

    def action_next(self) -> None:
        if self._to_mark(1):
            return
        state = self._view.state
        if state.shown == state.step and not state.settled and state.status == "running":
            self.context.tell("not yet: a light is still open (x skips this step)")
            return
        self._do("next")

    def action_back(self) -> None:
        if self._to_mark(-1):
            return
        self._do("back")

    def action_skip(self) -> None:
        self._do("skip")

    def action_answer(self, number: int) -> None:
        view = self._view
        if view.state.shown < len(view.steps):
            question = view.steps[view.state.shown].question
            if question is not None and number <= len(question.answers):
                self._do("answer", number)

    def action_big(self) -> None:
        self.toggle_class("-big")

    def action_note(self) -> None:
        self.note_box.styles.display = "block"
        self.set_focus(self.note_box)

    @on(Input.Submitted, "#lab-note")
    def _noted(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self._do("note", text=event.value)
        self._close_note()

    def _close_note(self) -> None:
        self.note_box.value = ""
        self.note_box.styles.display = "none"
        self.lesson.tell.focus()

    def action_export(self) -> None:
        def on_answer(answer: Answer) -> None:
            if answer.error:
                self.context.tell(answer.error, "error")
            elif isinstance(answer.value, LabExported):
                first, *plots = (Path(file).name for file in answer.value.files)
                beside = f", {len(plots)} plot{'s' if len(plots) != 1 else ''} beside it" if plots else ""
                self.context.tell(f"written: {first}{beside}")

        page = "" if self.going else certificate(self.context.preferences.lessons, self._titles())
        self.context.ask(LabExport(str(Path.cwd()), page), on_answer)

    def action_restart(self) -> None:
        """Begin anew; what goes on is not thrown away unasked."""
        if self._view.state.status in ("done", "failed"):
            self._restart()
            return

        def decided(yes: bool | None) -> None:
            if yes:
                self._restart()

        self.app.push_screen(
            ConfirmScreen(
                f"Begin {self._view.title} anew?",
                "Its servers will be ended, and others started.",
                yes="Begin anew",
            ),
            decided,
        )

    def _restart(self) -> None:
        auto = self._view.auto
        # An unattended show has gone on to another one than it began with.
        name = self._view.name if auto else self._begun
        self._end()
        # The servers of the first run end before those of the next one begin.
        self.set_timer(0.5, lambda: self._begin_again(name, auto))

    def _begin_again(self, name: str, auto: bool) -> None:
        if self.state.lab is not None and self.state.lab.name:
            self.set_timer(0.5, lambda: self._begin_again(name, auto))
        else:
            self._begin(name, auto)

    def action_switches(self) -> None:
        """Faults in the dashboard's own stack, without a scenario."""
        if self.context.read_only:
            self.context.tell(READ_ONLY, "warning")
        else:
            self.app.push_screen(SwitchesScreen(self.context))

    def action_improvise(self) -> None:
        """Faults in the servers of the scenario, besides what its steps do."""
        if self.context.player is None:
            title = "Faults, in the servers of this scenario"
            self.app.push_screen(SwitchesScreen(self.context, lesson_switches(self._view.nodes), title))

    def action_show_all(self) -> None:
        if not self.going and self.list.selected_entry is not None:
            self._begin(self.list.selected_entry.name, auto=True)

    def action_leave(self) -> None:
        if self.note_box.has_focus:
            self._close_note()
            return
        if not self.going:
            if self.has_class("-course"):
                self.action_certificate()
            return
        if self._view.state.status in ("done", "failed"):
            self._end()
            return

        def decided(yes: bool | None) -> None:
            if yes:
                self._end()

        self.app.push_screen(
            ConfirmScreen(
                f"Leave {self._view.title}?",
                "Its servers will be ended, and everything it changed goes with them.",
                yes="Leave",
            ),
            decided,
        )

    def _end(self) -> None:
        self.context.forget(self._ticket)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys of a run are told of while there is one."""
        if action in ("show_all", "switches", "certificate"):
            return not self.going
        if action in ("export", "leave") and self.has_class("-course"):
            return True
        if action in ("next", "skip") and self._at_the_end():
            return False
        # `f` is an answer as well, of which there are seldom six.
        if action in _RUN_KEYS - {"big"}:
            return self.going
        return super().check_action(action, parameters)

    def _at_the_end(self) -> bool:
        """Whether the summary is on show, after which nothing comes."""
        state = self._view.state
        return state.status in ("done", "failed") and state.shown >= len(self._view.steps)

    def commands(self) -> Iterable[SystemCommand]:
        for entry in self.list.entries:
            yield SystemCommand(
                f"Run: {entry.title}", entry.summary, lambda name=entry.name: self._begin(name, auto=False)
            )
        if self.going:
            yield SystemCommand("Lab: big type", "For the back row", self.action_big)
            yield SystemCommand("Lab: remark", "Into the plots, and the summary", self.action_note)
            yield SystemCommand(
                "Lab: write the summary", "Markdown, with the plots as SVG", self.action_export
            )
            yield SystemCommand("Lab: restart", "The scenario from its beginning", self.action_restart)
            yield SystemCommand("Lab: leave", "End the scenario and its servers", self.action_leave)
