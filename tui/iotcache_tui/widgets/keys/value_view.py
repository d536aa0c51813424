"""A cached value to read: laid out, as text, or byte by byte."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import ClassVar, Final

from rich.segment import Segment
from textual.binding import Binding, BindingType

from iotcache.entry_codec import FLAG_COMPRESSED, FLAG_TEXT
from iotcache.text import printable, printable_bytes
from iotcache_tui.format import clock_text, duration, fit, in_parts
from iotcache_tui.state.keys.model import CachedValue
from iotcache_tui.widgets.common.lines import LineView

_HEX_CELLS_OF: Final = {8: 10 + 8 * 3 + 1 + 8, 16: 10 + 16 * 3 + 2 + 16, 32: 10 + 32 * 3 + 4 + 32}
_LINE_MOST: Final = 2_000


def flag_text(flags: int) -> str:
    """Client flags as `iotcache.entry_codec` means them."""
    labels = [
        label for bit, label in ((FLAG_TEXT, "text"), (FLAG_COMPRESSED, "zlib"), (1, "pickle")) if flags & bit
    ]
    return f"{flags} ({', '.join(labels)})" if labels else str(flags)


class ValueView(LineView):
    """Lines of a value; ``x`` changes how it is laid out."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"value--{name}" for name in ("header", "line", "name", "dim", "bad")
    )
    DEFAULT_CSS = """
    ValueView {
        background: $surface; color: $foreground;
        & > .value--header { color: $foreground 60%; background: $panel; text-style: bold; }
        &:focus > .value--header { color: $foreground; background: $panel-lighten-1; }
        & > .value--line { color: $foreground; background: $surface; }
        & > .value--name { color: $primary; background: $surface; }
        & > .value--dim { color: $foreground 60%; background: $surface; }
        & > .value--bad { color: $warning; background: $surface; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "x", "layout", "Value: laid out, stored bytes, inflated bytes", show=False, id="value.layout"
        ),
        Binding("j", "scroll_down", "Line down", show=False, id="value.down"),
        Binding("k", "scroll_up", "Line up", show=False, id="value.up"),
    ]

    def __init__(self, *, title: str = "Value", id: str) -> None:
        super().__init__(id=id)
        self._title = title
        self.value: CachedValue | None = None
        self.message = ""
        """What to say while there is none."""
        self.layout_name = "read"
        """"read", "stored" (bytes as they lie there) or "inflated" (bytes after decompression)."""

    def show(self, value: CachedValue | None, message: str = "") -> None:
        """Another value, or none and why."""
        if value == self.value and message == self.message:
            return
        if value is None or self.value is None or value.key != self.value.key:
            self.scroll_to(y=0, animate=False)
        self.value, self.message = value, message
        self.sync_size()
        self.redraw()

    def layouts(self) -> tuple[str, ...]:
        """Those that say something different of this value."""
        packed = self.value is not None and self.value.flags & FLAG_COMPRESSED
        return ("read", "stored", "inflated") if packed else ("read", "stored")

    def action_layout(self) -> None:
        names = self.layouts()
        at = names.index(self.layout_name) if self.layout_name in names else -1
        self.layout_name = names[(at + 1) % len(names)]
        self.scroll_to(y=0, animate=False)
        self.sync_size()
        self.redraw()

    # Lines

    def _bytes(self) -> bytes:
        if self.value is None:
            return b""
        return self.value.inflated if self.layout_name == "inflated" else self.value.stored

    def _per_line(self) -> int:
        return next((size for size in (32, 16) if _HEX_CELLS_OF[size] <= self.line_width), 8)

    def _notes(self) -> list[tuple[str, str]]:
        value = self.value
        if value is None or not value.found:
            return []
        zipped = f", {len(value.inflated):,} B inflated" if value.flags & FLAG_COMPRESSED else ""
        ttl_text = "for ever" if value.ttl_s == inf else duration(value.ttl_s)
        notes = [
            (f"{value.form}  {value.size:,} B stored{zipped}  flags {flag_text(value.flags)}  "
             f"TTL {ttl_text}  read {clock_text(value.at_s)}", "dim")
        ]  # fmt: skip
        if value.meaning:
            notes.append((printable(value.meaning, 400), "name"))
        notes = [(line, style) for text, style in notes for line in in_parts(text, self.line_width)]
        if value.problem:
            notes.append((value.problem, "bad"))
        return notes

    def on_resize(self) -> None:
        self.sync_size()

    def line_count(self) -> int:
        value = self.value
        if value is None or not value.found:
            return 0
        notes = len(self._notes())
        if self.layout_name == "read":
            return notes + len(value.pretty)
        return notes + -(-len(self._bytes()) // self._per_line())

    def line_key(self, line: int) -> Hashable:
        value = self.value
        return (value.at_s, value.key) if value else None, self.layout_name, self._per_line()

    def draw_header(self, width: int) -> list[Segment]:
        value = self.value
        key = f"  {printable_bytes(value.key, 250)}" if value else ""
        labels = {"read": "", "stored": "  bytes as stored", "inflated": "  bytes inflated"}
        return [
            Segment(
                fit(f"{self._title}{key}{labels[self.layout_name]}", width), self.part_style("value--header")
            )
        ]

    def draw_line(self, line: int, width: int) -> list[Segment]:
        notes = self._notes()
        if line < len(notes):
            text, style = notes[line]
            return [Segment(fit(text, width), self.part_style(f"value--{style}"))]
        line -= len(notes)
        if self.layout_name != "read":
            return self._hex_line(line, width)
        value = self.value
        text = value.pretty[line] if value is not None and line < len(value.pretty) else ""
        plain = self.part_style("value--line")
        if value is not None and value.form == "JSON" and '": ' in text:
            name, mark, rest = text.partition('": ')
            name = printable(name + mark, _LINE_MOST)
            return [
                Segment(fit(name, min(len(name), width)), self.part_style("value--name")),
                Segment(fit(printable(rest, _LINE_MOST), max(width - len(name), 0)), plain),
            ]
        return [Segment(fit(printable(text, _LINE_MOST), width), plain)]

    def _hex_line(self, line: int, width: int) -> list[Segment]:
        size = self._per_line()
        part = self._bytes()[line * size : (line + 1) * size]
        groups = [part[start : start + 8].hex(" ") for start in range(0, size, 8)]
        shown = " ".join(f"{group:23} " for group in groups)
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        return [
            Segment(f"{line * size:08x}  ", self.part_style("value--dim")),
            Segment(shown, self.part_style("value--line")),
            Segment(text, self.part_style("value--name")),
        ]

    def empty_text(self) -> str:
        return self.message
