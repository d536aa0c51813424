"""A list of nodes looked at again and again: the last good one, and how it differs from the nodes in use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from iotcache.backoff import Backoff
from iotcache.nodelist.listing import NodeListError, NodeListing, difference, objection
from iotcache.published_stats import NodeListReport
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress
    from iotcache.nodelist.sources import NodeListSource

log = logging.getLogger(__name__)

_RETRY_MIN_S: Final = 1.0
_RETRY_MAX_S: Final = 30.0
_SHOWN: Final = 300


class NodeListWatch:
    """Keeps `report` true. A list that cannot be read, or is not to be believed, leaves the last good one."""

    def __init__(
        self,
        url: str,
        source: NodeListSource,
        used: Sequence[NodeAddress],
        *,
        on_report: Callable[[NodeListReport], None] = lambda report: None,
    ) -> None:
        """``used`` are the nodes in use."""
        self._url = printable(url, _SHOWN)
        self._source = source
        self._used = tuple(used)
        self._on_report = on_report
        self._good: NodeListing | None = None
        self.report = NodeListReport(self._url, len(self._used), len(self._used))

    @property
    def listing(self) -> NodeListing | None:
        """The last good list; ``None`` before there was one."""
        return self._good

    @property
    def used(self) -> tuple[NodeAddress, ...]:
        """The nodes in use."""
        return self._used

    def use(self, nodes: Sequence[NodeAddress]) -> None:
        """These nodes are in use from now on."""
        if self._used != (used := tuple(nodes)):
            self._used = used
            self._say(self.report.trouble)

    async def run(self) -> None:
        """Look until cancelled."""
        backoff = Backoff(_RETRY_MIN_S, _RETRY_MAX_S)
        while True:
            again_s = await self.look()
            if again_s is None:
                await backoff.wait()
            else:
                backoff.reset()
                await asyncio.sleep(again_s)

    async def look(self) -> float | None:
        """One look; after how many seconds the next is due, ``None`` where this one came to nothing."""
        try:
            listing = await self._source.read()
        except NodeListError as error:
            self._say(printable(str(error), _SHOWN))
            return None
        if doubt := objection(self._good, listing):
            self._say(printable(doubt, _SHOWN))
            return listing.again_s
        self._good = listing
        self._say("")
        return listing.again_s

    def _say(self, trouble: str) -> None:
        good, used = self._good, self._used
        report = NodeListReport(
            self._url,
            len(good.nodes) if good is not None else len(used),
            len(used),
            difference(good.nodes, used) if good is not None else "",
            trouble,
        )
        if report == self.report:
            return
        if trouble and trouble != self.report.trouble:
            log.warning("the list of nodes at %s: %s", self._url, trouble)
        elif report.difference and report.difference != self.report.difference:
            log.warning("the list of nodes at %s differs from those in use: %s", self._url, report.difference)
        self.report = report
        self._on_report(report)
