"""Looks at the nodes' requests for the Advisor screen: from the start in a demo, elsewhere when told to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from iotcache.clock import Clock
from iotcache.config.parts import NONE
from iotcache.config.schema import Settings
from iotcache_tui.state.advisor.model import AdvisorView
from iotcache_tui.state.updates import Latest, Mailbox

if TYPE_CHECKING:
    from iotcache.cluster import Cluster
    from iotcache.traffic.look import StandingLook
    from iotcache.traffic.observation import Observation

CPU_SHARE: Final = 0.2
"""Of one core, that the reading of logs may take beside the dashboard's other work."""
BEGIN_AFTER_S: Final = 2.0
"""By itself it does not begin while everything else starts."""


class AdvisorFeed:
    """One for each run of the feed; `run` is a task of it."""

    def __init__(
        self, settings: Settings, cluster: Cluster, mailbox: Mailbox, clock: Clock, *, embedded: bool
    ) -> None:
        """``embedded``: whether this program runs the nodes, and may watch them unasked."""
        self._settings = settings
        self._cluster = cluster
        self._mailbox = mailbox
        self._clock = clock
        self._embedded = embedded
        wanted = settings.dashboard.advisor
        self._on = embedded if wanted == "auto" else bool(wanted)
        self._turned = asyncio.Event()
        self._stop = asyncio.Event()
        self._jitter = settings.cache.ttl.jitter
        self._standing: StandingLook | None = None

    def set_jitter(self, share: float) -> None:
        """Lives are spread by that share from now on."""
        self._jitter = share
        if self._standing is not None:
            self._standing.jitter = share

    async def turn(self, on: bool) -> None:
        """Begin or end."""
        self._on = on
        self._turned.set()
        self._stop.set()

    async def run(self) -> None:
        """Until cancelled."""
        if self._settings.cache.nodes == NONE or not self._cluster.node_addresses:
            self._put(AdvisorView(why="there are no cache nodes to look at"))
            return
        if self._on:
            self._put(AdvisorView(running=True))
            await asyncio.sleep(BEGIN_AFTER_S)
        while True:
            self._turned.clear()
            if self._on:
                await self._look()
            else:
                self._put(AdvisorView())
                await self._turned.wait()

    async def _look(self) -> None:
        """At the nodes as they come and go, until it is turned off.

        What it needs is imported now: no first frame waits for it.
        """
        from iotcache.traffic.look import HALF_LIFE_S, StandingLook
        from iotcache.traffic.tap import TrafficTap

        self._stop = asyncio.Event()
        self._put(AdvisorView(running=True))
        tap = None
        if self._embedded:
            # Of nodes that others use as well, this program's requests are the least part.
            tap = self._cluster.observer = TrafficTap(await self._memory())
        standing = StandingLook(
            self._cluster.node_addresses, self._settings.cache, cpu_share=CPU_SHARE, half_life_s=HALF_LIFE_S,
            own=tap.meter if tap is not None else None, ring=lambda: self._cluster.node_addresses,
        )  # fmt: skip
        standing.jitter = self._jitter
        self._standing = standing

        def publish(observed: Observation) -> None:
            if standing.reads_logs:
                self._cluster.observer = None  # the nodes tell more
            self._put(self._view(observed))

        try:
            await standing.run(publish, stop=self._stop)
        finally:
            self._cluster.observer = None
            self._standing = None

    async def _memory(self) -> int:
        """Of all nodes; one that does not answer is taken to have none."""
        stats = await self._cluster.node_stats()
        return sum(one.limit_maxbytes for one in stats.values() if one is not None) or 1

    def _view(self, observed: Observation) -> AdvisorView:
        return AdvisorView(
            running=True,
            at_s=self._clock.monotonic(),
            evidence=observed.evidence,
            advice=tuple(observed.advice),
            top=(
                observed.top_gets, observed.top_misses, observed.top_sets, observed.top_bytes,
                observed.evidence.prefixes,
            ),
            checked=observed.checked,
            notes=observed.notes,
        )  # fmt: skip

    def _put(self, view: AdvisorView) -> None:
        self._mailbox.put_latest(Latest(advisor=view))
