"""The child's side of the pipe to its parent: lines in, control records out.

End of file on stdin means that the parent is gone, and the child ends at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from iotcache_simulator.processes.guard import RECORD_SEPARATOR

Line = bytes


class ParentWatch:
    """Our stdin: gives the lines that the parent writes, and ends this process when the parent is gone."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[Line] = SimpleQueue()
        self._on_stop: Callable[[], object] | None = None
        self._stopped = False
        self._lock = threading.Lock()
        threading.Thread(target=self._follow, daemon=True, name="leash").start()

    def settings(self) -> Line:
        """The first line; waits for it."""
        return self._lines.get()

    def when_stopped(self, call: Callable[[], object]) -> None:
        """Have ``call`` run (in the leash's own thread) when the parent says ``stop``."""
        with self._lock:
            self._on_stop = call
            already = self._stopped
        if already:
            call()

    def _follow(self) -> None:
        rest = b""
        first = True
        while chunk := _read_stdin():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line == b"stop":
                    self._stop(at_once=first)
                elif first:
                    first = False
                    self._lines.put(line)
        os._exit(0)

    def _stop(self, *, at_once: bool) -> None:
        if at_once:
            os._exit(0)
        with self._lock:
            self._stopped = True
            call = self._on_stop
        if call is not None:
            call()


def _read_stdin() -> bytes:
    try:
        return os.read(0, 65_536)
    except OSError:
        return b""


def say(**record: object) -> None:
    """One control record to the parent, in one write so that no log line gets between its bytes."""
    line = RECORD_SEPARATOR + json.dumps(record).encode() + b"\n"
    with contextlib.suppress(OSError):  # the parent is gone, and the leash about to end us
        os.write(1, line)
