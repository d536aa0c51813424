"""Screen 7, Events: everything that happened, by severity and kind; jump to what it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from iotcache.clock import utc_text
from iotcache.model import Severity
from iotcache.text import printable
from iotcache_tui.export import Rows
from iotcache_tui.key_display import key_shown
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.log import KINDS, RANK, LogView
from iotcache_tui.state.problems.problem import Problem
from iotcache_tui.state.requests import READ_ONLY, AcknowledgeAlerts, Answer
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.events.active_alerts import ActiveAlerts
from iotcache_tui.widgets.events.event_log import ASCII_GLYPHS, GLYPHS, EventLogView
from iotcache_tui.widgets.events.standing_problems import StandingProblems

_KEYS = {"f": "fallback", "a": "alert", "n": "node", "b": "part", "d": "dead letter", "o": "other"}
_PLURAL = {
    "fallback": "Fallbacks", "alert": "Alerts", "node": "Nodes", "part": "Parts",
    "dead letter": "Dead letters", "other": "Other",
}  # fmt: skip

_SHORT = {**_PLURAL, "dead letter": "Dead"}


def _act_of(kind: str) -> str:
    return f"events.{_PLURAL[kind].lower().replace(' ', '_')}"


class _Wanted(Widget):
    """Which kinds are shown, how many there are of each, and from which severity on."""

    DEFAULT_CSS = """
    _Wanted { height: 1; padding: 0 1; background: $surface; color: $foreground; }
    """

    def __init__(self, last_key: str, *, ascii_only: bool) -> None:
        """``last_key`` goes to the last line, and follows."""
        super().__init__()
        self._last_key = last_key
        self._ascii = ascii_only
        self._shown: tuple[tuple[tuple[str, str, int, bool], ...], Severity, bool] = ((), Severity.INFO, True)

    def show(self, kinds: tuple[tuple[str, str, int, bool], ...], least: Severity, following: bool) -> None:
        if (kinds, least, following) != self._shown:
            self._shown = kinds, least, following
            self.refresh()

    def render(self) -> Text:
        kinds, least, following = self._shown
        colours = self.app.theme_variables
        glyph = (ASCII_GLYPHS if self._ascii else GLYPHS)[least]
        text = Text(no_wrap=True, end="", overflow="ellipsis")
        if not following:
            text.append(f"not following: {self._last_key}  ", f"bold {colours['warning']}")
        text.append(f"{glyph} {least}+  " if least is not Severity.INFO else "")
        on, off = ("*", "-") if self._ascii else ("●", "○")
        wide = self.size.width >= 100
        for key, kind, count, on_show in kinds:
            text.append(f"{on if on_show else off} ", colours["success"] if on_show else "dim")
            text.append(key, f"bold {colours['accent']}")
            text.append(f" {_PLURAL[kind] if wide else _SHORT[kind]}", "" if on_show else "dim")
            text.append(f" {count:,}  " if wide else "  ", "dim")
        return text


class EventsScreen(ViewScreen):
    """The whole log, filtered."""

    NAME = "events"
    PANELS = (EventLogView, Input)
    ACTS = frozenset({"acknowledge"})
    LEGEND = (
        ("·  ▲  ✗", "information, warning, error"),
        ("Fallback", "a read that went to the store; an expired entry is information, a dead node an error"),
        ("Part", "broker, store, ingest or simulator went away or came back"),
        ("Dead letter", "a message that could not be decoded: kept in the store, with its reason"),
        ("Alert", "a rule of the configuration that holds now, until someone acknowledges it"),
    )
    DEFAULT_CSS = """
    EventsScreen #event-filter {
        dock: bottom; height: 1; border: none; padding: 0 1; background: $panel; color: $foreground;
    }
    EventsScreen #event-filter:focus { border: none; background: $panel-lighten-1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", id="events.filter"),
        *(
            Binding(
                key,
                f"kind('{kind}')",
                f"Show or hide: {_PLURAL[kind].lower()}",
                show=False,
                id=_act_of(kind),
            )
            for key, kind in _KEYS.items()
        ),
        Binding("exclamation_mark", "severity", "Severity", key_display="!", id="events.severity"),
        Binding("A", "acknowledge", "Acknowledge alerts", show=False, id="events.acknowledge"),
        Binding("F", "end", "Follow the newest", show=False, id="events.follow"),
        Binding("escape", "clear", "Show everything again", show=False, key_display="Esc", id="events.clear"),
    ]
    AUTO_FOCUS = "#event-log"

    def __init__(self, context: DashboardContext) -> None:
        super().__init__(context)
        state, settings = self.state, self.settings
        self.view = LogView(state.log)
        self._pointed_at: frozenset[str] = frozenset()
        """Kinds that alone are shown because a problem led here."""
        self.wanted = _Wanted(key_shown(settings.keys, "table.last", "End"), ascii_only=settings.ascii)
        self.log_view = EventLogView(
            self.view,
            ascii_only=settings.ascii,
            id="event-log",
            clear_key=key_shown(settings.keys, "events.clear", "Esc"),
        )
        self.problems = StandingProblems(ascii_only=settings.ascii, id="event-problems")
        self.active_alerts = ActiveAlerts(ascii_only=settings.ascii, id="event-alerts")
        self.filter_box = Input(
            placeholder="Words to look for; a line must hold all of them", id="event-filter"
        )
        self.filter_box.display = False

    def body(self) -> ComposeResult:
        yield self.problems
        yield self.active_alerts
        yield self.wanted
        yield self.log_view
        yield self.filter_box

    def draw(self, moment: RenderContext) -> None:
        self.log_view.frame()
        self.problems.show(self.state.problems, moment.now_s)
        self.active_alerts.show(self.state.alerts, moment.wall_s)
        self.wanted.show(
            tuple(
                (
                    self.context.key_of(_act_of(kind), key),
                    kind,
                    self.state.log.count(kind),
                    kind in self.view.kinds,
                )
                for key, kind in _KEYS.items()
            ),
            self.view.least,
            self.log_view.following,
        )

    def point_at(self, problem: Problem) -> None:
        if problem.place in KINDS and self.state.log.count(problem.place):
            self._pointed_at = frozenset({problem.place})
            self.view.show(kinds=self._pointed_at)
            self.log_view.changed()
            self.log_view.action_follow()

    def on_screen_suspend(self) -> None:
        """What was hidden for a problem's sake, and by nobody's wish, is shown the next time."""
        if self._pointed_at and self.view.kinds == self._pointed_at:
            self.view.show(kinds=frozenset(KINDS))
            self.log_view.changed()
        self._pointed_at = frozenset()

    def export_rows(self) -> Rows | None:
        titles = ("time", "severity", "kind", "about", "what")
        return titles, [
            (utc_text(int(one.wall_s * 1e6)), one.severity.value, one.kind, one.subject, one.text)
            for one in self.view.lines
        ]

    def commands(self) -> Iterable[SystemCommand]:
        for kind in KINDS:
            yield SystemCommand(
                f"Show or hide {_PLURAL[kind].lower()}", "In the log of events",
                lambda kind=kind: self.action_kind(kind),
            )  # fmt: skip
        yield SystemCommand("Next severity", "Hide what is less grave", self.action_severity)

    # Acts

    def action_kind(self, kind: str) -> None:
        self.view.show(kinds=self.view.kinds ^ {kind})
        self.log_view.changed()

    def action_severity(self) -> None:
        levels = list(RANK)
        self.view.show(least=levels[(levels.index(self.view.least) + 1) % len(levels)])
        self.log_view.changed()

    def action_end(self) -> None:
        self.log_view.action_follow()

    def action_acknowledge(self) -> None:
        """Say that the alerts that stand are known; asks first."""
        open_ones = tuple((one.name, one.subject) for one in self.state.alerts if not one.acknowledged)
        if self.context.read_only:
            self.context.tell(READ_ONLY, "warning")
        elif not open_ones:
            self.context.tell("there are no alerts to acknowledge")
        else:

            def on_answer(answer: Answer) -> None:
                if answer.error:
                    self.context.tell(answer.error, "error")
                elif isinstance(answer.value, int):
                    self.context.tell(f"{answer.value} acknowledged")

            def decided(yes: bool | None) -> None:
                if yes:
                    self.context.ask(AcknowledgeAlerts(open_ones), on_answer)

            names = "\n".join(printable(f"{name}: {subject}", 60) for name, subject in open_ones[:8])
            more = f"\nand {len(open_ones) - 8} more" if len(open_ones) > 8 else ""
            self.app.push_screen(
                ConfirmScreen(
                    f"Acknowledge {len(open_ones)} alert{'s' if len(open_ones) > 1 else ''}?",
                    f"Everybody will see that you know of:\n{names}{more}\n"
                    "They stay until their cause is gone.",
                    yes="Acknowledge",
                ),
                decided,
            )

    def action_filter(self) -> None:
        self.filter_box.display = True
        self.set_focus(self.filter_box)

    def action_clear(self) -> None:
        self.filter_box.value = ""
        self.filter_box.display = False
        self.view.show(kinds=frozenset(KINDS), least=Severity.INFO, text="")
        self.log_view.changed()
        self.log_view.focus()

    @on(Input.Changed, "#event-filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self.view.show(text=event.value)
        self.log_view.changed()

    @on(Input.Submitted, "#event-filter")
    def _filter_submitted(self) -> None:
        self.filter_box.display = bool(self.filter_box.value)
        self.log_view.focus()

    @on(EventLogView.Opened)
    def _opened(self, event: EventLogView.Opened) -> None:
        entry = event.entry
        if entry.row >= 0:
            self.context.selected_row = entry.row
            self.context.show_screen("device")
        elif entry.kind == "node":
            self.context.show_screen("nodes")
        elif entry.kind == "part":
            self.context.show_screen("flow")
        else:
            self.context.tell(f"{entry.subject}: {entry.text}")
