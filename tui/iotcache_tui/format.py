"""Figures as text: of fixed width, with their unit, so that columns line up and nothing jumps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import inf, isfinite
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from iotcache.text import plural as plural  # noqa: PLC0414 one of the forms of figures, too
from iotcache.text import printable
from iotcache_tui.ascii_only import GLYPHS

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from iotcache.model import Value

_SPARK = "▁▂▃▄▅▆▇█"
_SPARK_ASCII = "_.:-=+*#"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def fit(text: str, width: int, right: bool = False) -> str:
    """``text`` in exactly ``width`` terminal cells, cut with ``…`` or padded; wide characters count two."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    pad = " " * (width - size)
    return pad + text if right else text + pad


def fit_middle(text: str, width: int) -> str:
    """As `fit`, but cut in the middle: names of devices and sensors differ at their ends."""
    if cell_len(text) <= width or width < 5:
        return fit(text, width)
    tail = text[-(width // 2) :]
    while cell_len(tail) > width // 2:
        tail = tail[1:]
    head = set_cell_size(text, width - 1 - cell_len(tail))
    return head + "…" + tail


def in_parts(text: str, width: int, mark: str = "  ") -> list[str]:
    """``text`` in lines of at most ``width`` cells, broken at ``mark`` only; a longer part stays whole."""
    lines: list[str] = []
    for part in text.split(mark):
        if lines and cell_len(lines[-1]) + len(mark) + cell_len(part) <= width:
            lines[-1] += mark + part
        else:
            lines.append(part)
    return lines


def fit_parts(text: str, width: int, mark: str = ", ") -> str:
    """As `fit`, but what is too long loses whole parts from its end; only a first part too long is cut."""
    return fit(in_parts(text, width, mark)[0] if cell_len(text) > width else text, width)


def number(value: float, decimals: int | None = None) -> str:
    """A number in at most 9 characters."""
    if isinstance(value, int) and abs(value) < 1_000_000:
        return str(value)
    size = abs(value)
    if size >= 1e15 or (0 < size < 1e-3):
        return f"{value:.2e}"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if size >= limit:
            return f"{value / limit:.2f}{unit}"
    if decimals is None:
        text = next(text for places in (3, 2, 1) if len(text := f"{value:.{places}f}") <= 9 or places == 1)
        text = text.rstrip("0").rstrip(".")
        return text if text != "-0" else "0"
    return f"{value:.{decimals}f}"


def aligned_value(value: Value | None, width: int, decimals: int | None = None) -> str:
    """A sensor's value in ``width`` cells; numbers share the place of their decimal point."""
    if value is None:
        return fit("–", width, right=True)
    if isinstance(value, bool):
        return fit("on" if value else "off", width, right=True)
    if isinstance(value, str):
        return fit(printable(value, width + 1), width, right=True)
    text = number(value, decimals if isinstance(value, float) else None)
    whole, point, rest = text.partition(".")
    if not any(unit in text for unit in "TGMe"):
        tail = (point + rest).ljust(4 if width >= 9 else 3)
        if len(whole + tail) <= width:
            return fit(whole + tail, width, right=True)
    return fit(next((form for form in _shorter(value, text) if len(form) <= width), "#"), width, right=True)


def _shorter(value: float, text: str) -> Iterator[str]:
    """Forms of a number from the most exact to the shortest: it is rounded, never cut."""
    yield text
    size = abs(value)
    if 1e-3 <= size < 1e15:
        for decimals in (2, 1, 0):
            yield f"{value:.{decimals}f}"
        for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
            if size >= limit:
                for decimals in (2, 1, 0):
                    yield f"{value / limit:.{decimals}f}{unit}"
                break
    for decimals in (1, 0):
        yield f"{value:.{decimals}e}"


def duration(seconds: float) -> str:
    """A length of time in at most 4 characters: ``0.4s``, ``12s``, ``3m``, ``5h``, ``9d``."""
    if seconds != seconds:  # noqa: PLR0124 nan test
        return "–"
    if seconds == inf:
        return "∞"
    seconds = max(seconds, 0.0)
    if seconds < 100:
        return f"{int(seconds)}s"
    if seconds < 100 * 60:
        return f"{int(seconds // 60)}m"
    if seconds < 100 * 3600:
        return f"{int(seconds // 3600)}h"
    return f"{min(int(seconds // 86400), 999)}d"


def bar(share: float, width: int, ascii_only: bool = False) -> str:
    """``share`` (0 to 1) of ``width`` cells filled, in eighths of a cell."""
    share = min(max(share, 0.0), 1.0)
    if ascii_only:
        full = round(share * width)
        return "#" * full + "." * (width - full)
    eighths = round(share * width * 8)
    if share > 0 and eighths == 0:
        eighths = 1
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def sparkline(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """The last ``width`` values as a row of bars between their own least and largest."""
    shown = [value for value in values[-width:] if isfinite(value)] if width > 0 else []
    if not shown:
        return " " * width
    low, high = min(shown), max(shown)
    glyphs = _SPARK_ASCII if ascii_only else _SPARK
    if high - low <= abs(high) * 1e-9:
        return (glyphs[2] * len(shown)).rjust(width)
    scale = (len(glyphs) - 1) / (high - low)
    return "".join(glyphs[round((value - low) * scale)] for value in shown).rjust(width)


def percent(value: float | None) -> str:
    """A percentage in at most 5 characters; 99.97 never reads as 100."""
    if value is None:
        return "–"
    if value >= 100.0:
        return "100%"
    if value >= 99.9:
        return "99.9%"
    return f"{value:.1f}%"


def rate(value: float | None) -> str:
    """Events a second in at most 6 characters."""
    if value is None:
        return "–"
    if value >= 1_000_000:
        return f"{value / 1e6:.1f}M"
    if value >= 10_000:
        return f"{value / 1e3:.1f}k"
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def count(value: int) -> str:
    """A whole number in at most 5 characters."""
    if value < 100_000:
        return str(value)
    for limit, unit in ((1_000_000, "k"), (1_000_000_000, "M"), (1_000_000_000_000, "G")):
        if value < limit:
            figure = value / (limit / 1000)
            return f"{figure:.1f}{unit}" if figure < 100 else f"{int(figure)}{unit}"
    return "many"


def span_text(seconds: float) -> str:
    """A stretch of time that a plot shows: ``5 min``, ``1 h``."""
    return f"{seconds / 3_600:g} h" if seconds >= 3_600 else f"{seconds / 60:g} min"


def counted(number: int, one: str, several: str = "") -> str:
    """As `plural`, with the number as short as `count` makes it."""
    return f"{count(number)} {one if number == 1 else several or one + 's'}"


def plain(text: str, ascii_only: bool = True) -> str:
    """``text`` with the program's own marks in ASCII, each in one cell as before."""
    return text.translate(GLYPHS) if ascii_only else text


def data_size(size: float) -> str:
    """Bytes in at most 5 characters, in powers of 1024: ``812``, ``4.2K``, ``64M``, ``1.5G``."""
    figure, unit = float(size), ""
    for each in ("K", "M", "G", "T", "P"):
        if figure < 1000:
            break
        figure, unit = figure / 1024, each
    if not unit or figure >= 99.95:
        return f"{figure:.0f}{unit}"
    return f"{figure:.1f}".removesuffix(".0") + unit


def milliseconds(value: float | None) -> str:
    """A latency in at most 5 characters, with three significant digits at the most."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


_zone: ZoneInfo | None = None


def use_zone(name: str) -> None:
    """Show times of this zone from now on: ``local``, or a name of the tz database."""
    global _zone  # noqa: PLW0603 (one screen, one zone)
    if name == "local":
        _zone = None
        return
    from zoneinfo import ZoneInfo

    _zone = ZoneInfo(name)


def wall_text(wall_s: float, form: str) -> str:
    """Wall time in the zone asked for, by `time.strftime`'s form."""
    if _zone is None:
        return time.strftime(form, time.localtime(wall_s))
    return datetime.fromtimestamp(wall_s, _zone).strftime(form)


def clock_text(wall_s: float) -> str:
    """Wall time as ``HH:MM:SS``."""
    return wall_text(wall_s, "%H:%M:%S")


def short_nodes(names: Sequence[str]) -> dict[str, str]:
    """Each node's name without what all of them share.

    ``:11211`` where the hosts are one, ``cache2`` where domains and ports are, ``…3.17`` where addresses
    begin alike.
    """
    if len(names) < 2 or not all(":" in name and "/" not in name for name in names):
        return {name: printable(name) for name in names}
    hosts, ports = zip(*((name.rpartition(":")[0], name.rpartition(":")[2]) for name in names), strict=True)
    if len(set(hosts)) == 1:
        return {name: printable(f":{port}") for name, port in zip(names, ports, strict=True)}
    shown = list(hosts)
    parts = [host.split(".") for host in hosts]
    if not any(host.startswith("[") for host in hosts):
        numeric = all(part.isdigit() for one in parts for part in one)
        if numeric:
            same = _common(parts)
            shown = [".".join(one[same:]) for one in parts]
            shown = [f"…{one}" if same else one for one in shown]
        else:
            same = _common([one[::-1] for one in parts])
            shown = [".".join(one[: len(one) - same]) for one in parts]
    tails = [f":{port}" for port in ports] if len(set(ports)) > 1 else [""] * len(ports)
    return {name: printable(one + tail) for name, one, tail in zip(names, shown, tails, strict=True)}


def _common(parts: Sequence[Sequence[str]]) -> int:
    """How many of their first parts are the same in all; one part at least is left of each."""
    most = min(map(len, parts)) - 1
    return next((at for at in range(most) if len({one[at] for one in parts}) > 1), max(most, 0))
