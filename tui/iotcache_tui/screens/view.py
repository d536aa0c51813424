"""What all numbered screens share: header, tabs, footer, three shapes, and being drawn by the frame clock."""

from __future__ import annotations

import asyncio
import importlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget

from iotcache.errors import UsageError
from iotcache_tui.export import Rows, as_csv, as_json, file_name, write_new
from iotcache_tui.key_display import key_shown
from iotcache_tui.screens.catalog import SCREENS, ScreenEntry, tabs_of
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.dialogs.export import ExportScreen
from iotcache_tui.screens.dialogs.jump import JumpScreen
from iotcache_tui.state.problems.problem import Problem
from iotcache_tui.state.problems.shown import header_parts
from iotcache_tui.state.updates import Part
from iotcache_tui.widgets.common.ascii_filter import draw_in_ascii
from iotcache_tui.widgets.common.key_footer import KeyFooter
from iotcache_tui.widgets.common.problem_line import ProblemLine
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.common.seek_bar import SeekBar
from iotcache_tui.widgets.common.tabs import ScreenTabs
from iotcache_tui.widgets.common.top_bar import TopBar


class ViewScreen(Screen[None]):
    """A numbered screen. A subclass sets `NAME` and gives `body` and `draw`.

    It reads ``self.state`` and nothing else; what is not in there it asks for with ``self.context.ask``.
    Widgets are made in ``__init__`` and held, not queried for: a frame may come while it is taken down.
    """

    NAME: ClassVar[str]
    """Its name in the catalogue."""
    PANELS: ClassVar[tuple[type[Widget], ...]] = ()
    """The kinds of its panels that take keys: what shares the keyboard with it."""
    ACTS: ClassVar[frozenset[str]] = frozenset()
    """Actions that change something elsewhere: a read-only dashboard offers none of them."""
    LEGEND: ClassVar[tuple[tuple[str, str], ...]] = ()
    """What the words on it mean, for the help."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,p", "app.pause", "Pause", key_display="Space", id="view.pause"),
        Binding(
            "ctrl+e",
            "export",
            "Export: table or screen, as a file",
            show=False,
            key_display="^e",
            id="view.export",
        ),
        Binding("J", "jump", "Jump to a panel by a letter", show=False, id="view.jump"),
        Binding("tab", "app.focus_next", "Next panel", show=False, id="view.panel_next"),
        Binding("shift+tab", "app.focus_previous", "Previous panel", show=False, id="view.panel_before"),
    ]

    def __init__(self, context: DashboardContext) -> None:
        super().__init__()
        self.context = context
        self.state = context.state
        settings = self.settings = context.settings
        self.drawable = False
        """Whether its widgets are there to be drawn."""
        self.seek_bar: SeekBar | None = None
        selected = context.contexts.selected
        self.top = TopBar(context=(selected.name, selected.colour) if selected else None, id="top")
        self.problem_line = ProblemLine(
            ascii_only=settings.ascii,
            key=key_shown(settings.keys, "app.problem", "0"),
            titles={entry.name: entry.title for entry in SCREENS},
            id="problem",
        )
        self.tabs = ScreenTabs(tabs_of(settings.keys), self.NAME, id="tabs")

    def compose(self) -> ComposeResult:
        player = self.context.player
        self.seek_bar = (
            SeekBar(player, keys=self.settings.keys, ascii_only=self.settings.ascii) if player else None
        )
        yield self.top
        yield self.tabs
        yield self.problem_line
        yield from self.body()
        if self.seek_bar is not None:
            yield self.seek_bar
        yield KeyFooter(ascii_only=self.settings.ascii)

    def on_mount(self) -> None:
        if self.settings.ascii:
            draw_in_ascii(self.app)
        self.drawable = True

    # What a subclass says

    @property
    def restless(self) -> bool:
        """Whether something on it moves between one second and the next, though nothing new came."""
        return True

    def body(self) -> ComposeResult:
        """The widgets between the tabs and the footer."""
        raise NotImplementedError

    def draw(self, moment: RenderContext) -> None:
        """Show the state as it stands; called once a frame while this screen is on top."""
        raise NotImplementedError

    def point_at(self, problem: Problem) -> None:
        """Make what a problem is about stand out."""

    def visible_rows(self) -> Sequence[int]:
        """Rows of the fleet on screen: the feed reads them first and probes their TTLs."""
        return ()

    def header_parts(self) -> Sequence[Part]:
        """The parts that the first line names."""
        return header_parts(self.state.parts, self.state.problems)

    @property
    def whose(self) -> str:
        """Whose parts the problems are about, where the screen is about others."""
        return ""

    def commands(self) -> Iterable[SystemCommand]:
        """Its acts, for the palette while it is on show."""
        return ()

    def export_rows(self) -> Rows | None:
        """The table on show, for a file; ``None`` when there is none."""
        return None

    # Acts

    def action_jump(self) -> None:
        """Letters on the panels; one of them takes the keys there."""

        def on_choice(panel: Widget | None) -> None:
            if panel is not None:
                panel.focus()

        self.app.push_screen(JumpScreen(self), on_choice)

    def action_export(self) -> None:
        """Ask for a form, and write it into the current folder."""

        def on_choice(form: str | None) -> None:
            if form:
                # Once the question is gone from the screen that is to be written.
                self.call_after_refresh(self._export, form)

        self.app.push_screen(ExportScreen(table=self.export_rows() is not None), on_choice)

    def _export(self, form: str) -> None:
        rows = self.export_rows()
        if form == "svg":
            text = self.app.export_screenshot(title="iotcache")
        elif form == "txt":
            height = self.size.height
            strips = self._compositor.render_strips()[:height]
            text = "\n".join(strip.text.rstrip() for strip in strips) + "\n"
        elif rows is None:
            return
        else:
            text = as_csv(rows) if form == "csv" else as_json(rows)
        if self.app.is_web:
            # A visitor's file is the visitor's: nothing is written where the server runs.
            name = file_name(self.NAME, form, self.context.clock.now())
            self.app.deliver_text(io.StringIO(text), save_filename=name, open_method="download")
            return
        self.run_worker(self._write(form, text), exit_on_error=False)

    async def _write(self, form: str, text: str) -> None:
        try:
            path = await asyncio.to_thread(
                write_new, Path.cwd(), self.NAME, form, text, self.context.clock.now()
            )
        except UsageError as error:
            self.context.tell(str(error), "error")
        else:
            self.context.tell(f"written: {path.name}")

    # One frame

    def frame(self, moment: RenderContext, badge: str, clock: str) -> None:
        """Draw everything. Called by the app's frame clock."""
        state = self.state
        self.tabs.show(state.own_load())
        parts = self.header_parts()
        self.top.show(tuple((part.name, part.state, part.text) for part in parts), badge, clock)
        alerts = sum(not one.acknowledged for one in state.alerts)
        self.problem_line.show(
            state.problems, alerts, moment.now_s, known=bool(state.seconds), whose=self.whose
        )
        if self.seek_bar is not None:
            self.seek_bar.show()
        self.draw(moment)

    @on(ProblemLine.Opened)
    def _problem_opened(self) -> None:
        self.context.show_problem()

    @on(ScreenTabs.TabSelected)
    def _tab_selected(self, event: ScreenTabs.TabSelected) -> None:
        self.context.show_screen(event.name)


def screen_class(entry: ScreenEntry) -> type[ViewScreen]:
    """The class of an entry of the catalogue; its module is imported now."""
    module, _, name = entry.place.partition(":")
    screen: type[ViewScreen] = getattr(importlib.import_module(module), name)
    return screen
