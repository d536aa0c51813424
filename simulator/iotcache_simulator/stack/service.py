"""One supervised part of the stack: started, watched, started again when it dies unasked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum

from msgspec import Struct

from iotcache.backoff import Backoff, Jitter
from iotcache.errors import StackError
from iotcache.model import Event, Severity
from iotcache_simulator.processes.process import Exit, Process

BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 10.0
STEADY_S = 30.0
"""A part that ran this long before it died is started again without the patience earned by earlier deaths."""


class PartState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    KILLED = "killed"
    """Ended on purpose and left so, until it is asked back."""
    PAUSED = "paused"
    STOPPED = "stopped"


class StartProgress(Struct, frozen=True):
    """One step of the stack's start, for a loading screen: ``broker``, ``ready``, ``ready in 0.3 s``."""

    part: str
    state: PartState
    text: str
    elapsed_s: float = 0.0


Launch = Callable[[Callable[[Exit], None]], Awaitable[Process]]
"""Starts the process, given what to call at its unasked end; returns once it answers, or StackError."""


class Service:
    """A part of the stack. ``launch`` knows how to start it; this class knows when.

    ``on_event`` hears of deaths and returns, ``on_progress`` of each change of state.
    """

    def __init__(
        self,
        name: str,
        launch: Launch,
        *,
        on_event: Callable[[Event], None],
        on_progress: Callable[[StartProgress], None],
    ) -> None:
        self.name = name
        self.state = PartState.STOPPED
        self._launch = launch
        self._on_event = on_event
        self._on_progress = on_progress
        self._process: Process | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._backoff = Backoff(BACKOFF_MIN_S, BACKOFF_MAX_S, jitter=Jitter.NONE)
        self._ready_at = 0.0

    @property
    def pid(self) -> int:
        """The running program's process id; 0 when there is none."""
        return self._process.pid if self._process is not None and self._process.running else 0

    @property
    def output(self) -> tuple[str, ...]:
        """The last lines its process wrote."""
        return self._process.output if self._process is not None else ()

    async def start(self) -> None:
        """Start it and return once it answers. Raises :class:`StackError`."""
        self._set_state(PartState.STARTING, f"starting {self.name}")
        began = time.monotonic()
        await self._bring_up()
        took_s = time.monotonic() - began
        self._set_state(PartState.READY, f"{self.name} ready in {took_s:.1f} s", took_s)

    async def stop(self, timeout_s: float | None = None) -> None:
        """End it and stop watching it; it has ``timeout_s`` for a proper end, its grace by default.

        Safe to call twice.
        """
        await self._cancel_restart()
        self.state = PartState.STOPPED
        if self._process is not None:
            await self._process.stop(timeout_s)

    async def kill(self) -> None:
        """End it as a crash would, and leave it dead until :meth:`restart`."""
        await self._cancel_restart()
        self._set_state(PartState.KILLED, f"{self.name} killed")
        if self._process is not None:
            await self._process.stop(0.0)

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP): it holds its port and its data, and answers nothing."""
        if self._process is not None and self.state is PartState.READY:
            self._process.pause()
            self._set_state(PartState.PAUSED, f"{self.name} paused")

    def resume(self) -> None:
        """Let a paused part go on."""
        if self._process is not None and self.state is PartState.PAUSED:
            self._process.resume()
            self._set_state(PartState.READY, f"{self.name} resumed")

    async def restart(self) -> None:
        """End it if it runs and start it anew, on the same port. Raises :class:`StackError`."""
        await self._cancel_restart()
        self.state = PartState.KILLED
        if self._process is not None:
            await self._process.stop()
        await self.start()

    async def _bring_up(self) -> None:
        self._process = await self._launch(self._died)
        self._ready_at = time.monotonic()
        if not self._process.running:
            raise StackError(f"{self.name} ended at start ({(await self._process.wait()).reason})")

    def _died(self, end: Exit) -> None:
        if self.state not in (PartState.READY, PartState.PAUSED):
            return  # still being launched (the launch sees it itself), or meant to end
        if time.monotonic() - self._ready_at > STEADY_S:
            self._backoff.reset()
        self._emit("died", Severity.ERROR, f"{self.name} died ({end.reason}); starting it again")
        self._set_state(PartState.RESTARTING, f"restarting {self.name}")
        self._restarting = asyncio.get_running_loop().create_task(self._restart_until_ready())

    async def _restart_until_ready(self) -> None:
        began = time.monotonic()
        while True:
            await self._backoff.wait()
            try:
                await self._bring_up()
            except StackError as error:
                self._emit(
                    "restart_failed",
                    Severity.ERROR,
                    f"{error}; trying again in {self._backoff.limit_s:.1f} s",
                )
                continue
            took_s = time.monotonic() - began
            self._restarting = None
            self._set_state(PartState.READY, f"{self.name} is back after {took_s:.1f} s", took_s)
            self._emit("restarted", Severity.INFO, f"{self.name} is back after {took_s:.1f} s")
            return

    async def _cancel_restart(self) -> None:
        task, self._restarting = self._restarting, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StackError):
                await task

    def _set_state(self, state: PartState, text: str, elapsed_s: float = 0.0) -> None:
        self.state = state
        self._on_progress(StartProgress(self.name, state, text, elapsed_s))

    def _emit(self, kind: str, severity: Severity, text: str) -> None:
        self._on_event(Event(time.time(), f"stack.{kind}", severity, self.name, text))
