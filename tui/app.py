"""The dashboard: one state, one feed that fills it, one frame clock that draws it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.config.schema import DashboardSettings
from tui.ending import end_on_signals
from tui.feed.base import Feed
from tui.format import clock_text
from tui.screens.fleet import FleetScreen
from tui.screens.help import HelpScreen
from tui.state.dashboard import DashboardState
from tui.state.view import SORTS
from tui.themes import THEMES


class IotCacheApp(App[None]):
    """A live device fleet seen through its cache."""

    TITLE = "iotcache"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("ctrl+p", "command_palette", "Palette", key_display="^p"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self, feed: Feed, settings: DashboardSettings | None = None, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__()
        self.feed = feed
        self.settings = settings or DashboardSettings()
        self.clock = clock
        self.state = DashboardState()
        self.paused = False
        self._frozen = (0.0, 0.0)
        self.worst_frame_gap_s = 0.0
        self._last_frame_s = 0.0
        for theme in THEMES:
            self.register_theme(theme)

    def on_mount(self) -> None:
        self.theme = self.settings.theme if self.settings.theme in self.available_themes else "iotcache-dark"
        self.fleet_screen = FleetScreen(
            self.state, history_s=self.settings.history_s, ascii_only=self.settings.ascii
        )
        self.push_screen(self.fleet_screen)
        self.set_interval(1 / self.settings.frame_hz, self.frame)
        # The first frame goes out before anything that takes time begins.
        self.call_after_refresh(self.frame)
        self.call_after_refresh(self.feed.start)
        end_on_signals(self.exit, self.feed.stop)

    # One frame

    def frame(self) -> None:
        """Take in what the feed left, and draw what changed on the screen that is shown."""
        started = time.monotonic()
        if self._last_frame_s:
            self.worst_frame_gap_s = max(self.worst_frame_gap_s, started - self._last_frame_s)
        self._last_frame_s = started
        if not self.paused:
            self.state.apply(self.feed.mailbox.drain())
        if self.state.failure:
            self.exit(return_code=1)
            return
        now_s, wall_s = self._frozen if self.paused else (self.clock.monotonic(), self.clock.now())
        badge = f"PAUSED {self.feed.mailbox.behind:,} behind" if self.paused else "LIVE"
        screen = self.fleet_screen
        if screen.drawable and screen.is_current:
            with self.batch_update():
                screen.frame(now_s, wall_s, badge, clock_text(self.clock.now()))
            self.feed.watch(screen.table.visible_rows())

    # Acts

    def action_pause(self) -> None:
        """Freeze the view, not the intake."""
        self.paused = not self.paused
        self._frozen = (self.clock.monotonic(), self.clock.now())
        self.frame()

    def action_help(self) -> None:
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        fleet = self.fleet_screen
        yield SystemCommand("Pause or resume", "Freeze the view; the intake goes on", self.action_pause)
        yield SystemCommand("Filter the fleet", "Show only some series", fleet.action_filter)
        yield SystemCommand("Show or hide the plots", "Hit ratio and fallbacks", fleet.action_toggle_plots)
        yield SystemCommand("Show or hide the log", "Fallbacks as they happen", fleet.action_toggle_log)
        for column in SORTS:
            yield SystemCommand(
                f"Sort by {column}", "Order the fleet table", lambda column=column: fleet.sort_by(column)
            )
