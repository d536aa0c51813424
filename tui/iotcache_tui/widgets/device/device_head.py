"""One line above a device: its name, what is cached of it, what of it fell back."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from msgspec import Struct
from rich.text import Text
from textual.widget import Widget

from iotcache_tui.format import duration, percent
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.fleet.devices import ON_TIME
from iotcache_tui.widgets.common.render_context import RenderContext


class HeadShown(Struct, frozen=True):
    """Everything the line says. Names are safe to show."""

    device: str = ""
    site: str = ""
    watched: bool = False
    sensors: int = 0
    live: int = 0
    """Sensors that are on time."""
    cached: int = 0
    hit_percent: float | None = None
    next_expiry_s: float | None = None
    next_sensor: str = ""
    misses: int = 0
    """Fallbacks among those that are kept."""
    alerts: int = 0
    """That stand."""


def head_of(state: DashboardState, rows: Sequence[int], moment: RenderContext, alerts: int) -> HeadShown:
    """What there is to say of the device with these rows, of which there is at least one."""
    fleet = state.fleet
    fleet.settle(rows)
    left = {row: fleet.ttl_left_s(row, moment.now_s) for row in rows}
    cached = [row for row in rows if left[row] > 0]
    soonest = min((row for row in cached if left[row] < inf), key=left.__getitem__, default=None)
    reads = sum(fleet.reads[row] for row in rows)
    ours = frozenset(rows)
    return HeadShown(
        fleet.device[rows[0]],
        fleet.site[rows[0]],
        all(row in fleet.watched for row in rows),
        len(rows),
        sum(fleet.status[row] == ON_TIME for row in rows),
        len(cached),
        100.0 * sum(fleet.hits[row] for row in rows) / reads if reads else None,
        left[soonest] // 1 if soonest is not None else None,
        fleet.sensor[soonest] if soonest is not None else "",
        sum(one.row in ours for one in state.fallbacks),
        alerts,
    )


class DeviceHead(Widget):
    """Short on narrow screens."""

    DEFAULT_CSS = """
    DeviceHead { height: 1; padding: 0 1; background: $surface; color: $foreground; }
    """

    def __init__(self, *, ascii_only: bool, id: str) -> None:
        super().__init__(id=id)
        self._ascii = ascii_only
        self._shown = HeadShown()

    def show(self, shown: HeadShown) -> None:
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render(self) -> Text:
        one, colours, ascii_only = self._shown, self.app.theme_variables, self._ascii
        text = Text(no_wrap=True, end="", overflow="ellipsis")
        if one.watched:
            text.append("@ " if ascii_only else "◆ ", f"bold {colours['accent']}")
        text.append(one.device, f"bold {colours['primary']}")
        text.append(f"  {one.site}", "dim")
        on_time = one.live == one.sensors
        glyph = ("*" if on_time else "o") if ascii_only else ("●" if on_time else "○")
        tone = colours["success"] if on_time else colours["warning"]
        parts = [
            Text.assemble((f"{glyph} ", tone), f"{one.live}/{one.sensors} on time"),
            Text.assemble((f"{one.cached}/{one.sensors}", "bold"), " cached"),
            Text.assemble("hit ", (f"{percent(one.hit_percent):>5}", "bold")),
        ]
        if one.alerts:
            words = f"{'!' if ascii_only else '▲'} {one.alerts} alert{'s' if one.alerts > 1 else ''}"
            parts.insert(0, Text(words, f"bold {colours['error']}"))
        if one.misses:
            parts.append(Text(f"{one.misses:,} fallback{'s' if one.misses > 1 else ''}", colours["warning"]))
        if one.next_expiry_s is not None:
            parts.append(Text.assemble("next expiry ", (f"{duration(one.next_expiry_s):>3}", "bold")))
            parts.append(Text(one.next_sensor, "dim"))
        for part in parts:
            if text.cell_len + part.cell_len + 3 > self.content_size.width:
                break
            text.append("   ").append_text(part)
        return text
