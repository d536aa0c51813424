"""Virtual time and the event loops of simulated processes; one seeded scheduler decides who runs when.

Each client is a process of its own: it has a first-in first-out queue of callbacks as asyncio's own loop
has, and sockets before timers. Between processes, any order is possible, and a process may be stalled.
"""

from __future__ import annotations

import asyncio
import asyncio.events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from heapq import heappop, heappush
from random import Random
from typing import Any, Final, TypeVar, cast

EPOCH_S: Final = 1_700_000_000.0
"""Wall time at which every simulation begins."""
_TURN_S: Final = 0.000_02
"""Longest time between something to do and a process doing it, unless it is stalled."""
_PUT_OFF_S: Final = 0.004
_BUSY_S: Final = 0.000_1

Result = TypeVar("Result")


class Scheduler:
    """The agenda of the whole simulated world, in virtual seconds."""

    def __init__(self, rng: Random) -> None:
        self.now = 0.0
        self.rng = rng
        self.steps = 0
        """Decisions taken so far: a turn of a process, an arrival, a fault."""
        self.crashes: list[str] = []
        """Exceptions that no task of the client under test has handled."""
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._until_s = 0.0

    def at(self, when_s: float, call: Callable[..., None], *args: Any) -> None:
        """Have ``call`` run at virtual time ``when_s``; at equal times, first said first run."""
        self._count += 1
        heappush(self._agenda, (when_s, self._count, call, args))

    def after(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        """As `at`, ``delay_s`` seconds from now."""
        self.at(self.now + delay_s, call, *args)

    def run(self, until_s: float) -> None:
        """Run the world up to ``until_s``."""
        agenda = self._agenda
        self._until_s = until_s
        while agenda and agenda[0][0] <= until_s:
            when_s, _, call, args = heappop(agenda)
            self.now = max(self.now, when_s)
            self.steps += 1
            call(*args)
        self.now = max(self.now, until_s)

    def skip_to(self, when_s: float) -> bool:
        """Whether nothing else is to happen before ``when_s``: then it is that time now."""
        agenda = self._agenda
        if (agenda and agenda[0][0] <= when_s) or when_s > self._until_s:
            return False
        self.now = when_s
        self.steps += 1
        return True


class SimulatedHandle:
    """A callback that is due; as `asyncio.Handle`, without what debugging needs."""

    __slots__ = ("args", "callback", "context", "gone", "when_s")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
        when_s: float = 0.0,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self.when_s = when_s
        self.gone = False

    def cancel(self) -> None:
        """Do not call it."""
        self.gone = True

    def cancelled(self) -> bool:
        """Whether it is not called."""
        return self.gone

    def when(self) -> float:
        """Virtual time at which it is due, of a timer."""
        return self.when_s


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The event loop of one simulated process; it runs a turn when the scheduler says so."""

    def __init__(self, scheduler: Scheduler, name: str, shuffle: float = 0.0) -> None:
        self.name = name
        self.stalled_until_s = 0.0
        self.killed = False
        self.shuffle = shuffle
        """How likely a callback is put off, by one turn or by some milliseconds. asyncio promises an order,
        but nothing that is right only in this order is right."""
        self._scheduler = scheduler
        self._ready: deque[SimulatedHandle] = deque()
        self._inbox: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._timers: list[tuple[float, int, SimulatedHandle]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._count = 0
        self._turn_due = False
        self._wake_at_s = float("inf")

    # What the world does to a process

    def stall(self, seconds: float) -> None:
        """Let the process stand still, as a stopped or swapped-out one does."""
        self.stalled_until_s = max(self.stalled_until_s, self._scheduler.now + seconds)

    def go_on(self) -> None:
        """End a stall."""
        if self.stalled_until_s > self._scheduler.now:
            self.stalled_until_s = 0.0
            self._scheduler.after(0.0, self._turn)

    def kill(self) -> None:
        """End the process: nothing reaches it any more, and what it still does reaches nobody.

        Its tasks are cancelled, in order that Python can take them away; that is no part of the simulation.
        """
        self.killed = True
        self._inbox.clear()
        for task in self.tasks:
            task.cancel()

    def leftovers(self) -> list[str]:
        """Names of the tasks that are under way."""
        return [task.get_name() for task in self.tasks if not task.done()]

    def deliver(self, call: Callable[..., object], *args: Any) -> None:
        """Something came from a socket."""
        if not self.killed:
            self._inbox.append((call, args))
            self._wish_turn()

    def _wish_turn(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            scheduler = self._scheduler
            begin_s = max(scheduler.now, self.stalled_until_s)
            scheduler.at(begin_s + scheduler.rng.random() * _TURN_S, self._turn)

    def _turn(self) -> None:
        """Iterations of the loop, as long as nothing else in the world comes before the next one."""
        self._turn_due = False
        scheduler = self._scheduler
        if scheduler.now < self.stalled_until_s:
            self._wish_turn()
            return
        running = asyncio.events._get_running_loop()
        asyncio.events._set_running_loop(self)
        self._turn_due = True
        try:
            while True:
                self._iterate(scheduler)
                if not (self._ready or self._inbox):
                    self._turn_due = False
                    self._wish_wake()
                    return
                begin_s = max(scheduler.now, self.stalled_until_s) + scheduler.rng.random() * _TURN_S
                if not scheduler.skip_to(begin_s):
                    scheduler.at(begin_s, self._turn)
                    return
        finally:
            asyncio.events._set_running_loop(running)

    def _iterate(self, scheduler: Scheduler) -> None:
        """One iteration: what is ready, sockets, then timers that are due; as asyncio's ``_run_once``."""
        ready, timers = self._ready, self._timers
        count = len(ready)
        arrived, self._inbox = self._inbox, []
        due: list[SimulatedHandle] = []
        while timers and timers[0][0] <= scheduler.now:
            due.append(heappop(timers)[2])
        shuffle = self.shuffle
        for _ in range(count):
            handle = ready.popleft()
            if shuffle and scheduler.rng.random() < shuffle:
                if scheduler.rng.random() < 0.5:
                    ready.append(handle)
                else:
                    self._put_off(handle)
            elif not handle.gone:
                try:
                    handle.context.run(handle.callback, *handle.args)
                except Exception as error:
                    self.call_exception_handler({"message": f"in {handle.callback!r}", "exception": error})
        for call, args in arrived:
            call(*args)
        for handle in due:
            if not handle.gone:
                try:
                    handle.context.run(handle.callback, *handle.args)
                except Exception as error:
                    self.call_exception_handler({"message": f"in {handle.callback!r}", "exception": error})

    def _put_off(self, handle: SimulatedHandle) -> None:
        self._count += 1
        when_s = self._scheduler.now + self._scheduler.rng.random() * _PUT_OFF_S
        heappush(self._timers, (when_s, self._count, handle))

    def _wish_wake(self) -> None:
        timers = self._timers
        while timers and timers[0][2].gone:
            heappop(timers)
        if timers and timers[0][0] < self._wake_at_s:
            self._wake_at_s = timers[0][0]
            self._scheduler.at(timers[0][0], self._wake)

    def _wake(self) -> None:
        self._wake_at_s = float("inf")
        if not self._turn_due:
            timers = self._timers
            while timers and timers[0][2].gone:
                heappop(timers)
            if timers and timers[0][0] <= self._scheduler.now:
                self._wish_turn()
            else:
                self._wish_wake()

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._scheduler.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimulatedHandle:
        handle = SimulatedHandle(callback, args, context)
        self._ready.append(handle)
        if not self._turn_due:
            self._wish_turn()
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimulatedHandle:
        return self.call_at(self._scheduler.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimulatedHandle:
        timer = SimulatedHandle(callback, args, context, when)
        self._count += 1
        heappush(self._timers, (when, self._count, timer))
        if when < self._wake_at_s:
            self._wake_at_s = when
            self._scheduler.at(max(when, self._scheduler.now), self._wake)
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Result],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Result]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        if len(self.tasks) > 64:
            self.tasks = [each for each in self.tasks if not each.done()]
        self.tasks.append(task)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.killed:
            return
        error = cast("BaseException | None", context.get("exception"))
        self._scheduler.crashes.append(f"{self.name}: {context.get('message')}: {error!r}")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """As if the code under it ran within the process."""
        running = asyncio.events._get_running_loop()
        asyncio.events._set_running_loop(self)
        try:
            yield
        finally:
            asyncio.events._set_running_loop(running)

    def start(self, coro: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begin a task from outside the process."""
        with self.inside():
            return self.create_task(coro)


class SimulatedClock:
    """A process's clocks: monotonic time is the world's, wall time may be set wrong."""

    def __init__(self, scheduler: Scheduler, busy: Random | None = None) -> None:
        """With ``busy`` time passes between two looks at the clock, as on a machine that has much to do."""
        self._scheduler = scheduler
        self._busy = busy
        self._read_s = 0.0
        self.offset_s = 0.0

    def now(self) -> float:
        return EPOCH_S + self._scheduler.now + self.offset_s

    def monotonic(self) -> float:
        now_s = self._scheduler.now
        if self._busy is None:
            return now_s
        self._read_s = max(now_s, self._read_s + self._busy.random() * _BUSY_S)
        return self._read_s
