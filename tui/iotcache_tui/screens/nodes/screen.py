"""Screen 3, Nodes: every cache node, and the chosen one in depth; acts on it behind confirmations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Grid

from iotcache.model import NodeState
from iotcache.nodelist.listing import node_text
from iotcache.text import printable
from iotcache_tui.export import Rows
from iotcache_tui.format import duration, span_text
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.nodes.commands import ACTS, BY_ACT, ActMenu, Values, ValueScreen
from iotcache_tui.screens.nodes.node_more import NodeMoreScreen, resize_effect
from iotcache_tui.screens.nodes.stats_subscription import NodeStatsSubscription
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.absent_parts import nodes_missing
from iotcache_tui.state.nodes.model import SPANS_S, ActOnNode, NodeAct, NodeFigures
from iotcache_tui.state.nodes.ring import Foretold, ResizeProgress, ResizeRing, UndoResize
from iotcache_tui.state.nodes.whatif import TriedNodes
from iotcache_tui.state.problems.problem import Problem
from iotcache_tui.state.requests import READ_ONLY, Answer
from iotcache_tui.widgets.common.panel import Panel
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.nodes import node_detail as detail
from iotcache_tui.widgets.nodes.node_columns import NodeRow
from iotcache_tui.widgets.nodes.node_table import NodeTable
from iotcache_tui.widgets.nodes.ring_panel import ring

TABLE_LINES_MOST = 12
_PANELS = (
    ("memory", "Memory by slab class", "Memory"),
    ("load", "Load", "Load"),
    ("story", "State and its changes", "State"),
    ("lru", "LRU segments", "LRU"),
    ("ratios", "Two hit ratios", "Ratios"),
    ("ring", "Ring", "Ring"),
)
_NODE_CHANGES = frozenset({"node"})


class NodesScreen(ViewScreen):
    """The table above, six panels about the chosen node below; on a small screen one of them at a time."""

    NAME = "nodes"
    PANELS = (NodeTable,)
    ACTS = frozenset({"acts", "drain", "resize", "undo_resize"})
    LEGEND = (
        ("Ring", "the share of all keys that the placement gives the node, by its weight"),
        ("Hit", "as the node itself counts: of the gets of all its clients, over the last ten seconds"),
        ("p50, p99", "of the batches that this program sent it, over the last ten seconds"),
        ("Evict/s", "items that had to go for lack of memory, though their time was not up"),
        ("Oldest", "how long ago the item that is next to go was last used"),
        (
            "hot, warm, cold",
            "new items; those read again; those that are evicted first. temp: too short-lived",
        ),
        ("Drained", "this program was told not to use the node; it runs on"),
        ("Weight", "+ - m x only try what another list of nodes would come to; w makes it so"),
        ("Epoch", "how often the ring was changed; all clients follow it while they read and write"),
        ("hot, on N nodes", "keys read so often that they are kept on N nodes (cache.hot_replicas)"),
    )
    DEFAULT_CSS = """
    NodesScreen NodeTable { height: 4; }
    NodesScreen #node-detail { height: 1fr; margin: 1 0 0 0; grid-gutter: 1; }
    NodesScreen #node-detail { grid-size: 1 1; }
    NodesScreen.-short #node-detail, NodesScreen.-tiny #node-detail { margin: 0; }
    NodesScreen.-normal.-tall #node-detail { grid-size: 2 3; grid-rows: 1fr 8 8; }
    NodesScreen.-wide #node-detail { grid-size: 3 2; grid-rows: 1fr 9; }
    NodesScreen.-wide.-short #node-detail { grid-gutter: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "acts", "Acts", id="nodes.acts"),
        Binding("d", "drain", "Drain or rejoin", show=False, id="nodes.drain"),
        Binding("plus,equals_sign", "weight(1)", "Try weight", key_display="+ -", id="nodes.weight_up"),
        Binding("minus,underscore", "weight(-1)", "Try less weight", show=False, id="nodes.weight_down"),
        Binding("m", "try_more", "Try a node more", show=False, id="nodes.try_more"),
        Binding("x", "try_without", "Try without the chosen node", show=False, id="nodes.try_without"),
        Binding("w", "resize", "Change the ring to what is tried", show=False, id="nodes.resize"),
        Binding("u", "undo_resize", "Undo the ring's change", show=False, id="nodes.undo"),
        Binding("r", "reset_weights", "Forget what is tried", show=False, id="nodes.weights_reset"),
        Binding("t", "span", "How far back the curves go", show=False, id="nodes.span"),
        Binding("right,l", "panel(1)", "Panel", key_display="←→", id="nodes.panel_next"),
        Binding("left,h", "panel(-1)", "Previous panel", show=False, id="nodes.panel_before"),
    ]
    AUTO_FOCUS = "NodeTable"

    def __init__(self, context: DashboardContext) -> None:
        super().__init__(context)
        settings = self.settings
        self._ascii = settings.ascii
        self.table = NodeTable(ascii_only=settings.ascii, id="nodes")
        self.panels = {
            name: Panel(title, ascii_only=settings.ascii, id=f"node-{name}") for name, title, _ in _PANELS
        }
        self.tried = TriedNodes()
        self._resizing: ResizeProgress | None = None
        """How far this dashboard's own change of the ring is."""
        self._panel = 0
        self._span_s = SPANS_S[0]
        self._stats = NodeStatsSubscription()
        self._moment = RenderContext(0.0, 0.0, {})

    def body(self) -> ComposeResult:
        yield self.table
        with Grid(id="node-detail"):
            yield from self.panels.values()

    def on_screen_suspend(self) -> None:
        self._stats.drop(self.context)

    # One frame

    def draw(self, moment: RenderContext) -> None:
        self._moment = moment
        self._stats.keep(self.context, moment.now_s)
        rows = self._rows(moment)
        self.table.missing = nodes_missing(self.state.attachment)
        height = min(max(len(rows), 1), TABLE_LINES_MOST, max(self.size.height // 3, 3)) + 1
        if self.table.styles.height is None or self.table.styles.height.value != height:
            self.table.styles.height = height
        self.table.frame(rows)
        self._show_panels(rows, moment)

    def _rows(self, moment: RenderContext) -> tuple[NodeRow, ...]:
        figures = self.state.node_figures
        known = {node.name: node for node in figures.nodes} if figures is not None else {}
        return tuple(
            NodeRow(health, known.get(health.name), moment.nodes.get(health.name) or printable(health.name))
            for health in self.state.nodes
        )

    def _all_panels(self) -> bool:
        return self.has_class("-wide") or (self.has_class("-normal") and self.has_class("-tall"))

    def _show_panels(self, rows: tuple[NodeRow, ...], moment: RenderContext) -> None:
        together, row = self._all_panels(), self.table.selected_row
        for index, (name, _, _) in enumerate(_PANELS):
            self.panels[name].display = together or index == self._panel
        if row is None:
            for name, title, _ in _PANELS:
                self.panels[name].show(None, lambda width, height: (), title=title)
            return
        for index, (name, title, _) in enumerate(_PANELS):
            if together or index == self._panel:
                self._show(name, row, moment, title if together else self._tabs())

    def _tabs(self) -> str:
        return " ".join(
            f"[{short}]" if index == self._panel else f" {short} "
            for index, (_, _, short) in enumerate(_PANELS)
        )

    def _show(self, name: str, row: NodeRow, moment: RenderContext, title: str) -> None:
        panel, node, now_s, plain = self.panels[name], row.figures, moment.now_s, self._ascii
        look = (row.name, row.health.state, node.at_s if node is not None else None)
        match name:
            case "memory":
                panel.show(look, lambda w, h: detail.memory(row, w, h, ascii_only=plain),
                           title=title, note=row.short)  # fmt: skip
            case "lru":
                panel.show(look, lambda w, h: detail.segments(row, w, h, ascii_only=plain),
                           title=title, note=detail.segments_note(row))  # fmt: skip
            case "load":
                at_s = node.at_s if node is not None else now_s
                panel.show(
                    (*look, span_s := self._span_s),
                    lambda w, h: detail.load(row, self.state.node_history, at_s, w, h, plain, span_s),
                    title=title, note=span_text(span_s),
                )  # fmt: skip
            case "ratios":
                panel.show(look, lambda w, h: detail.ratios(row, w, h), title=title, note="10 s")
            case "story":
                log, since = self.state.log, duration(now_s - row.health.since_s)
                panel.show(
                    (*look, row.health.reason, since, log.total),
                    lambda w, h: detail.story(row, log.entries(_NODE_CHANGES), now_s, w, h, plain),
                    title=title,
                )
            case "ring":
                figures = self.state.node_figures
                what = self.tried.look(figures) if figures is not None else None
                note = what.placement if what is not None else ""
                now, own = figures.ring if figures is not None else None, self._resizing
                panel.show(
                    (what, now, own, row.name, tuple(moment.nodes)),
                    lambda w, h: ring(what, now, own, row.name, moment.nodes, w, h, plain),
                    title=title, note=f"{note}, what if" if what is not None and what.changed else note,
                )  # fmt: skip

    # Keys

    @on(NodeTable.Selected, "#nodes")
    def _node_selected(self) -> None:
        self._show_panels(self.table.rows, self._moment)

    def point_at(self, problem: Problem) -> None:
        self.show_node(problem.place or problem.subject)

    def show_node(self, name: str) -> None:
        """Put the cursor on a node; nothing happens where there is none of that name."""
        line = next((at for at, node in enumerate(self.state.nodes) if node.name == name), None)
        if line is not None:
            self.table.selected = name
            self.table.frame(self._rows(self._moment))
            self.table.keep_cursor_visible()
            self._show_panels(self.table.rows, self._moment)

    @on(NodeTable.Opened, "#nodes")
    def _node_opened(self) -> None:
        self.action_acts()

    def action_panel(self, step: int) -> None:
        self._panel = (self._panel + step) % len(_PANELS)
        self._show_panels(self.table.rows, self._moment)

    def action_span(self) -> None:
        """Show a longer stretch of the past; after the longest the shortest again."""
        self._span_s = SPANS_S[(SPANS_S.index(self._span_s) + 1) % len(SPANS_S)]
        self._show_panels(self.table.rows, self._moment)

    def action_weight(self, step: int) -> None:
        if self.state.node_figures is not None:
            self.tried.turn(self.state.node_figures, str(self.table.selected), step)
            self._show_ring()

    def action_try_without(self) -> None:
        if self.state.node_figures is not None:
            self.tried.turn_out(self.state.node_figures, str(self.table.selected))
            self._show_ring()

    def action_try_more(self) -> None:
        """Ask for the address of a node, and try the ring with it."""
        figures = self.state.node_figures
        if figures is None:
            self.context.tell("no node is known yet", "warning")
            return

        def typed(done: bool | None) -> None:
            if done:
                self._show_ring()

        self.app.push_screen(NodeMoreScreen(lambda text: self.tried.add(figures, text)), typed)

    def action_resize(self) -> None:
        """Make the ring what is tried, after a confirmation."""
        if self.context.read_only:
            self.context.tell(READ_ONLY, "warning")
            return
        figures = self.state.node_figures
        what = self.tried.look(figures) if figures is not None else None
        if figures is None or what is None or what.forecast is None:
            self.context.tell("nothing is tried: + - another weight, m a node more, x one less", "warning")
            return
        if self.state.node_list is not None:
            self.context.tell("the list of nodes is kept elsewhere: change it there", "warning")
            return
        comes_to = what.forecast
        request = ResizeRing(
            tuple(map(node_text, self.tried.target(figures))),
            Foretold(comes_to.share_moved, comes_to.items_moved, comes_to.takes_s),
        )

        def decided(yes: bool | None) -> None:
            if yes:
                self.context.ask(request, self._on_resized)

        self.app.push_screen(ConfirmScreen("Change the ring?", resize_effect(what), yes="Change it"), decided)

    def action_undo_resize(self) -> None:
        """Let the change under way go back, after a confirmation."""
        if self.context.read_only:
            self.context.tell(READ_ONLY, "warning")
            return
        ring_now = self.state.node_figures.ring if self.state.node_figures is not None else None
        if ring_now is None or not ring_now.changing:
            self.context.tell("no change of the ring is under way", "warning")
            return

        def decided(yes: bool | None) -> None:
            if yes:
                self.context.ask(UndoResize(), self._on_done("ring", "undo"))

        effect = (
            f"{ring_now.driver} changes it. All clients go back to the ring of before, and nothing is missed."
        )
        self.app.push_screen(ConfirmScreen("Undo the change of the ring?", effect, yes="Undo it"), decided)

    def _on_resized(self, answer: Answer) -> None:
        self._resizing = answer.value if isinstance(answer.value, ResizeProgress) else None
        if answer.error:
            self.context.tell(f"the ring: {answer.error}", "error")
        elif isinstance(answer.value, str):
            self.tried.reset()
            self.context.tell(answer.value)
        self._show_panels(self.table.rows, self._moment)

    def action_reset_weights(self) -> None:
        self.tried.reset()
        self._show_panels(self.table.rows, self._moment)

    def _show_ring(self) -> None:
        if not self._all_panels():
            self._panel = [name for name, _, _ in _PANELS].index("ring")
        self._show_panels(self.table.rows, self._moment)

    # Acts

    def _target(self) -> NodeRow | None:
        """The node to act on; ``None``, and why, when there is none or acts are out of reach."""
        if self.context.read_only:
            self.context.tell(READ_ONLY, "warning")
            return None
        row = self.table.selected_row
        if row is None:
            self.context.tell("no node is known yet", "warning")
        return row

    def action_acts(self) -> None:
        row = self._target()
        if row is None:
            return

        def on_choice(act: NodeAct | None) -> None:
            if act is not None:
                self._begin(act, row)

        self.app.push_screen(ActMenu(row.name, drained=row.health.drained), on_choice)

    def action_drain(self) -> None:
        row = self._target()
        if row is not None:
            self._begin(NodeAct.REJOIN if row.health.drained else NodeAct.DRAIN, row)

    def act_on_selected(self, act: NodeAct) -> None:
        """Begin an act on the chosen node, from the palette."""
        row = self._target()
        if row is not None:
            self._begin(act, row)

    def _begin(self, what: NodeAct, row: NodeRow) -> None:
        act = BY_ACT[what]
        if not act.ask:
            self._confirm(what, row, ())
            return
        if row.health.state is not NodeState.UP:
            self.context.tell(f"{row.name} is {row.health.state}: it cannot be told anything now", "warning")
            return

        def typed(values: Values | None) -> None:
            if values is not None:
                self._confirm(what, row, values)

        now = act.now(row.figures or NodeFigures(name=row.name, at_s=0.0))
        self.app.push_screen(ValueScreen(act, row.name, now), typed)

    def _confirm(self, what: NodeAct, row: NodeRow, values: Values) -> None:
        effect = BY_ACT[what].effect(row.name, values)
        up = [node for node in self.state.nodes if node.state is NodeState.UP]
        if what is NodeAct.DRAIN and [node.name for node in up] == [row.name]:
            effect += " It is the last node in use: every read will go to the store."
        message = " ".join((what.value, *map(str, values)))

        def decided(yes: bool | None) -> None:
            if yes:
                self.context.ask(ActOnNode(row.name, what, values), self._on_done(row.name, message))

        self.app.push_screen(ConfirmScreen(f"{message} on {row.name}?", effect, yes=what.value), decided)

    def _on_done(self, name: str, message: str) -> Callable[[Answer], None]:
        def on_answer(answer: Answer) -> None:
            if answer.error:
                self.context.tell(f"{name}: {message}: {answer.error}", "error")
            elif answer.value is not None:
                self.context.tell(f"{name}: {message}: {answer.value}")

        return on_answer

    def export_rows(self) -> Rows | None:
        known = {one.name: one for one in self.state.node_figures.nodes} if self.state.node_figures else {}
        fields = (
            "share", "ops_per_s", "hit_percent", "used_bytes", "limit_bytes", "items", "evictions",
            "evictions_per_s", "connections", "uptime_s",
        )  # fmt: skip
        return ("name", "state", "reason", "version", *fields), [
            (
                node.name, node.state.value, node.reason, node.version,
                *(getattr(known.get(node.name), field, None) for field in fields),
            )
            for node in self.state.nodes
        ]  # fmt: skip

    def commands(self) -> Iterable[SystemCommand]:
        for act in () if self.context.read_only else ACTS:
            yield SystemCommand(
                f"Node: {act.title}",
                f"{act.act.value} on the chosen node, after a confirmation",
                lambda what=act.act: self.act_on_selected(what),
            )
        yield SystemCommand(
            "Node: the ring as it is", "Forget the list of nodes that is tried", self.action_reset_weights
        )
        yield SystemCommand(
            "Node: try one more", "What a further node would move, and cost", self.action_try_more
        )
