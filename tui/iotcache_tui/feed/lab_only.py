"""The feed of ``iotcache-tui lab run``: no stack but the scenario's own."""

from __future__ import annotations

import asyncio
from typing import cast

from iotcache.tasks import end
from iotcache_tui.feed.dispatcher import RequestContext
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.state.updates import Part


class LabFeed(LiveFeed):
    """Answers the Lab screen; the others stay empty."""

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if self._stop_asked:
            return
        # Its handlers use the settings, the mailbox and the clock, and nothing of a stack.
        reach = RequestContext(
            self._settings, cast("object", None), cast("object", None), [], self.mailbox, self._clock, True,  # type: ignore[arg-type]
        )  # fmt: skip
        serving = asyncio.create_task(self._desk.serve(reach))
        self.mailbox.put_latest(ready=True, parts=(Part("lab", "up", "servers of its own"),))
        try:
            await self._stopping.wait()
        finally:
            await end(serving)
