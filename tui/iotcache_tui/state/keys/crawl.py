"""A key browser's crawls, one after another: what is asked of the feed, and what has come of it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from iotcache.text import plural
from iotcache_tui.state.keys.model import (
    COSTLY_ITEMS,
    CountKeys,
    CrawlAgain,
    CrawlKeys,
    CrawlStep,
    KeyColumns,
    KeyCounts,
    NodeCrawl,
    Total,
)
from iotcache_tui.state.requests import Answer, RequestChannel

LIVE_ITEMS: Final = 20_000
"""Up to so many items a crawl is over in a blink, and is done again and again while it is looked at."""
LIVE_EVERY_S: Final = 2.0
SELF_STARTED_ITEMS: Final = 100_000
"""Above this a person says when."""


class KeyCrawl:
    """Counts first, crawls when that is cheap or wanted, and hands over columns of keys."""

    def __init__(
        self,
        channel: RequestChannel,
        *,
        warn: Callable[[int], None],
        show: Callable[[KeyColumns], None],
    ) -> None:
        """``warn`` is to ask a person whether so many items may be crawled, and then call `begin`; ``show``
        takes the columns when they are another crawl's, or have grown."""
        self._channel, self._warn, self._show = channel, warn, show
        self.nodes: tuple[NodeCrawl, ...] = ()
        self.classes: tuple[Total, ...] = ()
        self.groups: tuple[Total, ...] = ()
        self.message = "asking the nodes …"
        """What stands in place of keys."""
        self.note = ""
        """Why the keys on show are not all."""
        self.over_at_s = -inf
        """When the last crawl was over, monotonic; -inf before that."""
        self._now_s = 0.0
        self._held_until_s = -inf
        self._ticket = 0
        self._counting = False
        self._counted_once = False
        self._gathering = KeyColumns()
        self._step: CrawlStep | None = None
        self._shown = 0

    @property
    def running(self) -> bool:
        return self._ticket > 0

    @property
    def first(self) -> bool:
        """Whether no crawl is over yet."""
        return self.over_at_s == -inf

    @property
    def live(self) -> bool:
        """Whether it is done again by itself."""
        items = sum(max(node.items, node.seen) for node in self.nodes)
        return not self.first and items <= LIVE_ITEMS and not self.note

    def poll(self, now_s: float) -> None:
        """Go on by itself where that is due. Called once a frame while the keys are looked at."""
        self._now_s = now_s
        self.over_at_s = min(self.over_at_s, now_s)  # a replay may go back
        if self._ticket or self._counting:
            return
        if not self._counted_once:
            self.count(wanted=False)
        elif self.live and now_s - self.over_at_s >= LIVE_EVERY_S and not self.held:
            self.begin()

    @property
    def held(self) -> bool:
        return self._now_s < self._held_until_s

    def hold(self, seconds: float) -> None:
        """Leave the keys as they are for so long: somebody moves about in them."""
        self._held_until_s = self._now_s + seconds

    def count(self, *, wanted: bool) -> None:
        """Learn how many items there are; then crawl, or wait to be told. ``wanted``: somebody told."""
        if self._counting or self._ticket:
            return
        self._counting = self._counted_once = True
        if wanted:
            self.note = ""
        self._channel.ask(CountKeys(), lambda answer: self._take_count(answer, wanted))

    def _take_count(self, answer: Answer, wanted: bool) -> None:
        self._counting = not answer.done
        if answer.error:
            self.note = answer.error
            self.message = f"{answer.error}\nc tries again"
        elif isinstance(answer.value, KeyCounts):
            self.nodes = answer.value.nodes
            items = sum(node.items for node in self.nodes)
            if items > COSTLY_ITEMS and wanted:
                self._warn(items)
            elif wanted or items <= SELF_STARTED_ITEMS:
                self.begin()
            else:
                cost = ": listing them costs the nodes some work" if items > COSTLY_ITEMS else ""
                self.message = f"{plural(items, 'item')}{cost}\nc crawls"

    def begin(self) -> None:
        """Crawl."""
        self.note = ""
        self._gathering, self._step, self._shown = KeyColumns(), None, 0
        if self.first:
            self.message = "crawling …"
        self._ticket = self._channel.ask(CrawlKeys() if self.first else CrawlAgain(), self._on_answer)

    def stop(self) -> None:
        """Leave a crawl that is under way; what the first one has brought stays."""
        if not self._ticket:
            return
        self._channel.forget(self._ticket)
        self._ticket = 0
        if self.first:
            self._over()
            self.note = "stopped before the end"
        else:
            self.over_at_s = self._now_s

    def _on_answer(self, answer: Answer) -> None:
        if answer.error:
            self._ticket = 0
            self.over_at_s = self._now_s
            self.note = self.message = answer.error
            return
        if isinstance(answer.value, CrawlStep):
            self._take(answer.value)
        if answer.done:
            self._ticket = 0
            self._over()

    def _take(self, step: CrawlStep) -> None:
        self._step = step
        self._gathering.nodes = tuple(node.name for node in step.nodes)
        if step.chunk is not None:
            self._gathering.extend(step.chunk)
        if self.first:
            # The first crawl is shown as it grows, sorted anew when it has doubled.
            self._tell(step)
            if len(self._gathering) > 2 * self._shown:
                self._shown = len(self._gathering)
                self._show(self._gathering)

    def _tell(self, step: CrawlStep) -> None:
        self.nodes, self.classes, self.groups = step.nodes, step.classes, step.groups

    def _over(self) -> None:
        self.over_at_s = self._now_s
        if self._step is not None:
            self._tell(self._step)
        failed = [node for node in self.nodes if node.state == "failed"]
        self.message = "the nodes hold no keys"
        if failed and len(failed) == len(self.nodes):
            self.message = f"no node lists its keys: {failed[0].why}"
        self._show(self._gathering)
