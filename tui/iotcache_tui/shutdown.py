"""Ending from outside: a closed terminal or a polite kill leaves nothing behind, whatever is being drawn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable

PATIENCE_S = 3.0
"""How long a proper end may take. Drawing to a terminal that is gone can block for ever."""


def end_on_signals(leave: Callable[[], object], clean_up: Callable[[], object]) -> None:
    """On SIGTERM ``leave`` and, when that hangs, ``clean_up`` and end; on SIGHUP clean up and end at once.

    Call it in the event loop's thread. ``clean_up`` runs in a thread of its own and must not need the loop.
    """
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        try:
            clean_up()
        finally:
            os._exit(128 + number)

    def terminated() -> None:
        watchdog = threading.Timer(PATIENCE_S, end, (signal.SIGTERM,))
        watchdog.daemon = True
        watchdog.start()
        leave()

    def hung_up() -> None:
        threading.Thread(target=end, args=(signal.SIGHUP,), name="ending").start()

    for name, act in (("SIGTERM", terminated), ("SIGHUP", hung_up)):
        number = getattr(signal, name, None)
        if number is not None:
            # Windows has no such handlers; a test's loop may run outside the main thread.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, act)


def leave_on_signals() -> threading.Event:
    """For a program without an event loop: an event that is set on SIGTERM, SIGHUP and SIGINT."""
    stopping = threading.Event()
    for name in ("SIGTERM", "SIGHUP", "SIGINT"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, lambda *_: stopping.set())
    return stopping
