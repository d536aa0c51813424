"""One figure that matters, with its name, its unit and a word of context."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text
from textual.widget import Widget

from iotcache_tui.format import fit


class Kpi(Widget):
    """A tile: title, figure with unit, note. Redrawn only when its text changed."""

    DEFAULT_CSS = """
    Kpi {
        height: 3; width: 1fr; min-width: 9; padding: 0 1; background: $surface; color: $foreground;
        border-left: outer $primary;
        &.-warn { border-left: outer $warning; }
        &.-bad { border-left: outer $error; }
        &.-quiet { border-left: outer $panel-lighten-2; }
    }
    """
    _LEVELS = ("quiet", "ok", "warn", "bad")

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.title = self._own_title = title
        self.short_title = title
        self._shown = ("–", "", "", "", "")
        self._level = ""

    def show(
        self,
        figure: str,
        unit: str = "",
        note: str = "",
        level: str = "ok",
        *,
        more: str = "",
        brief: str = "",
        title: str = "",
        short_title: str = "",
    ) -> None:
        """``level`` is quiet, ok, warn or bad; the note says it in words, ``brief`` where it is too long;
        ``more`` goes where it fits. ``title`` stands in for the tile's own,
        ``short_title`` for that where it is too long."""
        if (title or self._own_title) != self.title:
            self.title = title or self._own_title
            self.short_title = short_title or self.title
            self.refresh()
        if (figure, unit, note, more, brief) != self._shown:
            self._shown = (figure, unit, note, more, brief)
            self.refresh()
        if level != self._level:
            self._level = level
            for name in self._LEVELS:
                self.set_class(name == level, f"-{name}")

    def render(self) -> Text:
        figure, unit, note, more, brief = self._shown
        width = self.content_size.width
        if brief and cell_len(note) > width:
            note = brief
        if more and len(note) + 2 + len(more) <= width:
            note = f"{note}  {more}"
        dim = self._dim()
        text = Text(no_wrap=True, end="")
        text.append(fit(self.title if cell_len(self.title) <= width else self.short_title, width), dim)
        text.append("\n")
        shown = f"{figure} {unit}" if unit else figure
        text.append(figure, "bold")
        text.append(fit(shown, width)[len(figure) :] if len(shown) <= width else "")
        text.append("\n")
        text.append(fit(note, width), dim)
        return text

    def _dim(self) -> str:
        style = self.rich_style
        if style.color is None or style.bgcolor is None or style.color.triplet is None:
            return "dim"
        ground = style.bgcolor.triplet or style.color.triplet
        mixed = [round(0.62 * a + 0.38 * b) for a, b in zip(style.color.triplet, ground, strict=True)]
        return "#{:02x}{:02x}{:02x}".format(*mixed)
