"""The row of figures at the top of the fleet screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from iotcache.model import NodeState
from iotcache.text import plural
from iotcache_tui.format import milliseconds, percent, rate
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.flow import workers_label
from iotcache_tui.state.nodes.model import Applications, applications
from iotcache_tui.state.problems.problem import Gravity, some_of
from iotcache_tui.widgets.fleet.kpi import Kpi

KPIS = {
    "hit": "Hit ratio",
    "fallbacks": "Fallbacks",
    "ingest": "Ingest",
    "p99": "Read p99",
    "devices": "Devices",
    "nodes": "Nodes",
}
"""The tiles, by name, from the one that matters most to the one that a narrow screen does without."""


_INGEST_PARTS = ("broker", "workers", "store")


def _workers_brief(state: DashboardState) -> str:
    label = workers_label(state)
    heard = len(state.processes.workers)
    if label == f"{heard} running":
        return plural(heard, "worker")
    silent = len(state.processes.silent)
    return f"{heard} of {heard + silent} up" if heard and silent else label


def _level(percent_hit: float) -> str:
    return "ok" if percent_hit >= 90 else "warn" if percent_hit >= 70 else "bad"


class KpiRow(Horizontal):
    """Hit ratio, fallbacks, ingest, latency, devices, nodes."""

    def __init__(self, *, ascii_only: bool = False, id: str) -> None:
        super().__init__(id=id)
        self._more, self._less = "^v" if ascii_only else "▲▼"
        self._kpis = {name: Kpi(title, id=f"kpi-{name}") for name, title in KPIS.items()}

    def compose(self) -> ComposeResult:
        yield from self._kpis.values()

    def _show_applications(
        self, state: DashboardState, others: Applications, own: float | None, *, hindered: bool
    ) -> None:
        """What the nodes' other clients get comes first, what this dashboard saw second.

        Nodes count what they answer: what is asked of one that is away is missing from it, and what was
        lost at once shows only where it is read. It is not called well while either is so, or while
        this dashboard's own looks, which go over all keys, find few of them.
        """
        up, total = state.nodes_up(), len(state.nodes)
        level = _level(others.hit_percent or 0.0)
        if hindered or (own is not None and _level(own) != "ok"):
            level = "bad" if level == "bad" else "warn"
        gets = f"of {rate(others.gets_per_s)} gets/s"
        if up < total:
            gets = f"{gets} to {some_of(up, total, 'node')}"
        ours = "" if own is None else f"looks {percent(own)}"
        # Where all is embedded nobody else reads than the readers that this program started.
        embedded = bool(state.processes.readers) and not state.attachment.named
        self._kpis["hit"].show(
            percent(others.hit_percent),
            "",
            gets,
            level,
            more=ours,
            brief=f"{up} of {total} up" if up < total else ours or f"{rate(others.gets_per_s)}/s",
            title="Readers' hits" if embedded else "Applications",
            short_title="Readers" if embedded else "Apps' hits",
        )

    def _show_own(self, state: DashboardState, hit: float | None, before: float | None) -> None:
        window = state.recent()
        reads = sum(second.reads for second in window)
        level = "quiet" if hit is None else _level(hit)
        looks = rate(reads / max(len(window), 1))
        note, brief = ("no looks yet", "no looks") if hit is None else (f"{looks} looks/s", f"{looks}/s")
        if "cache.nodes" in state.attachment.absent:
            note = brief = "no nodes"
        more = ""
        if hit is not None and before is not None and abs(hit - before) >= 0.1:
            more = f"{self._more if hit > before else self._less}{abs(hit - before):.1f}"
        self._kpis["hit"].show(percent(hit), "", note, level, more=more, brief=brief)

    def show(self, state: DashboardState, nodes: dict[str, str]) -> None:
        """The last ten seconds of ``state``; ``nodes`` are the nodes' short names."""
        window = state.recent()
        hit, before = state.hit_percent(), state.hit_percent(60, before=10)
        others = applications(state.node_figures)
        if others is not None and others.hit_percent is not None:
            hindered = any(one.part == "nodes" and one.gravity > Gravity.NOTE for one in state.problems)
            self._show_applications(state, others, hit, hindered=hindered)
        else:
            self._show_own(state, hit, before)
        per_s = sum(second.fallbacks for second in window) / len(window) if window else None
        in_all = f"{state.fallbacks_total:,}"
        self._kpis["fallbacks"].show(
            rate(per_s), "/s", f"{in_all} in all", "warn" if per_s else "quiet", brief=in_all
        )
        last = window[-1] if window else None
        known = last.ingest_per_s if last else None
        hindered = any(one.part in _INGEST_PARTS and one.gravity >= Gravity.BLIND for one in state.problems)
        self._kpis["ingest"].show(
            rate(known), "msg/s" if known is not None else "", f"workers: {workers_label(state)}",
            "bad" if hindered else "ok" if known else "quiet" if known is None else "warn",
            brief=_workers_brief(state),
        )  # fmt: skip
        p99 = max((second.p99_ms for second in window if second.reads), default=None)
        p50 = [second.p50_ms for second in window if second.reads]
        middle = f"p50 {milliseconds(sorted(p50)[len(p50) // 2])}" if p50 else ""
        self._kpis["p99"].show(
            milliseconds(p99), "ms" if p99 is not None else "",
            f"{middle} ms" if p50 else "",
            "quiet" if p99 is None else "warn" if p99 > 100 else "ok", brief=middle,
        )  # fmt: skip
        devices = state.fleet.devices
        parts = [
            f"{number:,} {what}"
            for number, what in ((devices.stale, "stale"), (devices.unread, "unread"))
            if number
        ]
        note = ", ".join(parts) or (f"all of {devices.total:,}" if devices.total else "")
        self._kpis["devices"].show(
            f"{devices.live:,}", "live", note, "warn" if parts else "ok" if devices.live else "quiet",
            brief=f"of {devices.total:,}",
        )  # fmt: skip
        up, total = state.nodes_up(), len(state.nodes)
        out = [node for node in state.nodes if node.state is not NodeState.UP]
        bundled = any(node.bundled for node in state.nodes)
        one_out = f"{nodes.get(out[0].name, '')} {out[0].state}" if len(out) == 1 else f"{len(out)} not up"
        note = one_out if out else ("bundled" if bundled else "all up")
        self._kpis["nodes"].show(
            f"{up}/{total}" if total else "–", "up" if total else "", note if total else "",
            "quiet" if not total else "ok" if up == total else "bad",
        )  # fmt: skip
