"""The feed of ``iotcache-tui lab run``: no stack but the scenario's own, which all screens look at."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from iotcache.errors import IotCacheError
from iotcache.tasks import end
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.feed.request_context import LabContext
from iotcache_tui.state.updates import Latest, Part

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache_tui.feed.dispatcher import RequestDispatcher
    from iotcache_tui.feed.request_context import RequestContext

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
"""How often it is seen which servers a scenario has."""
READS_PER_S: Final = 20.0
"""What the screens read of them: little enough not to show in the scenario's figures."""


class _Observed:
    """Lets requests about servers be answered from those of the scenario."""

    def __init__(self, dispatcher: RequestDispatcher) -> None:
        self._dispatcher = dispatcher

    async def serve(self, context: RequestContext) -> None:
        self._dispatcher.servers = context
        try:
            await asyncio.Event().wait()
        finally:
            self._dispatcher.servers = None


class LabFeed(LiveFeed):
    """Answers the Lab screen; the others look at the servers of the scenario, and change nothing."""

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if self._stop_asked:
            return
        context = LabContext(settings=self._settings, mailbox=self.mailbox, clock=self._clock, read_only=True)
        serving = asyncio.create_task(self._dispatcher.serve(context))
        following = asyncio.create_task(self._follow(context))
        self.mailbox.put_latest(Latest(ready=True, parts=(Part("lab", "up", "servers of its own"),)))
        try:
            await self._stopping.wait()
        finally:
            await end(following)
            await end(serving)

    async def _follow(self, context: LabContext) -> None:
        """Look at the scenario's servers while it has some, and anew when its list of nodes is another."""
        seen: Settings | None = None
        looking: asyncio.Task[None] | None = None
        try:
            while True:
                servers = context.lab.servers if context.lab is not None else None
                if servers != seen:
                    seen = servers
                    if looking is not None:
                        await end(looking)
                        looking = None
                        self.mailbox.begin_anew()
                    if servers is not None:
                        looking = asyncio.create_task(self._look(servers))
                await asyncio.sleep(LOOK_S)
        finally:
            if looking is not None:
                await end(looking)

    async def _look(self, servers: Settings) -> None:
        from iotcache_tui.feed.stack_start import StackStart
        from iotcache_tui.feed.work import LiveWork

        try:
            async with StackStart(servers, self.mailbox, self._clock) as begun:
                work = LiveWork(
                    begun,
                    self.mailbox,
                    _Observed(self._dispatcher),
                    lambda: self._watched,
                    self._clock,
                    reads_per_s=READS_PER_S,
                    lesson=True,
                )
                await work.run()
        except IotCacheError:
            log.warning("the scenario's servers cannot be looked at", exc_info=True)
