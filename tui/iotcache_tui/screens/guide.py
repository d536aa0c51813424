"""Leads through the program by itself: the guided tour once, or tour and lessons in turn on a stand.

It presses no keys: it asks the feed for what the Lab's switches ask for, and brings screens up.
"""

from __future__ import annotations

from typing import Final

from textual.css.query import NoMatches

from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.lab import LabCatalogue, LabRun, LoadLabCatalogue
from iotcache_tui.state.requests import Answer, SwitchPart
from iotcache_tui.state.tour import STEPS, step_at
from iotcache_tui.widgets.common.tour_panel import TourPanel

LESSON_MOST_S: Final = 600.0
"""After so long a show goes on, whatever has become of the lesson."""
START_MOST_S: Final = 30.0


class Guide:
    """Called once a frame; it is over when `over` says so."""

    def __init__(self, context: DashboardContext, *, unattended: bool) -> None:
        self._context = context
        self.unattended = unattended
        """Whether it begins again for ever, with a lesson after each tour."""
        self.over = False
        self._begun_s: float | None = None
        self._step = -1
        self._on: ViewScreen | None = None
        """The screen that the panel is on."""
        self._node = ""
        """The node that was killed, and is not back yet."""
        self._lessons: list[str] = []
        self._asked = False
        """Whether the lessons are being looked up."""
        self._lesson = ""
        self._ticket: int | None = None
        self._lesson_began_s = 0.0

    def frame(self, screen: ViewScreen, shown: str) -> None:
        """Go on. ``shown`` is the name of the screen that is on top."""
        if self.over:
            return
        now_s = self._context.clock.monotonic()
        if self._lesson:
            self._follow_lesson(now_s)
        elif self._begun_s is None:
            if self._may_begin():
                self._begun_s, self._step = now_s, -1
                if not self.unattended:
                    self._context.keep(toured=True)
        elif shown != "fleet":
            self.end(screen)
        else:
            self._go_on(now_s - self._begun_s, screen, now_s)

    def end(self, screen: ViewScreen) -> None:
        """Stop here: a node that was killed is started again."""
        self.over = True
        self._heal()
        self._leave(screen)
        if self._ticket is not None:
            self._context.forget(self._ticket)

    def _may_begin(self) -> bool:
        """Once the fleet is live: two nodes at least, of which one can be spared."""
        state = self._context.state
        up = [node for node in state.nodes if node.state.value == "up"]
        return len(up) >= 2 and len(state.fleet) > 0 and bool(state.seconds and state.seconds[-1].reads)

    def _go_on(self, seconds: float, screen: ViewScreen, now_s: float) -> None:
        number = step_at(seconds)
        if number is None:
            self._heal()
            self._leave(screen)
            if self.unattended:
                self._begin_lesson(now_s)
            else:
                self.over = True
            return
        for passed in range(self._step + 1, number + 1):
            if STEPS[passed].act == "kill":
                self._kill()
            elif STEPS[passed].act == "restart":
                self._heal()
        self._step = number
        self._panel(screen).show(seconds)

    # The panel

    def _panel(self, screen: ViewScreen) -> TourPanel:
        try:
            return screen.query_one(TourPanel)
        except NoMatches:
            panel = TourPanel(ascii_only=self._context.settings.ascii, unattended=self.unattended)
            screen.mount(panel)
            self._on = screen
            return panel

    def _leave(self, screen: ViewScreen) -> None:
        for view in {screen, self._on or screen}:
            view.query(TourPanel).remove()
        self._on = None

    # The node

    def _kill(self) -> None:
        """The node that owns the most of what is known."""
        names = [node.name for node in self._context.state.nodes]
        held = self._context.state.fleet.node
        self._node = max(names, key=lambda name: sum(one == name for one in held))
        self._switch("kill")

    def _heal(self) -> None:
        if self._node:
            self._switch("restart")
            self._node = ""

    def _switch(self, what: str) -> None:
        def answered(answer: Answer) -> None:
            if answer.error:
                self._context.tell(answer.error, "error")

        self._context.ask(SwitchPart(f"node {self._node}", what), answered)

    # Lessons

    def _begin_lesson(self, now_s: float) -> None:
        if not self._lessons:
            if not self._asked:
                self._asked = True
                self._context.ask(LoadLabCatalogue(), self._take_catalogue)
            return
        self._begun_s, self._asked = None, False
        self._lesson = self._lessons.pop(0)
        self._lesson_began_s = now_s
        self._ticket = self._context.ask(LabRun(self._lesson, True), lambda answer: None)
        self._context.show_screen("lab")

    def _take_catalogue(self, answer: Answer) -> None:
        if isinstance(answer.value, LabCatalogue):
            self._lessons = [entry.name for entry in answer.value.entries]
        if answer.done and not self._lessons:
            self._begun_s, self._asked = None, False  # there are none: the tour again

    def _follow_lesson(self, now_s: float) -> None:
        """A show goes over to the next lesson by itself: there it is time for the tour again."""
        running = self._context.state.lab
        name = running.name if running is not None else ""
        lasted_s = now_s - self._lesson_began_s
        gone_on = bool(name) and name != self._lesson
        if gone_on or lasted_s > LESSON_MOST_S or (not name and lasted_s > START_MOST_S):
            if self._ticket is not None:
                self._context.forget(self._ticket)
            self._lesson, self._ticket = "", None
            self._context.show_screen("fleet")
