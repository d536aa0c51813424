"""What a terminal shows as a picture (SVG): still, or moving where there are several frames.

Lines that look alike in several frames are written once and shown by their times, so the file stays small;
it needs no script, so a page may embed it as a picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment

from iotcache_tui.app import IotCacheApp
from iotcache_tui.themes import THEMES

CELL_PX = (8.4, 18)
HOLD_S = 2.0
"""How long the last frame stays before it begins again."""
_GROUND, _INK = THEMES[0].background or "#000000", THEMES[0].foreground or "#ffffff"

Line = tuple[tuple[str, str, str, bool], ...]
"""Runs of a line: text, colour, background, bold."""


def _hex(color: Color | None, default: str) -> str:
    return color.get_truecolor().hex if color is not None and color.type.name != "DEFAULT" else default


def _line(segments: Iterable[Segment]) -> Line:
    runs: list[tuple[str, str, str, bool]] = []
    for text, style, _ in segments:
        ink, ground, bold = _INK, _GROUND, False
        if style is not None:
            ink, ground = _hex(style.color, _INK), _hex(style.bgcolor, _GROUND)
            ink, ground = (ground, ink) if style.reverse else (ink, ground)
            bold = bool(style.bold)
        if not text.strip():
            ink, bold = _INK, False
        if runs and runs[-1][1:] == (ink, ground, bold):
            runs[-1] = (runs[-1][0] + text, ink, ground, bold)
        else:
            runs.append((text, ink, ground, bold))
    return tuple(runs)


def picture_of(app: IotCacheApp) -> list[Line]:
    """The lines of the screen that is shown."""
    return [_line(strip) for strip in app.screen._compositor.render_strips()]


def svg(frames: list[list[Line]], about: str, frame_s: float = 1.0) -> str:
    """The frames as one picture; ``about`` says what it shows to whoever cannot see it."""
    columns = max(sum(cell_len(run[0]) for run in line) for line in frames[0])
    wide, high = columns * CELL_PX[0] + 24, len(frames[0]) * CELL_PX[1] + 24
    whole_s = len(frames) * frame_s + HOLD_S
    inks: dict[tuple[str, bool], str] = {}
    shown: dict[tuple[int, Line], list[int]] = {}
    for number, lines in enumerate(frames):
        for y, line in enumerate(lines):
            shown.setdefault((y, line), []).append(number)
    body = [
        _drawn(y, line, _times(at, len(frames), whole_s, frame_s), whole_s, inks)
        for (y, line), at in shown.items()
    ]
    css = "".join(
        f".{name}{{fill:{ink}{';font-weight:700' if bold else ''}}}" for (ink, bold), name in inks.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" role="img" '
        f'aria-label="{escape(about)}">'
        f"<style>text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace;"
        f"white-space:pre}}{css}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="{_GROUND}"/><g transform="translate(12 12)">'
        + "".join(body)
        + "</g></svg>\n"
    )


def _times(frames: list[int], count: int, whole_s: float, frame_s: float) -> list[tuple[float, float]] | None:
    """Shares of the whole during which a line is shown; ``None`` for always."""
    if len(frames) == count:
        return None
    spans: list[tuple[float, float]] = []
    for number in frames:
        begin = number * frame_s / whole_s
        end = 1.0 if number == count - 1 else (number + 1) * frame_s / whole_s
        if spans and spans[-1][1] >= begin - 1e-9:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans


def _drawn(
    y: int,
    line: Line,
    spans: list[tuple[float, float]] | None,
    whole_s: float,
    inks: dict[tuple[str, bool], str],
) -> str:
    """One line with its times."""
    column, cells = 0, []
    grounds: list[tuple[int, int, str]] = []
    for text, ink, ground, bold in line:
        width = cell_len(text)
        if ground != _GROUND:
            if grounds and grounds[-1][1:] == (column, ground):
                grounds[-1] = (grounds[-1][0], column + width, ground)
            else:
                grounds.append((column, column + width, ground))
        if text.strip():
            name = inks.setdefault((ink, bold), f"c{len(inks)}")
            lead = len(text) - len(text.lstrip())
            plain = text.strip()
            cells.append(
                f'<tspan x="{(column + lead) * CELL_PX[0]:.5g}" class="{name}">'
                f"{escape(plain, quote=False)}</tspan>"
            )
        column += width
    if not grounds and not cells:
        return ""
    areas = "".join(
        f'<rect x="{begin * CELL_PX[0]:.5g}" y="{y * CELL_PX[1]:g}" '
        f'width="{(end - begin) * CELL_PX[0]:.5g}" height="{CELL_PX[1] + 0.3:g}" fill="{ground}"/>'
        for begin, end, ground in grounds
    )
    text = f'<text y="{y * CELL_PX[1] + 14:g}">{"".join(cells)}</text>' if cells else ""
    if spans is None:
        return f"<g>{areas}{text}</g>"
    times, values = ["0"], ["hidden"]
    for begin, end in spans:
        if begin <= 0:
            values[0] = "visible"
        else:
            times.append(f"{begin:.4f}")
            values.append("visible")
        if end < 1:
            times.append(f"{end:.4f}")
            values.append("hidden")
    moving = (
        f'<animate attributeName="visibility" calcMode="discrete" dur="{whole_s:g}s" '
        f'repeatCount="indefinite" keyTimes="{";".join(times)}" values="{";".join(values)}"/>'
    )
    first = "" if values[0] == "visible" else ' visibility="hidden"'
    return f"<g{first}>{moving}{areas}{text}</g>"
