"""Above the key browser: every node and how far it is, and what there is in all."""

from __future__ import annotations

from msgspec import Struct
from rich.text import Text
from textual.widget import Widget

from iotcache.text import printable
from iotcache_tui.format import bar, count, data_size, duration
from iotcache_tui.key_display import key_shown
from iotcache_tui.state.keys.model import NodeCrawl, Total, crawled

_GLYPHS = {"waiting": "·", "crawling": "◐", "done": "✓", "failed": "✗"}
_ASCII = {"waiting": ".", "crawling": ">", "done": "+", "failed": "x"}
_TONES = {"waiting": "", "crawling": "accent", "done": "success", "failed": "error"}


class CrawlShown(Struct, frozen=True):
    """Everything the two lines say."""

    nodes: tuple[NodeCrawl, ...] = ()
    names: tuple[str, ...] = ()
    """Short names of the nodes, in their order."""
    classes: tuple[Total, ...] = ()
    running: bool = False
    fresh: bool = False
    """Whether nothing is on show yet: then how far the crawl is matters more than anything."""
    kept: int = 0
    shown: int = 0
    age: str = ""
    live: bool = False
    note: str = ""
    error: str = ""
    filtered: bool = False


class CrawlHead(Widget):
    """Two lines."""

    DEFAULT_CSS = """
    CrawlHead { height: 2; padding: 0 1; background: $surface; color: $foreground; }
    """

    def __init__(self, *, ascii_only: bool, id: str) -> None:
        super().__init__(id=id)
        self._ascii = ascii_only
        self._shown = CrawlShown()

    def show(self, shown: CrawlShown) -> None:
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render(self) -> Text:
        text = self._by_node()
        text.truncate(self.content_size.width, overflow="ellipsis", pad=True)
        second = self._sum()
        second.truncate(self.content_size.width, overflow="ellipsis", pad=True)
        return Text("\n", no_wrap=True, end="").join((text, second))

    def _tone(self, name: str, bold: bool = False) -> str:
        return f"{'bold ' if bold else ''}{self.app.theme_variables[name]}" if name else "dim"

    def _by_node(self) -> Text:
        text = Text(no_wrap=True, end="")
        glyphs = _ASCII if self._ascii else _GLYPHS
        for node, name in zip(self._shown.nodes, self._shown.names, strict=True):
            text.append(f"{glyphs[node.state]} ", self._tone(_TONES[node.state], True))
            text.append(f"{name} ", "bold")
            if node.why:
                text.append(printable(node.why, 60), self._tone("error"))
            elif node.state == "crawling" and self._shown.fresh:
                text.append(f"{node.seen:,}/{max(node.items, node.seen):,}")
            else:
                text.append(f"{node.seen or node.items:,}")
            text.append("   ")
        return text

    def _sum(self) -> Text:
        one = self._shown
        text = Text(no_wrap=True, end="")
        if one.error:
            return text.append(f"{'x' if self._ascii else '✗'} {one.error}", self._tone("error", True))
        if one.running and one.fresh:
            seen, expected = crawled(one.nodes)
            share = seen / expected if expected else 0.0
            text.append("crawling ", self._tone("accent", True))
            text.append(bar(share, 24, self._ascii), self._tone("primary"))
            key = key_shown(getattr(self.app, "user_keys", {}), "keys.clear", "Esc")
            return text.append(f" {seen:,} of {expected:,}   {key} stops", "")
        items = sum(total.items for total in one.classes)
        size = sum(total.size for total in one.classes)
        if items:
            text.append(f"{items:,}", "bold").append(" keys  ")
            text.append(f"{data_size(size)}B", "bold").append("  ")
            if one.kept < items:
                text.append(f"the first {count(one.kept)} are listed  ", self._tone("warning"))
            if one.filtered:
                text.append(f"{one.shown:,} match  ", self._tone("primary"))
        if one.live:
            text.append("live", self._tone("success", True)).append("  ")
        elif one.age:
            key = key_shown(getattr(self.app, "user_keys", {}), "keys.crawl", "c")
            text.append(f"as of {one.age} ago, {key} crawls again  ", "dim")
        if one.note:
            text.append(one.note, self._tone("warning"))
        return text


def age_text(seconds: float) -> str:
    """How old a crawl is, in steps that do not jump about."""
    return duration(seconds // 5 * 5) if seconds >= 5 else "0s"
