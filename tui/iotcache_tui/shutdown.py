"""Ending from outside: a closed terminal or a polite kill leaves nothing behind, whatever is being drawn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable

PATIENCE_S = 3.0
"""How long a proper end may take. Drawing to a terminal that is gone can block for ever."""


def end_on_signals(leave: Callable[[], object], clean_up: Callable[[], object]) -> Callable[[], None]:
    """On SIGTERM ``leave`` and, when that hangs, ``clean_up`` and end; on SIGHUP clean up and end at once.

    Call it in the event loop's thread. ``clean_up`` runs in a thread of its own and must not need the loop.
    Returns what puts the handlers back that were there before.
    """
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        try:
            clean_up()
        finally:
            os._exit(128 + number)

    def terminated(*_: object) -> None:
        watchdog = threading.Timer(PATIENCE_S, end, (signal.SIGTERM,))
        watchdog.daemon = True
        watchdog.start()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(leave)

    def hung_up(*_: object) -> None:
        threading.Thread(target=end, args=(signal.SIGHUP,), name="ending").start()

    before = {}
    for name, act in (("SIGTERM", terminated), ("SIGHUP", hung_up)):
        number = getattr(signal, name, None)
        if number is not None:
            # Not by the loop, which may be what hangs. A test's loop may run outside the main thread.
            with contextlib.suppress(ValueError):
                before[number] = signal.signal(number, act)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


class Stopping:
    """Whether a signal told to stop, and a wait for that.

    No `threading.Event`: a handler runs amid what its thread does, and one that takes the lock of an event
    that this thread waits for would wait for it for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._read, self._written = socket.socketpair()
        self._written.setblocking(False)

    def set(self) -> None:
        """Safe in a handler of a signal."""
        self._is_set = True
        with contextlib.suppress(OSError):  # full: it is readable
            self._written.send(b"!")

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Return once it is set, or after ``timeout_s``; whether it is."""
        if not self._is_set:
            select.select([self._read], [], [], timeout_s)
        return self._is_set


def leave_on_signals() -> Stopping:
    """For a program without an event loop: what is set on SIGTERM, SIGHUP and SIGINT."""
    stopping = Stopping()
    for name in ("SIGTERM", "SIGHUP", "SIGINT"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, lambda *_: stopping.set())
    return stopping
