"""The live log of fallbacks: reads that had to go to the store, newest last; many alike are one line."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from rich.segment import Segment

from iotcache.text import printable
from iotcache_tui.format import clock_text, duration, fit, milliseconds
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.fallbacks import FoldedFallback
from iotcache_tui.state.reasons import REASONS
from iotcache_tui.widgets.common.lines import LineView

_KEY_MOST = 64


class FallbackLog(LineView):
    """Time, key, reason, node, store latency and the new entry's TTL of each fallback.

    Of many that fold it shows when they began, how many they are, and the last one's figures.
    """

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"log--{name}" for name in ["header", "row", "dim", "reason", "alarm", "store"]
    )
    DEFAULT_CSS = """
    FallbackLog {
        background: $surface; color: $foreground;
        & > .log--header { color: $foreground 60%; background: $panel; text-style: bold; }
        & > .log--row { color: $foreground; background: $surface; }
        & > .log--dim { color: $foreground 60%; background: $surface; }
        & > .log--reason { color: $warning; background: $surface; }
        & > .log--alarm { color: $error; background: $surface; text-style: bold; }
        & > .log--store { color: $secondary; background: $surface; }
    }
    """

    def __init__(self, state: DashboardState, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.state = state
        self.nodes: dict[str, str] = {}
        self.following = True
        """Whether the newest line is kept on screen; scrolling up stops it, scrolling to the end resumes."""
        self._own_top = 0

    def frame(self, nodes: dict[str, str]) -> None:
        """Show what came in; keep at the end when the end was on screen."""
        if nodes != self.nodes:
            self.nodes = nodes
            self.redraw()
        self.sync_size()
        top = round(self.scroll_y)
        if top != self._own_top:
            # Somebody scrolled: follow on only when that led back to the end.
            self.following = top >= self.max_scroll_y
        if self.following and top < self.max_scroll_y:
            self.scroll_to(y=self.max_scroll_y, animate=False)
        self._own_top = round(self.scroll_y)
        self.sync_lines()

    def line_count(self) -> int:
        return len(self.state.fallback_lines.lines)

    def line_key(self, line: int) -> Hashable:
        # Lines shift when the log is full: a line is told by its running number.
        one = self.state.fallback_lines.lines[line]
        return one.number, one.times

    def _widths(self, width: int) -> tuple[int, int]:
        node = max((len(name) for name in self.nodes.values()), default=6)
        fixed = 8 + 11 + node + 9 + 7 + 5
        return min(max(width - fixed, 12), _KEY_MOST), node

    def draw_header(self, width: int) -> list[Segment]:
        key, node = self._widths(width)
        style = self.part_style("log--header")
        cells = (
            f"{'Fallback':8} {fit('Key', key)} {'Reason':11} {fit('Node', node)} {'Store':>9} {'New TTL':>7}"
        )
        return [Segment(fit(cells, width), style)]

    def draw_line(self, line: int, width: int) -> list[Segment]:
        folded = self.state.fallback_lines.lines[line]
        item = folded.last
        key, node = self._widths(width)
        row, dim = self.part_style("log--row"), self.part_style("log--dim")
        form = REASONS[item.reason]
        reason = self.part_style("log--alarm" if form.alarming else "log--reason")
        new = duration(item.ttl_s) if item.ttl_s is not None else "–"
        segments = [
            Segment(clock_text(folded.first_s) + " ", dim),
            Segment(fit(_name(folded), key) + " ", row),
            Segment(fit(form.label, 11) + " ", reason),
            Segment(fit(self.nodes.get(item.node) or printable(item.node) or "–", node) + " ", dim),
        ]
        if item.error:
            rest = max(width - 8 - key - 11 - node - 4, 0)
            return [*segments, Segment(fit(item.error, rest), self.part_style("log--alarm"))]
        return [
            *segments,
            Segment(
                fit(f"{milliseconds(item.store_ms)} ms", 9, right=True) + " ", self.part_style("log--store")
            ),
            Segment(fit(new, 7, right=True), dim),
        ]

    def empty_text(self) -> str:
        return "no read has fallen back to the store yet"


def _name(folded: FoldedFallback) -> str:
    if folded.times == 1:
        return folded.last.key
    return f"×{folded.times:,} {folded.last.key}{'' if folded.same_key else ', …'}"
