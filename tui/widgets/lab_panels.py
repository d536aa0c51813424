"""What stands beside a scenario's narration: its lights, its figures, its plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tui.format import fit, milliseconds, rate
from tui.state.lab import LabCurve, LabView
from tui.widgets.area import round_top
from tui.widgets.braille import Canvas, curve
from tui.widgets.panel import Line

SCARCE = 2
"""Lines that are better filled with figures than with the word that there are more."""
LIGHTS = {"pending": ("◌", "dim"), "green": ("●", "good"), "red": ("✗", "bad")}
LIGHTS_ASCII = {"pending": "o", "green": "*", "red": "x"}
FIGURES = (
    ("hit", "Hit ratio", "hit_percent", "%"),
    ("fallbacks", "Fallbacks", "fallbacks_per_s", "reads/s"),
    ("fallbacks", "Store reads", "store_reads_per_s", "series/s"),
    ("fallbacks", "… of one key", "store_reads_of_one_key", "series/s"),
    ("latency", "Read p50", "p50_ms", "ms"),
    ("latency", "Read p99", "p99_ms", "ms"),
    ("devices", "Reads", "reads_per_s", "reads/s"),
    ("nodes", "Nodes up", "nodes_up", ""),
    ("nodes", "Keys moved", "keys_moved_percent", "%"),
    ("nodes", "Busiest node", "busiest_node_percent", "%"),
    ("fallbacks", "Evictions", "evictions_per_s", "items/s"),
    ("ingest", "Stored", "stored_per_s", "readings/s"),
    ("ingest", "Missing", "missing", "readings"),
    ("plot", "Probe stale", "probe_stale_s", "s"),
    ("plot", "Config version", "config_version", ""),
    ("plot", "Config stale", "config_stale_s", "s"),
)
_OF_A_SIDE = {
    "hit_percent", "fallbacks_per_s", "store_reads_per_s", "store_reads_of_one_key", "p50_ms", "p99_ms",
    "reads_per_s", "nodes_up", "keys_moved_percent", "probe_stale_s", "config_version", "config_stale_s",
}  # fmt: skip


def figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "ms":
        return milliseconds(value)
    if unit == "%":
        return f"{value:.1f}"
    return rate(value)


def light_lines(view: LabView, width: int, ascii_only: bool) -> list[Line]:
    """The lights of the step that is shown; earlier ones keep what became of them."""
    state = view.state
    if state.shown >= len(state.steps):
        return [[("nothing is expected yet", "dim")]]
    lines: list[Line] = []
    for light in state.steps[state.shown].lights:
        glyph, tone = LIGHTS[light.light]
        glyph = LIGHTS_ASCII[light.light] if ascii_only else glyph
        value = f" {figure(light.value, light.unit)} {light.unit}".rstrip()
        after = f" after {light.after_s:.0f} s" if light.after_s is not None else ""
        tail = f"{value}{after}"
        room = max(width - len(tail) - 3, 10)
        lines.append(
            [
                (f"{glyph} ", tone),
                (fit(light.text, room), "row" if light.light == "pending" else tone),
                (tail, "strong"),
            ]
        )
    return lines or [[("this step only tells", "dim")]]


def figure_lines(view: LabView, width: int, height: int, ascii_only: bool) -> list[Line]:
    """The figures that are measured, those the step points at marked; a column a side.

    Where the height is too small for all, the marked ones come first, and the last line says how many are
    left out.
    """
    state = view.state
    point: Sequence[str] = view.steps[state.shown].point if state.shown < len(view.steps) else ()
    sides = view.sides or ("",)
    cells = min(max((width - 29) // len(sides), 7), 14)
    head: list[Line] = []
    if view.sides:
        head.append([(" " * 16, "dim"), *((fit(side, cells, right=True), "strong") for side in sides)])
    rows: list[tuple[bool, Line]] = []

    def add(
        pointed: bool, title: str, values: Sequence[float | None], unit: str, tones: tuple[str, str]
    ) -> None:
        mark = (">" if ascii_only else "▶") if pointed else " "
        line: Line = [
            (f"{mark} ", "mark"),
            (fit(title, 14), "strong" if pointed and tones[0] == "dim" else tones[0]),
            *(
                (fit(figure(value, unit), cells, right=True), "strong" if pointed else tones[1])
                for value in values
            ),
            (f" {unit}", "dim"),
        ]
        rows.append((pointed, line))

    for span, title, metric, unit in FIGURES:
        values = [_value(state.figures, side, metric) for side in sides]
        if any(value is not None for value in values):
            shown = values if metric in _OF_A_SIDE else values[:1]
            add(span in point, title, shown, unit, ("dim", "row"))
    reasons = sorted(
        {
            name.rpartition(".")[2]
            for name, value in state.figures.items()
            if ".misses." in f".{name}" and value
        }
    )
    for reason in reasons:
        values = [
            state.figures.get(f"{side}.misses.{reason}" if side else f"misses.{reason}") for side in sides
        ]
        pointed = "log" in point or "fallbacks" in point
        add(pointed, reason.replace("_", " "), values, "misses/s", ("warn", "row"))
    room = height - len(head)
    if len(rows) <= room:
        return [*head, *(line for _, line in rows)]
    first = [line for pointed, line in rows if pointed] + [line for pointed, line in rows if not pointed]
    if room <= SCARCE:
        return [*head, *first[: max(room, 0)]]
    left = len(rows) - room + 1
    return [*head, *first[: max(room - 1, 0)], [(f"  and {left} more in a higher window", "dim")]]


def _value(figures: Mapping[str, float | None], side: str, metric: str) -> float | None:
    return figures.get(f"{side}.{metric}" if side and metric in _OF_A_SIDE else metric)


def plot_lines(view: LabView, width: int, height: int, ascii_only: bool) -> list[Line]:
    """Each metric in a band of its own over the same time, with marks under it where something was done."""
    curves = [one for one in view.curves if any(value is not None for _, value in one.points)]
    if not curves or height < 4 or width < 20:
        return [[("figures come once a second", "dim")]] if not curves else []
    begin_s = curves[0].points[0][0]
    end_s = max(curves[0].points[-1][0], begin_s + 20.0)
    each = max((height - 2) // len(curves), 3)
    lines: list[Line] = []
    for one in curves[: max(1, (height - 2) // 3)]:
        lines += _band(one, width, each, (begin_s, end_s), ascii_only)
    row = [" "] * width
    for number, mark in enumerate(view.state.marks, 1):
        place = round((mark.at_s - begin_s) / (end_s - begin_s) * (width - 1))
        if 0 <= place < width:
            row[place] = str(number % 10) if not mark.note else "*"
    last = view.state.marks[-1] if view.state.marks else None
    lines.append([("".join(row), "mark")])
    if last is not None and len(lines) < height:
        lines.append([(fit(f"{len(view.state.marks)}: {last.text} at {last.at_s:.0f} s", width), "dim")])
    return lines


def _band(
    one: LabCurve, width: int, height: int, across: tuple[float, float], ascii_only: bool
) -> list[Line]:
    known = [(at, value) for at, value in one.points if value is not None]
    top = 100.0 if one.unit == "%" else round_top(max(value for _, value in known))
    canvas = Canvas(width, height - 1, ascii_only)
    curve(canvas, known, across, (0.0, top), gap=3.0)
    title = f"{one.metric} {figure(known[-1][1], one.unit)} {one.unit}".rstrip()
    scale = f"0 to {top:g}"
    head: Line = [(fit(title, max(width - len(scale), 4)), "strong"), (scale, "dim")]
    return [head, *([(row, "curve")] for row in canvas.rows())]
