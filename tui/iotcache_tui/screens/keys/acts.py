"""What the key browser does with keys on show: copies, changes all of them, and draws how they are spread."""

from __future__ import annotations

from textual.containers import Horizontal

from iotcache.text import plural, printable, printable_bytes
from iotcache_tui.format import duration
from iotcache_tui.screens.clipboard import MOST_CHARACTERS, copy
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.keys.bulk import BulkChange, LifeScreen, change_of, dry_run
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.keys.histograms import spreads
from iotcache_tui.state.keys.model import CachedValue, FetchValue
from iotcache_tui.state.keys.view import KeyView
from iotcache_tui.state.requests import READ_ONLY, Answer
from iotcache_tui.widgets.common.panel import Panel
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.keys.key_histograms import spread_lines
from iotcache_tui.widgets.keys.key_totals import TotalsTable


class KeyActs(ViewScreen):
    """Base of the Keys screen, which makes the widgets."""

    key_view: KeyView
    bulk: BulkChange
    histograms: Panel
    by_class: TotalsTable
    by_group: TotalsTable
    totals: Horizontal
    _moment: RenderContext

    def _stop_key(self) -> str:
        return self.context.key_of("keys.clear", "Esc")

    def _under_cursor(self) -> int | None:
        raise NotImplementedError

    def action_delete_all(self) -> None:
        """All keys on show: a dry run first, which counts them."""
        if self._may_change_all():
            self._confirm_all(0)

    def action_touch_all(self) -> None:
        if self._may_change_all():
            self.app.push_screen(
                LifeScreen(len(self.key_view.order)),
                lambda ttl_s: self._confirm_all(ttl_s) if ttl_s else None,
            )

    def _may_change_all(self) -> bool:
        if self.context.read_only:
            self.context.tell(READ_ONLY, "warning")
        elif self.bulk.running:
            self.context.tell(f"a change is under way: {self._stop_key()} stops it", "warning")
        elif not self.key_view.order:
            self.context.tell("no key is on show", "warning")
        else:
            return True
        return False

    def _confirm_all(self, ttl_s: int) -> None:
        request, number = change_of(self.key_view, ttl_s), plural(len(self.key_view.order), "key")
        title = f"Let {number} live {duration(ttl_s)} from now?" if ttl_s else f"Delete {number}?"
        effect = (
            "They end at once then, wherever they stand now."
            if ttl_s
            else "Where a store stands behind them, the next read of each goes there."
        )

        def decided(yes: bool | None) -> None:
            if yes:
                self.bulk.begin(request)

        self.app.push_screen(
            ConfirmScreen(
                title,
                f"{dry_run(self.key_view, self._moment.nodes)}\n{effect}",
                yes="Touch" if ttl_s else "Delete",
            ),
            decided,
        )

    def action_copy_key(self) -> None:
        row = self._under_cursor()
        if row is not None:
            text = printable_bytes(self.key_view.columns.key[row], 1_000)
            copy(self.app, text)
            self.context.tell(f"copied: {text}")

    def action_copy_value(self) -> None:
        row = self._under_cursor()
        if row is None:
            return
        columns = self.key_view.columns

        def on_answer(answer: Answer) -> None:
            if answer.error:
                self.context.tell(answer.error, "error")
            elif isinstance(answer.value, CachedValue):
                one = answer.value
                text = "\n".join(printable(line, MOST_CHARACTERS) for line in one.pretty)
                if one.found:
                    copy(self.app, text)
                cut = f", the first {MOST_CHARACTERS:,} characters" if len(text) > MOST_CHARACTERS else ""
                self.context.tell(
                    f"copied: the value, {one.size:,} B{cut}" if one.found else "it is not there any more"
                )

        self.context.ask(FetchValue(columns.key[row], columns.node_name(row)), on_answer)

    def action_histograms(self) -> None:
        """Histograms in place of the totals, or the totals again."""
        self.totals.display = True
        self.histograms.display = not self.histograms.display
        self.by_class.display = not self.histograms.display
        # The narrow screen hides this one by its style; cleared, the style decides again.
        if self.histograms.display:
            self.by_group.display = False
        else:
            self.by_group.styles.clear_rule("display")

    def _show_histograms(self) -> None:
        view, second = self.key_view, int(self._moment.wall_s)
        self.histograms.show(
            (id(view.columns), len(view.columns), view.filter, len(view.order), second),
            lambda width, height: spread_lines(
                spreads(view, self._moment.wall_s), width, height, self.settings.ascii
            ),
            note=f"{len(view.order):,}",
        )
