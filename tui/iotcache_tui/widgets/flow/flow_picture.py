"""The pipeline drawn live: boxes with state and figures, arrows with their rates and a little motion."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import log10
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from iotcache_tui.format import fit, rate
from iotcache_tui.state.flow import BOXES, Flow
from iotcache_tui.state.flow_history import ARROWS
from iotcache_tui.state.problems.problem import Gravity, Problem
from iotcache_tui.widgets.common.area import area, round_top
from iotcache_tui.widgets.common.canvas import Canvas, Point
from iotcache_tui.widgets.common.styled_parts import StyledParts
from iotcache_tui.widgets.flow.flow_layout import Layout, arrange, towards

TITLES = {
    "simulator": "simulator",
    "broker": "broker",
    "workers": "workers",
    "nodes": "cache nodes",
    "store": "store",
    "readers": "readers",
}
_GLYPHS = {
    "up": ("●", "*"), "starting": ("◌", "?"), "down": ("✗", "x"), "off": ("○", "o"),
    "refused": ("✗", "x"), "unreached": ("✗", "x"), "empty": ("○", "o"),
}  # fmt: skip
_TONES = {
    "up": "good", "starting": "warn", "down": "bad", "off": "dim", "refused": "bad", "unreached": "bad",
    "empty": "warn",
}  # fmt: skip
_SIGNS = {False: ("▲", "!"), True: ("✗", "x")}
"""Of a problem: whether a part is down, or cannot be seen."""
MARK_SPACING = 9
SPEED_MOST = 6.0


def speed(per_s: float | None) -> float:
    """Cells a second that the marks on an arrow move: calm, and more for more; 0 when nothing runs."""
    return 0.0 if not per_s or per_s < 0.05 else min(1.0 + 1.2 * log10(1.0 + per_s), SPEED_MOST)


def _tone_of(problem: Problem) -> str:
    return "bad" if problem.gravity >= Gravity.BLIND else "warn"


class FlowPicture(StyledParts, can_focus=True):
    """Arrow keys move among the boxes; Enter or a click opens what a box stands for."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"flow--{tone}"
        for tone in ("row", "dim", "strong", "good", "warn", "bad", "line", "dot", "curve", "mark")
    )
    DEFAULT_CSS = """
    FlowPicture {
        background: $background; color: $foreground; height: auto;
        & > .flow--row { color: $foreground; background: $background; }
        & > .flow--dim { color: $foreground 60%; background: $background; }
        & > .flow--strong { color: $foreground; background: $background; text-style: bold; }
        & > .flow--good { color: $success; background: $background; }
        & > .flow--warn { color: $warning; background: $background; text-style: bold; }
        & > .flow--bad { color: $error; background: $background; text-style: bold; }
        & > .flow--line { color: $foreground 45%; background: $background; }
        & > .flow--dot { color: $accent; background: $background; text-style: bold; }
        & > .flow--curve { color: $secondary 70%; background: $background; }
        & > .flow--mark { color: $primary; background: $background; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "towards(-1, 0)", "Box to the left", show=False, id="flow.left"),
        Binding("right,l", "towards(1, 0)", "Box to the right", show=False, id="flow.right"),
        Binding("up,k", "towards(0, -1)", "Box above", show=False, id="flow.up"),
        Binding("down,j", "towards(0, 1)", "Box below", show=False, id="flow.down"),
        Binding("tab", "step(1)", "Next box", show=False, id="flow.next"),
        Binding("shift+tab", "step(-1)", "Previous box", show=False, id="flow.before"),
        Binding("enter", "open", "Open", key_display="↵", id="flow.open"),
    ]

    class BoxSelected(Message):
        """Another box stands out now."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Opened(Message):
        """Enter or a click on a box."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.selected = "workers"
        self._ascii = ascii_only
        self._flow: Flow | None = None
        self._rates: Sequence[tuple[float | None, ...]] = ()
        self._key: Hashable = None
        self._still: Canvas | None = None
        self._still_lines: list[list[tuple[str, str]]] = []
        self._ways: list[list[Point]] = []
        self.layout_of_boxes: Layout | None = None
        self._shown: list[list[tuple[str, str]]] = []

    def show(
        self, flow: Flow, rates: Sequence[tuple[float | None, ...]], now_s: float, *, motion: bool
    ) -> None:
        """Draw what changed; with ``motion`` marks wander along the arrows."""
        self._flow, self._rates = flow, rates
        key = (flow, self.size, self.selected, self.has_focus, self._history(12))
        if key != self._key or self._still is None:
            self._key = key
            self._draw_still()
        self._draw(now_s if motion else None)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        layout = arrange(width, 1_000)
        return layout.height if layout is not None else len(BOXES)

    # What is drawn

    def _history(self, room: int) -> tuple[tuple[float | None, ...], ...]:
        return tuple(self._rates[-room:])

    def _draw_still(self) -> None:
        flow, (width, height) = self._flow, self.size
        assert flow is not None
        canvas = Canvas(width, height, ascii_only=self._ascii)
        self.layout_of_boxes = arrange(width, height)
        self._ways = []
        if self.layout_of_boxes is None:
            self._draw_list(canvas, flow)
        else:
            for index, path in enumerate(self.layout_of_boxes.paths):
                self._ways.append(canvas.line(path.points, "line"))
                self._draw_figures(canvas, flow, index)
            for name in BOXES:
                self._draw_box(canvas, flow, name)
        self._still = canvas
        self._still_lines = [canvas.pieces(y) for y in range(canvas.height)]

    def _draw_figures(self, canvas: Canvas, flow: Flow, index: int) -> None:
        """The arrow's rate, and how it was in the last seconds."""
        assert self.layout_of_boxes is not None
        path = self.layout_of_boxes.paths[index]
        per_s = flow.rates[index]
        canvas.text(*path.label, fit(f"{rate(per_s)}/s", min(path.room, 9)), "strong" if per_s else "dim")
        values = [rates[index] for rates in self._rates[-min(path.room, 12) :]]
        most = max((value for value in values if value is not None), default=0.0)
        (curve,) = area(values, 1, 0.0, round_top(most), self._ascii) if values else ("",)
        canvas.text(*path.curve, curve, "curve")

    def _tone(self, flow: Flow, name: str) -> str:
        problem = flow.problems.get(name)
        return (
            _tone_of(problem) if problem else "mark" if name == self.selected and self.has_focus else "line"
        )

    def _draw_box(self, canvas: Canvas, flow: Flow, name: str) -> None:
        assert self.layout_of_boxes is not None
        box, rect = flow.boxes[name], self.layout_of_boxes.rects[name]
        tone, heavy = self._tone(flow, name), name == self.selected
        canvas.box(rect, TITLES[name], tone, heavy=heavy)
        room = rect.width - 4
        glyph = _GLYPHS[box.state][self._ascii]
        canvas.text(rect.x + 2, rect.y + 1, fit(f"{glyph} {box.label}", room), _TONES[box.state])
        for line, fact in enumerate(box.facts[: rect.height - 3]):
            canvas.text(rect.x + 2, rect.y + 2 + line, fit(fact, room), "row")
        if problem := flow.problems.get(name):
            label = fit(
                f" {self._sign(problem)} {problem.label} ", min(rect.width - 2, len(problem.label) + 4)
            )
            canvas.text(rect.x + 1, rect.y + rect.height - 1, label, _tone_of(problem))

    def _sign(self, problem: Problem) -> str:
        return _SIGNS[problem.gravity >= Gravity.BLIND][self._ascii]

    def _draw_list(self, canvas: Canvas, flow: Flow) -> None:
        """A line a box, where there is no room for a picture."""
        for y, name in enumerate(BOXES):
            box = flow.boxes[name]
            out = [
                f"{rate(flow.rates[at])}/s {target}"
                for at, (source, target) in enumerate(ARROWS)
                if source == name
            ]
            here = name == self.selected
            problem = flow.problems.get(name)
            canvas.text(0, y, f"{'>' if here else ' '} {TITLES[name]:<12}", "mark" if here else "row")
            canvas.text(15, y, f"{_GLYPHS[box.state][self._ascii]} {box.label}", _TONES[box.state])
            message = f"{self._sign(problem)} {problem.label}" if problem else ", ".join(out)
            canvas.text(30, y, message, _tone_of(problem) if problem else "dim")

    def _draw(self, now_s: float | None) -> None:
        """The still picture with the marks where they are now; lines that differ are refreshed."""
        assert self._still is not None and self._flow is not None
        canvas = self._still
        lines = self._still_lines
        if now_s is not None:
            lines = self._with_marks(canvas, list(lines), now_s)
        before, self._shown = self._shown, lines
        for y, line in enumerate(lines):
            if y >= len(before) or before[y] != line:
                self.refresh(Region(0, y, self.size.width, 1))

    def _with_marks(
        self, canvas: Canvas, lines: list[list[tuple[str, str]]], now_s: float
    ) -> list[list[tuple[str, str]]]:
        assert self._flow is not None
        changed: dict[int, list[tuple[str, str]]] = {}
        for index, way in enumerate(self._ways):
            pace = speed(self._flow.rates[index])
            if not pace:
                continue
            for at in range(int(now_s * pace) % MARK_SPACING, len(way) - 1, MARK_SPACING):
                x, y = way[at]
                if 0 <= y < canvas.height and 0 <= x < canvas.width:
                    changed.setdefault(y, list(canvas.rows[y]))[x] = ("o" if self._ascii else "•", "dot")
        for y, row in changed.items():
            kept, canvas.rows[y] = canvas.rows[y], row
            lines[y] = canvas.pieces(y)
            canvas.rows[y] = kept
        return lines

    def _style(self, tone: str) -> Style:
        return self.part_style(f"flow--{tone}")

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._shown):
            return Strip.blank(width, self._style("row"))
        segments = [Segment(text, self._style(tone)) for text, tone in self._shown[y]]
        return Strip(segments).adjust_cell_length(width, self._style("row"))

    # Moving about

    def select(self, name: str) -> None:
        """Make a box stand out."""
        self.selected = name
        self.post_message(self.BoxSelected(name))

    def action_towards(self, dx: int, dy: int) -> None:
        if self.layout_of_boxes is None:
            self.action_step(dx + dy)
        else:
            self.select(towards(self.layout_of_boxes, self.selected, dx, dy))

    def action_step(self, step: int) -> None:
        self.select(BOXES[(BOXES.index(self.selected) + step) % len(BOXES)])

    def action_open(self) -> None:
        self.post_message(self.Opened(self.selected))

    def on_click(self, event: events.Click) -> None:
        name = self._box_at(event.x, event.y)
        if name is not None:
            self.select(name)
            self.action_open()

    def _box_at(self, x: int, y: int) -> str | None:
        if self.layout_of_boxes is None:
            return BOXES[y] if 0 <= y < len(BOXES) else None
        return next((name for name, rect in self.layout_of_boxes.rects.items() if rect.holds(x, y)), None)
