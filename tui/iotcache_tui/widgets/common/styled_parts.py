"""Styles of a widget's parts by CSS, worked out when they are drawn.

Textual works out every name of `COMPONENT_CLASSES` each time a widget is styled, three or four times before
it is first seen. A table with thirty names costs more there than all else of its screen.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rich.style import Style
from textual.dom import DOMNode
from textual.widget import Widget

_UNKNOWN: Final = "{widget} has no part {name!r}: it belongs into STYLE_NAMES"


class _Part(DOMNode):
    """What a rule such as ``Panel > .panel--title`` is matched with."""

    def __init__(self, owner: Widget, name: str) -> None:
        super().__init__(classes=name)
        self._parent = owner


class StyledParts(Widget):
    """Base of widgets that draw parts of themselves in styles of their own: each a CSS class below them."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset()
    """The parts' classes, besides those of the base classes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._part_styles: dict[str, Style] = {}
        super().__init__(*args, **kwargs)

    def part_style(self, name: str) -> Style:
        """The whole style of a part, with its background.

        Raises `KeyError` for a name that no class declares.
        """
        style = self._part_styles.get(name)
        if style is None:
            if not any(name in getattr(base, "STYLE_NAMES", ()) for base in type(self).__mro__):
                raise KeyError(_UNKNOWN.format(widget=type(self).__name__, name=name))
            part = _Part(self, name)
            self.app.stylesheet.apply(part)
            style = self._part_styles[name] = part.rich_style
        return style

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._part_styles.clear()
