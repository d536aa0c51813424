"""Four panels: all in sight where there is room, else one at a time."""

from __future__ import annotations

from typing import Final

from textual.containers import Container
from textual.geometry import Size
from textual.widget import Widget

LEAST_ALL: Final = Size(100, 32)
"""The screen on which all of them are in sight; the breakpoints of `iotcache_tui.screens.view` say the
same."""


class PanelDeck(Container):
    """Two by two; or, where its screen hides what has the class ``-behind``, the one that was turned to."""

    DEFAULT_CSS = """
    PanelDeck { height: 1fr; layout: grid; grid-size: 2 2; grid-gutter: 1 1; margin: 1 0 0 0; }
    PanelDeck > * { height: 1fr; }
    """

    def __init__(self, *panels: Widget, id: str) -> None:
        super().__init__(*panels, id=id)
        self._panels = panels
        self._front = 0
        for panel in panels[1:]:
            panel.add_class("-behind")

    def turn(self, step: int) -> None:
        """To the next panel: in front, and with the keys."""
        focused = next((at for at, panel in enumerate(self._panels) if panel.has_focus), None)
        size = self.screen.size
        alone = size.width < LEAST_ALL.width or size.height < LEAST_ALL.height
        if focused is not None or alone:
            self.show_panel((self._front if focused is None else focused) + step)
        else:
            self.show_panel(0 if step > 0 else -1)

    def show_panel(self, index: int) -> None:
        """Bring one to the front and give it the keys."""
        self._front = index % len(self._panels)
        for at, panel in enumerate(self._panels):
            panel.set_class(at != self._front, "-behind")
        # It may have been hidden until now, and only what is on show takes the focus.
        self.call_after_refresh(self._panels[self._front].focus)
