"""The frame clock: so many frames a second, and one a second while nothing on screen moves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

from textual.app import App
from textual.timer import Timer

REST_AFTER_S: Final = 2.0
"""A screen on which nothing moved for so long is looked at once a second."""
STIR_S: Final = 0.5
"""What a key sets off may take this long to be seen: every frame is drawn until then."""
RATES_HZ: Final = (1, 2, 4, 6, 8, 10)
"""What the keys step through; any whole number between them can be configured."""


class FrameClock:
    """Calls ``frame`` in the app's own thread, ``hz`` times a second.

    ``frame`` says `moved` or `still` each time. A live fleet is never still for long: something is told
    every second. What rests is a screen over a fleet that is silent.
    """

    def __init__(self, app: App[Any], frame: Callable[[], None], hz: int) -> None:
        self._app, self._frame = app, frame
        self.hz = hz
        self.worst_gap_s = 0.0
        """The longest time by which a frame came after the one before, or after the rest that was meant."""
        self._timer: Timer | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._last_s = 0.0
        self._moved_s = 0.0
        self._stirred_s = 0.0

    def start(self) -> None:
        self._moved_s = time.monotonic()
        self._timer = self._app.set_interval(1 / self.hz, self._frame)

    def turn(self, hz: int) -> None:
        """Another rate, from now on."""
        self._wake()
        if self._timer is not None:
            self._timer.stop()
        self.hz, self._last_s = hz, 0.0
        self.start()

    def step(self, steps: int) -> int:
        """The next faster rate of `RATES_HZ`, or the next slower one; returns it."""
        others = [hz for hz in RATES_HZ if (hz > self.hz if steps > 0 else hz < self.hz)]
        if others:
            self.turn(min(others) if steps > 0 else max(others))
        return self.hz

    def begin(self) -> None:
        """A frame begins."""
        now_s = time.monotonic()
        if self._last_s:
            self.worst_gap_s = max(self.worst_gap_s, now_s - self._last_s)
        self._last_s = now_s

    def moved(self) -> None:
        """The frame drew something: the next one comes at the usual time."""
        self._moved_s = time.monotonic()
        self._wake()

    def still(self, wall_s: float) -> None:
        """The frame had nothing to draw: after a while of that the next one comes with the next second."""
        now_s = time.monotonic()
        if self._timer is None or now_s - self._moved_s < REST_AFTER_S:
            return
        if self._rest is not None:
            self._rest.cancel()
        self._timer.pause()
        wait_s = 1.0 - wall_s % 1.0
        self._rest = asyncio.get_running_loop().call_later(wait_s, self._frame_soon)
        self._last_s = now_s + wait_s - 1 / self.hz

    def stir(self) -> None:
        """The user did something."""
        self._moved_s = self._stirred_s = time.monotonic()
        self._wake()

    @property
    def stirred(self) -> bool:
        """Whether the user did something a moment ago."""
        return time.monotonic() - self._stirred_s < STIR_S

    @property
    def resting(self) -> bool:
        """Whether frames come once a second."""
        return self._rest is not None

    def waker(self) -> Callable[[], None]:
        """What has a frame drawn at once; any thread may call it."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
                loop.call_soon_threadsafe(self._frame_soon)

        return wake

    def _frame_soon(self) -> None:
        self._app.call_later(self._frame)

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
            if self._timer is not None:
                self._timer.reset()
