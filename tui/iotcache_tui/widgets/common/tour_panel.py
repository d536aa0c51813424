"""What the guided tour says, over the bottom of the screen: nothing beneath it moves."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from iotcache_tui.state.tour import STEPS, share_at, step_at

_BAR_CELLS = 20


class TourPanel(Static):
    """A step's title and text, how far the tour is, and the key that ends it."""

    DEFAULT_CSS = """
    TourPanel {
        layer: tour; dock: bottom; height: auto; margin: 0 0 1 0; padding: 0 1; width: 100%;
        background: $accent 20%; color: $foreground; border-top: solid $accent;
    }
    """

    def __init__(self, *, ascii_only: bool, unattended: bool) -> None:
        super().__init__(id="tour")
        self._full, self._empty = ("#", "-") if ascii_only else ("━", "─")
        self._ending = "any key ends the show" if unattended else "Esc ends the tour"
        self._drawn: tuple[int, int] | None = None

    def show(self, seconds: float) -> None:
        """Show what belongs to so many seconds after the beginning."""
        number = step_at(seconds)
        if number is None:
            return
        filled = round(share_at(seconds) * _BAR_CELLS)
        if (number, filled) == self._drawn:
            return
        self._drawn = number, filled
        step = STEPS[number]
        bar = self._full * filled + self._empty * (_BAR_CELLS - filled)
        self.update(
            Content.assemble(
                (f"Tour {number + 1}/{len(STEPS)}  {step.title}", "bold"),
                f"  {bar}  ", (self._ending, "bold"), f"\n{step.text}",
            )
        )  # fmt: skip
