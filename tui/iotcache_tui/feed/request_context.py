"""What the answers to screens' requests are made from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotcache.clock import Clock
from iotcache.config.parts import NONE, absent_parts, named_parts, observes
from iotcache.config.schema import Settings

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.model import Series
    from iotcache_simulator.lab.run import ScenarioRun
    from iotcache_simulator.stack.stack import Stack
    from iotcache_tui.feed.advisor import AdvisorFeed
    from iotcache_tui.feed.delayed_store import DelayedStore
    from iotcache_tui.feed.node_stats import NodeStatsPoller
    from iotcache_tui.state.updates import Mailbox


@dataclass(slots=True, kw_only=True)
class LabContext:
    """What the Lab needs: its scenarios start servers of their own."""

    settings: Settings
    """With every embedded part replaced by its real address."""
    mailbox: Mailbox
    clock: Clock
    read_only: bool
    lab: ScenarioRun | None = None
    """The scenario that is being run."""

    @property
    def beside_others(self) -> bool:
        """Whether the screens look at other servers than the scenario's."""
        return False


@dataclass(slots=True, kw_only=True)
class RequestContext(LabContext):
    """What a handler may use of the running stack."""

    stack: Stack
    cache: DeviceCache
    store: DelayedStore
    """The cache's store, as this dashboard reaches it."""
    series: list[Series]
    """Grows as rows join; a row's number is its place in it."""
    node_stats: NodeStatsPoller
    advisor: AdvisorFeed

    @property
    def beside_others(self) -> bool:
        return True

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[DeviceCache]:
        """A cache that an act may change: one of its own where this dashboard's only looks.

        Raises `NodeError` where there are no nodes, and `StoreError` where there is no store.
        """
        from iotcache.cache import DeviceCache
        from iotcache.errors import NodeError, StoreError
        from iotcache_tui.feed.absent import NO_NODES, NO_STORE

        if self.settings.cache.nodes == NONE:
            raise NodeError(NO_NODES)
        if self.settings.store.url == NONE:
            raise StoreError(NO_STORE, retryable=False)
        if not observes(self.settings):
            yield self.cache
            return
        async with DeviceCache.from_settings(
            self.settings, read_only=True, role="dashboard", follow=True
        ) as cache:
            yield cache


def is_read_only(settings: Settings) -> bool:
    """Whether acts are refused: as set, or, on "auto", when the nodes are not our own."""
    wanted = settings.dashboard.read_only
    embedded = "cache.nodes" not in (*named_parts(settings), *absent_parts(settings))
    return not embedded if wanted == "auto" else bool(wanted)
