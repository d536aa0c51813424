"""One sensor's past as a curve: the store's readings with the live ones at their end, and what is cached."""

from __future__ import annotations

from bisect import bisect_left
from math import isfinite
from typing import ClassVar

from msgspec import Struct
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from iotcache.text import printable
from iotcache_tui.format import fit, number, wall_text
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.device.model import Curve
from iotcache_tui.widgets.common.braille import BrailleCanvas, curve, round_limits
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.common.styled_parts import StyledParts

LABEL_CELLS = 9
AHEAD_SHARE = 0.06
"""So much of the plot lies in the future: an entry's life goes on past now."""
_SPAN_LABELS = {300.0: "5 min", 900.0: "15 min", 3_600.0: "1 h", 21_600.0: "6 h", 86_400.0: "24 h"}


class PlotShown(Struct, frozen=True):
    """What a picture depends on, besides the curve and the size."""

    title: str = ""
    unit: str = ""
    span_s: float = 900.0
    wall_s: float = 0.0
    interval_s: float = 60.0
    entry: tuple[float, float] | None = None
    """From when the cached reading is, and until when it is to live (wall time)."""
    missed_at: tuple[float, ...] = ()
    """When reads of it fell back to the store (wall time)."""
    message: str = ""
    """What to say while there is no curve."""


def plot_of(state: DashboardState, row: int, span_s: float, moment: RenderContext, message: str) -> PlotShown:
    """What there is to draw of a row, besides its curve."""
    fleet = state.fleet
    fleet.settle((row,))
    left, entry = fleet.ttl_left_s(row, moment.now_s), None
    if left > 0 and isfinite(fleet.measured_at[row]):
        # To whole seconds: the nodes tell no more, and the picture is not to tremble.
        entry = (fleet.measured_at[row], float(round(moment.wall_s + min(left, span_s))))
    since = moment.wall_s - span_s
    missed = tuple(one.wall_s for one in state.fallbacks if one.row == row and one.wall_s >= since)
    return PlotShown(
        fleet.sensor[row],
        fleet.unit[row],
        span_s,
        moment.wall_s,
        fleet.interval_s[row],
        entry,
        missed,
        message,
    )


