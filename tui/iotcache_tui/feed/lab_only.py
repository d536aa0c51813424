"""The feed of ``iotcache-tui lab run``: no stack but the scenario's own."""

from __future__ import annotations

import asyncio

from iotcache.tasks import end
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.feed.request_context import LabContext
from iotcache_tui.state.updates import Latest, Part


class LabFeed(LiveFeed):
    """Answers the Lab screen; the others stay empty."""

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if self._stop_asked:
            return
        context = LabContext(settings=self._settings, mailbox=self.mailbox, clock=self._clock, read_only=True)
        serving = asyncio.create_task(self._dispatcher.serve(context))
        self.mailbox.put_latest(Latest(ready=True, parts=(Part("lab", "up", "servers of its own"),)))
        try:
            await self._stopping.wait()
        finally:
            await end(serving)
