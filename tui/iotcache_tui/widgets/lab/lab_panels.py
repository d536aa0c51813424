"""What stands beside a scenario's narration: its lights and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from iotcache_simulator.lab.definition.metrics import metric_name, unit_of
from iotcache_tui.format import fit, milliseconds, rate
from iotcache_tui.state.lab import LabView
from iotcache_tui.state.reasons import label_of
from iotcache_tui.widgets.common.panel import Line

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
    """The lights of the step that is shown; on the summary how many of each step's held."""
    state = view.state
    if state.shown >= len(state.steps):
        steps = _step_lines(view, width, ascii_only) if state.status == "done" else []
        return steps or [[("nothing is expected yet", "dim")]]
    lines: list[Line] = []
    for check in state.steps[state.shown].checks:
        glyph, tone = LIGHTS[check.state]
        glyph = LIGHTS_ASCII[check.state] if ascii_only else glyph
        value = f" {figure(check.value, check.unit)} {check.unit}".rstrip()
        after = f" after {check.after_s:.0f} s" if check.after_s is not None else ""
        tail = f"{value}{after}"
        name_tone = "row" if check.state == "pending" else tone
        room = width - 2
        if len(check.text) + len(tail) <= room:
            name = fit(check.text, room - len(tail))
            lines.append([(f"{glyph} ", tone), (name, name_tone), (tail, "strong")])
        else:
            # A condition is read to its end: its value goes below it rather than over it.
            for number, part in enumerate(wrap(check.text, max(room, 10))):
                lines.append([("  " if number else f"{glyph} ", tone), (fit(part, room), name_tone)])
            lines.append([("  ", tone), (fit(tail, room, right=True), "strong")])
    return lines or [[("nothing is expected of this step", "dim")]]


def _step_lines(view: LabView, width: int, ascii_only: bool) -> list[Line]:
    """For the summary: how many of each step's lights held."""
    glyphs = {name: glyph for name, (glyph, _) in LIGHTS.items()}
    lines: list[Line] = []
    for number, step in enumerate(view.state.steps, 1):
        held = sum(check.state == "green" for check in step.checks)
        name = "green" if held == len(step.checks) else "red"
        tone = LIGHTS[name][1]
        tail = f" {held} of {len(step.checks)}"
        room = max(width - len(tail) - 2, 10)
        glyph = (LIGHTS_ASCII if ascii_only else glyphs)[name]
        lines.append([(f"{glyph} ", tone), (fit(f"{number}. {step.title}", room), "row"), (tail, "strong")])
    return lines


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
        add(pointed, label_of(reason), values, "misses/s", ("warn", "row"))
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


def big_figures(view: LabView) -> tuple[str, str]:
    """One figure for the back row, of both sides in a comparison: digits, and what they say.

    It is what the step's first light is about; where there is none, what the plot begins with.
    """
    state = view.state
    lights = state.steps[state.shown].checks if state.shown < len(state.steps) else ()
    metric = lights[0].text.split()[0] if lights else view.curves[0].metric if view.curves else ""
    if not metric:
        return "", ""
    name, side = metric_name(metric)
    metrics = [f"{one}.{name}" for one in view.sides] if side else [metric]
    unit = unit_of(metric)
    digits = "   ".join(figure(state.figures.get(one), unit) for one in metrics)
    return digits, f"{'  |  '.join(metrics)} {unit}".rstrip()
