"""The advisor's panels as lines: a curve with its marks, reasons of a piece of advice, keys, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from iotcache.advisor.advice import Advice
from iotcache.advisor.hot_keys import HotKey
from iotcache.advisor.predictions import Checked
from iotcache.text import figure, printable, printable_bytes
from iotcache_tui.format import bar, count, data_size, fit, fit_middle, wall_text
from iotcache_tui.state.advisor.curves import AdviceCurve
from iotcache_tui.widgets.common.braille import BrailleCanvas, curve, round_limits
from iotcache_tui.widgets.common.panel import Line, Piece

SCALE = 7
"""Cells of the scale at the left of a plot."""
_SIGNS = {"now": "●", "knee": "◆", "proposal": "▲"}
_SIGNS_ASCII = {"now": "o", "knee": "x", "proposal": "^"}
_TONES = {"now": "strong", "knee": "warn", "proposal": "good"}


def curve_lines(one: AdviceCurve | None, width: int, height: int, ascii_only: bool) -> list[Line]:
    """The curve over a logarithmic axis, signs where it stands, bends and should go, and their meaning."""
    if one is None:
        return [[("no curve yet: nothing was asked for while it was looked", "dim")]]
    if width < 24 or height < 6:
        return [[(fit(_legend(one, ascii_only), width), "strong")]]
    low, high, _ = round_limits([100 * ratio for ratio in one.ratios])
    low, high = max(low, 0.0), min(high, 100.0)
    wide, high_cells = width - SCALE - 2, height - 4
    canvas = BrailleCanvas(wide, high_cells, ascii_only)
    left, right = log(one.xs[0]), log(one.xs[-1])
    points = [(log(x), 100 * ratio) for x, ratio in zip(one.xs, one.ratios, strict=True)]
    curve(canvas, points, (left, right), (low, high), gap=right - left)
    rows = [list(row) for row in canvas.rows()]
    tones: dict[tuple[int, int], str] = {}
    signs = _SIGNS_ASCII if ascii_only else _SIGNS
    for mark in one.marks:
        at = min(max(log(mark.x), left), right)
        x = round((at - left) / (right - left) * (wide - 1))
        up = (100 * mark.ratio - low) / max(high - low, 1e-9)
        y = min(max(round((1 - up) * (high_cells - 1)), 0), high_cells - 1)
        rows[y][x] = signs[mark.name]
        tones[y, x] = _TONES[mark.name]
    lines: list[Line] = []
    for y, row in enumerate(rows):
        label = ""
        if y in (0, high_cells - 1):
            label = f"{high if y == 0 else low:.4g} %"
        elif y == (high_cells - 1) // 2 and high_cells >= 5:
            label = f"{(high + low) / 2:.4g} %"
        lines.append([(fit(label, SCALE - 1, right=True) + " ", "dim"), *_toned(row, y, tones)])
    axis = f"{figure(one.xs[0])} {one.unit}"
    end = f"{figure(one.xs[-1])} {one.unit}"
    lines.append([(" " * SCALE + axis + end.rjust(wide - len(axis)), "dim")])
    lines += [_legend_line(one, width, signs), [(fit(one.note, width - 2), "dim")]]
    return lines


def _toned(row: Sequence[str], y: int, tones: dict[tuple[int, int], str]) -> list[Piece]:
    pieces: list[Piece] = []
    for x, char in enumerate(row):
        tone = tones.get((y, x), "curve")
        if pieces and pieces[-1][1] == tone:
            pieces[-1] = (pieces[-1][0] + char, tone)
        else:
            pieces.append((char, tone))
    return pieces


def _legend(one: AdviceCurve, ascii_only: bool) -> str:
    signs = _SIGNS_ASCII if ascii_only else _SIGNS
    return "  ".join(
        f"{signs[mark.name]} {mark.name} {figure(mark.x)} {one.unit} {100 * mark.ratio:.1f} %"
        for mark in one.marks
    )


def _legend_line(one: AdviceCurve, width: int, signs: dict[str, str]) -> Line:
    pieces: list[Piece] = []
    left = width - 2
    for mark in one.marks:
        text = f"{signs[mark.name]} {mark.name} {figure(mark.x)} {one.unit} {100 * mark.ratio:.1f} %  "
        if len(text.rstrip()) > left:
            break
        pieces.append((text, _TONES[mark.name]))
        left -= len(text)
    return pieces


def why_lines(one: Advice | None, width: int, keys: str) -> list[Line]:
    """The whole sentence, its reason, what is to be done and how it is undone; ``keys`` says by what."""
    if one is None:
        return [[("no advice is chosen", "dim")]]
    lines: list[Line] = []
    for label, text, tone in (
        ("", one.text, "strong"),
        ("why   ", one.reason, "row"),
        ("do    ", one.do, "good"),
        ("undo  ", one.undo, "row"),
    ):
        for number, part in enumerate(_wrapped(printable(text, 600), max(width - 2 - len(label), 10))):
            lines.append([(label if number == 0 else " " * len(label), "dim"), (part, tone)])
    sure = f"confidence {one.confidence}"
    lasting = "" if one.lasting else "; until the node restarts: put it into its start as well"
    lines += [[(part, "dim")] for part in _wrapped(sure + lasting, width - 2)]
    lines += [[(part, "mark")] for part in _wrapped(keys, width - 2)]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """Broken between words; a word too long for a line is cut into pieces."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while len(line) > width:
            lines.append(line[:width])
            line = line[width:]
    return [*lines, line] if line or not lines else lines


def note_lines(notes: Sequence[str], width: int) -> list[Line]:
    """What could not be seen."""
    return [[(part, "warn")] for note in notes for part in _wrapped(printable(note, 400), width - 2)]


def key_lines(keys: Sequence[HotKey], measure: str, width: int, ascii_only: bool) -> list[Line]:
    """The most frequent keys, each with its count and its share of the first one's."""
    if not keys:
        return [[(f"no {measure} were seen yet", "dim")]]
    most = max(keys[0].count - keys[0].error, 1.0)
    lines: list[Line] = []
    for one in keys:
        least = max(one.count - one.error, 0.0)
        number = f"{data_size(least)}B" if measure == "bytes" else count(round(least))
        room = max(width - 2 - 8 - 11, 8)
        lines.append(
            [
                (fit_middle(printable_bytes(one.key, 250), room), "row"),
                (f" {fit(number, 7, right=True)} ", "strong"),
                (bar(least / most, 10, ascii_only), "bar"),
            ]
        )
    return lines


def checked_lines(checked: Sequence[Checked], width: int) -> list[Line]:
    """What was predicted and what came, the newest first."""
    if not checked:
        return [
            [(part, "dim")]
            for part in _wrapped(
                "nothing has changed yet; of every change of a node's memory, of a TTL or of a weight, "
                "whoever makes it, it is written here what was predicted and what came",
                width - 2,
            )
        ]
    lines: list[Line] = []
    for one in checked:
        clock = wall_text(one.at_s, "%H:%M")
        error = one.error
        tone = "row" if error is None else "good" if abs(error) <= 0.03 else "warn"
        about = printable(one.about, 60)
        lines.append([(f"{clock} ", "dim"), (fit_middle(about, max(width - 8, 8)), "dim")])
        lines += [[(f"  {part}", tone)] for part in _wrapped(one.text, width - 4)]
    return lines
