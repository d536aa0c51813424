"""Where reports go, and how a run is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from iotcache.errors import UsageError


@contextlib.contextmanager
def told_to_end(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call ``stop``; a second SIGINT is what it always was."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, first)
    except NotImplementedError:  # Windows
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(first))
    yield


def check_writable(flag: str, file: str | None) -> None:
    """Find out before the run, not after it, that the report has no place to go."""
    if file is None or file == "-":
        return
    path = Path(file)
    if path.is_dir():
        raise UsageError(f"{flag} {file}: that is a folder, not a file")
    if not path.parent.is_dir():
        raise UsageError(f"{flag} {file}: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{flag} {file}: it cannot be written there")


def write(flag: str, file: str | None, text: bytes) -> None:
    if file == "-":
        sys.stdout.write(text.decode())
        sys.stdout.flush()
    elif file is not None:
        try:
            Path(file).write_bytes(text)
        except OSError as error:
            raise UsageError(f"{flag} {file}: {error.strerror}") from error
