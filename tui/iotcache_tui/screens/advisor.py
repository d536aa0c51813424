"""Screen 8, Advisor: what memory and TTLs would do, ranked advice, frequent keys, and how right it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Grid

from iotcache.advisor.advice import Advice
from iotcache.model import NodeState
from iotcache.text import printable
from iotcache_tui.export import Rows
from iotcache_tui.format import duration
from iotcache_tui.screens.clipboard import copy
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.absent_parts import nodes_missing
from iotcache_tui.state.advisor.acts import act_of
from iotcache_tui.state.advisor.curves import AdviceCurve, curves, place_of
from iotcache_tui.state.advisor.model import MEASURES, AdvisorView, ChangeTtl, RunAdvisor
from iotcache_tui.state.nodes.model import ActOnNode
from iotcache_tui.state.requests import READ_ONLY, Answer
from iotcache_tui.widgets.advisor.advice_table import AdviceTable
from iotcache_tui.widgets.advisor.panels import checked_lines, curve_lines, key_lines, note_lines, why_lines
from iotcache_tui.widgets.common.cursor_table import CursorTable
from iotcache_tui.widgets.common.panel import Panel
from iotcache_tui.widgets.common.render_context import RenderContext

TABLE_LINES_MOST = 9
UNDO_MOST = 20
_PANELS = (
    ("curve", "Hit ratio", "Curve"),
    ("why", "The chosen advice", "Why"),
    ("keys", "Most frequent keys", "Keys"),
    ("checked", "Predicted, and what came", "Checked"),
)


class AdvisorScreen(ViewScreen):
    """Advice above, four panels below; on a small screen one of them at a time."""

    NAME = "advisor"
    PANELS = (AdviceTable,)
    ACTS = frozenset({"carry_out", "undo"})
    LEGEND = (
        ("Curve", "the hit ratio with other memory or another TTL, by the nodes' own log (watch)"),
        ("marks apart", "gets of our own clients' marks (iotcache:…): they are in no curve and no ratio"),
        ("● now", "where it stands; ◆ knee: nine tenths of what is to be had; ▲ proposal: what is advised"),
        ("Saves", "reads of the store a second, or memory; advice is ranked by its share of them"),
        ("Sure", "by how many requests were sampled, how many the node skipped, and how near the curve is to "
         "what is measured now"),
        ("Most frequent keys", "counts since it looks, older ones fading; never too high"),
        ("Checked", "after a change of memory, TTL or weight, whoever made it: what the curve from before "
         "said, and what was measured once it stood still"),
    )  # fmt: skip
    DEFAULT_CSS = """
    AdvisorScreen AdviceTable { height: 4; }
    AdvisorScreen #advisor-panels { height: 1fr; margin: 1 0 0 0; grid-gutter: 1; grid-size: 1 1; }
    AdvisorScreen.-short #advisor-panels, AdvisorScreen.-tiny #advisor-panels { margin: 0; }
    AdvisorScreen.-normal.-tall #advisor-panels { grid-size: 2 2; grid-columns: 3fr 2fr; grid-rows: 3fr 2fr; }
    AdvisorScreen.-wide #advisor-panels { grid-size: 2 2; grid-columns: 3fr 2fr; grid-rows: 3fr 2fr; }
    AdvisorScreen.-wide.-short #advisor-panels { grid-gutter: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "carry_out", "Carry out", id="advisor.carry_out"),
        Binding("u", "undo", "Undo", id="advisor.undo"),
        Binding("c", "curve(1)", "Next curve", id="advisor.curve"),
        Binding("C", "curve(-1)", "The curve before", show=False, id="advisor.curve_before"),
        Binding("m", "measure", "Keys by", id="advisor.measure"),
        Binding("w", "watch", "Watch", id="advisor.watch"),
        Binding("y", "copy", "Copy what is to be done", show=False, id="advisor.copy"),
        Binding("right,l", "panel(1)", "Panel", key_display="←→", id="advisor.panel_next"),
        Binding("left,h", "panel(-1)", "Previous panel", show=False, id="advisor.panel_before"),
    ]
    AUTO_FOCUS = "AdviceTable"

    def __init__(self, context: DashboardContext) -> None:
        super().__init__(context)
        self._ascii = self.settings.ascii
        self.table = AdviceTable(ascii_only=self._ascii, id="advice")
        self.panels = {
            name: Panel(title, ascii_only=self._ascii, id=f"advisor-{name}") for name, title, _ in _PANELS
        }
        self._panel = 0
        self._measure = 0
        self._curve = 0
        self._view: AdvisorView | None = None
        self._curves: list[AdviceCurve] = []
        self._followed: object = None
        self._carried_out: list[Advice] = []
        """From here and not taken back, the last one last."""

    def body(self) -> ComposeResult:
        yield self.table
        with Grid(id="advisor-panels"):
            yield from self.panels.values()

    # One frame

    def draw(self, moment: RenderContext) -> None:
        view = self.state.advisor
        if view is not self._view:
            self._view = view
            self._curves = curves(view.evidence, view.advice)
        height = min(max(len(view.advice), 1), TABLE_LINES_MOST, max(self.size.height // 3, 2)) + 1
        if self.table.styles.height is None or self.table.styles.height.value != height:
            self.table.styles.height = height
        self.table.show(view.advice, self._message(view))
        if self.table.selected != self._followed:
            self._follow()
        self._show_panels(moment.now_s)

    def _message(self, view: AdvisorView) -> str:
        """What to say in place of advice."""
        key = self.context.key_of("advisor.watch", "w")
        if view.why:
            return view.why
        if missing := nodes_missing(self.state.attachment):
            return missing
        if not self.state.ready:
            return "everything else is starting"
        if not view.running:
            return f"{key} looks at the nodes' log of requests (watch): it costs them up to 5 %"
        if view.evidence is None:
            return "looking at the nodes: the first figures come in some seconds"
        if not any(node.curve is not None for node in view.evidence.nodes):
            return printable(view.notes[0], 300) if view.notes else "nothing was asked of the nodes yet"
        return "nothing to advise: the cache does what it can with what it has"

    def _follow(self) -> None:
        """Show the curve that the chosen advice is about."""
        self._followed = self.table.selected
        one = self.table.selected_advice
        place = place_of(self._curves, one) if one is not None else None
        if place is not None:
            self._curve = place

    def _all_panels(self) -> bool:
        return self.has_class("-wide") or (self.has_class("-normal") and self.has_class("-tall"))

    def _show_panels(self, now_s: float) -> None:
        together, view = self._all_panels(), self.state.advisor
        for index, (name, title, _) in enumerate(_PANELS):
            panel = self.panels[name]
            panel.display = together or index == self._panel
            if panel.display:
                self._show(name, panel, view, title if together else self._tabs(), now_s)

    def _tabs(self) -> str:
        return " ".join(
            f"[{short}]" if index == self._panel else f" {short} "
            for index, (_, _, short) in enumerate(_PANELS)
        )

    def _show(self, name: str, panel: Panel, view: AdvisorView, title: str, now_s: float) -> None:
        plain = self._ascii
        match name:
            case "curve":
                curve = self._curves[self._curve % len(self._curves)] if self._curves else None
                panel.show(
                    curve, lambda w, h: curve_lines(curve, w, h, plain), title=title,
                    note=self._curve_note(curve, view, now_s),
                )  # fmt: skip
            case "why":
                one, keys = self.table.selected_advice, self._keys(self.table.selected_advice)
                panel.show(
                    (one, keys, view.notes),
                    lambda w, h: [*why_lines(one, w, keys), *note_lines(view.notes, w)],
                    title=title, note=printable(one.about, 40) if one is not None else "",
                )  # fmt: skip
            case "keys":
                measure = MEASURES[self._measure]
                keys_seen = view.top[self._measure] if view.top else ()
                panel.show(
                    (measure, keys_seen), lambda w, h: key_lines(keys_seen[:h], measure, w, plain),
                    title=title, note=f"by {measure}",
                )  # fmt: skip
            case "checked":
                panel.show(view.checked, lambda w, h: checked_lines(view.checked, w), title=title)

    def _curve_note(self, curve: AdviceCurve | None, view: AdvisorView, now_s: float) -> str:
        if curve is None:
            return ""
        age_s = max(now_s - view.at_s, 0.0)
        what = "memory" if curve.unit == "MB" else "TTL"
        old = f", {duration(age_s)} old" if age_s >= 30 else ""
        place = f"{self._curve % len(self._curves) + 1}/{len(self._curves)}"
        return f"{what} of {printable(curve.about, 40)}, {place}{old}"

    def _keys(self, one: Advice | None) -> str:
        """By which keys it is done."""
        if one is None:
            return ""
        copy = self.context.key_of("advisor.copy", "y")
        if self._act_of(one) is None:
            return f"a setting of the programs that use it: {copy} copies it"
        if self.context.read_only:
            return f"this dashboard is read-only: {copy} copies the command"
        carry, undo = (
            self.context.key_of("advisor.carry_out", "x"), self.context.key_of("advisor.undo", "u")
        )  # fmt: skip
        return f"{carry} carries it out, {undo} undoes it, after a question; {copy} copies it"

    # Keys

    @on(CursorTable.Selected, "#advice")
    def _advice_selected(self) -> None:
        self._follow()
        self._show_panels(self.context.clock.monotonic())

    @on(CursorTable.Opened, "#advice")
    def _advice_opened(self) -> None:
        self.action_carry_out()

    def show_advice(self, about: str) -> None:
        """Choose the first advice about a node or a group whose name has ``about`` in it."""
        for line, one in enumerate(self.state.advisor.advice):
            if about and about in one.about:
                self.table.selected = self.table.identity(line)
                break

    def action_panel(self, step: int) -> None:
        self._panel = (self._panel + step) % len(_PANELS)
        self._show_panels(self.context.clock.monotonic())

    def action_curve(self, step: int) -> None:
        if self._curves:
            self._curve = (self._curve + step) % len(self._curves)
            if not self._all_panels():
                self._panel = 0
            self._show_panels(self.context.clock.monotonic())

    def action_measure(self) -> None:
        self._measure = (self._measure + 1) % len(MEASURES)
        if not self._all_panels():
            self._panel = 2
        self._show_panels(self.context.clock.monotonic())

    def action_watch(self) -> None:
        """Begin to look, or end it."""

        def on_answer(answer: Answer) -> None:
            if answer.error:
                self.context.tell(answer.error, "error")

        self.context.ask(RunAdvisor(not self.state.advisor.running), on_answer)

    def action_copy(self) -> None:
        one = self.table.selected_advice
        if one is None:
            self.context.tell("there is no advice to copy", "warning")
        else:
            copy(self.app, printable(one.do, 400))
            self.context.tell(f"copied: {one.do}")

    def action_carry_out(self) -> None:
        self._act(back=False)

    def action_undo(self) -> None:
        self._act(back=True)

    def _act_of(self, one: Advice, *, back: bool = False) -> ActOnNode | ChangeTtl | None:
        """What carries it out; lives are changed of the writers that this dashboard started alone."""
        act, attached = act_of(one, back=back), self.state.attachment
        ours = not attached.named and not attached.absent
        return None if isinstance(act, ChangeTtl) and not ours else act

    def _act(self, *, back: bool) -> None:
        if self.context.read_only:
            self.context.tell(READ_ONLY, "warning")
            return
        # What was carried out is no advice any more: it is taken back as it was given.
        one = (self._carried_out[-1] if self._carried_out else None) if back else self.table.selected_advice
        if one is None:
            self.context.tell(
                "nothing was carried out from here" if back else "there is no advice", "warning"
            )
            return
        act, command = self._act_of(one, back=back), one.undo if back else one.do
        if act is None:
            key = self.context.key_of("advisor.copy", "y")
            self.context.tell(
                f"{command}: a setting of the programs that use it; {key} copies it",
                "warning",
            )
            return
        effect = f"{one.text}.\n{'' if back else one.reason}".strip()
        if isinstance(act, ChangeTtl):
            where, yes = "worker and readers", "change"
            kind = " ".join(word for word in ("for all", act.entries, "entries") if word)
            effect += (
                f"\nThe worker and the readers of this dashboard start anew with it, {kind}; it holds until "
                "the dashboard ends."
            )
        else:
            where, yes = act.node, act.act.value
            state = next((node.state for node in self.state.nodes if node.name == act.node), None)
            if state is not NodeState.UP:
                self.context.tell(
                    f"{act.node} is {state or 'unknown'}: it cannot be told anything now", "warning"
                )
                return
            if not one.lasting:
                effect += "\nIt holds until the node restarts."

        def decided(sure: bool | None) -> None:
            if sure:
                self.context.ask(act, self._on_done(where, command, one, back=back))

        self.app.push_screen(ConfirmScreen(f"{command} on {where}?", effect, yes=yes), decided)

    def _on_done(self, where: str, command: str, one: Advice, *, back: bool) -> Callable[[Answer], None]:
        def on_answer(answer: Answer) -> None:
            if answer.error:
                self.context.tell(f"{where}: {command}: {answer.error}", "error")
            elif answer.value is not None:
                if back:
                    self._carried_out = [done for done in self._carried_out if done is not one]
                else:
                    self._carried_out = [*self._carried_out[1 - UNDO_MOST :], one]
                undo = "" if back else f"; {self.context.key_of('advisor.undo', 'u')} takes it back"
                self.context.tell(
                    f"{where}: {command}: {answer.value}; what comes of it is measured now{undo}"
                )

        return on_answer

    def export_rows(self) -> Rows | None:
        names = ("subject", "about", "text", "reason", "do", "undo", "confidence", "store_reads_per_s",
                 "saved_bytes", "now", "predicted")  # fmt: skip
        return names, [
            tuple(str(value) if isinstance(value := getattr(one, name), str) else value for name in names)
            for one in self.state.advisor.advice
        ]

    def commands(self) -> Iterable[SystemCommand]:
        if not self.context.read_only:
            yield SystemCommand(
                "Advisor: carry out", "The chosen advice, after a question", self.action_carry_out
            )
            yield SystemCommand("Advisor: undo", "Take back what was carried out last", self.action_undo)
        yield SystemCommand(
            "Advisor: watch or not", "Look at the nodes' requests, or end it", self.action_watch
        )
        yield SystemCommand(
            "Advisor: next curve", "Memory by node, TTL by group", lambda: self.action_curve(1)
        )
        yield SystemCommand("Advisor: keys by", "Gets, misses, sets, bytes, prefixes", self.action_measure)
