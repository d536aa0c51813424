"""What stands beside a scenario's narration: its lights and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from iotcache.model import MissReason
from iotcache_simulator.lab.definition.metrics import metric_name, metric_of
from iotcache_simulator.lab.state import CheckResult
from iotcache_tui.format import fit
from iotcache_tui.state.lab import LabView
from iotcache_tui.widgets.common.panel import Line, Piece
from iotcache_tui.widgets.lab.figures import counted, figure
from iotcache_tui.widgets.lab.lab_plot import step_metrics

LIGHTS = {"pending": ("◌", "dim"), "green": ("●", "good"), "red": ("✗", "bad")}
LIGHTS_ASCII = {"pending": "o", "green": "*", "red": "x"}
ROWS = (
    ("hit", "hit_percent"),
    ("hit", "predicted_hit_percent"),
    ("hit", "prediction_error"),
    ("hit", "stale_percent"),
    ("fallbacks", "fallbacks_per_s"),
    ("fallbacks", "store_reads_per_s"),
    ("fallbacks", "store_reads_peak"),
    ("fallbacks", "store_reads_since_change"),
    ("fallbacks", "store_reads_of_one_key"),
    ("fallbacks", "store_waiting"),
    ("latency", "p50_ms"),
    ("latency", "p99_ms"),
    ("devices", "reads_per_s"),
    ("devices", "node_gets_per_s"),
    ("latency", "errors_per_s"),
    ("nodes", "nodes_up"),
    ("nodes", "nodes_per_request"),
    ("nodes", "keys_moved_percent"),
    ("nodes", "busiest_node_percent"),
    ("log", "evictions_per_s"),
    ("log", "idle_memory_mb"),
    ("ingest", "writes_per_s"),
    ("ingest", "store_writes_per_s"),
    ("ingest", "write_ms"),
    ("ingest", "lost_writes"),
    ("ingest", "stored_per_s"),
    ("ingest", "missing"),
    ("plot", "probe_stale_s"),
    ("plot", "config_version"),
    ("plot", "config_stale_s"),
    ("plot", "pushes_refused"),
)
"""What a step may point at, and the metric of the row."""
LABEL_CELLS, LABEL_CELLS_NARROW = 22, 15
_VALUE_CELLS, _AFTER_CELLS = 7, len(" (after 99 s)")


def light_lines(view: LabView, width: int, ascii_only: bool) -> list[Line]:
    """The lights of the step that is shown; on the summary how many of each step's held."""
    state = view.state
    if state.shown >= len(state.steps):
        steps = _step_lines(view, width, ascii_only) if state.status == "done" else []
        return steps or [[("nothing is expected yet", "dim")]]
    lines: list[Line] = []
    goes_on = state.status == "running" and state.shown == state.step
    for check in state.steps[state.shown].checks:
        held = goes_on and check.state == "green" and check.now is None
        value = state.figures.get(check.metric, check.value) if held else check.value
        lines += _light(check, value, width, ascii_only)
    return lines or [[("nothing is expected of this step", "dim")]]


def _light(check: CheckResult, value: float | None, width: int, ascii_only: bool) -> list[Line]:
    """A condition, when it was settled, and ``value``: as it is now while the condition holds.

    One that was met and is not any more says so, with what it was then.
    """
    glyph, tone = LIGHTS[check.state]
    glyph = LIGHTS_ASCII[check.state] if ascii_only else glyph
    words = check.words or check.text
    after = "" if check.after_s is None else f" (after {check.after_s:.0f} s)"
    # Of one width however large it is, as it changes once a second: a line that is broken anew would jump.
    tail = f" {counted(value, check.unit).rjust(_VALUE_CELLS + len(check.unit))}"
    since = ""
    if check.now is not None:
        tail, since = f" was {counted(value, check.unit)}", f", now {counted(check.now, check.unit)}"
    name_tone = "row" if check.state == "pending" else tone
    room = width - 2
    if len(words) + max(len(after), _AFTER_CELLS) + len(tail) + len(since) <= room:
        name = fit(words + after, room - len(tail) - len(since))
        return [[(f"{glyph} ", tone), (name, name_tone), (tail, "strong"), (since, "warn")]]
    # A condition is read to its end: its value goes below it rather than over it.
    lines: list[Line] = [
        [("  " if number else f"{glyph} ", tone), (fit(part, room), name_tone)]
        for number, part in enumerate(wrap(words, max(room, 10)))
    ]
    left = fit(after.strip(), max(room - len(tail) - len(since), 0))
    return [
        *lines,
        [
            ("  ", tone),
            (left, name_tone),
            (fit(tail, room - len(left) - len(since), right=True), "strong"),
            (since, "warn"),
        ],
    ]


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
    """What was measured in this run, a row a metric in an order that never changes; a column a side.

    Where the height is too small for all, those stay that the step points at.
    """
    sides = view.sides or ("",)
    title_cells = LABEL_CELLS if width >= 46 else LABEL_CELLS_NARROW
    cells = min(max((width - title_cells - 2 - (11 if width >= 40 else 0)) // len(sides), 6), 12)
    head: list[Line] = []
    if view.sides:
        names: Line = [(fit(side, cells - 1, right=True) + " ", "strong") for side in sides]
        head.append([(" " * (title_cells + 2), "dim"), *names])
    rows = _rows(view, width, (title_cells, cells), ascii_only)
    room = max(height - len(head), 0)
    kept = sorted(sorted(range(len(rows)), key=lambda at: (not rows[at][0], at))[:room])
    return [*head, *(rows[at][1] for at in kept)]


def _rows(view: LabView, width: int, cells: tuple[int, int], ascii_only: bool) -> list[tuple[bool, Line]]:
    """(whether the step points at it, its line) of every metric that was measured."""
    state = view.state
    point: Sequence[str] = view.steps[state.shown].point if state.shown < len(view.steps) else ()
    about = {metric_name(name)[0] for name in step_metrics(view)}
    seen = set(state.seen)
    reasons = (("log", f"misses.{reason.value}") for reason in MissReason)
    rows: list[tuple[bool, Line]] = []
    for span, name in (*ROWS, *reasons):
        metric = metric_of(name)
        if name not in seen or metric is None:
            continue
        pointed = span in point or name in about or (span == "log" and "fallbacks" in point)
        sides = (view.sides or ("",)) if metric.of_side else ("",)
        values = [state.figures.get(f"{side}.{name}" if side else name) for side in sides]
        tone = "strong" if pointed else "warn" if name.startswith("misses.") else "dim"
        line: list[Piece] = [
            (((">" if ascii_only else "▶") if pointed else " ") + " ", "mark"),
            (fit(metric.label, cells[0]), tone),
        ]
        for value in values:
            line.append(
                (fit(figure(value, metric.unit), cells[1], right=True), "strong" if pointed else "row")
            )
        if width >= 40:
            line.append((f" {metric.unit}", "dim"))
        rows.append((pointed, line))
    return rows