class HistoryPlot(StyledParts):
    """Title, curve with a scale at its left, times below; cached stretches have another ground."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"history--{name}" for name in ("title", "line", "cached", "dim", "miss", "now")
    )
    DEFAULT_CSS = """
    HistoryPlot {
        background: $surface; color: $foreground;
        & > .history--title { color: $foreground 60%; background: $panel; text-style: bold; }
        & > .history--line { color: $success; background: $surface; }
        & > .history--cached { background: $primary 28%; }
        & > .history--dim { color: $foreground 60%; background: $surface; }
        & > .history--miss { color: $warning; text-style: bold; }
        & > .history--now { color: $foreground 40%; }
    }
    """

    def __init__(self, *, ascii_only: bool, id: str) -> None:
        super().__init__(id=id)
        self._ascii = ascii_only
        self._curve = Curve()
        self._shown = PlotShown()
        self._version = -1
        self._rows: list[Strip] = []
        self._rows_for: tuple[object, ...] = ()

    @property
    def points(self) -> int:
        """As many as the plot can tell apart."""
        return max((self.size.width - LABEL_CELLS) * 2, 100)

    def show(self, line: Curve, shown: PlotShown) -> None:
        """Draw anew when that would look different: a new point, or a dot's width of time gone by."""
        before = self._shown
        dot_s = shown.span_s * (1 + AHEAD_SHARE) / self.points
        same = (before.title, before.unit, before.span_s, before.entry, before.missed_at, before.message) == (
            shown.title, shown.unit, shown.span_s, shown.entry, shown.missed_at, shown.message,
        )  # fmt: skip
        if same and line.version == self._version and abs(shown.wall_s - before.wall_s) < dot_s:
            return
        self._curve, self._shown, self._version = line, shown, line.version
        self._rows_for = ()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        wanted = (self._version, self._shown, self.size)
        if wanted != self._rows_for:
            self._rows = self._drawn(self.size.width, self.size.height)
            self._rows_for = wanted
        return self._rows[y] if y < len(self._rows) else Strip.blank(self.size.width, self._style("dim"))

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._rows_for = ()

    def _style(self, name: str) -> Style:
        return self.part_style(f"history--{name}")

    # The picture

    def _limits(self) -> tuple[float, float]:
        shown = self._shown
        return shown.wall_s - shown.span_s, shown.wall_s + shown.span_s * AHEAD_SHARE

    def _drawn(self, width: int, height: int) -> list[Strip]:
        line, shown = self._curve, self._shown
        first = max(bisect_left(line.times, self._limits()[0]) - 1, 0)
        values = line.values[first:]
        rows = [self._title(width, values)]
        room, tall = width - LABEL_CELLS, height - 2
        if tall < 1 or room < 10:
            return rows
        if not values:
            text = shown.message or "no readings in this time"
            blank = [Strip.blank(width, self._style("dim"))] * (tall + 1)
            blank[tall // 2] = Strip([Segment(fit(text, width).rstrip().center(width), self._style("dim"))])
            return [*rows, *(strip.adjust_cell_length(width, self._style("dim")) for strip in blank)]
        low, high, step = (-0.2, len(line.states) - 0.8, 1.0) if line.states else round_limits(values)
        canvas = BrailleCanvas(room, tall, self._ascii)
        points = list(zip(line.times[first:], values, strict=True))
        if line.states:
            points.append((shown.wall_s, values[-1]))
        gap = max(4 * shown.interval_s, shown.span_s / room * 3)
        curve(canvas, points, self._limits(), (low, high), gap=gap, steps=bool(line.states))
        grounds = self._grounds(room)
        labels = self._labels(tall, low, high, step)
        misses = {self._column(at, room) for at in shown.missed_at}
        for y, text in enumerate(canvas.rows()):
            rows.append(self._row(text, labels.get(y, ""), grounds, misses if y == 0 else set(), room))
        rows.append(self._times(width, room))
        return rows

    def _column(self, wall_s: float, room: int) -> int:
        left, right = self._limits()
        return round((wall_s - left) / (right - left) * (room - 1))

    def _grounds(self, room: int) -> list[bool]:
        """Which columns lie in a cached stretch."""
        columns = [False] * room
        stretches = [*self._curve.cached]
        if self._shown.entry is not None:
            stretches.append(self._shown.entry)
        for begin, end in stretches:
            for column in range(max(self._column(begin, room), 0), min(self._column(end, room) + 1, room)):
                columns[column] = True
        return columns

    def _labels(self, tall: int, low: float, high: float, step: float) -> dict[int, str]:
        """What stands at the left of which line."""

        def line_of(value: float) -> int:
            return round((high - value) / (high - low) * (tall - 1))

        if self._curve.states:
            return {line_of(at): printable(word, LABEL_CELLS) for at, word in enumerate(self._curve.states)}
        marks = max(round((high - low) / step), 1)
        most = max((tall - 1) / 2, 1)
        stride = next(each for each in range(1, marks + 1) if not marks % each and marks / each <= most)
        return {
            line_of(low + at * step): number(round(low + at * step, 9)) for at in range(0, marks + 1, stride)
        }

    def _row(self, text: str, label: str, cached: list[bool], misses: set[int], room: int) -> Strip:
        dim, line, ground = self._style("dim"), self._style("line"), self._style("cached")
        now = self._column(self._shown.wall_s, room)
        segments = [Segment(fit(label, LABEL_CELLS - 1, right=True) + " ", dim)]
        for column, drawn in enumerate(text):
            glyph, style = drawn, line
            if column in misses:
                glyph, style = ("v" if self._ascii else "▾"), line + self._style("miss")
            elif column == now and glyph == " ":
                glyph, style = ("|" if self._ascii else "│"), line + self._style("now")
            segments.append(Segment(glyph, style + ground.background_style if cached[column] else style))
        return Strip(segments).simplify()

    def _times(self, width: int, room: int) -> Strip:
        shown = self._shown
        cells = [" "] * width
        step = shown.span_s / (5 if room >= 70 else 3 if room >= 40 else 2)
        form = "%H:%M:%S" if shown.span_s <= 900 else "%H:%M"
        left = shown.wall_s - shown.span_s
        at = left + step / 2
        while at < shown.wall_s - step / 3:
            text = wall_text(at, form)
            start = LABEL_CELLS + self._column(at, room) - len(text) // 2
            cells[start : start + len(text)] = text
            at += step
        now = LABEL_CELLS + self._column(shown.wall_s, room) - 1
        cells[now : now + 3] = "now"
        return Strip([Segment("".join(cells)[:width].ljust(width), self._style("dim"))])

    def _title(self, width: int, values: list[float]) -> Strip:
        line, shown = self._curve, self._shown
        unit = f", {shown.unit}" if shown.unit else ""
        parts = [f"{shown.title}{unit}", f"last {_SPAN_LABELS.get(shown.span_s, f'{shown.span_s:g} s')}"]
        if values and not line.states:
            parts.append(f"{number(min(values))} to {number(max(values))}")
        if line.readings:
            plural = "" if line.readings == 1 else "s"
            parts.append(f"{line.readings:,}{'' if line.whole else ' newest'} reading{plural}")
        if any(self._grounds(max(width - LABEL_CELLS, 1))):
            parts.append("shaded: cached")
        text = ""
        for part in parts:
            if cell_len(text) + cell_len(part) + 3 <= width:
                text += ("   " if text else "") + part
        return Strip([Segment(fit(text, width), self._style("title"))])
