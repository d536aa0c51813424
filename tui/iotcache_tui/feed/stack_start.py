"""The stack on its way up: begun before what looks at it is loaded, which takes as long as it does."""

from __future__ import annotations

import asyncio
from typing import Self

from iotcache.clock import Clock
from iotcache.config.parts import without_idle_parts
from iotcache.config.schema import Settings
from iotcache.tasks import end
from iotcache_simulator.stack.stack import Stack
from iotcache_tui.feed.parts import Parts
from iotcache_tui.state.updates import Mailbox


class StackStart:
    """An async context manager: inside, the stack is being started or stands. ``mailbox`` hears each step.

    :attr:`task` ends when all parts are up, and raises :class:`~iotcache.errors.StackError` when one is not.
    """

    def __init__(self, settings: Settings, mailbox: Mailbox, clock: Clock) -> None:
        self.settings = without_idle_parts(settings)
        self.parts = Parts(mailbox, self.settings, clock)
        self.stack = Stack(
            self.settings, readers=True, on_event=mailbox.put_event, on_progress=self.parts.progress
        )

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.stack.start())
        await asyncio.sleep(0)  # it has begun before anything else does
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self.task)
        await self.stack.stop()
