"""The dashboard: one state, one feed that fills it, one frame clock that draws it.

What the first frame does not need is imported once that is out, where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Unpack

from msgspec import structs
from textual import events
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.config.schema import DashboardSettings
from iotcache.errors import IotCacheError
from iotcache.text import printable
from iotcache_tui.command_palette import DeviceProvider
from iotcache_tui.format import clock_text, short_nodes, use_zone
from iotcache_tui.frame_clock import FrameClock
from iotcache_tui.key_display import key_shown
from iotcache_tui.keymap import APP_BINDINGS, complete
from iotcache_tui.notifications import NotifyingApp
from iotcache_tui.preferences import PreferencesFile, UiPreferences
from iotcache_tui.screens.catalog import SCREENS, tabs_of
from iotcache_tui.screens.context_choice import NO_CONTEXTS, ContextChoice
from iotcache_tui.shutdown import end_on_signals
from iotcache_tui.themes import THEMES
from iotcache_tui.widgets.common.tabs import ScreenTabs
from iotcache_tui.widgets.common.top_bar import TopBar

if TYPE_CHECKING:
    from iotcache.model import Event
    from iotcache_tui.feed.base import Feed
    from iotcache_tui.record.player import RecordingPlayer
    from iotcache_tui.record.recorder import Recorder
    from iotcache_tui.screens.context import PreferenceChanges, ToastSeverity
    from iotcache_tui.screens.guide import Guide
    from iotcache_tui.screens.nodes.stats_subscription import NodeStatsSubscription
    from iotcache_tui.screens.view import ViewScreen
    from iotcache_tui.state.dashboard import DashboardState
    from iotcache_tui.state.requests import Answer, OnAnswer, Request

SMALL_LINES = 32
"""Below so many lines of the terminal one toast is shown at a time."""
TABS_FROM_LINES = 20
"""Of the terminal: app.tcss hides the tabs below."""
NEWS_S = 30.0
"""An alert older than this when it is first heard of is no news."""
_PAIRS = {"nodes.weight_up": "nodes.weight_down", "nodes.panel_next": "nodes.panel_before"}
"""Acts whose keys the footer shows together, at the first of the two."""


class IotCacheApp(NotifyingApp):
    """A live device fleet seen through its cache."""

    TITLE = "iotcache"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS = App.COMMANDS | {DeviceProvider}
    BINDINGS: ClassVar[list[BindingType]] = [*APP_BINDINGS]
    # Of dialogs as well: a toast must be small on them, too.
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 declared by the base class
        (0, "-narrow"),
        (100, "-normal"),
        (160, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-tiny"),
        (20, "-short"),
        (32, "-tall"),
    ]

    def __init__(
        self,
        feed: Feed,
        settings: DashboardSettings | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        read_only: bool = False,
        preferences_file: PreferencesFile | None = None,
        recorder: Recorder | None = None,
        first: str = "fleet",
        theme_named: bool = False,
        contexts: ContextChoice = NO_CONTEXTS,
        guide: Literal["", "tour", "booth"] = "",
        opening: bool = False,
    ) -> None:
        """``opening``: draw a first frame before anything else is loaded."""
        super().__init__()
        self.contexts = contexts
        self._opening = opening
        self._asked_guide = guide
        self.switch_to: str | None = None
        """The context to go on with, once this app has ended."""
        self.recorder = recorder
        self._first = first
        self._theme_named = theme_named
        """Whether the settings' theme is wished for in this run, even where it is the default."""
        self._theme_begun = ""
        self.player: RecordingPlayer | None = getattr(feed, "player", None)
        """What plays, when this is a replay."""
        self.feed = feed
        self.settings = settings or DashboardSettings()
        self.clock = clock
        use_zone(self.settings.time_zone)
        self.read_only = read_only
        """Whether acts are out of reach; the feed refuses them as well."""
        self._preferences_file = preferences_file or PreferencesFile()
        self.preferences: UiPreferences = self._preferences_file.load()
        """What the user chose the last time."""
        if self.player is not None:
            self.player.state = self.state
        self.selected_row: int | None = None
        """The row that the user is concerned with, on every screen; its number never changes."""
        self.paused = False
        self._frozen = (0.0, 0.0)
        self._at_end = ExitStack()
        self.frame_clock = FrameClock(self, self.frame, self.settings.frame_hz)
        self._drawn: tuple[ViewScreen | None, str] = None, ""
        """The screen that was drawn last, and the clock on it."""
        self._pointed_at: tuple[object, object] = None, None
        """The gravest problem when one was gone to, and which that was."""
        self._views: dict[str, ViewScreen] = {}
        self._view: ViewScreen | None = None
        self._asking: dict[int, tuple[Request, OnAnswer]] = {}
        for name, theme in self.available_themes.items():
            if theme.ansi:  # the terminal's own colours by name: nothing can be mixed or drawn with them
                self.unregister_theme(name)
        for theme in THEMES:
            self.register_theme(theme)
        self._theme_begun = self._wanted_theme()
        if self.available_themes[self._theme_begun].dark:
            # Before the style sheet is read: it would be read anew for another theme than it began with.
            self.set_reactive(App.theme, self._theme_begun)
            self.stylesheet.set_variables(self.get_css_variables())
        self.user_keys = self.settings.keys
        """Acts' ids and the keys that the user put them on."""

    def _wanted_theme(self) -> str:
        """A theme that the configuration names wins over the one chosen on screen the last time."""
        wanted = self.settings.theme
        plain = wanted == DashboardSettings().theme and not self._theme_named
        if plain and self.preferences.theme in self.available_themes:
            wanted = self.preferences.theme
        return wanted if wanted in self.available_themes else "iotcache-dark"

    @cached_property
    def state(self) -> DashboardState:
        from iotcache_tui.state.dashboard import DashboardState

        return DashboardState()

    @cached_property
    def guide(self) -> Guide | None:
        """What leads through the program by itself."""
        if not self._asked_guide:
            return None
        from iotcache_tui.screens.guide import Guide

        return Guide(self, unattended=self._asked_guide == "booth")

    @cached_property
    def _recorded_nodes(self) -> NodeStatsSubscription:
        from iotcache_tui.screens.nodes.stats_subscription import NodeStatsSubscription

        return NodeStatsSubscription()

    def compose(self) -> ComposeResult:
        """The head of the first screen, where the rest of it is still to be loaded."""
        if not self._opening:
            return
        selected = self.contexts.selected
        top = TopBar(context=(selected.name, selected.colour) if selected else None, id="top")
        top.show((), "STARTING", clock_text(self.clock.now()))
        yield top
        if self.size.height >= TABS_FROM_LINES:
            yield ScreenTabs(tabs_of(self.settings.keys), self._first, id="tabs")

    def on_mount(self) -> None:
        if self.user_keys:
            self.set_keymap(complete(self.user_keys))
        self.theme = self._theme_begun
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        self._at_end.callback(end_on_signals(self.exit, self.feed.stop))
        if self._opening:
            self.call_after_refresh(self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        """The first frame goes out before anything that takes time begins."""
        if self._opening:
            self.feed.mailbox.on_first_reads = self.frame_clock.waker()
            self.feed.start()
        if self._view is None:  # a key may have asked for another screen meanwhile
            self.action_show(self._first)
        self.frame_clock.start()
        self.call_after_refresh(self.frame)
        if not self._opening:
            self.call_after_refresh(self.feed.start)

    def _theme_changed(self, theme: Theme) -> None:
        """Keep what the user turned to, and not what this run began with: that may be told of late."""
        if theme.name != self._theme_begun:
            self._theme_begun = ""
            self.keep(theme=theme.name)

    def on_unmount(self) -> None:
        self._at_end.close()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, (events.InputEvent, events.Resize)):
            self.frame_clock.stir()
        if isinstance(event, events.Key) and self._guided:
            assert self.guide is not None
            if self.guide.unattended:
                self.exit()
                return
            if event.key == "escape" and self._view is not None and self._view.is_current:
                self.guide.end(self._view)
                return
        await super().on_event(event)

    @property
    def _guided(self) -> bool:
        return self.guide is not None and not self.guide.over

    def view(self, name: str) -> ViewScreen:
        """The screen of that name, made on its first showing and kept."""
        if name not in self._views:
            from iotcache_tui.screens.view import screen_class

            entry = next(entry for entry in SCREENS if entry.name == name)
            self._views[name] = screen_class(entry)(self)
            self.install_screen(self._views[name], name)
        return self._views[name]

    # One frame

    def frame(self) -> None:
        """Take in what the feed left, and draw what changed on the screen that is shown."""
        self.frame_clock.begin()
        news = False
        if not self.paused:
            self.state.fleet.wall_less_monotonic_s = self.clock.now() - self.clock.monotonic()
            news = self._take_in()
        if self.state.failure:
            self.exit(return_code=1)
            return
        if not self.paused:
            self.state.judge(self.clock.monotonic(), self.clock.now())
        answers = self.feed.mailbox.take_answers()
        for answer in answers:
            self._answered(answer)
        if self.recorder is not None:
            self._recorded_nodes.keep(self, self.clock.monotonic())
        view = self._view
        if self.guide is not None and view is not None and view.is_current:
            self.guide.frame(view, view.NAME)
            view = self._view
        if view is None or not view.drawable or not view.is_current:
            self.frame_clock.moved()  # a dialog draws itself, and may be gone at any moment
            return
        clock = clock_text(self.clock.now())
        # While it is paused, or a recording is played, the badge or the seek bar moves.
        moves = self.paused or self._guided or self.player is not None
        changed = news or moves or bool(answers or self._asking)
        restless = changed or view.restless or self.frame_clock.stirred
        if restless or (view, clock) != self._drawn:
            self._draw(view)
            self._drawn = view, clock
            self.feed.watch([*view.visible_rows(), *self.state.fleet.watched])
        if restless:
            self.frame_clock.moved()
        else:
            self.frame_clock.still(self.clock.now())

    def _moment(self) -> tuple[float, float]:
        """Monotonic and wall time of what is shown."""
        return self._frozen if self.paused else (self.clock.monotonic(), self.clock.now())

    def _draw(self, view: ViewScreen) -> None:
        from iotcache_tui.widgets.common.render_context import RenderContext

        now_s, wall_s = self._moment()
        moment = RenderContext(
            now_s,
            wall_s,
            short_nodes([node.name for node in self.state.nodes]),
            self.settings.ascii,
            not self.settings.reduced_motion,
            self.settings.units,
        )
        with self.batch_update():
            view.frame(moment, self._badge(), clock_text(self.clock.now()))

    def _take_in(self) -> bool:
        """Whether there was anything to take in."""
        from iotcache_tui.state.updates import NOTHING

        news = False
        try:
            for drained in self.feed.mailbox.drain_all():
                news |= drained is not NOTHING
                if drained.anew:
                    self.selected_row = None
                self.state.apply(drained)
                if self.player is not None and self._view is not None:
                    # As they were settled in the recorded run, frame by frame: a seek brings many at once,
                    # and the last alone does not tell how long an entry was to live.
                    self.state.fleet.settle(self._view.visible_rows())
                self._alarm(drained.events)
                if self.recorder is not None:
                    self.recorder.add(self.clock.monotonic(), self.clock.now(), drained, self.state)
        except IotCacheError as error:  # a recording that is damaged from here on
            self.state.failure = str(error)
        return news

    def _alarm(self, events: Sequence[Event]) -> None:
        """A toast for an alert that is an error, while it is news. It would lie over the words of a tour."""
        from iotcache.model import Severity

        if self._guided:
            return
        for event in events:
            news = self.clock.now() - event.ts_s < NEWS_S
            if news and event.kind == "alert.raised" and event.severity is Severity.ERROR:
                self.tell(event.text, "error")

    def _badge(self) -> str:
        return f"READ-ONLY {self._mode()}" if self.read_only and self.player is None else self._mode()

    def _mode(self) -> str:
        if self.player is not None:
            return "REPLAY" if self.player.playing and not self.player.ended else "PAUSED replay"
        if self.paused:
            return f"PAUSED {self.feed.mailbox.behind:,} behind"
        if self.recorder is not None:
            return "REC STOPPED" if self.recorder.problem else "REC LIVE"
        return "LIVE"

    def keep(self, **changes: Unpack[PreferenceChanges]) -> None:
        """Remember what the user chose."""
        changed = structs.replace(self.preferences, **changes)
        if changed != self.preferences:
            self.preferences = changed
            self.run_worker(
                lambda: self._preferences_file.save(changed),
                thread=True,
                group="preferences",
                exit_on_error=False,
            )

    # Asking the feed

    def ask(self, request: Request, on_answer: OnAnswer) -> int:
        """Ask the feed; ``on_answer`` is called in this thread with each answer."""
        ticket = self.feed.ask(request)
        self._asking[ticket] = request, on_answer
        return ticket

    def forget(self, ticket: int) -> None:
        """Stop waiting for a ticket's answers, and the work for them."""
        if self._asking.pop(ticket, None) is not None:
            self.feed.cancel(ticket)

    def _answered(self, answer: Answer) -> None:
        asked = self._asking.pop(answer.ticket, None) if answer.done else self._asking.get(answer.ticket)
        if asked is not None:
            request, on_answer = asked
            if self.recorder is not None and not request.acts:
                self.recorder.answered(request, answer)
            on_answer(answer)

    def tell(self, text: str, severity: ToastSeverity = "information") -> None:
        """A toast, for what matters only; any text is safe. On a small screen the newest takes the room."""
        if self.size.height < SMALL_LINES:
            self.clear_notifications()
        self.notify(printable(text, 300), severity=severity, markup=False)

    # Acts

    def action_show(self, name: str) -> None:
        """Bring a screen up."""
        self.show_screen(name)

    def show_screen(self, name: str) -> None:
        """Bring up the screen of that name in the catalogue."""
        if not any(entry.name == name for entry in SCREENS):
            return
        view = self.view(name)
        if view is self._view:
            return
        if self._view is None:
            self.push_screen(view)
        else:
            if view.drawable:
                self._draw(view)  # it would come back with the frame it was left with
            self.switch_screen(view)
        self._view = view
        self.call_after_refresh(self.frame)

    @property
    def shown_screen(self) -> str:
        """The name of the screen that is shown, in the catalogue."""
        return self._view.NAME if self._view is not None else self._first

    def switch_context(self, name: str) -> None:
        """End, for whoever runs this app to begin another one over that context's servers."""
        mistake = self.contexts.mistake(name)
        if mistake:  # the file may have changed since
            self.tell(mistake, "error")
            return
        self.switch_to = name
        self.exit()

    def action_problem(self) -> None:
        """To the screen that has more of the gravest problem; from there to the next one's, and so on."""
        self.show_problem()

    def show_problem(self) -> None:
        if not self.state.problems:
            from iotcache_tui.widgets.common.problem_line import ALL_WELL

            self.tell(ALL_WELL)
            return
        problems = self.state.problems
        gravest, at = problems[0].key, 0
        keys = [one.key for one in problems]
        if self._pointed_at[0] == gravest and self._pointed_at[1] in keys:
            before = keys.index(self._pointed_at[1])
            if self.shown_screen == problems[before].screen:
                at = (before + 1) % len(keys)
        self._pointed_at = gravest, keys[at]
        self.show_screen(problems[at].screen)
        if self._view is not None:
            self._view.point_at(problems[at])

    def action_pause(self) -> None:
        """Freeze the view, not the intake; in a replay, stand still or go on."""
        if self.player is not None:
            self.player.play(not self.player.playing or self.player.ended)
            return
        self.paused = not self.paused
        self._frozen = (self.clock.monotonic(), self.clock.now())
        self.frame()

    def action_frames(self, steps: int) -> None:
        """Draw more or fewer frames a second."""
        hz = self.frame_clock.step(steps)
        self.tell(f"{hz} frame{'s' if hz > 1 else ''} a second")

    def action_seek(self, by_s: float) -> None:
        """Go back or on in a replay."""
        if self.player is not None:
            self.player.seek(self.player.position() + by_s)

    def action_speed(self, steps: int) -> None:
        if self.player is not None:
            self.player.faster(steps)

    def action_mark(self, step: int) -> None:
        """Go to where something grave happened in a replay."""
        if self.player is not None:
            self.player.to_mark(step)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys of a replay work, and are told of, only in one; few work before there is a screen."""
        if self._view is None and action not in ("quit", "show"):
            return False
        if action in ("seek", "speed", "mark"):
            return self.player is not None
        return super().check_action(action, parameters)

    def get_key_display(self, binding: Binding) -> str:
        """As Textual's; keys that stand for a pair of acts do so no longer once one of the pair has moved."""
        if binding.key_display and _PAIRS.get(binding.id or "") in self.user_keys:
            binding = binding.with_key(binding.key)
        return super().get_key_display(binding)

    @property
    def input_is_recent(self) -> bool:
        """Whether the user pressed a key or moved the mouse a moment ago."""
        return self.frame_clock.stirred

    def key_of(self, action: str, default: str) -> str:
        """The key of an action as texts on the screen name it."""
        return key_shown(self.user_keys, action, default)

    def action_help(self) -> None:
        from iotcache_tui.screens.dialogs.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        from iotcache_tui.screens.palette_commands import commands_elsewhere, context_commands
        from iotcache_tui.screens.view import ViewScreen

        yield from super().get_system_commands(screen)
        yield SystemCommand("Pause or resume", "Freeze the view; the intake goes on", self.action_pause)
        for steps, label in ((1, "More"), (-1, "Fewer")):
            yield SystemCommand(
                f"{label} frames a second",
                f"Now {self.frame_clock.hz}; from 1 to 10, until the program ends",
                lambda steps=steps: self.action_frames(steps),
            )
        yield SystemCommand("Help", "Every key that works here", self.action_help)
        for name in self.available_themes:
            yield SystemCommand(
                f"Theme {name}", "Colours of the screen", lambda name=name: self._use_theme(name)
            )
        yield from context_commands(self)
        yield from commands_elsewhere(self, self.view)
        for entry in SCREENS:
            yield SystemCommand(
                f"Show {entry.title}", entry.what, lambda name=entry.name: self.show_screen(name)
            )
        if isinstance(screen, ViewScreen):
            yield SystemCommand("Export", "The table or the screen, as a file", screen.action_export)
            yield from screen.commands()

    def _use_theme(self, name: str) -> None:
        self.theme = name
