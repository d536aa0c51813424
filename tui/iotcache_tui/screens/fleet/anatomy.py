"""Miss anatomy: why reads fell through, what it cost, and how fresh what each class is served is."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from iotcache.model import Severity
from iotcache.text import printable
from iotcache_tui.format import bar, duration, fit, milliseconds, rate
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.miss_anatomy import ClassFreshness, MissShare, freshness_by_class, misses, stacked
from iotcache_tui.state.reasons import REASONS
from iotcache_tui.widgets.common.panel import Line, Panel

ROOMY = 70
"""Cells from which on the table has room for its bar, for intervals and numbers of series."""
_TONES = {Severity.INFO: "curve", Severity.WARNING: "warn", Severity.ERROR: "bad"}
_BY_SYMBOL = {form.symbol: form for form in REASONS.values()}


class AnatomyScreen(ModalScreen[bool]):
    """Two panels over the screen below, brought up to date once a second; dismissed with true to go on to the
    advisor."""

    DEFAULT_CSS = """
    AnatomyScreen { align: center middle; background: $background 60%; }
    AnatomyScreen > Vertical {
        width: 96%; height: 92%; background: $surface; border: round $primary; border-title-color: $primary;
        padding: 0 1;
    }
    AnatomyScreen #anatomy-misses { height: 3fr; }
    AnatomyScreen #anatomy-lens { height: 2fr; margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,a,q", "dismiss(False)", "Close", key_display="Esc"),
        Binding("enter,8", "dismiss(True)", "To the advice", key_display="↵"),
    ]

    def __init__(self, state: DashboardState, *, span_s: int, ascii_only: bool) -> None:
        super().__init__()
        self._state = state
        self._span_s = span_s
        self._ascii = ascii_only
        self.why = Panel("Misses by reason", ascii_only=ascii_only, id="anatomy-misses")
        self.freshness = Panel(
            "TTL lens: what is served, against how long it may live", ascii_only=ascii_only, id="anatomy-lens"
        )

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Miss anatomy"
            box.border_subtitle = "Enter goes to the advice   Esc closes"
            yield self.why
            yield self.freshness

    def on_mount(self) -> None:
        self.call_after_refresh(self.update_panels)
        self.set_interval(1.0, self.update_panels)

    def update_panels(self) -> None:
        """Show the state as it stands."""
        state, span_s = self._state, self._span_s
        newest_s = state.seconds[-1].at_s if state.seconds else 0.0
        key = len(state.seconds), state.fallbacks_total, newest_s, state.advisor.advice[:1]
        self.why.show(
            key, lambda width, height: self._misses(width - 2, height), note=f"last {duration(span_s)}"
        )
        self.freshness.show(key, lambda width, height: self._freshness(width - 2, height), note="by class")

    def _misses(self, width: int, height: int) -> list[Line]:
        advice = self._state.advisor.advice
        if not advice:
            return self._reasons(width, height)
        best: Line = [("advice ", "dim"), (fit(printable(advice[0].text, 300), width - 7), "good")]
        return [best, *self._reasons(width, height - 1)]

    def _reasons(self, width: int, height: int) -> list[Line]:
        rows = misses(self._state, self._span_s)
        if not rows:
            return [[(f"no read missed the cache in the last {duration(self._span_s)}", "dim")]]
        table = _table(rows, width, self._ascii)[: max(height - 4, 2)]
        plot_high = max(height - len(table) - 2, 0)
        lines, top = stacked(self._state.recent(self._span_s), width, plot_high)
        made: list[Line] = [[(f"misses/s, up to {rate(top)}", "dim")]] if lines else []
        made += [_coloured(line) for line in lines]
        return [*made, *table]

    def _freshness(self, width: int, height: int) -> list[Line]:
        rows = freshness_by_class(self._state)
        if not rows:
            return [[("nothing has been read yet", "dim")]]
        head = f"{'Class':12} "
        head += "" if width < ROOMY else f"{'Series':>6} {'Every':>5} "
        head += f"{'TTL':>5} {'Age':>4} {'p95':>4}  "
        head += f"{'of TTL':>6}" if width < ROOMY else f"{'p95 of TTL':{_bar_cells(width) + 5}}"
        head += f" {'Hit':>6} {'Missed':>7}"
        return [
            [(fit(head, width), "dim")],
            *(_freshness_line(one, width, self._ascii) for one in rows[: height - 1]),
        ]


def _coloured(line: str) -> Line:
    pieces: list[tuple[str, str]] = []
    for symbol in line:
        form = _BY_SYMBOL.get(symbol)
        tone = _TONES[form.severity] if form else "row"
        if pieces and pieces[-1][1] == tone:
            pieces[-1] = (pieces[-1][0] + symbol, tone)
        else:
            pieces.append((symbol, tone))
    return pieces


def _table(rows: list[MissShare], width: int, ascii_only: bool) -> list[Line]:
    head = f"  {'Reason':12} {'Misses':>9} {'Share':>6}  {'':12} {'Store each':>10} {'Store in all':>13}"
    lines: list[Line] = [[(fit(head, width), "dim")]]
    for miss in rows:
        form = REASONS[miss.reason]
        each = f"{milliseconds(miss.store_ms)} ms" if miss.store_ms is not None else "–"
        cost = f"{miss.cost_s:.1f} s" if miss.cost_s is not None else "–"
        lines.append(
            [
                (f"{form.symbol} ", _TONES[form.severity]),
                (f"{form.label:12} ", "strong"),
                (f"{miss.count:>9,} {100 * miss.share:>5.1f}%  ", "row"),
                (bar(miss.share, 12, ascii_only), "bar"),
                (f" {each:>10} {cost:>13}", "row"),
            ]
        )
    return lines


def _bar_cells(width: int) -> int:
    return min(max(width - 65, 5), 24)


def times_text(share: float | None) -> str:
    """A share in at most 4 characters; from ten wholes on, how many times it is the whole."""
    if share is None:
        return "–"
    return f"{100 * share:.0f}%" if share < 9.995 else f"{min(share, 999):.0f}×"


def _freshness_line(one: ClassFreshness, width: int, ascii_only: bool) -> Line:
    hit = "–" if one.hit_percent is None else f"{one.hit_percent:.1f}%"
    every = duration(one.interval_s) if one.interval_s else "–"
    ttl = duration(one.ttl_s) if one.ttl_s else "–"
    spent = times_text(one.spent_p95)
    roomy = width >= ROOMY
    return [
        (f"{fit(one.kind, 12)} ", "strong"),
        (f"{one.series:>6,} {every:>5} " if roomy else "", "row"),
        (f"{ttl:>5} {duration(one.age_p50_s):>4} {duration(one.age_p95_s):>4}  ", "row"),
        (bar(one.spent_p95 or 0.0, _bar_cells(width), ascii_only) if roomy else "", "bar"),
        (f" {spent:>4}" if roomy else f"{spent:>6}", "row" if (one.spent_p95 or 0.0) < 1 else "warn"),
        (f" {hit:>6} {one.misses:>7,}", "warn" if (one.hit_percent or 100.0) < 90 else "row"),
    ]
